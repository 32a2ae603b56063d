//! Holds a response back until it is whole, up to a bound, so that a slow reader holds no seat.
//!
//! The seat is free when the upstream has sent its last byte. Passed on chunk by
//! chunk, a response is read from the upstream only as fast as the client reads;
//! eighteen slow readers would pin a limit of eighteen. So chunks are kept until
//! the end, unless the response is large or does not say how long it is (a stream
//! by nature, or a page that is flushed piece by piece): those are passed on as
//! they come.
//!
//! Most responses arrive in one chunk with its end, and are never held.

use bytes::{Bytes, BytesMut};

/// A page with what it inlines. Times the requests of slow readers, this is memory.
const BYTES_MAX: usize = 256 * 1024;

/// What is held of one response.
#[derive(Debug, Default)]
pub(super) struct Hold {
    held: BytesMut,
    seen: usize,
    passing: bool,
}

impl Hold {
    /// Passes everything on from now on: for streams.
    pub(super) fn pass(&mut self) {
        self.passing = true;
    }

    /// Whether there was more of it than is held back of any response.
    pub(super) fn is_large(&self) -> bool {
        self.seen > BYTES_MAX
    }

    /// Takes a chunk and gives back what may go out now.
    pub(super) fn take(&mut self, chunk: &mut Option<Bytes>, end: bool) {
        self.seen += chunk.as_ref().map_or(0, Bytes::len);
        if self.passing || (end && self.held.is_empty()) {
            return;
        }
        if let Some(bytes) = chunk.take() {
            self.held.extend_from_slice(&bytes);
        }
        if end || self.is_large() {
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
        hold.take(&mut chunk, end);
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
}
