//! The breaker of one class: stops sending its requests to an upstream that fails them.
//!
//! Two signals, because shops fail in two ways: a payment provider that answers
//! 500, and one that answers after a minute. Both are ratios over a window with
//! a minimum of results, so that one bad answer at night opens nothing. Slow
//! calls are ignored while the limit shrinks: overload is the limit's business,
//! and a breaker that opens on it would shed the class it should protect.
//!
//! A probe may fail, so a half-open breaker takes what may be asked again. A class that was asked for nothing
//! of the kind lately, as one of payments, is probed by real requests, or its breaker would never close: by
//! one at first, then by two at once. So is every other time anything that asks: a page that always fails would
//! keep it open for all who order.
//!
//! It never counts our own refusals: a request that had no permit has no result.

use crate::decision::BreakerState;
use crate::image::image;
use crate::policy::BreakerPolicy;
use crate::time::Time;
use crate::window::{Health, Window};

/// What somebody has set a breaker to, whatever it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// All requests are refused.
    Open,
    /// All requests pass.
    Closed,
}

/// Whether a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It may.
    Pass,
    /// It may, as a probe: its result decides.
    Probe,
    /// It may not.
    Refuse,
}

/// What is at stake if a request fails as a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stake {
    /// Some time: it may be asked again.
    Repeatable,
    /// An order may be lost, or made twice.
    Unrepeatable,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Closed,
    Open {
        until: Time,
    },
    HalfOpen {
        out: u32,
        succeeded: u32,
    },
}

/// The breaker of one class and pool.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    state: State,
    window: Window,
    /// Openings since it was last closed.
    openings: u32,
    /// When its class was last asked for something repeatable, while it was not closed.
    repeatable_at: Option<Time>,
    forced: Option<Forced>,
}

impl Breaker {
    /// The state at `now`.
    pub fn state(&self, now: Time) -> BreakerState {
        match self.state {
            _ if self.forced == Some(Forced::Open) => BreakerState::Open,
            State::Closed => BreakerState::Closed,
            State::Open { until } if now < until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Opens or closes it whatever it sees, or lets it see for itself again. It begins anew as closed.
    pub fn force(&mut self, forced: Option<Forced>) {
        *self = Breaker { forced, ..Breaker::default() };
    }

    /// What it is forced to be.
    pub fn forced(&self) -> Option<Forced> {
        self.forced
    }

    /// The state at `now` of a class that may have no breaker.
    pub fn state_under(&self, policy: Option<&BreakerPolicy>, now: Time) -> Option<BreakerState> {
        (policy.is_some() || self.forced.is_some()).then(|| self.state(now))
    }

    /// Asks passage for one request of a class that may have no breaker, see [`Breaker::ask`].
    pub fn passage(&mut self, policy: Option<&BreakerPolicy>, stake: Stake, now: Time) -> Passage {
        match (self.forced, policy) {
            (Some(Forced::Open), _) => Passage::Refuse,
            (Some(Forced::Closed), _) | (None, None) => Passage::Pass,
            (None, Some(policy)) => self.ask(policy, stake, now),
        }
    }

    /// Asks passage for one request. A [`Passage::Probe`] must be followed by [`Breaker::record`] or
    /// [`Breaker::return_probe`].
    pub fn ask(&mut self, policy: &BreakerPolicy, stake: Stake, now: Time) -> Passage {
        let passage = match self.state {
            State::Closed => return Passage::Pass,
            State::Open { until } if now < until => Passage::Refuse,
            _ if stake == Stake::Unrepeatable && self.waits_for_repeatable(policy, now) => Passage::Refuse,
            // Open -> HalfOpen: its time is over, and this request is the first probe.
            State::Open { .. } => {
                self.state = State::HalfOpen { out: 1, succeeded: 0 };
                Passage::Probe
            }
            // One is out at all times, even if a new policy asks for fewer probes than have succeeded:
            // without a result it would never close.
            State::HalfOpen { out, succeeded } if out == 0 || out < out_max(policy, stake, succeeded) => {
                self.state = State::HalfOpen { out: out + 1, succeeded };
                Passage::Probe
            }
            State::HalfOpen { .. } => Passage::Refuse,
        };
        if stake == Stake::Repeatable {
            self.repeatable_at = Some(now);
        }
        passage
    }

    /// Whether its class was asked for something repeatable so lately that the next is worth waiting for: all
    /// probes together wait for such no longer than the breaker was open first. After the second opening in a row,
    /// the fourth and so on nobody is waited for: the page that failed as a probe may be what is broken, and whoever
    /// asks for it all the time must not keep the breaker open.
    fn waits_for_repeatable(&self, policy: &BreakerPolicy, now: Time) -> bool {
        let lately = policy.open_for / policy.probes.max(1);
        !self.openings.is_multiple_of(2) && self.repeatable_at.is_some_and(|at| now < at.after(lately))
    }

    /// A probe came back without a result: it was refused elsewhere, or its client left. Whoever comes next may
    /// probe: where overload refuses all that is repeatable, it would never close.
    pub fn return_probe(&mut self) {
        if let State::HalfOpen { out, .. } = &mut self.state {
            *out = out.saturating_sub(1);
            self.repeatable_at = None;
        }
    }

    /// Counts the result of a request that passed as `passage`.
    pub fn record(&mut self, policy: &BreakerPolicy, passage: Passage, health: Health, now: Time) {
        match self.state {
            // Nothing it sees changes it, and what it sees is not remembered.
            _ if self.forced.is_some() => {}
            State::Closed => {
                self.window.record(policy.window, health, now);
                if self.must_open(policy, now) {
                    self.open(policy, now);
                }
            }
            State::HalfOpen { out, succeeded } if passage == Passage::Probe => {
                self.judge_probe(policy, out, succeeded, health, now);
            }
            // Late results of requests that passed before it opened say nothing new.
            State::Open { .. } | State::HalfOpen { .. } => {}
        }
    }

    fn judge_probe(&mut self, policy: &BreakerPolicy, out: u32, succeeded: u32, health: Health, now: Time) {
        if health.failed || health.slow {
            // HalfOpen -> Open: still ill.
            self.open(policy, now);
        } else if succeeded + 1 >= policy.probes {
            // HalfOpen -> Closed: every probe succeeded.
            self.state = State::Closed;
            self.openings = 0;
            self.window.clear();
        } else {
            self.state = State::HalfOpen { out: out.saturating_sub(1), succeeded: succeeded + 1 };
        }
    }

    fn must_open(&mut self, policy: &BreakerPolicy, now: Time) -> bool {
        let counts = self.window.counts(policy.window, now);
        let reaches = |part: u32, ratio: u32| {
            part > 0 && u64::from(part) * 1_000_000 >= u64::from(ratio) * u64::from(counts.total)
        };
        counts.total >= policy.requests_min
            && (reaches(counts.failed, policy.failure_ratio.millionths())
                || reaches(counts.slow, policy.slow_ratio.millionths()))
    }

    fn open(&mut self, policy: &BreakerPolicy, now: Time) {
        // For as long each time: a provider that is well again is to be asked soon, and one probe costs it nothing.
        self.state = State::Open { until: now.after(policy.open_for) };
        self.openings = self.openings.saturating_add(1);
        self.window.clear();
    }
}

/// How many probes may be out at once after so many that succeeded.
fn out_max(policy: &BreakerPolicy, stake: Stake, succeeded: u32) -> u32 {
    let missing = policy.probes.saturating_sub(succeeded);
    match stake {
        Stake::Repeatable => missing,
        Stake::Unrepeatable => missing.min(succeeded.saturating_add(1)),
    }
}

image!(enum Forced { 0 => Open, 1 => Closed });
image!(enum Passage { 0 => Pass, 1 => Probe, 2 => Refuse });
image!(enum State { 0 => Closed, 1 => Open { until }, 2 => HalfOpen { out, succeeded } });
image!(struct Breaker { state, window, openings, repeatable_at, forced });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Share;
    use std::time::Duration;

    const GOOD: Health = Health { failed: false, slow: false };
    const FAILED: Health = Health { failed: true, slow: false };
    const SLOW: Health = Health { failed: false, slow: true };

    fn policy() -> BreakerPolicy {
        BreakerPolicy {
            window: Duration::from_secs(10),
            failure_ratio: Share::from_percent(50).unwrap(),
            slow_call: Duration::from_secs(1),
            slow_ratio: Share::from_percent(80).unwrap(),
            requests_min: 4,
            open_for: Duration::from_secs(5),
            probes: 2,
        }
    }

    fn breaker_after(results: &[Health]) -> Breaker {
        let mut breaker = Breaker::default();
        for health in results {
            assert_eq!(breaker.ask(&policy(), Stake::Repeatable, Time::ZERO), Passage::Pass);
            breaker.record(&policy(), Passage::Pass, *health, Time::ZERO);
        }
        breaker
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn opens_at_the_failure_ratio_and_not_below() {
        let half = breaker_after(&[GOOD, GOOD, FAILED, FAILED]);
        assert_eq!(half.state(Time::ZERO), BreakerState::Open);
        let below = breaker_after(&[GOOD, GOOD, GOOD, FAILED]);
        assert_eq!(below.state(Time::ZERO), BreakerState::Closed);
    }

    #[test]
    fn stays_closed_below_the_minimum_of_results() {
        assert_eq!(breaker_after(&[FAILED; 3]).state(Time::ZERO), BreakerState::Closed);
    }

    #[test]
    fn opens_at_the_slow_ratio() {
        assert_eq!(breaker_after(&[SLOW; 4]).state(Time::ZERO), BreakerState::Open);
        let below = breaker_after(&[SLOW, SLOW, SLOW, GOOD]);
        assert_eq!(below.state(Time::ZERO), BreakerState::Closed);
    }

    #[test]
    fn open_breaker_admits_its_probes_after_open_for_and_no_more() {
        let mut breaker = breaker_after(&[FAILED; 4]);
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(4_999)), Passage::Refuse);
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(5_000)), Passage::Probe);
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(5_000)), Passage::Probe);
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(5_000)), Passage::Refuse);
    }

    #[test]
    fn closes_when_every_probe_succeeded() {
        let mut breaker = breaker_after(&[FAILED; 4]);
        for _ in 0..2 {
            assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(5_000)), Passage::Probe);
            breaker.record(&policy(), Passage::Probe, GOOD, at(5_100));
        }
        assert_eq!(breaker.state(at(5_100)), BreakerState::Closed);
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(5_100)), Passage::Pass);
    }

    #[test]
    fn failed_probe_opens_it_again() {
        let mut breaker = breaker_after(&[FAILED; 4]);
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(5_000)), Passage::Probe);
        breaker.record(&policy(), Passage::Probe, FAILED, at(5_000));
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(9_999)), Passage::Refuse);
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(10_000)), Passage::Probe);
    }

    #[test]
    fn returned_probe_makes_room_for_another() {
        let mut breaker = breaker_after(&[FAILED; 4]);
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(5_000)), Passage::Probe);
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(5_000)), Passage::Probe);
        breaker.return_probe();
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(5_000)), Passage::Probe);
    }

    #[test]
    fn orders_probe_one_at_first_and_then_one_more_for_each_that_succeeded() {
        let policy = BreakerPolicy { probes: 4, ..policy() };
        let mut breaker = breaker_after(&[FAILED; 4]);
        let probes_out = |breaker: &mut Breaker| {
            let ask = || breaker.ask(&policy, Stake::Unrepeatable, at(5_000));
            std::iter::repeat_with(ask).take_while(|passage| *passage == Passage::Probe).count()
        };
        assert_eq!(probes_out(&mut breaker), 1);
        breaker.record(&policy, Passage::Probe, GOOD, at(5_000));
        assert_eq!(probes_out(&mut breaker), 2);
        breaker.record(&policy, Passage::Probe, GOOD, at(5_000));
        assert_eq!(probes_out(&mut breaker), 1, "one is out already, and four are enough");
    }

    #[test]
    fn order_does_not_probe_while_the_class_is_asked_for_what_is_repeatable() {
        let mut breaker = breaker_after(&[FAILED; 4]);
        // Each of two probes waits for such for half of the five seconds.
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(4_000)), Passage::Refuse);
        assert_eq!(breaker.ask(&policy(), Stake::Unrepeatable, at(6_499)), Passage::Refuse);
        let mut waited = breaker.clone();
        assert_eq!(waited.ask(&policy(), Stake::Unrepeatable, at(6_500)), Passage::Probe);
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(6_499)), Passage::Probe);
        assert_eq!(breaker.ask(&policy(), Stake::Unrepeatable, at(6_500)), Passage::Refuse);
    }

    #[test]
    fn page_that_always_fails_leaves_every_other_turn_to_orders() {
        let mut breaker = breaker_after(&[FAILED; 4]);
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(5_000)), Passage::Probe);
        breaker.record(&policy(), Passage::Probe, FAILED, at(5_000));
        // It is asked for again and again, and the breaker is open again.
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(9_999)), Passage::Refuse);
        let mut in_vain = breaker.clone();
        for millis in [10_000, 10_100] {
            assert_eq!(breaker.ask(&policy(), Stake::Unrepeatable, at(millis)), Passage::Probe);
            breaker.record(&policy(), Passage::Probe, GOOD, at(millis));
        }
        assert_eq!(breaker.state(at(10_100)), BreakerState::Closed);
        // The third time pages go first again.
        assert_eq!(in_vain.ask(&policy(), Stake::Unrepeatable, at(10_000)), Passage::Probe);
        in_vain.record(&policy(), Passage::Probe, FAILED, at(10_000));
        assert_eq!(in_vain.ask(&policy(), Stake::Repeatable, at(14_999)), Passage::Refuse);
        assert_eq!(in_vain.ask(&policy(), Stake::Unrepeatable, at(15_000)), Passage::Refuse);
    }

    #[test]
    fn repeatable_probe_that_was_refused_elsewhere_leaves_it_to_whoever_is_next() {
        let mut breaker = breaker_after(&[FAILED; 4]);
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(5_000)), Passage::Probe);
        assert_eq!(breaker.ask(&policy(), Stake::Unrepeatable, at(5_000)), Passage::Refuse);
        breaker.return_probe();
        assert_eq!(breaker.ask(&policy(), Stake::Unrepeatable, at(5_000)), Passage::Probe);
    }

    #[test]
    fn fewer_probes_than_have_succeeded_still_close_it() {
        let mut breaker = breaker_after(&[FAILED; 4]);
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(5_000)), Passage::Probe);
        breaker.record(&policy(), Passage::Probe, GOOD, at(5_100));
        let fewer = BreakerPolicy { probes: 1, ..policy() };
        assert_eq!(breaker.ask(&fewer, Stake::Repeatable, at(5_200)), Passage::Probe);
        assert_eq!(breaker.ask(&fewer, Stake::Repeatable, at(5_200)), Passage::Refuse);
        breaker.record(&fewer, Passage::Probe, GOOD, at(5_300));
        assert_eq!(breaker.state(at(5_300)), BreakerState::Closed);
    }

    #[test]
    fn forced_breaker_ignores_what_it_sees_and_begins_anew_when_released() {
        let mut breaker = breaker_after(&[FAILED; 4]);
        breaker.force(Some(Forced::Closed));
        assert_eq!(breaker.state(Time::ZERO), BreakerState::Closed);
        for _ in 0..4 {
            breaker.record(&policy(), Passage::Pass, FAILED, Time::ZERO);
        }
        assert_eq!(breaker.state(Time::ZERO), BreakerState::Closed);
        breaker.force(Some(Forced::Open));
        assert_eq!(breaker.state(at(1_000_000)), BreakerState::Open);
        breaker.force(None);
        assert_eq!(breaker.state(Time::ZERO), BreakerState::Closed);
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, Time::ZERO), Passage::Pass);
    }

    #[test]
    fn late_result_from_before_the_opening_changes_nothing() {
        let mut breaker = breaker_after(&[FAILED; 4]);
        breaker.record(&policy(), Passage::Pass, GOOD, at(100));
        assert_eq!(breaker.state(at(100)), BreakerState::Open);
        assert_eq!(breaker.ask(&policy(), Stake::Repeatable, at(5_000)), Passage::Probe);
        breaker.record(&policy(), Passage::Pass, FAILED, at(5_001));
        assert_eq!(breaker.state(at(5_001)), BreakerState::HalfOpen);
    }
}
