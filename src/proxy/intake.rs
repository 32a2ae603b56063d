//! The way in: from a request head to a seat, or to the refusal it gets instead.
//!
//! One direction: reject what has no meaning, find the client, read a small body
//! (a slow upload must hold no seat), judge, check hard limits, ask the gate, and
//! wait there for as long as the client does.
//!
//! What becomes of the request afterwards is `service`'s.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT};
use http::{Method, Version};
use pingora_core::{Error, ErrorType, Result};
use pingora_proxy::Session;
use plimsoll_core::admission::{Tenure, Value};
use plimsoll_core::decision::Decision;
use plimsoll_core::policy::Mode;

use super::context::{Context, Fate, Judged};
use super::identity::random_bits;
use crate::classify::entry::entry;
use crate::classify::head::Head;
use crate::classify::{graphql, path};
use crate::clock::{Clock, hour_and_weekday};
use crate::gate::{Answer, Asked, Asking, Ticket};
use crate::serving::Serving;
use crate::telemetry::metrics::{Rejection, observe};

/// Bodies up to this size are read before a seat is asked for. It is what Pingora keeps for a retry.
const BODY_READ_MAX: u64 = 64 * 1024;
/// How long such a body may take.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// A client may stall for this long, in an upload or a download. Less than the upstream's read
/// timeout, or a client that stalls would look like a shop that does.
const CLIENT_STALL_MAX: Duration = Duration::from_secs(20);
/// A request caught by a reload is judged anew; reloads that keep catching it do not exist.
const JUDGED_ANEW_MAX: usize = 1_000;

/// What the way in ends with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Passage {
    /// It has a seat.
    Seated,
    /// It is refused; the context says why.
    Refused,
    /// It was nothing to decide about.
    Rejected(Rejection, Option<Duration>),
}

/// Brings a request to its seat or its refusal.
///
/// # Errors
/// The client left.
pub(super) async fn take(serving: &Serving, session: &mut Session, ctx: &mut Context) -> Result<Passage> {
    let header = session.req_header();
    let head = Head::of(header);
    if head.host().is_empty() && header.version == Version::HTTP_11 {
        return Ok(Passage::Rejected(Rejection::MissingHost, None));
    }
    let peer = session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip());
    let peer = peer.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into());
    ctx.peer = Some(peer);
    ctx.client = Some(serving.hops.client(peer, &header.headers));
    // Else bytes of a next request, sent early, would look like a client that left.
    session.as_downstream_mut().set_pipelining_enabled(true);
    if has_small_body(session) {
        if !read_body(session).await {
            return Ok(Passage::Rejected(Rejection::IncompleteBody, None));
        }
        ctx.complete = serving.clock.now();
    }
    // Whoever upgrades may be silent for long.
    if !session.is_upgrade_req() {
        session.set_read_timeout(Some(CLIENT_STALL_MAX));
    }
    session.set_write_timeout(Some(CLIENT_STALL_MAX));
    let mut answer = None;
    for _ in 0..JUDGED_ANEW_MAX {
        judge(serving, session, ctx);
        if let Err(wait) = check_limits(serving, ctx) {
            return Ok(Passage::Rejected(Rejection::RateLimited, Some(wait)));
        }
        match ask(serving, ctx) {
            Asked::Answered(now) => answer = Some(now),
            Asked::Waiting(ticket) => answer = wait(serving, session, ctx, ticket).await,
            Asked::Stale => {
                serving.applied().await;
                continue;
            }
        }
        break;
    }
    let Some(answer) = answer else {
        return Err(Error::explain(ErrorType::ConnectionClosed, "left while waiting").into_down());
    };
    Ok(settle(ctx, answer))
}

fn has_small_body(session: &mut Session) -> bool {
    let header = session.req_header();
    if header.headers.contains_key(EXPECT) {
        return false;
    }
    let length = header.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    matches!(length, Some(1..=BODY_READ_MAX)) && !session.as_downstream_mut().is_body_done()
}

/// Reads the body to where Pingora finds it when it is sent upstream. False if it breaks off or takes too long.
async fn read_body(session: &mut Session) -> bool {
    let downstream = session.as_downstream_mut();
    downstream.enable_retry_buffering();
    let read = async {
        while !downstream.is_body_done() {
            // Nothing more to read ends the body as well: HTTP/2 trailers come after it.
            if downstream.read_request_body().await?.is_none() {
                break;
            }
        }
        Result::<()>::Ok(())
    };
    matches!(tokio::time::timeout(BODY_READ_TIMEOUT, read).await, Ok(Ok(())))
}

/// Finds out what the request is, under the generation in force.
fn judge(serving: &Serving, session: &mut Session, ctx: &mut Context) {
    let running = serving.running_for_long();
    let generation = &running.generation;
    let policy = &generation.policy;
    let body = session.as_downstream_mut().get_retry_buffer();
    let header = session.req_header();
    let head = Head::of(header);
    let key = path::key(head.path());
    let in_body = || graphql::operation_in_body(body.as_deref()?);
    let operation = match graphql::operation_in_query(&head) {
        Some(operation) => Some(operation.into_owned()),
        None if policy.routes.wants_operation(&head, &key) || key.ends_with("graphql") => in_body(),
        None => None,
    };
    let client = ctx.client.expect("the client is known before its request is judged");
    let session_key = serving.sessions.identify(&head, &policy.sessions.cookies, client);
    let known = serving.sessions.view(&session_key, ctx.received);
    let judgement = generation.judge(&head, &key, operation.as_deref(), known.view.stage, &serving.clock);
    serving.metrics.classified(judgement.class_by);
    let pool = serving.pool_index(judgement.route.and_then(|route| route.pool.as_deref()));
    let (class, own_class, class_by) = (judgement.class, judgement.own_class, judgement.class_by);
    ctx.judged = Some(Judged { class, own_class, class_by, pool, session: session_key, known, running });
}

/// `Err` if a hard limit refuses the request; in observe mode it is only counted.
fn check_limits(serving: &Serving, ctx: &Context) -> Result<(), Duration> {
    let (Some(judged), Some(client)) = (&ctx.judged, ctx.client) else { return Ok(()) };
    let checked = judged.running.limits.check(judged.known.hash, client);
    if judged.running.generation.policy.core.mode() == Mode::Observe {
        if checked.is_err() {
            serving.metrics.reject(Rejection::RateLimited);
        }
        return Ok(());
    }
    checked
}

fn ask(serving: &Serving, ctx: &Context) -> Asked {
    let judged = ctx.judged.as_ref().expect("a request is judged before it asks");
    let policy = &judged.running.generation.policy;
    let gate = &serving.pools[judged.pool].gate;
    let view = &judged.known.view;
    let deadline = ctx.complete.after(policy.core.class(judged.class).patience);
    let value = if gate.depends_on_value(judged.class, deadline) {
        let time = hour_and_weekday(Clock::wall());
        judged.running.generation.value(judged.class, view, time, &serving.clock)
    } else {
        serving.metrics.value_skipped.inc();
        policy.settings(judged.class).value
    };
    let usage_penalty =
        if policy.clients.usage_penalty { serving.usage.count(judged.known.hash, ctx.received) } else { 0 };
    let asking = Asking {
        class: judged.class,
        value: Value::new(value),
        tenure: if view.admitted { Tenure::Admitted } else { Tenure::Fresh },
        usage_penalty,
        deadline,
    };
    gate.ask(&policy.core, asking)
}

/// Waits for the answer, or until the client leaves.
async fn wait(
    serving: &Serving,
    session: &mut Session,
    ctx: &mut Context,
    mut ticket: Ticket,
) -> Option<Answer> {
    let downstream = session.as_downstream_mut();
    let answer = if downstream.is_http2() {
        let left = downstream.watch_h2_stream_close().expect("an HTTP/2 stream can be watched");
        tokio::select! {
            answer = ticket.answered() => Some(answer),
            _ = left => None,
        }
    } else if downstream.is_body_done() {
        tokio::select! {
            answer = ticket.answered() => Some(answer),
            _ = downstream.read_body_or_idle(true) => None,
        }
    } else {
        // To watch the socket now would be to read the body that is on its way.
        Some(ticket.answered().await)
    };
    ctx.waited = serving.clock.now().since(ticket.arrived());
    answer
}

/// Notes the answer.
fn settle(ctx: &mut Context, answer: Answer) -> Passage {
    let judged = ctx.judged.as_ref().expect("an answered request was judged");
    let running = &judged.running;
    let meters = &running.meters[judged.class.index()];
    ctx.fate = Fate::Decided(answer.decision, answer.evidence);
    if !ctx.waited.is_zero() {
        observe(&meters.queue_wait, ctx.waited);
    }
    match answer.decision {
        Decision::Shed(reason) => {
            meters.shed[reason.index()].inc();
            return Passage::Refused;
        }
        Decision::AdmitObserved(_) => meters.observed.inc(),
        Decision::Admit | Decision::Queue => meters.admitted.inc(),
    };
    ctx.permit = answer.permit;
    Passage::Seated
}

/// Remembers the visit of a session that got an answer: a request that was refused, or that the shop
/// did not understand, has not brought anybody anywhere.
pub(super) fn remember(serving: &Serving, session: &Session, ctx: &Context) {
    let Some(judged) = &ctx.judged else { return };
    let head = Head::of(session.req_header());
    // A preflight asks for another request's sake.
    if *head.method != Method::OPTIONS {
        let visit = judged.running.generation.policy.settings(judged.own_class).visit;
        serving.sessions.record(&judged.session, visit, entry(&head), ctx.received);
        serving.sessions.admitted(&judged.session, ctx.received);
    }
}

/// A context for a request whose head has just been read.
pub(super) fn context(serving: &Serving) -> Context {
    Context::new(serving.clock.now(), random_bits(), serving.begin())
}
