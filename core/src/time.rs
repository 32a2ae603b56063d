//! A point in time, counted in nanoseconds from an epoch the caller chose.
//!
//! The core never asks what time it is: every entry point takes `now`. An
//! integer instead of `std::time::Instant` lets the simulator start at zero and
//! lets a journal be replayed bit for bit on another machine.
//!
//! It knows nothing of calendars, zones or wall clocks.

use crate::image::image;
use std::time::Duration;

/// Nanoseconds since an epoch the caller chose. Wraps after 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The caller's epoch.
    pub const ZERO: Time = Time(0);
    /// A time that is never reached.
    pub const NEVER: Time = Time(u64::MAX);

    /// `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Time {
        Time(millis * 1_000_000)
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time `duration` later, [`Time::NEVER`] at the latest.
    #[must_use]
    pub fn after(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(nanos(duration)))
    }

    /// The time `duration` earlier, the epoch at the earliest.
    #[must_use]
    pub fn before(self, duration: Duration) -> Time {
        Time(self.0.saturating_sub(nanos(duration)))
    }

    /// How long after `earlier` this is; zero if it is not after it, so that a
    /// clock that jumps back can make an age too small but never negative.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

image!(newtype Time);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_of_a_later_time_is_zero() {
        assert_eq!(Time::from_millis(3).since(Time::from_millis(5)), Duration::ZERO);
        assert_eq!(Time::from_millis(5).since(Time::from_millis(3)), Duration::from_millis(2));
    }

    #[test]
    fn never_is_the_latest_time() {
        assert_eq!(Time::from_nanos(u64::MAX - 1).after(Duration::from_secs(1)), Time::NEVER);
    }
}
