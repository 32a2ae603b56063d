//! Holds a response back until it is whole, up to a bound, so that a slow reader holds no seat.
//!
//! The seat is free when the upstream has sent its last byte. Passed on chunk by
//! chunk, a response is read from the upstream only as fast as the client reads;
//! eighteen slow readers would pin a limit of eighteen. So chunks are kept until
//! the end, unless the response is large, slow or a stream by nature: those are
//! passed on as they come.
//!
//! Most responses arrive in one chunk with its end, and are never held.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

/// A page with what it inlines. Times the requests of slow readers, this is memory.
const BYTES_MAX: usize = 256 * 1024;
/// An answer that takes longer than this to come is rendered as it comes: its reader waits.
const HELD_MAX: Duration = Duration::from_millis(50);

/// What is held of one response.
#[derive(Debug, Default)]
pub(super) struct Hold {
    held: BytesMut,
    passing: bool,
}

impl Hold {
    /// Passes everything on from now on: for streams.
    pub(super) fn pass(&mut self) {
        self.passing = true;
    }

    /// Whether the response is passed on as it comes.
    pub(super) fn is_passing(&self) -> bool {
        self.passing
    }

    /// Takes a chunk and gives back what may go out now. `age` is the time since the first byte.
    pub(super) fn take(&mut self, chunk: &mut Option<Bytes>, end: bool, age: Duration) {
        if self.passing || (end && self.held.is_empty()) {
            return;
        }
        if let Some(bytes) = chunk.take() {
            self.held.extend_from_slice(&bytes);
        }
        if end || self.held.len() > BYTES_MAX || age > HELD_MAX {
            self.passing = true;
            *chunk = Some(std::mem::take(&mut self.held).freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    fn pass(hold: &mut Hold, bytes: &[u8], end: bool, age: Duration) -> Option<Vec<u8>> {
        let mut chunk = Some(Bytes::copy_from_slice(bytes));
        hold.take(&mut chunk, end, age);
        chunk.map(|bytes| bytes.to_vec())
    }

    #[test]
    fn chunks_go_out_together_at_the_end() {
        let mut hold = Hold::default();
        assert_eq!(pass(&mut hold, b"one ", false, SOON), None);
        assert_eq!(pass(&mut hold, b"two ", false, SOON), None);
        assert_eq!(pass(&mut hold, b"three", true, SOON).unwrap(), b"one two three");
    }

    #[test]
    fn a_large_response_goes_out_at_the_bound_and_then_as_it_comes() {
        let mut hold = Hold::default();
        assert_eq!(pass(&mut hold, &vec![0; BYTES_MAX], false, SOON), None);
        assert_eq!(pass(&mut hold, b"x", false, SOON).unwrap().len(), BYTES_MAX + 1);
        assert_eq!(pass(&mut hold, b"y", false, SOON).unwrap(), b"y");
    }

    #[test]
    fn a_slow_response_goes_out_as_it_comes() {
        let mut hold = Hold::default();
        assert_eq!(pass(&mut hold, b"head", false, SOON), None);
        let late = HELD_MAX + SOON;
        assert_eq!(pass(&mut hold, b" body", false, late).unwrap(), b"head body");
        assert!(hold.is_passing());
    }
}
