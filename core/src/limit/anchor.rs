//! The SLO as an anchor: what is done when a full pool answers later than anybody could want.
//!
//! Baselines tell what is healthy, and may be wrong: learned in the moment in which a shop lost most of its
//! workers, they call it healthy that everybody waits in the shop for most of the SLO, behind whoever came
//! first. The SLO cannot be wrong in that way. Or the shop is slow by nature, and fewer seats would only make
//! it serve less. A deep trial tells which; a shop that is slow by nature is not asked again soon.
//!
//! It says when; the trial is the limit's.

use super::Limit;
use super::level::Level;
use crate::policy::ClassSet;
use crate::time::Time;

/// This many times the latency that nobody should wait for in the pool alone, half of the SLO, is late.
const LATE: u32 = 2;

impl Limit {
    /// Whether answers of a full pool take most of the SLO. Throughput from before that is of another shop.
    pub(super) fn note_lateness(&mut self) {
        let is_of_pool = self.outliers.classes() == ClassSet::EMPTY;
        let is_late = is_of_pool && self.measurement.round_trip() > self.latency_max * LATE;
        if is_late && !self.is_late {
            self.level = Level::default();
            self.audit = None;
        }
        self.is_late = is_late;
    }

    /// Whether the pool is to be asked if it is late because it has too many seats, or by nature.
    pub(super) fn is_choked(&self, now: Time) -> bool {
        self.is_late && self.level.is_known() && self.schedule.may_ask_slow_pool(now)
    }
}
