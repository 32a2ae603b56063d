//! Takes in the beginning of a body before a seat is asked for: a slow upload must hold none.
//!
//! A body of up to 64 KiB is whole by then, if its length is known; of any other,
//! as much as is sure to fit into Pingora's buffer of that size. The rest streams
//! once there is a seat. Whoever expects `100 Continue` gets it now, or there would
//! be nothing to take in.
//!
//! What all requests hold together is bounded. Beyond that, a body is not waited
//! for: its request asks at once and streams. It may then hold a seat while it
//! trickles; but the other choice, a refusal, would let some thousand slow uploads
//! lock every order out.

use std::time::Duration;

use http::header::CONTENT_LENGTH;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v1::common::is_expect_continue_req;
use pingora_core::{Error, Result};
use pingora_http::RequestHeader;

use super::guard::READ_MAX;
use super::room::{Room, Taken};

/// What Pingora keeps of a body. It lets go of all of it when there is more.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;
/// How long it may take until that is there: 6.5 KB/s, which a telephone has in a train.
const TIME_MAX: Duration = Duration::from_secs(10);

/// How taking in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upload {
    /// There was no body.
    Absent,
    /// It is in, or enough of it.
    TakenIn,
    /// There is no room for it; it was not waited for.
    NoRoom,
    /// It broke off, or took too long.
    Broken,
    /// It is not framed as it says.
    Unframed,
}

/// Takes in the beginning of the body of the request that `downstream` has read, and puts what it takes of
/// `room` into `taken`.
pub(super) async fn take_in(
    room: &Room,
    downstream: &mut ServerSession,
    taken: &mut Option<Taken>,
) -> Upload {
    if downstream.is_body_done() {
        // An HTTP/2 stream may end with its head. The shop would wait for what it announced, and take the
        // next request on the connection for it.
        let is_announced = declared_length(downstream.req_header()).is_some_and(|length| length > 0);
        return if is_announced { Upload::Unframed } else { Upload::Absent };
    }
    let read = async {
        welcome(downstream).await?;
        read(room, downstream, taken).await
    };
    match tokio::time::timeout(TIME_MAX, read).await {
        Ok(Ok(upload)) => upload,
        Ok(Err(error)) if is_unframed(&error) => Upload::Unframed,
        Ok(Err(_)) | Err(_) => Upload::Broken,
    }
}

/// Reads the body to where Pingora finds it when it is sent upstream.
async fn read(room: &Room, downstream: &mut ServerSession, taken: &mut Option<Taken>) -> Result<Upload> {
    let fits = declared_length(downstream.req_header()).is_some_and(|length| length <= BUFFER_BYTES);
    downstream.enable_retry_buffering();
    let mut length = 0;
    while !downstream.is_body_done() && (fits || length + READ_MAX <= BUFFER_BYTES) {
        // Nothing more to read ends the body as well: HTTP/2 trailers come after it.
        let Some(bytes) = downstream.read_request_body().await? else { break };
        length += bytes.len();
        if !room.take(bytes.len(), taken) {
            return Ok(Upload::NoRoom);
        }
    }
    Ok(Upload::TakenIn)
}

/// Tells a client that waits for it to go on. The connection lives on: Pingora would close it after any
/// response that is sent before the body has come, and takes this for one.
async fn welcome(downstream: &mut ServerSession) -> Result<()> {
    if !expects_continue(downstream.req_header()) {
        return Ok(());
    }
    downstream.set_close_on_response_before_downstream_finish(false);
    downstream.write_continue_response().await?;
    downstream.set_close_on_response_before_downstream_finish(true);
    Ok(())
}

/// Whether the request waits for `100 Continue`, which then was sent before it went upstream.
pub(super) fn expects_continue(request: &RequestHeader) -> bool {
    is_expect_continue_req(request)
}

/// Whether chunks, or the trailers after them, are none. Pingora keeps the types of these errors to itself, and
/// tells their names.
pub(super) fn is_unframed(error: &Error) -> bool {
    matches!(error.etype().as_str(), "InvalidChunk" | "InvalidTrailerEnd")
}

/// The length of the body, if the head tells it.
pub(super) fn declared_length(request: &RequestHeader) -> Option<usize> {
    request.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
