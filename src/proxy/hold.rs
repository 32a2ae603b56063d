//! Holds a response back until it is whole, up to a bound, so that a slow reader holds no seat.
//!
//! The seat is free when the upstream has sent its last byte. Passed on chunk by
//! chunk, a response is read from the upstream only as fast as the client reads;
//! eighteen slow readers would pin a limit of eighteen. So chunks are kept until
//! the end, unless the response is large. One that does not say how long it is
//! may be a stream, or a page that is flushed piece by piece: once it takes longer
//! than a shop takes to write a page, it is passed on as it comes.
//!
//! What all responses hold together is bounded. One that finds no room is passed on
//! like a large one, and so are the chunks it held before. What a slow reader has not
//! taken yet counts until its response is over.
//!
//! Most responses arrive in one chunk with its end, and are never held.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use plimsoll_core::time::Time;

use super::room::{Room, Taken};

/// A page with what it inlines.
const BYTES_MAX: usize = 256 * 1024;
/// Pingora writes chunks in batches, of its queue of four and the one it waited for, and waits for each batch:
/// what was passed on before so many others has been written.
const BATCH: usize = 5;
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
    /// The room it takes, until it is over or what was held has certainly been written.
    taken: Option<Taken>,
    /// Whether there was no room for it.
    is_crowded_out: bool,
    /// Chunks passed on since, up to a batch.
    passed: usize,
    /// The lengths of the last chunks that went out, the latest first.
    latest: [usize; BATCH],
}

impl Default for Hold {
    fn default() -> Hold {
        Hold {
            held: BytesMut::new(),
            seen: 0,
            passing: false,
            until: Time::NEVER,
            taken: None,
            is_crowded_out: false,
            passed: 0,
            latest: [0; BATCH],
        }
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

    /// Whether there was more of it than is held back: of any response, or of this one beside all others.
    pub(super) fn is_large(&self) -> bool {
        self.seen > BYTES_MAX || self.is_crowded_out
    }

    /// The most bytes of what went out that its reader may not have taken yet.
    pub(super) fn unwritten(&self) -> usize {
        self.latest.iter().sum()
    }

    /// Takes a chunk that came at `now` and gives back what may go out now. What is kept takes some of `room`.
    pub(super) fn take(&mut self, chunk: &mut Option<Bytes>, end: bool, now: Time, room: &Room) {
        self.hold_back(chunk, end, now, room);
        if let Some(bytes) = chunk {
            self.latest.rotate_right(1);
            self.latest[0] = bytes.len();
        }
    }

    fn hold_back(&mut self, chunk: &mut Option<Bytes>, end: bool, now: Time, room: &Room) {
        self.seen += chunk.as_ref().map_or(0, Bytes::len);
        if self.passing {
            return self.count_passed();
        }
        if end && self.held.is_empty() {
            return;
        }
        if let Some(bytes) = chunk.take() {
            self.is_crowded_out = !room.take(bytes.len(), &mut self.taken);
            self.held.extend_from_slice(&bytes);
        }
        if end || self.is_large() || now >= self.until {
            self.passing = true;
            *chunk = Some(std::mem::take(&mut self.held).freeze());
        }
    }

    fn count_passed(&mut self) {
        self.passed += 1;
        if self.passed >= BATCH {
            self.taken = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    /// Room for all tests at once.
    fn room() -> &'static Room {
        static ROOM: OnceLock<Room> = OnceLock::new();
        ROOM.get_or_init(|| Room::new(64 * BYTES_MAX, Gauge::default()))
    }

    fn pass_beside(room: &Room, hold: &mut Hold, bytes: &[u8], end: bool) -> Option<Vec<u8>> {
        let mut chunk = Some(Bytes::copy_from_slice(bytes));
        hold.take(&mut chunk, end, Time::from_millis(60_000), room);
        chunk.map(|bytes| bytes.to_vec())
    }

    fn pass(hold: &mut Hold, bytes: &[u8], end: bool) -> Option<Vec<u8>> {
        pass_beside(room(), hold, bytes, end)
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
    fn what_all_hold_together_is_bounded_and_who_finds_no_room_is_passed_on() {
        let in_use = Gauge::default();
        let room = Room::new(10, in_use.clone());
        let (mut one, mut other) = (Hold::default(), Hold::default());
        assert_eq!(pass_beside(&room, &mut one, b"sixsix", false), None);
        assert_eq!(pass_beside(&room, &mut other, b"four", false), None);
        assert_eq!((in_use.get(), other.is_large()), (10, false));
        // What it held before goes first.
        assert_eq!(pass_beside(&room, &mut other, b"more", false).unwrap(), b"fourmore");
        assert!(other.is_large() && !one.is_large());
        // It is written for certain when a batch has followed it.
        for _ in 0..BATCH {
            assert_eq!(in_use.get(), 10);
            assert_eq!(pass_beside(&room, &mut other, b"on", false).unwrap(), b"on");
        }
        assert_eq!(in_use.get(), 6);
        // Of a response that is whole, until its reader has it.
        assert_eq!(pass_beside(&room, &mut one, b"end", true).unwrap(), b"sixsixend");
        assert_eq!(in_use.get(), 9);
        drop(one);
        assert_eq!(in_use.get(), 0);
    }

    #[test]
    fn what_may_not_be_written_yet_is_what_the_last_batch_had() {
        let mut hold = Hold::default();
        hold.pass();
        for (bytes, unwritten) in
            [(1, 1), (10, 11), (100, 111), (0, 111), (1_000, 1_111), (2, 1_112), (3, 1_105)]
        {
            pass(&mut hold, &vec![0; bytes], false);
            assert_eq!(hold.unwritten(), unwritten, "after {bytes}");
        }
        let mut whole = Hold::default();
        assert_eq!(pass(&mut whole, b"one ", false), None);
        assert_eq!(whole.unwritten(), 0);
        assert_eq!(pass(&mut whole, b"two", true).unwrap(), b"one two");
        assert_eq!(whole.unwritten(), 7);
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
            hold.take(&mut chunk, false, Time::from_millis(now), room());
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
