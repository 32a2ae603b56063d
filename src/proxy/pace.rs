//! The least pace at which a client takes what is sent to it.
//!
//! Only time that we wait for the client counts, so that nobody is blamed for a slow
//! shop. Whoever makes us wait for twenty seconds must have taken, in that time, as
//! many bytes as the settings ask for; then the count begins anew.
//!
//! A client that keeps up is never waited for: nothing is counted for it but a sum.
//!
//! Over HTTP/2 a closed window leaves nothing to be seen on the connection. So a stream that waits for its
//! client is given time in portions, and the next one only if the connection took as much as the settings
//! ask for: all of its streams together, for they share one line.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use plimsoll_core::time::Time;
use tokio::time::Sleep;

/// How long a client is given before it is judged (Apache's `RequestReadTimeout`, for the other direction).
const WINDOW: Duration = Duration::from_secs(20);

/// How long an HTTP/2 client is waited for before it is looked at: clients open a window again when half of it is used
/// up, and half of the least that is common (32 KiB) takes a client of 800 bytes a second as long.
pub(super) const PORTION: Duration = WINDOW.saturating_mul(2);

/// How long a client may take for so many bytes: as long as any is given before it is judged, or as the least pace
/// has it.
pub(super) fn time_to_take(bytes: usize, bytes_per_s_min: u64) -> Duration {
    let at_least_pace = (bytes as u64).checked_div(bytes_per_s_min).map(Duration::from_secs);
    at_least_pace.unwrap_or(WINDOW).max(WINDOW)
}

/// How many bytes a client must take in so much time.
fn bytes_due(waited: Duration, bytes_per_s_min: u64) -> u64 {
    let due = u128::from(bytes_per_s_min) * waited.as_millis() / 1_000;
    u64::try_from(due).unwrap_or(u64::MAX)
}

/// How an HTTP/2 client is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// What its connection must take, all streams together.
    pub(super) bytes_per_s_min: u64,
    /// It is not waited for any longer than this.
    pub(super) last: Time,
    /// When it was looked at last.
    pub(super) looked: Time,
    /// What its connection had taken by then.
    pub(super) taken: u64,
}

impl Patience {
    /// Looks at a client whose connection has taken so many bytes by `now`: until when it is waited for, if it is.
    pub(super) fn look(&mut self, taken: u64, now: Time) -> Option<Time> {
        let due = bytes_due(now.since(self.looked), self.bytes_per_s_min);
        if self.last <= now || taken.saturating_sub(self.taken) < due {
            return None;
        }
        (self.looked, self.taken) = (now, taken);
        Some(self.last.min(now.after(PORTION)))
    }
}

/// How fast one client takes what it is sent.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_s_min: u64,
    waiting_since: Option<Time>,
    waited: Duration,
    taken: u64,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// No client may be slower than this.
    pub(super) fn at_least(bytes_per_s_min: u64) -> Pace {
        Pace { bytes_per_s_min, waiting_since: None, waited: Duration::ZERO, taken: 0, alarm: None }
    }

    /// Bytes went out without a wait, or after one. `false` if they were too few for it.
    #[must_use]
    pub(super) fn took(&mut self, bytes: usize, now: impl FnOnce() -> Time) -> bool {
        self.taken = self.taken.saturating_add(bytes as u64);
        if self.waiting_since.is_none() {
            return true;
        }
        self.alarm = None;
        self.judge(now(), None)
    }

    /// Nothing went out at `now`. Ready when the client is too slow; else the task is woken to look again.
    pub(super) fn waits(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiting_since.is_none() {
            if self.waited.is_zero() {
                self.taken = 0;
            }
            self.waiting_since = Some(now);
        }
        if !self.judge(now, Some(now)) {
            return Poll::Ready(());
        }
        let left = WINDOW.saturating_sub(self.waited);
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(left)));
        if alarm.as_mut().poll(cx).is_ready() {
            // Timers and our clock need not agree to the nanosecond; this one rings again.
            alarm.set(tokio::time::sleep(left.max(Duration::from_millis(1))));
            let _ = alarm.as_mut().poll(cx);
        }
        Poll::Pending
    }

    /// Adds the wait that ends at `now`, and begins the next one.
    fn judge(&mut self, now: Time, next: Option<Time>) -> bool {
        let since = std::mem::replace(&mut self.waiting_since, next);
        self.waited += since.map_or(Duration::ZERO, |since| now.since(since));
        if self.waited < WINDOW {
            return true;
        }
        let keeps_up = self.taken >= bytes_due(self.waited, self.bytes_per_s_min);
        (self.waited, self.taken, self.alarm) = (Duration::ZERO, 0, None);
        keeps_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    /// Whether the pace holds for a client that takes `bytes` after each wait of `seconds`, for `times`.
    fn holds(bytes: usize, seconds: u64, times: u64) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _timers = runtime.enter();
        let mut pace = Pace::at_least(500);
        let mut cx = Context::from_waker(Waker::noop());
        (0..times).all(|turn| {
            let (from, to) = (at(turn * seconds), at((turn + 1) * seconds));
            pace.waits(from, &mut cx).is_pending() && pace.took(bytes, || to)
        })
    }

    #[test]
    fn the_time_for_many_bytes_is_that_of_the_least_pace_and_for_few_a_window() {
        for (bytes, pace, seconds) in
            [(0, 500, 20), (10_000, 500, 20), (10_500, 500, 21), (256 << 10, 500, 524), (1 << 30, 0, 20)]
        {
            assert_eq!(time_to_take(bytes, pace), Duration::from_secs(seconds), "{bytes} at {pace}");
        }
    }

    #[test]
    fn an_http2_client_is_waited_for_while_its_connection_takes_enough_and_no_longer_than_it_may_take() {
        let mut patience = Patience { bytes_per_s_min: 500, last: at(100), looked: at(0), taken: 7 };
        assert_eq!(patience.look(7 + 19_999, at(40)), None);
        assert_eq!(patience.look(7 + 20_000, at(40)), Some(at(80)));
        // What it took before is no credit.
        assert_eq!(patience.look(7 + 20_000, at(80)), None);
        assert_eq!(patience.look(7 + 40_000, at(80)), Some(at(100)));
        assert_eq!(patience.look(u64::MAX, at(100)), None);
    }

    #[test]
    fn whoever_takes_enough_may_be_slow_for_ever() {
        assert!(holds(500, 1, 1_000));
        assert!(holds(500 * 19, 19, 1_000));
    }

    #[test]
    fn whoever_takes_too_little_is_found_out_after_twenty_seconds() {
        assert!(holds(499, 1, 19));
        assert!(!holds(499, 1, 20));
    }

    #[test]
    fn whoever_takes_nothing_is_found_out_while_we_wait() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _timers = runtime.enter();
        let mut pace = Pace::at_least(1);
        let mut cx = Context::from_waker(Waker::noop());
        // What was taken without a wait is no credit for the next one.
        assert!(pace.took(1_000_000, || unreachable!("nobody waited")));
        assert!(pace.waits(at(0), &mut cx).is_pending());
        assert!(pace.waits(at(19), &mut cx).is_pending());
        assert!(pace.waits(at(20), &mut cx).is_ready());
    }
}
