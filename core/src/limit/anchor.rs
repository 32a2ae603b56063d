//! The SLO as an anchor: what is done when a full pool answers later than anybody could want.
//!
//! Baselines tell what is healthy, and may be wrong: learned in the moment in which a shop lost most of its
//! workers, they call it healthy that everybody waits in the shop for most of the SLO, behind whoever came
//! first. The SLO cannot be wrong in that way. Or the shop is slow by nature, and fewer seats would only make
//! it serve less. A trial with a fifth of them tells which, and until it has the limit stays where it is; a
//! shop that is slow by nature is not asked again soon.
//!
//! It says when; the trial is the limit's.

use super::Limit;
use super::level::Level;
use super::trial::Step;
use crate::measurement::Measured;
use crate::policy::ClassSet;
use crate::time::Time;

/// This many times the latency that nobody should wait for in the pool alone, half of the SLO, is late.
const LATE: u32 = 2;

impl Limit {
    /// Whether answers of a full pool take most of the SLO.
    pub(super) fn answers_late(&self) -> bool {
        let is_of_pool = self.outliers.classes() == ClassSet::EMPTY;
        is_of_pool && self.measurement.round_trip() > self.latency_max * LATE
    }

    /// A full window has been seen. Throughput from before the pool was late, and of the very window in which
    /// it came to be, is of another shop.
    pub(super) fn note_lateness(&mut self, seen: Measured) {
        let is_late = self.answers_late();
        if is_late && !self.is_late {
            self.level = Level::default();
            self.audit = None;
        } else {
            self.level.smooth(seen);
        }
        self.is_late = is_late;
    }

    /// Whether it is to be asked if the pool is late because it has too many seats, or by nature.
    pub(super) fn is_in_question(&self, now: Time) -> bool {
        self.is_late && self.schedule.may_ask_slow_pool(now)
    }

    /// Asks, once there is something to compare with.
    pub(super) fn ask_slow_pool(&mut self, now: Time) {
        if self.level.is_begun() {
            self.begin_trial(Step::Choked, now);
        }
    }
}
