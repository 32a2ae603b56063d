//! HTTP/2 frames that cost us work and the client nothing: counted, and too many end the connection.
//!
//! The h2 crate bounds what a connection holds: streams, header lists and their
//! CONTINUATION frames, small and empty DATA frames, resets that wait, resets that a
//! client provokes. What it answers at once it does not count: pings, settings, and
//! requests that are begun and cancelled without an end (rapid reset, CVE-2023-44487).
//! They are counted here, where the bytes come in, by the headers of frames alone.
//!
//! A browser that leaves a page cancels all that is under way, and a downloader
//! updates its windows as it reads; so each kind has its own allowance, which fills
//! up again. Nothing is counted on other frames, and no clock is read for them. What a
//! trusted hop passes on over one connection is of many clients, and so are its allowances:
//! to cut it off is to lose all of their requests.

use std::time::Duration;

use plimsoll_core::time::Time;

/// What an HTTP/2 client sends first (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length, type, flags, stream (RFC 9113, section 4.1).
const HEADER_BYTES: usize = 9;
/// Resets at once: two windows full of streams, as a page that is left twice in a hurry.
const RESETS: Allowance = Allowance { burst: 256, per_s: 50 };
/// Pings, settings, priorities, and frames that nobody knows: browsers send some ten in all.
const CONTROL: Allowance = Allowance { burst: 256, per_s: 20 };
/// Window updates without anything sent to them.
const UPDATES: Allowance = Allowance { burst: 1_024, per_s: 200 };
/// On one connection of a trusted hop there are as many clients at once as there may be streams by default.
pub(super) const CLIENTS_OF_HOP: u32 = 100;
/// A client may update its windows, that of the stream and that of the connection, for as little as
/// this: less than any client does of its own accord.
const BYTES_PER_UPDATE: u64 = 512;

/// Which frames there are too many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flood {
    /// Streams that are reset.
    #[error("too many streams are reset")]
    Resets,
    /// Pings, settings, priorities and the like.
    #[error("too many frames that ask for nothing")]
    Control,
    /// Window updates.
    #[error("too many window updates")]
    Updates,
}

/// So many at once, and then so many a second.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    burst: u32,
    per_s: u32,
}

impl Allowance {
    fn times(self, clients: u32) -> Allowance {
        Allowance { burst: self.burst * clients, per_s: self.per_s * clients }
    }
}

/// What is left of an allowance.
#[derive(Clone, Copy, Debug)]
struct Left {
    of: Allowance,
    count: u32,
    since: Time,
}

impl Left {
    fn all(of: Allowance) -> Left {
        Left { of, count: of.burst, since: Time::ZERO }
    }

    /// Takes one; `false` if there is none.
    fn take(&mut self, now: Time) -> bool {
        let each = Duration::from_secs(1) / self.of.per_s;
        let filled = now.since(self.since).as_nanos() / each.as_nanos();
        if filled > 0 {
            self.count =
                self.of.burst.min(self.count.saturating_add(u32::try_from(filled).unwrap_or(u32::MAX)));
            self.since = now;
        }
        let has_one = self.count > 0;
        self.count = self.count.saturating_sub(1);
        has_one
    }
}

/// The frames of one connection, as far as they have come.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes to pass over: the preface, then payloads.
    passing: usize,
    has_begun: bool,
    header: [u8; HEADER_BYTES],
    read: usize,
    resets: Left,
    control: Left,
    updates: Left,
    /// Bytes sent that no window update was counted for.
    sent: u64,
}

impl Default for Frames {
    /// Those of a connection that begins with its preface.
    fn default() -> Frames {
        Frames::of_clients(1)
    }
}

impl Frames {
    /// The same of a trusted hop.
    pub(super) fn of_hop() -> Frames {
        Frames::of_clients(CLIENTS_OF_HOP)
    }

    fn of_clients(count: u32) -> Frames {
        Frames {
            passing: PREFACE.len(),
            has_begun: false,
            header: [0; HEADER_BYTES],
            read: 0,
            resets: Left::all(RESETS.times(count)),
            control: Left::all(CONTROL.times(count)),
            updates: Left::all(UPDATES.times(count)),
            sent: 0,
        }
    }

    /// Whether the preface has come.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Notes bytes sent to the client.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes as u64);
    }

    /// Notes what came from the client.
    ///
    /// # Errors
    /// It is one frame too many.
    pub(super) fn received(&mut self, mut bytes: &[u8], now: impl Fn() -> Time) -> Result<(), Flood> {
        while !bytes.is_empty() {
            let passed = self.passing.min(bytes.len());
            self.passing -= passed;
            bytes = &bytes[passed..];
            self.has_begun |= self.passing == 0;
            let taken = bytes.len().min(HEADER_BYTES - self.read);
            self.header[self.read..self.read + taken].copy_from_slice(&bytes[..taken]);
            self.read += taken;
            bytes = &bytes[taken..];
            if self.read == HEADER_BYTES {
                self.read = 0;
                let [high, middle, low, kind, ..] = self.header;
                self.passing = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                self.count(kind, &now)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, kind: u8, now: &impl Fn() -> Time) -> Result<(), Flood> {
        let (left, flood) = match kind {
            // DATA, HEADERS, CONTINUATION: bounded by what holds them.
            0 | 1 | 9 => return Ok(()),
            3 => (&mut self.resets, Flood::Resets),
            8 if self.sent >= BYTES_PER_UPDATE => {
                self.sent -= BYTES_PER_UPDATE;
                return Ok(());
            }
            8 => (&mut self.updates, Flood::Updates),
            _ => (&mut self.control, Flood::Control),
        };
        if left.take(now()) { Ok(()) } else { Err(flood) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: u8 = 0;
    const RESET: u8 = 3;
    const PING: u8 = 6;
    const UPDATE: u8 = 8;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let header = [length[1], length[2], length[3], kind, 0, 0, 0, 0, 1];
        [&header[..], &vec![kind; payload]].concat()
    }

    fn connection() -> Frames {
        let mut frames = Frames::default();
        frames.received(PREFACE, || Time::ZERO).unwrap();
        frames
    }

    /// How many of these frames are let pass at `now`.
    fn passing(frames: &mut Frames, kind: u8, now: Time) -> u32 {
        let frame = frame(kind, 4);
        (0..).take_while(|_| frames.received(&frame, || now).is_ok()).count().try_into().unwrap()
    }

    #[test]
    fn an_allowance_fills_up_again_and_no_further() {
        let taken = |left: &mut Left, seconds: u64| {
            let now = Time::from_millis(seconds * 1_000);
            u32::try_from((0..).take_while(|_| left.take(now)).count()).unwrap()
        };
        for of in [RESETS, CONTROL, UPDATES] {
            let mut left = Left::all(of);
            assert_eq!(taken(&mut left, 1), of.burst, "{of:?}");
            assert_eq!(taken(&mut left, 2), of.per_s, "{of:?}");
            assert_eq!(taken(&mut left, 3_600), of.burst, "{of:?}");
        }
    }

    #[test]
    fn each_kind_has_its_allowance() {
        for (kind, of) in [(RESET, RESETS), (PING, CONTROL), (UPDATE, UPDATES), (4, CONTROL), (0xfa, CONTROL)]
        {
            assert_eq!(passing(&mut connection(), kind, Time::ZERO), of.burst, "{kind}");
        }
    }

    #[test]
    fn a_hop_has_the_allowance_of_many_clients() {
        let mut frames = Frames::of_hop();
        frames.received(PREFACE, || Time::ZERO).unwrap();
        assert_eq!(passing(&mut frames, RESET, Time::ZERO), RESETS.burst * CLIENTS_OF_HOP);
    }

    #[test]
    fn kinds_do_not_use_up_each_others_allowance() {
        let mut frames = connection();
        assert_eq!(passing(&mut frames, PING, Time::ZERO), CONTROL.burst);
        assert_eq!(frames.received(&frame(RESET, 4), || Time::ZERO), Ok(()));
        assert_eq!(frames.received(&frame(PING, 8), || Time::ZERO), Err(Flood::Control));
    }

    #[test]
    fn what_was_sent_may_be_acknowledged() {
        let mut frames = connection();
        frames.sent(100 * BYTES_PER_UPDATE as usize);
        assert_eq!(passing(&mut frames, UPDATE, Time::ZERO), 100 + UPDATES.burst);
    }

    #[test]
    fn requests_and_bodies_are_not_counted_and_need_no_clock() {
        let mut frames = connection();
        let no_clock = || unreachable!("the clock is not read");
        for kind in [DATA, 1, 9] {
            for _ in 0..10_000 {
                frames.received(&frame(kind, 100), no_clock).unwrap();
            }
        }
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let stream: Vec<u8> =
            [PREFACE.to_vec(), frame(4, 18), frame(1, 300), frame(PING, 8), frame(DATA, 0), frame(PING, 8)]
                .concat();
        for size in [1, 2, 7, 9, 10, 23, 24, 25, 100, stream.len()] {
            let mut frames = Frames::default();
            for piece in stream.chunks(size) {
                frames.received(piece, || Time::ZERO).unwrap();
            }
            assert_eq!(frames.control.count, CONTROL.burst - 3, "in pieces of {size}");
            assert_eq!((frames.passing, frames.read), (0, 0));
        }
    }

    #[test]
    fn a_connection_has_begun_with_its_whole_preface() {
        let mut frames = Frames::default();
        assert!(!frames.has_begun());
        frames.received(&PREFACE[..23], || Time::ZERO).unwrap();
        assert!(!frames.has_begun());
        frames.received(&PREFACE[23..], || Time::ZERO).unwrap();
        assert!(frames.has_begun());
        frames.received(&frame(DATA, 24)[..9], || Time::ZERO).unwrap();
        assert!(frames.has_begun());
    }
}
