//! The SLO as an anchor: what is done when a full pool answers later than anybody could want.
//!
//! Baselines tell what is healthy, and may be wrong. Learned in the moment in which a shop lost most of its
//! workers, they call it healthy that everybody waits in the shop for most of the SLO, behind whoever came
//! first. Or the shop has become slow by nature, its database is, and by what was healthy before it seems to
//! have hardly any workers. The SLO cannot be wrong in either way.
//!
//! Where the baselines say that most of the seats wait, these are taken away at once: the important are then
//! served in either case. Whether they worked all the same is asked upwards, by twice as many. Where the
//! baselines see nothing wrong it is asked downwards, with a fifth. Until that is known the limit stays where
//! it is; a shop that is slow by nature is not asked again soon. Where a cut cost no throughput it is known.
//!
//! Measured in simulation: 16 workers that become ten times slower, mean of eight seeds, serve 18 and 79 % of the
//! checkouts in time in the first five and the next fifteen seconds (15 and 29 % where the limit went on shrinking
//! before it was asked, 23 and 72 % where it was asked downwards from the full pool; 64 workers 57 and 92, 25 and 35,
//! 21 and 64 %). At twice the whole shop's capacity, 16 seeds, a tenth of the shop does 96 % of what it can from the
//! third second on, and all of it 97 % when it is back (7 and 77 % without an anchor, four seeds; 81 % where a trial
//! had to end the shrinking).
//!
//! It says when and which way; the trial is the limit's.

use super::level::Level;
use super::trial::Step;
use super::{Limit, seats_for};
use crate::image::image;
use crate::measurement::Measured;
use crate::policy::ClassSet;
use crate::time::Time;

/// Baselines that leave less than this part of the limit say that most of it waits.
const MOST: f64 = 0.5;
/// After a cut of the seats that leaves the throughput above this part of itself, they must have waited.
const AS_MUCH: f64 = 0.8;

/// Whether a full pool answers so late that it has to be asked why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lateness {
    #[default]
    OnTime,
    /// It does, and the limit is what it was.
    Late,
    /// It did, and still does though the limit was cut.
    Cut,
}

impl Limit {
    /// Whether it is the pool whose answers take most of the SLO, if they take so many seconds in the mean.
    pub(super) fn is_later_than_wanted(&self, mean: f64) -> bool {
        let is_of_pool = self.outliers.classes() == ClassSet::EMPTY;
        is_of_pool && mean > self.latency_max.as_secs_f64()
    }

    /// A full window has been seen. Throughput from before the pool was late, and of the very window in which
    /// it came to be, is of another shop.
    pub(super) fn note_lateness(&mut self, seen: Measured, now: Time) {
        let is_news = self.lateness == Lateness::OnTime;
        match (is_news, self.is_later_than_wanted(self.measurement.round_trip().as_secs_f64())) {
            (_, false) => self.lateness = Lateness::OnTime,
            (true, true) => return self.become_late(seen, now),
            (false, true) => {}
        }
        self.level.smooth(seen);
    }

    fn become_late(&mut self, seen: Measured, now: Time) {
        self.level = Level::default();
        self.audit = None;
        self.lateness = Lateness::Late;
        let target = seats_for(seen.work);
        if self.is_in_question(now) && target < self.limit * MOST {
            self.lateness = Lateness::Cut;
            self.done_before_cut = seen.done;
            self.move_to(target, now);
            self.begin_settling(now);
        }
    }

    /// Whether it is to be asked if the pool is late because it has too many seats, or by nature.
    pub(super) fn is_in_question(&self, now: Time) -> bool {
        self.lateness != Lateness::OnTime && self.schedule.may_ask_slow_pool(now)
    }

    /// Whether it is known already: what a cut has left does as much as all did. (That it does less says nothing,
    /// for the pool may have lost workers.)
    pub(super) fn is_answered(&self, seen: Measured) -> bool {
        self.lateness == Lateness::Cut && seen.done >= self.done_before_cut * AS_MUCH
    }

    /// Asks, once there is something to compare with.
    pub(super) fn ask_slow_pool(&mut self, now: Time) {
        let step = if self.lateness == Lateness::Cut { Step::Double } else { Step::Choked };
        if self.level.is_begun() {
            self.begin_trial(step, now);
        }
    }
}

image!(enum Lateness { 0 => OnTime, 1 => Late, 2 => Cut });
