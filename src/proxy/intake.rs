//! The way in: from a request head to a seat, or to the refusal it gets instead.
//!
//! One direction: reject what is not in order, find the client, take in the
//! beginning of a body (a slow upload must hold no seat), judge, check hard limits,
//! ask the gate, and wait there for as long as the client does.
//!
//! What becomes of the request afterwards is `service`'s.

use std::borrow::Cow;
use std::time::Duration;

use http::header::HOST;
use http::{Method, Version};
use pingora_core::{Error, ErrorType, Result};
use pingora_proxy::Session;
use plimsoll_core::controller::Arrival;
use plimsoll_core::decision::Decision;
use plimsoll_core::policy::Mode;
use plimsoll_core::standing::{Tenure, Value};

use super::context::{Context, Fate, Judged, Worth};
use super::deadline::Deadline;
use super::identity::random_bits;
use super::learning;
use super::room::{Room, Taken};
use super::strain::Rung;
use super::upload::{self, Upload};
use crate::classify::entry::entry;
use crate::classify::head::Head;
use crate::classify::preflight::method_meant;
use crate::classify::{graphql, path};
use crate::clock::{Clock, hour_and_weekday};
use crate::gate::{Answer, Asked, Ticket};
use crate::hygiene::{self, Flaw, Received, Rules};
use crate::journal::entry::Grounds;
use crate::policy::compiled::CompiledPolicy;
use crate::serving::Serving;
use crate::telemetry::metrics::observe;
use crate::telemetry::rejection::Rejection;

/// A client may stall for this long, in an upload or a download. Less than the upstream's read
/// timeout, or a client that stalls would look like a shop that does.
pub(super) const CLIENT_STALL_MAX: Duration = Duration::from_secs(20);
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
pub(super) async fn take(
    serving: &Serving,
    room: &Room,
    rung: Rung,
    session: &mut Session,
    ctx: &mut Context,
) -> Result<Passage> {
    // Of an HTTP/2 client that opens no window nothing else tells, and the first refusal may have a body.
    session.set_write_timeout(Some(CLIENT_STALL_MAX));
    if let Err(flaw) = clean(&rules(serving), session)? {
        return Ok(Passage::Rejected(Rejection::Flawed(flaw), None));
    }
    find_client(serving, session, ctx);
    if rung >= Rung::NoKeepAlive {
        session.set_keepalive(None);
    }
    // By its head alone, if that tells: to wait for a body takes what there is too little of.
    if rung >= Rung::LowerClasses {
        judge(serving, session, ctx);
        if is_of_lower_half(ctx) && !waits_for_operation(session, ctx) {
            return Ok(Passage::Rejected(Rejection::Strained, None));
        }
    }
    if let Err(rejection) = take_in_body(serving, room, session, ctx).await {
        return Ok(Passage::Rejected(rejection, None));
    }
    for _ in 0..JUDGED_ANEW_MAX {
        if let Some(passage) = decide(serving, rung, session, ctx).await.transpose() {
            if let Some(judged) = &ctx.judged {
                serving.metrics.classified(judged.class_by);
            }
            return passage;
        }
        serving.applied().await;
    }
    Err(left())
}

/// What requests may be like before their class is known: a class may allow a longer body than others.
fn rules(serving: &Serving) -> Rules {
    let rules = serving.config.requests;
    let most = serving.running().body_bytes_most().unwrap_or(0);
    Rules { body_bytes_max: rules.body_bytes_max.max(most), ..rules }
}

/// Checks the head, and repairs what may be repaired, before anybody reads it.
fn clean(rules: &Rules, session: &mut Session) -> Result<Result<(), Flaw>> {
    let header = session.req_header();
    let bytes = (header.version != Version::HTTP_2).then(|| session.as_downstream().to_h1_raw());
    let received = Received { parts: header, target: header.raw_path(), bytes: bytes.as_deref() };
    let repairs = match hygiene::check(received, rules) {
        Ok(repairs) => repairs,
        Err(flaw) => return Ok(Err(flaw)),
    };
    let header = session.req_header_mut();
    if let Some(target) = &repairs.target {
        header.set_raw_path(target)?;
    }
    // Over HTTP/2 it stands in the target, and has gone with that if there is another one.
    if let Some(host) = repairs.host.filter(|_| header.version != Version::HTTP_2 || repairs.target.is_some())
    {
        header.insert_header(HOST, host)?;
    }
    if repairs.drops_underscores {
        let names = header.headers.keys().filter(|name| name.as_str().contains('_')).cloned();
        for name in names.collect::<Vec<_>>() {
            header.remove_header(&name);
        }
    }
    Ok(Ok(()))
}

fn find_client(serving: &Serving, session: &Session, ctx: &mut Context) {
    let peer = session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip());
    let peer = peer.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into());
    ctx.peer = Some(peer);
    ctx.client = Some(serving.hops.client(peer, &session.req_header().headers));
}

/// Takes in the beginning of a body, if there is one; in the rest of it no client may stall.
async fn take_in_body(
    serving: &Serving,
    room: &Room,
    session: &mut Session,
    ctx: &mut Context,
) -> Result<(), Rejection> {
    // Else bytes of a next request, sent early, would look like a client that left.
    session.as_downstream_mut().set_pipelining_enabled(true);
    let upload = upload::take_in(room, session.as_downstream_mut(), &mut ctx.taken).await;
    let has_body = !matches!(upload, Upload::Absent);
    match upload {
        Upload::Absent => {}
        Upload::TakenIn => ctx.complete = serving.clock.now(),
        Upload::NoRoom => drop(serving.metrics.uploads_without_room.inc()),
        Upload::Broken => return Err(Rejection::IncompleteBody),
        Upload::Unframed => return Err(Rejection::Flawed(Flaw::Chunk)),
    }
    // Whoever upgrades may be silent for long, and who has sent everything has nothing more to say.
    if has_body && !session.is_upgrade_req() {
        session.set_read_timeout(Some(CLIENT_STALL_MAX));
    }
    Ok(())
}

/// Judges a request, checks its limits and asks for its seat; `None` if it is to be judged anew, for a reload
/// has come in between.
async fn decide(
    serving: &Serving,
    rung: Rung,
    session: &mut Session,
    ctx: &mut Context,
) -> Result<Option<Passage>> {
    judge(serving, session, ctx);
    if rung >= Rung::LowerClasses && is_of_lower_half(ctx) {
        return Ok(Some(Passage::Rejected(Rejection::Strained, None)));
    }
    if !fits(serving, session, ctx) {
        return Ok(Some(Passage::Rejected(Rejection::Flawed(Flaw::BodySize), None)));
    }
    if let Err(wait) = check_limits(serving, ctx) {
        return Ok(Some(Passage::Rejected(Rejection::RateLimited, Some(wait))));
    }
    let answer = match ask(serving, session, ctx) {
        Asked::Answered(answer) => answer,
        Asked::Waiting(ticket) => wait(serving, session, ctx, ticket).await.ok_or_else(left)?,
        Asked::Stale => return Ok(None),
    };
    let passage = settle(ctx, answer);
    if matches!(passage, Passage::Refused) {
        forget_tenure(serving, session, ctx);
    }
    Ok(Some(passage))
}

fn left() -> Box<Error> {
    Error::explain(ErrorType::ConnectionClosed, "left while waiting").into_down()
}

/// Finds out what the request is, under the generation in force or the canary beside it.
fn judge(serving: &Serving, session: &Session, ctx: &mut Context) {
    let in_force = serving.running_for_long();
    let cookies = &in_force.generation.policy.sessions.cookies;
    let client = ctx.client.expect("the client is known before its request is judged");
    let session_key = serving.sessions.identify(&Head::of(session.req_header()), cookies, client);
    let running = in_force.for_session(&session_key);
    let generation = &running.generation;
    let policy = &generation.policy;
    let header = session.req_header();
    let head = Head::of(header).sent_by(client);
    let key = path::key(head.path());
    let in_body =
        || session.as_downstream().get_retry_buffer().filter(|_| may_name_operation(policy, &head, &key));
    let in_query = graphql::operation_in_query(&head).map(Cow::into_owned);
    let operation = in_query.or_else(|| graphql::operation_in_body(&in_body()?));
    let known = serving.sessions.view(&session_key, ctx.received);
    let judgement = generation.judge(&head, &key, operation.as_deref(), known.view, &serving.clock);
    ctx.judged = Some(Judged {
        class: judgement.class,
        own_class: judgement.own_class,
        class_by: judgement.class_by,
        route: judgement.route.map(|route| route.place),
        confidence: judgement.guess.map_or(0.0, |guess| guess.confidence),
        pool: serving.pool_index(judgement.route.and_then(|route| route.pool.as_deref())),
        session: session_key,
        known,
        operation,
        worth: None,
        running,
    });
}

/// Whether the operation in a body may make something else of a request.
fn may_name_operation(policy: &CompiledPolicy, head: &Head<'_>, key: &str) -> bool {
    policy.routes.wants_operation(head, key) || key.ends_with("graphql")
}

/// Whether a request that was judged by its head may turn out to be something else by its body: an order and a
/// list of products come by one path.
fn waits_for_operation(session: &Session, ctx: &Context) -> bool {
    let (Some(judged), Some(client)) = (&ctx.judged, ctx.client) else { return false };
    let head = Head::of(session.req_header()).sent_by(client);
    let key = path::key(head.path());
    may_name_operation(&judged.running.generation.policy, &head, &key)
        && graphql::operation_in_query(&head).is_none()
}

/// Whether at least half of the classes are more important. The most important one never is.
fn is_of_lower_half(ctx: &Context) -> bool {
    let Some(judged) = &ctx.judged else { return false };
    let core = &judged.running.generation.policy.core;
    let rank = core.class(judged.class).rank;
    let better = core.classes().iter().filter(|class| class.rank < rank).count();
    better * 2 >= core.classes().len()
}

/// The longest body that the request may have: by its own class, not the one its session lifted it to.
pub(super) fn body_bytes_max(serving: &Serving, ctx: &Context) -> u64 {
    let of_process = serving.config.requests.body_bytes_max;
    let Some(judged) = &ctx.judged else { return of_process };
    let policy = &judged.running.generation.policy;
    let of_class = policy.settings(judged.own_class).body_bytes_max;
    match policy.core.mode_of(judged.class) {
        Mode::Enforce => of_class.unwrap_or(of_process),
        // Nobody is refused for a class, but what it allows more is allowed.
        Mode::Observe => of_class.unwrap_or(of_process).max(of_process),
    }
}

/// Whether the request may make a WebSocket of its connection: by its own class as well.
pub(super) fn may_upgrade(ctx: &Context) -> bool {
    let Some(judged) = &ctx.judged else { return true };
    let policy = &judged.running.generation.policy;
    let is_observed = policy.core.mode_of(judged.class) == Mode::Observe;
    is_observed || policy.settings(judged.own_class).may_upgrade
}

/// Whether the body is no longer than it may be, as far as its length is known before it is sent on.
fn fits(serving: &Serving, session: &Session, ctx: &Context) -> bool {
    let told = upload::declared_length(session.req_header()).unwrap_or(0);
    let bytes = told.max(ctx.taken.as_ref().map_or(0, Taken::bytes)) as u64;
    bytes <= body_bytes_max(serving, ctx)
}

/// `Err` if a hard limit refuses the request; in observe mode it is only counted.
fn check_limits(serving: &Serving, ctx: &Context) -> Result<(), Duration> {
    let (Some(judged), Some(client)) = (&ctx.judged, ctx.client) else { return Ok(()) };
    let checked = judged.running.limits.check(judged.known.counted_as, client);
    if judged.running.generation.policy.core.mode_of(judged.class) == Mode::Observe {
        if checked.is_err() {
            serving.metrics.reject(Rejection::RateLimited);
        }
        return Ok(());
    }
    checked
}

fn ask(serving: &Serving, session: &mut Session, ctx: &mut Context) -> Asked {
    let judged = ctx.judged.as_mut().expect("a request is judged before it asks");
    let policy = &judged.running.generation.policy;
    let gate = &serving.pools[judged.pool].gate;
    let deadline = ctx.complete.after(policy.core.class(judged.class).patience);
    judged.worth =
        gate.depends_on_value(judged.class, deadline).then(|| worth(&serving.clock, judged, ctx.bits));
    let value = judged.worth.map_or_else(
        || {
            serving.metrics.value_skipped.inc();
            policy.settings(judged.class).value
        },
        |worth| worth.value,
    );
    let usage_penalty = if policy.clients.usage_penalty {
        serving.usage.count(judged.known.counted_as, ctx.received)
    } else {
        0
    };
    // Who has no session yet draws anew each time: a cookie that he invents must not be a ticket. So does who floods.
    let lot = judged.known.lot(usage_penalty, ctx.received).unwrap_or(ctx.bits as u8);
    // A body that is still on its way cannot be sent twice, nor may it keep others waiting to probe a breaker. The
    // preflight of an order is answered at the shop's door: it tells no more of payments than that it came.
    let is_whole = session.as_downstream_mut().is_body_done();
    let is_idempotent = is_whole && method_meant(&Head::of(session.req_header())).is_idempotent();
    let grounds = Grounds {
        trace: ctx.bits,
        class_by: judged.class_by as u8,
        canary: judged.running.is_canary().then_some(judged.running.generation.number),
        route: judged.route,
        confidence: judged.confidence,
    };
    gate.ask(&policy.core, &grounds, |request| Arrival {
        request,
        class: judged.class,
        value: Value::new(value),
        tenure: if judged.known.view.admitted { Tenure::Admitted } else { Tenure::Fresh },
        usage_penalty,
        lot,
        is_idempotent,
        deadline,
    })
}

/// What the model, or the policy's dice, take a session to be worth.
fn worth(clock: &Clock, judged: &Judged, bits: u64) -> Worth {
    let generation = &judged.running.generation;
    let drawn = generation.policy.learning.as_ref().and_then(|rules| learning::draw(rules, bits));
    let value = drawn.unwrap_or_else(|| {
        let time = hour_and_weekday(Clock::wall());
        generation.value(judged.class, &judged.known.view, time, clock)
    });
    Worth { value, is_drawn: drawn.is_some() }
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
    meters.count_decision(answer.decision);
    if matches!(answer.decision, Decision::Shed(_)) {
        return Passage::Refused;
    }
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

/// Notes that a session was refused, which only matters to one that was served before.
fn forget_tenure(serving: &Serving, session: &Session, ctx: &Context) {
    let judged = ctx.judged.as_ref().filter(|judged| judged.known.view.admitted);
    let Some(judged) = judged.filter(|_| session.req_header().method != Method::OPTIONS) else { return };
    let visit = judged.running.generation.policy.settings(judged.own_class).visit;
    serving.sessions.refused(&judged.session, visit, ctx.received);
}

/// A context for a request whose head has just been read.
pub(super) fn context(serving: &Serving) -> Context {
    Context::new(serving.clock.now(), random_bits(), serving.begin(), Deadline::begin(serving.clock))
}
