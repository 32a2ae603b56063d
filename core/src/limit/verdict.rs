//! A trial of the limit from its beginning to its end, and what its verdict makes of the limit.
//!
//! Where throughput follows the seats, these work: the greater limit holds, and the latency seen with it is the
//! healthy one. Where throughput stays, they wait in the pool: the smaller limit holds, and after a trial
//! downwards it is asked at once whether fewer still will do. So a limit that is far too high is lowered
//! until that costs throughput.
//!
//! When to try and which way is for the phases and their schedule to say; what a trial tells, for the trial.

use super::anchor::Lateness;
use super::start::Start;
use super::trial::{Step, Trial, Verdict};
use super::{Limit, Phase, seats_for};
use crate::measurement::Measured;
use crate::time::Time;

impl Limit {
    /// Start or Steady -> Trial.
    pub(super) fn begin_trial(&mut self, step: Step, now: Time) {
        self.audit = None;
        self.phase = Phase::Trial(Trial { step, before: self.limit, level: self.level, began: now });
        self.limit = step.apply(self.limit);
        self.begin_settling(now);
    }

    /// Trial -> Steady, at the limit that was tried: whoever ends it says which one holds, and whether it doubles on.
    pub(super) fn end_trial(&mut self, trial: &Trial, now: Time) {
        self.phase = Phase::Steady;
        self.schedule.note_end(trial, now);
        self.begin_settling(now);
    }

    /// Whether a pool that was on time is late while a few seats more are tried: it has lost workers, and to wait for
    /// the trial's window would cost seconds in which everybody is late.
    pub(super) fn is_spoilt(&self, trial: &Trial) -> bool {
        let is_late = self.measurement.answers_late() && self.is_later_than_wanted(self.measurement.mean());
        trial.step == Step::Up && self.lateness == Lateness::OnTime && is_late
    }

    /// Trial -> Steady, at the limit before it, as if it had never begun: its window is one of the steady limit.
    pub(super) fn abandon(&mut self, trial: &Trial, now: Time) {
        self.end_trial(trial, now);
        self.is_settling = false;
        self.limit = trial.before;
    }

    /// The window of a trial is full.
    pub(super) fn step_trial(&mut self, seen: Measured, trial: &Trial, now: Time) {
        self.end_trial(trial, now);
        let verdict = trial.verdict(seen);
        let did_work = verdict == Verdict::Follows;
        if trial.step.is_far() && (did_work || trial.step != Step::Double) {
            self.schedule.note_choked(did_work, now);
        }
        match verdict {
            Verdict::Unclear => self.limit = trial.higher_limit(self.limit),
            Verdict::Follows => self.keep_what_works(seen, trial, now),
            Verdict::Stays => self.give_up_what_waits(seen, trial, now),
        }
    }

    fn keep_what_works(&mut self, seen: Measured, trial: &Trial, now: Time) {
        self.level = trial.level_if_follows(seen);
        self.adopt_baselines(seen.ratio, trial.weight());
        let tried = self.limit;
        self.limit = trial.higher_limit(tried);
        match trial.step {
            Step::Double => self.begin_trial(Step::Double, now),
            // By the latency that is healthy now, this is the work that went on before.
            Step::Choked => self.move_to(self.limit.min(seats_for(self.level.done)), now),
            // Nothing waits with as many as there are, so more may be at work yet.
            Step::Deep => {
                let half = self.measurement.throughput(now);
                self.phase = Phase::Start(Start { half, ..Start::from_proven(tried) })
            }
            Step::Up => self.schedule.go_on(now),
            Step::Down => {}
        }
    }

    fn give_up_what_waits(&mut self, seen: Measured, trial: &Trial, now: Time) {
        match trial.step {
            Step::Up => self.limit = trial.before,
            Step::Double => {
                let work = seen.done.max(trial.level.done);
                self.limit = seats_for(work).clamp(trial.before, self.limit);
                self.lateness = Lateness::Late;
            }
            Step::Down | Step::Deep | Step::Choked if self.limit <= 1.0 => {
                // One request alone waits for nobody.
                self.adopt_baselines(seen.ratio, trial.weight());
                self.move_to(seats_for(1.0), now);
            }
            Step::Down | Step::Deep | Step::Choked => self.try_fewer(seen, trial, now),
        }
    }

    /// As much work with fewer seats: keeps those, and looks whether fewer still will do.
    fn try_fewer(&mut self, seen: Measured, trial: &Trial, now: Time) {
        self.level = trial.level_if_stays(seen);
        if seen.ratio < 1.0 {
            self.adopt_baselines(seen.ratio, trial.weight());
        }
        self.begin_trial(trial.step, now);
    }
}
