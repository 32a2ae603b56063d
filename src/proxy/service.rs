//! The proxy as Pingora sees it: one short method per phase.
//!
//! The seat is taken in `request_filter` and given back when the upstream has
//! sent its last byte; `logging` and the drop of the context are the nets below.
//! Time to first byte counts from the last byte of the request, so that a slow
//! upload does not look like a slow shop.
//!
//! How an answer is handed on is `delivery`'s.

mod delivery;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, SET_COOKIE, UPGRADE};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};
use plimsoll_core::controller::Outcome;
use plimsoll_core::time::Time;
use tokio::sync::{Semaphore, watch};

use super::context::{Context, Fate};
use super::endpoints::SystemResolver;
use super::failure::{
    forget_quotes, is_endpoints, is_unreachable, outcome_of, outcome_of_status, rejection_of, status_of,
};
use super::hold::Hold;
use super::identity::{self, Forwarding, Scheme};
use super::intake::{self, CLIENT_STALL_MAX, Passage};
use super::learning;
use super::media::{accepts_events, has_no_body, is_event_stream, is_unbuffered};
use super::outliers::Fared;
use super::record;
use super::refuse::Refused;
use super::retries;
use super::room::Room;
pub use super::strain::Strain;
use super::upload::{BUFFER_BYTES, expects_continue};
pub use super::upstream::UpstreamError;
use super::upstream::{self, Upstreams};
use crate::hygiene::Flaw;
use crate::serving::Serving;
use crate::telemetry::access_log::loggable;
use crate::telemetry::metrics::observe;
use crate::telemetry::rejection::Rejection;

/// The header that tells what was decided, where the policy turns it on.
pub(super) const DECISION: &str = "x-plimsoll-decision";
/// How long the upstream's end of a WebSocket or of an event stream may be silent.
const ENDLESS_IDLE_MAX: Duration = Duration::from_secs(600);
/// Streams and WebSockets at once, unless the settings say otherwise.
const STREAMS_MAX: usize = 10_000;
/// Buffers for bodies without a seat, unless the settings say otherwise: 64 MiB of memory.
const UPLOAD_BUFFERS_MAX: usize = 1_024;
/// Responses held back, unless the settings say otherwise: a thousand of the largest.
const HELD_BYTES_MAX: usize = 256 << 20;

/// The proxy.
pub struct Plimsoll {
    serving: Arc<Serving>,
    upstreams: Vec<Arc<Upstreams>>,
    streams: Arc<Semaphore>,
    /// For bodies of requests.
    room: Room,
    /// For responses.
    hold_room: Room,
    strain: Strain,
}

impl Plimsoll {
    /// A proxy before the pools of `serving`, whose endpoints' names are looked up for the first time. A name
    /// that cannot be found yet is told in the log, and is no error: a shop opens without its payments, too.
    ///
    /// # Errors
    /// If a pool cannot be used.
    pub async fn new(serving: Arc<Serving>) -> Result<Plimsoll, UpstreamError> {
        let mut upstreams = Vec::new();
        for pool in &serving.pools {
            let failures = serving.metrics.upstreams.lookup_failures.clone();
            let pool = Upstreams::new(&pool.pool, Box::new(SystemResolver), failures)?;
            pool.look_up().await;
            upstreams.push(Arc::new(pool));
        }
        Ok(Plimsoll {
            upstreams,
            streams: Arc::new(Semaphore::new(serving.config.streams_max.unwrap_or(STREAMS_MAX))),
            room: Room::new(
                serving.config.upload_buffers_max.unwrap_or(UPLOAD_BUFFERS_MAX) * BUFFER_BYTES,
                serving.metrics.upload_bytes.clone(),
            ),
            hold_room: Room::new(
                serving.config.held_bytes_max.unwrap_or(HELD_BYTES_MAX),
                serving.metrics.held_bytes.clone(),
            ),
            strain: Strain::default(),
            serving,
        })
    }

    /// How near the process is to its end.
    pub fn strain(&self) -> Strain {
        self.strain.clone()
    }

    /// Checks the endpoints of each pool, and looks their names up, until `shutdown`.
    pub fn watch_endpoints(
        &self,
        shutdown: &watch::Receiver<bool>,
    ) -> Vec<impl Future<Output = ()> + Send + 'static> {
        let watch = |upstreams: &Arc<Upstreams>| upstreams.clone().watch(shutdown.clone());
        self.upstreams.iter().map(watch).collect()
    }

    /// What reads the TLS files of all pools anew, whenever it is called.
    pub fn reloading(&self) -> Box<dyn Fn() + Send + Sync> {
        let (pools, serving) = (self.upstreams.clone(), self.serving.clone());
        Box::new(move || upstream::reload(&pools, &serving.metrics.connections))
    }

    fn upstreams(&self, ctx: &Context) -> &Upstreams {
        &self.upstreams[ctx.pool()]
    }

    /// What is left at `now` of the time the request may take in all.
    fn time_left(&self, ctx: &Context, now: Time) -> Duration {
        let total = self.upstreams(ctx).timeouts().total;
        (total + ctx.waited).saturating_sub(now.since(ctx.received))
    }

    /// Sets by when something must happen next: a body may take all the time there is, whatever comes
    /// from the upstream only so long.
    fn set_deadline(&self, ctx: &Context, now: Time) {
        let read = self.upstreams(ctx).timeouts().read;
        let time = match ctx.stream {
            _ if ctx.is_endless => ENDLESS_IDLE_MAX,
            Some(_) => read,
            None if ctx.is_sent => read.min(self.time_left(ctx, now)),
            None => self.time_left(ctx, now),
        };
        ctx.busy.until(now.after(time));
    }

    async fn refuse(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        let Some(judged) = &ctx.judged else { return Ok(()) };
        part_if_ending(session);
        let policy = &judged.running.generation.policy;
        let refusal = &policy.settings(judged.class).refusal;
        let request_id = identity::request_id(&session.req_header().headers, ctx.bits);
        let decision = record::tells_decision(policy, ctx).then(|| record::decision_text(ctx));
        let mut refused = Refused::by_class(refusal, ctx.bits, &request_id);
        refused.decision = decision.as_deref();
        refused.write(session).await
    }

    async fn reject(
        &self,
        session: &mut Session,
        ctx: &mut Context,
        rejection: Rejection,
        retry_after: Option<Duration>,
    ) -> Result<()> {
        part_if_ending(session);
        self.serving.metrics.reject(rejection);
        ctx.fate = Fate::Rejected(rejection.name());
        let request_id = identity::request_id(&session.req_header().headers, ctx.bits);
        let status = rejection.status();
        let retry_after = match rejection {
            Rejection::Strained => self.time_to_retry(status, ctx),
            _ => retry_after,
        };
        let policy = ctx.judged.as_ref().map(|judged| &judged.running.generation.policy);
        let decision =
            policy.filter(|policy| record::tells_decision(policy, ctx)).map(|_| record::decision_text(ctx));
        let plain = Refused { decision: decision.as_deref(), ..Refused::plain(status, &request_id) };
        // What is not in order may end anywhere.
        if matches!(rejection, Rejection::IncompleteBody | Rejection::Flawed(_)) {
            session.set_keepalive(None);
        }
        Refused { retry_after, ..plain }.write(session).await
    }

    /// A body whose length nobody told is counted while it streams, and must not trickle. What is upgraded
    /// has none.
    fn count_body(&self, ctx: &mut Context, bytes: usize, now: Time) -> Result<()> {
        ctx.body_bytes += bytes as u64;
        if !ctx.is_endless && !ctx.is_sent && self.trickles(ctx, now) {
            return Err(Error::explain(ErrorType::ReadTimedout, "the upload is too slow").into_down());
        }
        if ctx.is_endless || ctx.body_bytes <= intake::body_bytes_max(&self.serving, ctx) {
            return Ok(());
        }
        let rejection = Rejection::Flawed(Flaw::BodySize);
        self.serving.metrics.reject(rejection);
        ctx.fate = Fate::Rejected(rejection.name());
        Err(Error::new(ErrorType::HTTPStatus(Flaw::BodySize.status().as_u16())).into_down())
    }

    fn trickles(&self, ctx: &Context, now: Time) -> bool {
        let elapsed = now.since(ctx.received).saturating_sub(ctx.waited);
        let least = self.serving.config.connections.receive_bytes_per_s_min * elapsed.as_secs();
        elapsed > CLIENT_STALL_MAX && ctx.body_bytes < least
    }

    fn observe_endpoint(&self, ctx: &Context, fared: Fared, now: Time) {
        if let Some(endpoint) = ctx.endpoint
            && self.upstreams(ctx).observe(endpoint, fared, now)
        {
            self.serving.metrics.upstreams.ejections.inc();
        }
    }

    /// The shop's answer has begun: what that tells of its endpoint, of its pace and of the session.
    fn note_answer(&self, session: &Session, response: &ResponseHeader, ctx: &mut Context, now: Time) {
        ctx.first_byte = Some(now);
        self.observe_endpoint(ctx, Fared::Answered, now);
        ctx.outcome = outcome_of_status(response.status);
        if response.status.as_u16() < 400 {
            intake::remember(&self.serving, session, ctx);
        }
        let sent = ctx.sent.unwrap_or(now);
        if let Some(permit) = &ctx.permit {
            permit.first_byte(sent);
        }
        if let Some(judged) = &ctx.judged {
            observe(&judged.running.meters[judged.class.index()].upstream, now.since(sent));
            ctx.order_value = learning::order_value(&judged.running.generation.policy, response);
            if response.headers.contains_key(SET_COOKIE) {
                let cookies = &judged.running.generation.policy.sessions.cookies;
                self.serving.sessions.granted(&judged.session, &response.headers, cookies, now);
            }
        }
    }

    /// When to come back after an answer that says that there is no room, as the class has it.
    fn time_to_retry(&self, status: StatusCode, ctx: &Context) -> Option<Duration> {
        let judged = ctx.judged.as_ref().filter(|_| status == StatusCode::SERVICE_UNAVAILABLE)?;
        let refusal = &judged.running.generation.policy.settings(judged.class).refusal;
        Refused::by_class(refusal, ctx.bits, "").retry_after
    }
}

/// Says with an answer that its connection ends, if the process does: Pingora tells it to those alone whose request
/// comes later, and would close on the next request of the others.
fn part_if_ending(session: &mut Session) {
    if session.is_process_shutting_down() {
        session.set_keepalive(None);
    }
}

#[async_trait]
impl ProxyHttp for Plimsoll {
    type CTX = Box<Context>;

    fn new_ctx(&self) -> Box<Context> {
        Box::new(intake::context(&self.serving))
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Box<Context>) -> Result<bool> {
        match intake::take(&self.serving, &self.room, self.strain.rung(), session, ctx).await? {
            Passage::Seated => Ok(false),
            Passage::Refused => self.refuse(session, ctx).await.map(|()| true),
            Passage::Rejected(rejection, retry_after) => {
                self.reject(session, ctx, rejection, retry_after).await.map(|()| true)
            }
        }
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Box<Context>) -> Result<Box<HttpPeer>> {
        let now = self.serving.clock.now();
        let left = self.time_left(ctx, now);
        if left.is_zero() {
            return Err(Error::new(ErrorType::ConnectTimedout).into_up());
        }
        ctx.tries += 1;
        let next = self.upstreams(ctx).next(left, now);
        let (endpoint, mut peer) = next.ok_or_else(|| Error::new(ErrorType::HTTPStatus(503)).into_up())?;
        ctx.endpoint = Some(endpoint);
        // Before HTTP/1 clients the deadline does it, with an answer and without a timer for each read. An
        // HTTP/2 stream can only be dropped by it: Pingora's timeout comes first, but where silence was
        // asked for.
        if !session.is_http2() {
            peer.options.read_timeout = None;
        } else if accepts_events(session.req_header()) {
            peer.options.read_timeout = Some(ENDLESS_IDLE_MAX);
        }
        Ok(Box::new(peer))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Box<Context>,
    ) -> Result<()> {
        if let Some(peer) = ctx.peer {
            let (client, trusted) = (ctx.client.unwrap_or(peer), self.serving.hops.contains(peer));
            let forwarding = Forwarding { peer, client, trusted, scheme: Scheme::of(session) };
            identity::write_upstream(request, ctx.bits, forwarding)?;
        }
        // Without them it is a request like any other, and Pingora takes a 101 for a mistake of the shop's.
        if !intake::may_upgrade(ctx) && request.remove_header(&UPGRADE).is_some() {
            request.remove_header(&CONNECTION);
        }
        // It was told to continue before it had a seat.
        if expects_continue(session.req_header()) {
            request.remove_header(&EXPECT);
        }
        let now = self.serving.clock.now();
        ctx.sent = Some(now);
        ctx.body_bytes = 0;
        self.set_deadline(ctx, now);
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Box<Context>,
    ) -> Result<()> {
        let now = self.serving.clock.now();
        if end_of_stream || body.is_some() {
            ctx.sent = Some(now);
        }
        ctx.is_sent |= end_of_stream;
        self.count_body(ctx, body.as_ref().map_or(0, Bytes::len), now)?;
        if !ctx.is_sent && ctx.stream.is_none() && self.time_left(ctx, now).is_zero() {
            return Err(Error::explain(ErrorType::ReadTimedout, "the upload took too long").into_down());
        }
        self.set_deadline(ctx, now);
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Box<Context>,
    ) -> Result<()> {
        let is_upgrade = response.status == StatusCode::SWITCHING_PROTOCOLS;
        if response.status.is_informational() && !is_upgrade {
            return Ok(());
        }
        let now = self.serving.clock.now();
        self.note_answer(session, response, ctx, now);
        if !response.headers.contains_key(CONTENT_LENGTH) {
            ctx.hold.limit_time(now);
        }
        if is_upgrade || is_event_stream(response) {
            self.become_stream(ctx)?;
        } else if has_no_body(&session.req_header().method, response) {
            ctx.finish(ctx.outcome);
        } else if is_unbuffered(response) {
            ctx.hold.pass();
        }
        self.set_deadline(ctx, now);
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Box<Context>,
    ) -> Result<Option<Duration>> {
        self.deliver(session, body, end_of_stream, ctx).map(|()| None)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Box<Context>,
    ) -> Result<()> {
        part_if_ending(session);
        if let Some(judged) = &ctx.judged
            && record::tells_decision(&judged.running.generation.policy, ctx)
        {
            response.insert_header(DECISION, record::decision_text(ctx))?;
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Box<Context>,
        mut error: Box<Error>,
    ) -> Box<Error> {
        self.serving.metrics.upstreams.connect_failures.inc();
        self.observe_endpoint(ctx, Fared::Failed, self.serving.clock.now());
        error.set_retry(retries::goes_elsewhere(&self.serving, ctx, self.upstreams(ctx).tries_max()));
        error
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Box<Context>,
        was_kept: bool,
    ) -> Box<Error> {
        forget_quotes(&mut error);
        error = error.more_context(format!("Peer: {peer}"));
        // Pingora knows of some errors only that they mean something else on a connection that was kept.
        error.retry.decide_reuse(was_kept);
        let endpoints = self.upstreams(ctx).tries_max();
        error.set_retry(error.retry() && retries::is_sent_again(&self.serving, session, ctx, endpoints));
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Box<Context>,
    ) -> FailToProxy {
        let rejection = rejection_of(error, ctx);
        if let Some(rejection) = rejection {
            self.serving.metrics.reject(rejection);
            ctx.fate = Fate::Rejected(rejection.name());
        }
        let status = match rejection {
            Some(rejection) => Some(rejection.status()),
            None if ctx.is_upstream_late() => Some(StatusCode::GATEWAY_TIMEOUT),
            None => status_of(error),
        };
        let is_unanswered = record::status(session).is_none();
        if let Some(status) = status.filter(|_| is_unanswered) {
            session.set_keepalive(None);
            let request_id = identity::request_id(&session.req_header().headers, ctx.bits);
            let retry_after = self.time_to_retry(status, ctx);
            let answer = Refused { retry_after, ..Refused::plain(status, &request_id) };
            if let Err(error) = answer.write(session).await {
                log::debug!("the client left before its {status}: {error}");
            }
        }
        let error_code = status.map_or(0, |status| status.as_u16());
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Box<Context>) {
        if error.is_some_and(|error| is_endpoints(error, ctx)) {
            self.observe_endpoint(ctx, Fared::Failed, self.serving.clock.now());
        }
        match error {
            None => ctx.finish(ctx.outcome),
            Some(_) if ctx.is_upstream_late() => ctx.finish(Outcome::Overloaded),
            Some(error) if ctx.is_sent && *error.esource() != ErrorSource::Downstream => {
                ctx.finish(outcome_of(error));
            }
            // A connection that failed tells of the shop whatever the client did.
            Some(error) if is_unreachable(error) => ctx.finish(Outcome::Overloaded),
            // The client left or did not finish its upload: dropped, the permit reports just that.
            Some(_) => ctx.permit = None,
        }
        ctx.stream = None;
        ctx.taken = None;
        ctx.hold = Hold::default();
        record::record(&self.serving, session, error, ctx);
    }

    /// What Pingora tells of a request in its log: what our own log has of it, and no query.
    fn request_summary(&self, session: &Session, ctx: &Box<Context>) -> String {
        let request = session.req_header();
        let request_id = identity::request_id(&request.headers, ctx.bits);
        format!("{} {}, request {request_id}", request.method, loggable(request.uri.path()))
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &Box<Context>, error: &Error) -> bool {
        *error.esource() == ErrorSource::Downstream
    }
}
