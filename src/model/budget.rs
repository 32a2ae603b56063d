//! Gives up on a model that is too slow.
//!
//! tract cannot be interrupted, so a run over its budget is only seen when it is over. One slow run
//! is the machine's doing; many in a row are the model's, and scoring then stops until a bundle is
//! loaded anew. The caller measures, for no clock is read here.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Runs over budget, in a row, after which the model is given up. A busy machine interrupts one
/// run in a thousand; eight in a row do not happen to a model that is fast.
pub const OVERRUNS_MAX: u32 = 8;

/// Whether a model may still be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It answers.
    Ready,
    /// It was too slow too often; it answers nothing until a bundle is loaded.
    Disabled,
}

/// The runs over budget so far.
#[derive(Default)]
pub(super) struct Budget {
    in_a_row: AtomicU32,
    overruns: AtomicU64,
    spent: AtomicBool,
}

impl Budget {
    /// Counts a run that took so long. `true` once: when this run makes the model be given up.
    pub(super) fn observe(&self, elapsed: Duration, run_max: Duration) -> bool {
        if elapsed <= run_max {
            self.in_a_row.store(0, Ordering::Relaxed);
            return false;
        }
        self.overruns.fetch_add(1, Ordering::Relaxed);
        let in_a_row = self.in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        in_a_row >= OVERRUNS_MAX && !self.spent.swap(true, Ordering::Relaxed)
    }

    /// Whether the model may be asked. Once spent, a budget stays spent.
    pub(super) fn status(&self) -> Status {
        if self.spent.load(Ordering::Relaxed) { Status::Disabled } else { Status::Ready }
    }

    /// Runs over budget, in all.
    pub(super) fn overruns(&self) -> u64 {
        self.overruns.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN_MAX: Duration = Duration::from_millis(2);
    const SLOW: Duration = Duration::from_micros(2001);

    #[test]
    fn eight_overruns_in_a_row_disable_the_model_and_seven_do_not() {
        let budget = Budget::default();
        for _ in 0..7 {
            assert!(!budget.observe(SLOW, RUN_MAX));
        }
        assert_eq!(budget.status(), Status::Ready);
        assert!(budget.observe(SLOW, RUN_MAX), "the eighth is told");
        assert_eq!(budget.status(), Status::Disabled);
        assert!(!budget.observe(SLOW, RUN_MAX), "and told once");
        assert_eq!(budget.overruns(), 9);
    }

    #[test]
    fn a_run_within_budget_starts_the_row_anew() {
        let budget = Budget::default();
        for run in 0..100 {
            budget.observe(if run % 8 == 7 { RUN_MAX } else { SLOW }, RUN_MAX);
        }
        assert_eq!(budget.status(), Status::Ready);
    }
}
