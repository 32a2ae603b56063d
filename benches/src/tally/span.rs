//! From when to when a phase is, and from when on its useful work counts.

use std::time::Duration;

/// Left out at the start of a phase when its useful work is counted.
pub(crate) const SETTLING: Duration = Duration::from_secs(2);

/// The span of a phase, from the start of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Its start.
    pub(crate) start: Duration,
    /// Its end.
    pub(crate) end: Duration,
}

impl Span {
    /// How long useful work is counted in it.
    pub(crate) fn settled(self) -> Duration {
        (self.end - self.start).saturating_sub(SETTLING)
    }

    /// Whether useful work that is done at `time` counts.
    pub(crate) fn is_settled_at(self, time: Duration) -> bool {
        (self.start + SETTLING..=self.end).contains(&time)
    }
}
