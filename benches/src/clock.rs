//! The harness's only place that reads a clock.
//!
//! Every other file is handed a point in time or a [`Clock`] to measure from,
//! so that the schedule, the origin's workers and the tallies can be tested in
//! literal or paused time. The instants are tokio's, which tests can pause.
//!
//! The calendar is asked at the start of a run: its result says when it was, and cookies
//! end at dates.

use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// The current instant.
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time of the calendar.
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// A stopwatch that the parts of one run share: all times of a run count from its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that shows zero now.
    pub(crate) fn start() -> Clock {
        Clock { start: now() }
    }

    /// The time since the start.
    pub(crate) fn elapsed(self) -> Duration {
        now() - self.start
    }

    /// The instant at which the clock shows `elapsed`.
    pub(crate) fn instant(self, elapsed: Duration) -> Instant {
        self.start + elapsed
    }
}
