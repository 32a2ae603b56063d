//! The least pace at which a client takes what is sent to it.
//!
//! Only time that we wait for the client counts, so that nobody is blamed for a slow
//! shop. Whoever makes us wait for twenty seconds must have taken, in that time, as
//! many bytes as the settings ask for; then the count begins anew.
//!
//! A client that keeps up is never waited for: nothing is counted for it but a sum.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use plimsoll_core::time::Time;
use tokio::time::Sleep;

/// How long a client is given before it is judged (Apache's `RequestReadTimeout`, for the other direction).
const WINDOW: Duration = Duration::from_secs(20);

/// How long a client may take for so many bytes: as long as any is given before it is judged, or as the least pace
/// has it.
pub(super) fn time_to_take(bytes: usize, bytes_per_s_min: u64) -> Duration {
    let at_least_pace = (bytes as u64).checked_div(bytes_per_s_min).map(Duration::from_secs);
    at_least_pace.unwrap_or(WINDOW).max(WINDOW)
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
        let asked = u128::from(self.bytes_per_s_min) * self.waited.as_millis() / 1_000;
        let keeps_up = u128::from(self.taken) >= asked;
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
