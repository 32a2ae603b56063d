//! What a failure means: for the upstream it happened at, and for the client that waits.
//!
//! An upstream that cannot be reached or is silent has too much to do; one that
//! answers nonsense is broken. What a client does says nothing of any upstream.
//!
//! It answers nobody itself.

use http::StatusCode;
use pingora_core::{Error, ErrorSource, ErrorType};
use plimsoll_core::controller::Outcome;

use super::context::Context;
use super::upload::is_unframed;
use crate::hygiene::Flaw;
use crate::telemetry::rejection::Rejection;

/// What the status of a response says of the upstream.
pub(super) fn outcome_of_status(status: StatusCode) -> Outcome {
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
pub(super) fn outcome_of(error: &Error) -> Outcome {
    if is_unreachable(error) || is_timeout(error) { Outcome::Overloaded } else { Outcome::Failed }
}

/// Whether the upstream could not be connected to.
pub(super) fn is_unreachable(error: &Error) -> bool {
    use ErrorType::{ConnectError, ConnectNoRoute, ConnectRefused, ConnectTimedout};
    matches!(error.etype(), ConnectError | ConnectNoRoute | ConnectRefused | ConnectTimedout)
}

/// Whether its endpoint left a request without any answer. What it could not be reached for is noted by then.
pub(super) fn is_endpoints(error: &Error, ctx: &Context) -> bool {
    let is_upstreams = *error.esource() == ErrorSource::Upstream && !is_unreachable(error);
    ctx.is_sent && ctx.first_byte.is_none() && (is_upstreams || ctx.is_upstream_late())
}

/// What was wrong with the rest of a body, if that is why a request that was let in failed.
pub(super) fn rejection_of(error: &Error, ctx: &Context) -> Option<Rejection> {
    if ctx.is_sent || *error.esource() != ErrorSource::Downstream {
        return None;
    }
    match error.etype() {
        _ if is_unframed(error) => Some(Rejection::Flawed(Flaw::Chunk)),
        ErrorType::ReadTimedout => Some(Rejection::IncompleteBody),
        // A read after the deadline is an error of its own.
        ErrorType::ReadError if ctx.busy.is_late() => Some(Rejection::IncompleteBody),
        _ => None,
    }
}

/// Takes out of an error what Pingora quotes of a head that it could not read: it is for the log, and the head may
/// be one that sets a cookie.
pub(super) fn forget_quotes(error: &mut Error) {
    if error.context.as_ref().is_some_and(|context| context.as_str().starts_with("buf: ")) {
        error.context = None;
    }
    let cause = error.cause.as_mut().and_then(|cause| cause.downcast_mut::<Box<Error>>());
    if let Some(cause) = cause {
        forget_quotes(cause);
    }
}

/// The status an error is answered with; `None` if the client is gone.
pub(super) fn status_of(error: &Error) -> Option<StatusCode> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_quotes_a_head_and_all_say_what_they_are() {
        let head = Error::explain(ErrorType::InvalidHTTPHeader, "buf: Set-Cookie: secret");
        let mut wrapped = head.more_context("Peer: 192.0.2.1").into_up();
        forget_quotes(&mut wrapped);
        let told = wrapped.to_string();
        assert!(!told.contains("secret"), "{told}");
        assert!(told.contains("InvalidHTTPHeader") && told.contains("Peer: 192.0.2.1"), "{told}");
    }
}
