//! What a limit has learned of its pool, to begin with another time.
//!
//! A process that follows another need not double its way to the limit again, in
//! the middle of a busy day. What it begins with is believed as far as one batch of
//! samples would be, and tried like any other limit: the pool may have changed since.
//!
//! Where it is kept in between is the shell's.

use super::{LIMIT_MAX, LIMIT_MIN, Limit, Phase};
use crate::baseline::Baseline;
use crate::policy::CLASSES_MAX;
use crate::time::Time;
use std::time::Duration;

impl Limit {
    /// The limit and the healthy latency of each class, zero if unknown. `None` while it still doubles,
    /// for then nothing is known that a new start would not find as soon.
    pub(crate) fn learned(&self) -> Option<(u32, [Duration; CLASSES_MAX])> {
        let is_known = matches!(self.phase, Phase::Steady | Phase::Trial(_));
        is_known.then(|| (self.current(), std::array::from_fn(|class| self.baseline(class))))
    }

    /// Begins with what another limit has learned.
    pub(crate) fn resume(&mut self, limit: u32, baselines: [Duration; CLASSES_MAX], now: Time) {
        self.limit = f64::from(limit.clamp(LIMIT_MIN, LIMIT_MAX));
        self.baselines = baselines.map(Baseline::remembered);
        self.phase = Phase::Steady;
        self.restart(now);
        // The first answers are the quick ones: they are waited out.
        self.begin_settling(now);
    }

    /// Is `seats` from now on, until an answer moves it.
    pub(crate) fn hold(&mut self, seats: u32, is_found: bool) {
        self.limit = f64::from(seats.clamp(1, LIMIT_MAX));
        self.phase = if is_found { Phase::Steady } else { Phase::Warming { was_cut: false } };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_is_begun_with_and_nothing_is_while_it_is_not() {
        let mut limit = Limit::new(Duration::from_secs(1));
        assert_eq!(limit.learned(), None);
        let mut baselines = [Duration::ZERO; CLASSES_MAX];
        baselines[2] = Duration::from_millis(40);
        limit.resume(19, baselines, Time::from_millis(1));
        assert_eq!((limit.current(), limit.expected()), (19, 19.0));
        assert_eq!(limit.learned(), Some((19, baselines)));
        assert!(!limit.baselines[0].is_learned() && limit.baselines[2].is_learned());
    }

    #[test]
    fn a_limit_beyond_all_bounds_is_brought_within_them() {
        for (told, begun) in
            [(0, LIMIT_MIN), (LIMIT_MIN, LIMIT_MIN), (LIMIT_MAX, LIMIT_MAX), (u32::MAX, LIMIT_MAX)]
        {
            let mut limit = Limit::new(Duration::from_secs(1));
            limit.resume(told, [Duration::MAX; CLASSES_MAX], Time::ZERO);
            assert_eq!(limit.current(), begun);
            assert!(limit.baseline(0) <= Duration::from_secs(3_600));
        }
    }
}
