//! What an answer is, by its head: a stream of events, one that must not be held back, or one without a body.

use http::Method;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use pingora_http::{RequestHeader, ResponseHeader};

/// The media type of server-sent events (WHATWG HTML, section 9.2).
const EVENTS: &str = "text/event-stream";

pub(super) fn is_event_stream(response: &ResponseHeader) -> bool {
    let content_type = response.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type
        .is_some_and(|kind| kind.get(..EVENTS.len()).is_some_and(|start| start.eq_ignore_ascii_case(EVENTS)))
}

/// What says for itself that it must not be held back, as nginx reads it as well.
pub(super) fn is_unbuffered(response: &ResponseHeader) -> bool {
    response
        .headers
        .get("x-accel-buffering")
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"no"))
}

pub(super) fn accepts_events(request: &RequestHeader) -> bool {
    let accept = request.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains(EVENTS))
}

pub(super) fn has_no_body(method: &Method, response: &ResponseHeader) -> bool {
    let is_empty = || response.headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0");
    *method == Method::HEAD || matches!(response.status.as_u16(), 204 | 304) || is_empty()
}
