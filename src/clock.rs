//! The only place that reads a clock.
//!
//! Everything else takes `now`. The monotonic clock counts from the start of the
//! process; the wall clock is read for log lines and for the hour of the day,
//! never to measure.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use plimsoll_core::time::Time;

use crate::classify::features::LocalTime;

/// A clock that starts at zero.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that may read a clock")]
impl Clock {
    /// Starts a clock.
    pub fn start() -> Clock {
        Clock { started: Instant::now() }
    }

    /// The time since its start.
    pub fn now(&self) -> Time {
        Time::ZERO.after(self.started.elapsed())
    }

    /// The wall clock, since 1970 in UTC.
    pub fn wall() -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// The hour and weekday of a wall clock in UTC. 1 January 1970 was a Thursday.
pub fn hour_and_weekday(wall: Duration) -> LocalTime {
    let hours = wall.as_secs() / 3_600;
    LocalTime { hour: (hours % 24) as u8, weekday: ((hours / 24 + 3) % 7) as u8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_was_a_thursday_at_midnight() {
        assert_eq!(hour_and_weekday(Duration::ZERO), LocalTime { hour: 0, weekday: 3 });
        // 2026-11-20 23:59:59 UTC, a Friday.
        let friday = Duration::from_secs(1_795_219_199);
        assert_eq!(hour_and_weekday(friday), LocalTime { hour: 23, weekday: 4 });
    }
}
