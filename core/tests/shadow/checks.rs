//! What must hold after every event, and for every admission.

use super::{Live, Shadow, Stage};
use plimsoll_core::breaker::Forced;
use plimsoll_core::controller::{Arrival, ClassSnapshot, Controller, Effect, Event, Snapshot};
use plimsoll_core::decision::{BreakerState, Decision, Reason, Side};
use plimsoll_core::limit::LIMIT_MAX;
use plimsoll_core::policy::{ClassId, Mode, Share};
use plimsoll_core::queue::COHORT_GROUPS;
use plimsoll_core::standing::{Tenure, USAGE_PENALTY_MAX, Value};
use plimsoll_core::time::Time;

/// Cohorts that wait in one ring.
const COHORT_GROUP: u16 = 16;

impl Shadow {
    /// The state between two events.
    pub(super) fn check_state(&mut self) {
        let asked = self.live.values().filter(|live| live.stage == Stage::Asked).count();
        assert_eq!(asked, 0, "an arrival was not answered at once");
        let snapshot = self.controller.snapshot(self.now);
        let admitted = self.live.values().filter(|live| live.stage == Stage::Admitted).count();
        assert_eq!(snapshot.inflight as usize, admitted, "permits leaked or doubled");
        // A probe may lower the limit to a single seat, never below.
        assert!((1..=LIMIT_MAX).contains(&snapshot.limit), "limit {}", snapshot.limit);
        for (id, class) in self.policy.clone().ids().zip(&snapshot.classes) {
            assert_eq!(class.inflight, self.count(id, Stage::Admitted));
            assert_eq!(class.queued, self.count(id, Stage::Queued));
            self.check_queue_bound(id, class.queued);
            let seat_is_free = snapshot.inflight < snapshot.limit && self.may_have_more(id, &snapshot);
            assert!(class.queued == 0 || !seat_is_free, "{id:?} waits before a free seat: {class:?}");
        }
        self.check_deadlines();
    }

    fn check_queue_bound(&mut self, id: ClassId, queued: u32) {
        let inherited = &mut self.inherited[id.index()];
        *inherited = queued.min(*inherited);
        let length_max = self.policy.class(id).queue.length_max;
        assert!(queued <= length_max.max(*inherited), "{queued} wait where {length_max} may");
    }

    fn check_deadlines(&self) {
        let waiting = || self.live.values().filter(|live| live.stage == Stage::Queued);
        for live in waiting() {
            assert!(self.now < live.deadline.min(live.wait_end), "waits past its time: {live:?}");
        }
        let wakeup = self.controller.next_wakeup();
        assert_eq!(wakeup.is_some(), waiting().next().is_some(), "woken for nobody, or not for somebody");
        assert!(wakeup.is_none_or(|wakeup| wakeup > self.now), "a deadline that has come was missed");
    }

    /// Nobody more important could have had this permit: an admission, of an arrival or of one who
    /// waited, passes by only classes at their ceiling, unless its own class was owed a seat. Nor does it
    /// starve a floor: whose class is owed one comes before all who are owed nothing, however important.
    pub(super) fn check_admission(&mut self, admitted: &Live, effect: &Effect) {
        assert!(!admitted.leaving, "admitted one that left: {effect:?}");
        if self.policy.mode() == Mode::Observe {
            return;
        }
        let limit = effect.evidence.limit;
        assert!(effect.evidence.inflight < limit, "admitted beyond the limit: {effect:?}");
        assert!(!self.is_at_ceiling(admitted.class, limit), "admitted beyond its ceiling: {effect:?}");
        if admitted.stage == Stage::Asked {
            self.check_threshold(admitted, effect);
        }
        let after = self.controller.snapshot(self.now);
        let was_owed = self.is_owed(admitted.class, limit, &after);
        for other in self.live.values().filter(|live| live.stage == Stage::Queued && !live.leaving) {
            let is_same_class = other.class == admitted.class;
            let is_better = match is_same_class {
                true => self.ring(other) < ring(admitted),
                false => other.class < admitted.class && !was_owed,
            };
            // What it may have can change within one event.
            let is_eligible =
                [&self.before, &after].iter().all(|shown| self.may_have_more(other.class, shown));
            let is_owed = !was_owed && self.is_owed(other.class, limit, &after);
            let was_passed_by = is_eligible && (is_better || is_owed || admitted.stage == Stage::Asked);
            assert!(!was_passed_by, "{other:?} was passed by: {effect:?}");
        }
        if was_owed && admitted.stage == Stage::Queued {
            self.seen.note("floor reclaimed");
        }
    }

    /// Its place in the queue of its class, or the last one if it may have been put there.
    fn ring(&self, live: &Live) -> u16 {
        if live.late_from <= self.now { ring(&Live { side: Side::Late, ..*live }) } else { ring(live) }
    }

    /// Who forces a breaker has the last word on it.
    pub(super) fn check_forced(&self, asked: &Live, effect: &Effect) {
        let reason = match effect.decision {
            Decision::Shed(reason) | Decision::AdmitObserved(reason) => Some(reason),
            Decision::Admit | Decision::Queue => None,
        };
        let is_refused_by_it = reason == Some(Reason::BreakerOpen);
        match self.before.classes[asked.class.index()].forced {
            Some(Forced::Open) => assert!(is_refused_by_it, "its breaker is forced open: {effect:?}"),
            Some(Forced::Closed) => assert!(!is_refused_by_it, "its breaker is forced closed: {effect:?}"),
            None => {}
        }
    }

    /// Beyond the threshold that is told, nobody gets in who asks, but in the floor of his class. Those who wait
    /// may have a grace.
    pub(super) fn check_threshold(&self, asked: &Live, effect: &Effect) {
        let Some(worst) = effect.evidence.threshold else { return };
        let has_floor = self.policy.class(asked.class).floor != Share::NONE;
        assert!(has_floor || effect.evidence.standing <= worst, "let in beyond the threshold: {effect:?}");
    }

    /// Who asks while the breaker of his class is told not to be closed is refused for it, or probes.
    pub(super) fn check_breaker(&mut self, effect: &Effect) {
        let evidence = &effect.evidence;
        let is_refused_by_it = match effect.decision {
            Decision::Shed(reason) | Decision::AdmitObserved(reason) => reason == Reason::BreakerOpen,
            Decision::Admit | Decision::Queue => false,
        };
        let is_closed = matches!(evidence.breaker, None | Some(BreakerState::Closed));
        assert_eq!(is_closed, !is_refused_by_it && !evidence.is_probe, "{effect:?}");
        if evidence.is_probe {
            assert_eq!(evidence.breaker, Some(BreakerState::HalfOpen), "{effect:?}");
            assert!(!is_refused_by_it, "{effect:?}");
            self.seen.note("probe");
        }
    }

    fn is_at_ceiling(&self, id: ClassId, limit: u32) -> bool {
        self.count(id, Stage::Admitted) >= self.policy.class(id).ceiling.seats(limit)
    }

    /// Whether a class may have more permits than it has, as a snapshot shows it.
    fn may_have_more(&self, id: ClassId, shown: &Snapshot) -> bool {
        let held = self.count(id, Stage::Admitted);
        let may_have_one = |class: &ClassSnapshot| {
            held < class.ceiling && (class.open || self.is_owed(id, shown.limit, shown))
        };
        shown.classes.get(id.index()).is_some_and(may_have_one)
    }

    /// Whether the floor of a class owes it one of `limit` seats, unless it rests as a snapshot shows it.
    fn is_owed(&self, id: ClassId, limit: u32, shown: &Snapshot) -> bool {
        let rests = shown.classes.get(id.index()).is_some_and(|class| class.rests);
        self.count(id, Stage::Admitted) < self.policy.class(id).floor.seats(limit) && !rests
    }
}

/// Its place in the queue of its class by what it was let in with: who only fills gaps or is late comes last.
fn ring(live: &Live) -> u16 {
    match live.side {
        Side::AboveLine => live.standing.0 % 128 / COHORT_GROUP,
        Side::BelowLine | Side::Beyond | Side::Late => COHORT_GROUPS as u16 - 1,
    }
}

/// What a controller in this state answers to an arrival, and the controller after that.
fn answered(controller: &Controller, arrival: Arrival, now: Time) -> (Effect, Controller) {
    let mut controller = controller.clone();
    controller.handle(Event::Arrived(arrival), now);
    let effect = std::iter::from_fn(|| controller.poll_effect())
        .find(|effect| effect.request == arrival.request)
        .expect("every arrival is answered");
    (effect, controller)
}

/// In one state, nobody is refused where somebody of a worse standing in his class gets in, whatever the
/// standing is made of.
pub(super) fn standing_is_monotone(controller: &Controller, arrival: Arrival, now: Time) {
    let worths = [
        (0.0, Tenure::Fresh, 0),
        (0.0, Tenure::Admitted, 0),
        (0.5, Tenure::Fresh, 40),
        (0.5, Tenure::Fresh, 0),
        (0.5, Tenure::Admitted, 0),
        (1.0, Tenure::Fresh, USAGE_PENALTY_MAX),
        (1.0, Tenure::Admitted, 0),
    ];
    let mut answers = worths.map(|(value, tenure, usage_penalty)| {
        let arrival = Arrival { value: Value::new(value), tenure, usage_penalty, ..arrival };
        let (effect, _) = answered(controller, arrival, now);
        (effect.evidence.standing, matches!(effect.decision, Decision::Shed(_)))
    });
    answers.sort_unstable();
    let is_monotone = answers.windows(2).all(|pair| pair[0].1 <= pair[1].1);
    assert!(is_monotone, "standings and whether they are refused: {answers:?}, {arrival:?}");
}

/// In one state, nobody is refused at the door where one of a less important class is let in beyond its
/// floor, unless his own class holds all the seats it may.
pub(super) fn refusal_is_no_inversion(controller: &Controller, arrival: Arrival, now: Time) {
    let before = controller.snapshot(now);
    let policy = controller.policy();
    let mut refused = None;
    for class in policy.ids() {
        let (effect, after) = answered(controller, Arrival { class, ..arrival }, now);
        let held = before.classes[class.index()].inflight;
        match effect.decision {
            Decision::Shed(Reason::WaitTooLong | Reason::QueueFull) => {
                let is_at_ceiling = held >= after.snapshot(now).classes[class.index()].ceiling;
                refused = refused.or((!is_at_ceiling).then_some(effect));
            }
            Decision::Admit => {
                let is_in_floor = held < policy.class(class).floor.seats(effect.evidence.limit);
                assert!(refused.is_none() || is_in_floor, "{refused:?} beside {effect:?}");
            }
            Decision::Shed(_) | Decision::AdmitObserved(_) | Decision::Queue => {}
        }
    }
}
