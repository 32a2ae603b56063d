//! The proxy as Pingora sees it: one short method per phase.
//!
//! The seat is taken in `request_filter` and given back when the upstream has
//! sent its last byte; `logging` and the drop of the context are the nets below.
//! Time to first byte counts from the last byte of the request, so that a slow
//! upload does not look like a slow shop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE};
use http::{Method, StatusCode};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};
use plimsoll_core::controller::Outcome;
use plimsoll_core::decision::Decision;
use tokio::sync::{Semaphore, watch};

use super::context::{Context, Fate};
use super::identity::{self, Forwarding};
use super::intake::{self, Passage};
use super::record;
use super::refuse::Refused;
use super::upstream::Upstreams;
use crate::serving::Serving;
use crate::telemetry::metrics::{Rejection, observe};

/// The header that tells what was decided, where the policy turns it on.
pub(super) const DECISION: &str = "x-plimsoll-decision";
/// How long the upstream's end of a WebSocket may be silent.
const UPGRADED_IDLE_MAX: Duration = Duration::from_secs(600);
/// Streams and WebSockets at once, unless the settings say otherwise.
const STREAMS_MAX: usize = 10_000;

/// The proxy.
pub struct Plimsoll {
    serving: Arc<Serving>,
    upstreams: Vec<Arc<Upstreams>>,
    streams: Arc<Semaphore>,
}

impl Plimsoll {
    /// A proxy before the pools of `serving`.
    ///
    /// # Errors
    /// If an endpoint's address cannot be used.
    pub fn new(serving: Arc<Serving>) -> io::Result<Plimsoll> {
        let upstreams = serving.pools.iter().map(|pool| Upstreams::new(&pool.pool).map(Arc::new));
        Ok(Plimsoll {
            upstreams: upstreams.collect::<io::Result<_>>()?,
            streams: Arc::new(Semaphore::new(serving.config.streams_max.unwrap_or(STREAMS_MAX))),
            serving,
        })
    }

    /// The health checks of all pools; they run until `shutdown`.
    pub fn health_checks(
        &self,
        shutdown: &watch::Receiver<bool>,
    ) -> Vec<impl Future<Output = ()> + Send + 'static> {
        let check = |upstreams: &Arc<Upstreams>| upstreams.clone().run_checks(shutdown.clone());
        self.upstreams.iter().map(check).collect()
    }

    fn upstreams(&self, ctx: &Context) -> &Upstreams {
        &self.upstreams[ctx.judged.as_ref().map_or(0, |judged| judged.pool)]
    }

    /// What is left of the time the request may take in all.
    fn time_left(&self, ctx: &Context) -> Duration {
        let total = self.upstreams(ctx).total_timeout();
        (total + ctx.waited).saturating_sub(self.serving.clock.now().since(ctx.received))
    }

    async fn refuse(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        let Some(judged) = &ctx.judged else { return Ok(()) };
        let policy = &judged.running.generation.policy;
        let refusal = &policy.settings(judged.class).refusal;
        let request_id = identity::request_id(&session.req_header().headers, ctx.bits);
        let decision = policy.decision_header.then(|| record::decision_text(ctx));
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
        self.serving.metrics.reject(rejection);
        ctx.fate = Fate::Rejected(rejection.name());
        let request_id = identity::request_id(&session.req_header().headers, ctx.bits);
        let status = match rejection {
            Rejection::MissingHost => StatusCode::BAD_REQUEST,
            Rejection::IncompleteBody => StatusCode::REQUEST_TIMEOUT,
            Rejection::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Rejection::StreamsFull => StatusCode::SERVICE_UNAVAILABLE,
        };
        let plain = Refused::plain(status, &request_id);
        if rejection == Rejection::IncompleteBody || rejection == Rejection::MissingHost {
            session.set_keepalive(None);
        }
        Refused { retry_after, ..plain }.write(session).await
    }

    /// A stream lives on without its seat, and counts against the cap of streams.
    fn become_stream(&self, ctx: &mut Context) -> Result<()> {
        let Ok(place) = self.streams.clone().try_acquire_owned() else {
            self.serving.metrics.reject(Rejection::StreamsFull);
            ctx.fate = Fate::Rejected(Rejection::StreamsFull.name());
            // The refusal is ours; the shop did what it was asked.
            ctx.finish(ctx.outcome);
            return Err(Error::new(ErrorType::HTTPStatus(503)));
        };
        ctx.stream = Some(place);
        ctx.unfinished = None;
        ctx.hold.pass();
        ctx.finish(Outcome::Success);
        Ok(())
    }
}

#[async_trait]
impl ProxyHttp for Plimsoll {
    type CTX = Box<Context>;

    fn new_ctx(&self) -> Box<Context> {
        Box::new(intake::context(&self.serving))
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Box<Context>) -> Result<bool> {
        match intake::take(&self.serving, session, ctx).await? {
            Passage::Seated => Ok(false),
            Passage::Refused => self.refuse(session, ctx).await.map(|()| true),
            Passage::Rejected(rejection, retry_after) => {
                self.reject(session, ctx, rejection, retry_after).await.map(|()| true)
            }
        }
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Box<Context>) -> Result<Box<HttpPeer>> {
        let left = self.time_left(ctx);
        if left.is_zero() {
            return Err(Error::new(ErrorType::ConnectTimedout).into_up());
        }
        ctx.tries += 1;
        let peer = self.upstreams(ctx).next(left);
        let mut peer = peer.ok_or_else(|| Error::new(ErrorType::HTTPStatus(503)).into_up())?;
        if session.is_upgrade_req() {
            peer.options.read_timeout = Some(UPGRADED_IDLE_MAX);
        }
        Ok(Box::new(peer))
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Box<Context>,
    ) -> Result<()> {
        if let Some(peer) = ctx.peer {
            let forwarding = Forwarding { peer, trusted: self.serving.hops.contains(peer) };
            identity::write_upstream(request, ctx.bits, forwarding)?;
        }
        ctx.sent = Some(self.serving.clock.now());
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Box<Context>,
    ) -> Result<()> {
        if end_of_stream || body.is_some() {
            ctx.sent = Some(self.serving.clock.now());
        }
        ctx.is_sent |= end_of_stream;
        if !ctx.is_sent && ctx.stream.is_none() && self.time_left(ctx).is_zero() {
            return Err(Error::explain(ErrorType::ReadTimedout, "the upload took too long").into_down());
        }
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
        ctx.first_byte = Some(now);
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
            if response.headers.contains_key(SET_COOKIE) {
                let cookies = &judged.running.generation.policy.sessions.cookies;
                self.serving.sessions.granted(&judged.session, &response.headers, cookies, now);
            }
        }
        if !has_known_length(response) {
            ctx.hold.pass();
        }
        if is_upgrade || is_event_stream(response) {
            self.become_stream(ctx)?;
        } else if has_no_body(&session.req_header().method, response) {
            ctx.finish(ctx.outcome);
        }
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Box<Context>,
    ) -> Result<Option<Duration>> {
        if end_of_stream {
            ctx.finish(ctx.outcome);
        } else if ctx.stream.is_none() && self.time_left(ctx).is_zero() {
            let late = Error::new(ErrorType::ReadTimedout);
            // What is passed on as it comes may as well be late because its reader is slow.
            return Err(if ctx.hold.is_large() { late.into_down() } else { late.into_up() });
        }
        ctx.hold.take(body, end_of_stream);
        if ctx.hold.is_large() && !end_of_stream && ctx.permit.is_some() {
            // A long download goes at its reader's pace from here on; with a place among the streams
            // it needs no seat. Without one it keeps its seat.
            if let Ok(place) = self.streams.clone().try_acquire_owned() {
                ctx.stream = Some(place);
                ctx.finish(ctx.outcome);
            }
        }
        Ok(None)
    }

    async fn response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Box<Context>,
    ) -> Result<()> {
        if let Some(judged) = &ctx.judged
            && judged.running.generation.policy.decision_header
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
        self.serving.metrics.connect_failures.inc();
        // Nothing was sent, so another endpoint may be asked whatever the method.
        error.set_retry(ctx.tries < self.upstreams(ctx).tries_max());
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Box<Context>,
    ) -> FailToProxy {
        let status = status_of(error);
        let is_unanswered = session.response_written().is_none();
        if let Some(status) = status.filter(|_| is_unanswered) {
            session.set_keepalive(None);
            let request_id = identity::request_id(&session.req_header().headers, ctx.bits);
            let answer = Refused::plain(status, &request_id);
            if let Err(error) = answer.write(session).await {
                log::debug!("the client left before its {status}: {error}");
            }
        }
        let error_code = status.map_or(0, |status| status.as_u16());
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Box<Context>) {
        match error {
            None => ctx.finish(ctx.outcome),
            Some(error) if ctx.is_sent && *error.esource() != ErrorSource::Downstream => {
                ctx.finish(outcome_of(error));
            }
            // A connection that failed tells of the shop whatever the client did.
            Some(error) if is_unreachable(error) => ctx.finish(Outcome::Overloaded),
            // The client left or did not finish its upload: dropped, the permit reports just that.
            Some(_) => ctx.permit = None,
        }
        ctx.stream = None;
        record::record(&self.serving, session, error, ctx);
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &Box<Context>, error: &Error) -> bool {
        *error.esource() == ErrorSource::Downstream
    }
}

fn outcome_of_status(status: StatusCode) -> Outcome {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => Outcome::Overloaded,
        status if status.is_server_error() => Outcome::Failed,
        _ => Outcome::Success,
    }
}

fn is_timeout(error: &Error) -> bool {
    use ErrorType::{ConnectTimedout, ReadTimedout, WriteTimedout};
    matches!(error.etype(), ConnectTimedout | ReadTimedout | WriteTimedout)
}

/// What an error that is not the client's says of the upstream.
fn outcome_of(error: &Error) -> Outcome {
    if is_unreachable(error) || is_timeout(error) { Outcome::Overloaded } else { Outcome::Failed }
}

fn is_unreachable(error: &Error) -> bool {
    use ErrorType::{ConnectError, ConnectNoRoute, ConnectRefused, ConnectTimedout};
    matches!(error.etype(), ConnectError | ConnectNoRoute | ConnectRefused | ConnectTimedout)
}

/// The status an error is answered with; `None` if the client is gone.
fn status_of(error: &Error) -> Option<StatusCode> {
    if let ErrorType::HTTPStatus(code) = error.etype() {
        return StatusCode::from_u16(*code).ok();
    }
    match error.esource() {
        ErrorSource::Downstream => match error.etype() {
            ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed => None,
            _ => Some(StatusCode::BAD_REQUEST),
        },
        ErrorSource::Upstream if is_timeout(error) => Some(StatusCode::GATEWAY_TIMEOUT),
        ErrorSource::Upstream => Some(StatusCode::BAD_GATEWAY),
        ErrorSource::Internal | ErrorSource::Unset => Some(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn is_event_stream(response: &ResponseHeader) -> bool {
    let content_type = response.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

/// Only what says how long it is can be held back: the rest may be a stream whose next chunk is far.
fn has_known_length(response: &ResponseHeader) -> bool {
    response.headers.contains_key(CONTENT_LENGTH)
}

fn has_no_body(method: &Method, response: &ResponseHeader) -> bool {
    let is_empty = || response.headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0");
    *method == Method::HEAD || matches!(response.status.as_u16(), 204 | 304) || is_empty()
}

/// Whether a decision let its request in.
pub(super) fn is_admitted(decision: Decision) -> bool {
    matches!(decision, Decision::Admit | Decision::AdmitObserved(_))
}
