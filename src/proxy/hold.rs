//! Holds a response back until it is whole, up to a bound, so that a slow reader holds no seat.
//!
//! The seat is free when the upstream has sent its last byte. Passed on chunk by
//! chunk, a response is read from the upstream only as fast as the client reads;
//! eighteen slow readers would pin a limit of eighteen. So chunks are kept until
//! the end, unless the response is large. One that does not say how long it is
//! may be a stream, or a page that is flushed piece by piece: once it takes longer
//! than a shop takes to write a page, it is passed on as it comes.
//!
//! Most responses arrive in one chunk with its end, and are never held.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use plimsoll_core::time::Time;

/// A page with what it inlines. Times the requests of slow readers, this is memory.
const BYTES_MAX: usize = 256 * 1024;
/// A response of unknown length that is still being made after this is for somebody who watches: a
/// second is the limit of an uninterrupted flow of thought (Nielsen, Usability Engineering, 1993).
const MADE_WITHIN: Duration = Duration::from_secs(1);

/// What is held of one response.
#[derive(Debug)]
pub(super) struct Hold {
    held: BytesMut,
    seen: usize,
    passing: bool,
    /// From then on, chunks are passed on.
    until: Time,
}

impl Default for Hold {
    fn default() -> Hold {
        Hold { held: BytesMut::new(), seen: 0, passing: false, until: Time::NEVER }
    }
}

impl Hold {
    /// Passes everything on from now on: for streams.
    pub(super) fn pass(&mut self) {
        self.passing = true;
    }

    /// For a response of unknown length that began at `now`.
    pub(super) fn limit_time(&mut self, now: Time) {
        self.until = now.after(MADE_WITHIN);
    }

    /// Whether there was more of it than is held back of any response.
    pub(super) fn is_large(&self) -> bool {
        self.seen > BYTES_MAX
    }

    /// Takes a chunk that came at `now` and gives back what may go out now.
    pub(super) fn take(&mut self, chunk: &mut Option<Bytes>, end: bool, now: Time) {
        self.seen += chunk.as_ref().map_or(0, Bytes::len);
        if self.passing || (end && self.held.is_empty()) {
            return;
        }
        if let Some(bytes) = chunk.take() {
            self.held.extend_from_slice(&bytes);
        }
        if end || self.is_large() || now >= self.until {
            self.passing = true;
            *chunk = Some(std::mem::take(&mut self.held).freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(hold: &mut Hold, bytes: &[u8], end: bool) -> Option<Vec<u8>> {
        let mut chunk = Some(Bytes::copy_from_slice(bytes));
        hold.take(&mut chunk, end, Time::from_millis(60_000));
        chunk.map(|bytes| bytes.to_vec())
    }

    #[test]
    fn chunks_go_out_together_at_the_end() {
        let mut hold = Hold::default();
        assert_eq!(pass(&mut hold, b"one ", false), None);
        assert_eq!(pass(&mut hold, b"two ", false), None);
        assert_eq!(pass(&mut hold, b"three", true).unwrap(), b"one two three");
    }

    #[test]
    fn a_large_response_goes_out_at_the_bound_and_then_as_it_comes() {
        let mut hold = Hold::default();
        assert_eq!(pass(&mut hold, &vec![0; BYTES_MAX], false), None);
        assert!(!hold.is_large());
        assert_eq!(pass(&mut hold, b"x", false).unwrap().len(), BYTES_MAX + 1);
        assert!(hold.is_large());
        assert_eq!(pass(&mut hold, b"y", false).unwrap(), b"y");
    }

    #[test]
    fn a_stream_goes_out_as_it_comes_and_is_not_large_for_that() {
        let mut hold = Hold::default();
        hold.pass();
        assert_eq!(pass(&mut hold, b"head", false).unwrap(), b"head");
        assert!(!hold.is_large());
    }

    #[test]
    fn a_response_of_unknown_length_is_let_go_when_it_is_made_slowly() {
        let chunk_at = |hold: &mut Hold, now| {
            let mut chunk = Some(Bytes::from_static(b"x"));
            hold.take(&mut chunk, false, Time::from_millis(now));
            chunk.map_or(0, |bytes| bytes.len())
        };
        let mut hold = Hold::default();
        hold.limit_time(Time::from_millis(500));
        assert_eq!(chunk_at(&mut hold, 500), 0);
        assert_eq!(chunk_at(&mut hold, 1_499), 0);
        assert_eq!(chunk_at(&mut hold, 1_500), 3);
        assert_eq!(chunk_at(&mut hold, 1_500), 1);
    }
}
