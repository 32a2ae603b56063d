//! Hands an answer on to its client: in which pieces, by when, and with or without a seat.
//!
//! A client may be slow, and is held to a least pace (`pace`). So whatever is handed to it
//! may take as long as that pace has it; Pingora's timeout is for all of a write, and by
//! itself would cut off who takes a large page at twenty times the least pace. Over HTTP/1
//! the guard of the connection sees how the client takes it, and the upstream's deadline
//! waits with us. Over HTTP/2 a client that opens no window leaves nothing to be seen on its
//! connection; there the deadline looks what the whole connection took, and is not put off for
//! whoever takes too little. Pingora's timeout bounds what one stream may take in all.
//!
//! What is held back, and until when, is `hold`'s.

use std::time::Duration;

use bytes::Bytes;
use pingora_core::{Error, ErrorType, Result};
use pingora_proxy::Session;
use plimsoll_core::controller::Outcome;
use plimsoll_core::time::Time;

use super::Plimsoll;
use crate::proxy::context::{Context, Fate};
use crate::proxy::intake::CLIENT_STALL_MAX;
use crate::proxy::pace::{PORTION, time_to_take};
use crate::telemetry::rejection::Rejection;

/// How long it may take to hand the last of a response to its client: more than one stall.
const FINISH_MAX: Duration = CLIENT_STALL_MAX.saturating_mul(2);

impl Plimsoll {
    /// Takes in a piece of the answer, and leaves in `body` what goes out now.
    ///
    /// # Errors
    /// It is late.
    pub(super) fn deliver(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Context,
    ) -> Result<()> {
        let now = self.serving.clock.now();
        if end_of_stream {
            ctx.finish(ctx.outcome);
        } else if ctx.stream.is_none() && self.time_left(ctx, now).is_zero() {
            let late = Error::new(ErrorType::ReadTimedout);
            // What is passed on as it comes may as well be late because its reader is slow.
            return Err(if ctx.hold.is_large() { late.into_down() } else { late.into_up() });
        }
        ctx.hold.take(body, end_of_stream, now, &self.hold_room);
        if ctx.hold.is_large() && !end_of_stream && ctx.permit.is_some() {
            // A long download goes at its reader's pace from here on; with a place among the streams
            // it needs no seat. Without one it keeps its seat.
            if let Ok(place) = self.streams.clone().try_acquire_owned() {
                ctx.stream = Some(place);
                ctx.finish(ctx.outcome);
            }
        }
        self.give_time(session, end_of_stream, ctx, now);
        Ok(())
    }

    /// Sets by when what was handed on must be taken, and what comes next must have come.
    fn give_time(&self, session: &mut Session, end_of_stream: bool, ctx: &mut Context, now: Time) {
        let least = self.serving.config.connections.send_bytes_per_s_min;
        let reading = time_to_take(ctx.hold.unwritten(), least);
        session.set_write_timeout(Some(reading));
        let finished = if end_of_stream {
            now.after(FINISH_MAX)
        } else if ctx.stream.is_some() && !ctx.is_endless {
            now.after(self.upstreams(ctx).timeouts().read)
        } else {
            // The total time is for the whole of it, whoever is slow.
            return self.set_deadline(ctx, now);
        };
        if session.is_http2() {
            let last = finished.after(reading);
            let at = if end_of_stream { finished } else { finished.after(PORTION) };
            ctx.busy.until_unless_taken(now, at.min(last), last, least);
        } else {
            ctx.busy.until_unless_read(finished);
        }
    }

    /// A stream lives on without its seat, and counts against the cap of streams.
    pub(super) fn become_stream(&self, ctx: &mut Context) -> Result<()> {
        let Ok(place) = self.streams.clone().try_acquire_owned() else {
            self.serving.metrics.reject(Rejection::StreamsFull);
            ctx.fate = Fate::Rejected(Rejection::StreamsFull.name());
            // The refusal is ours; the shop did what it was asked.
            ctx.finish(ctx.outcome);
            return Err(Error::new(ErrorType::HTTPStatus(503)));
        };
        ctx.stream = Some(place);
        ctx.is_endless = true;
        ctx.unfinished = None;
        ctx.hold.pass();
        ctx.finish(Outcome::Success);
        Ok(())
    }
}
