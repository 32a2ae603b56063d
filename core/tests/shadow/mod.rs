//! A shadow of the controller that only counts: who lives, who waits, who holds a permit.
//!
//! It tells the controller random events, takes its answers, and checks after each what must hold.
//! It does not know why the controller decides as it does.

mod checks;
mod policies;
mod seen;

pub(crate) use seen::Seen;

use crate::random::Random;
use plimsoll_core::breaker::Forced;
use plimsoll_core::controller::{Arrival, Controller, Effect, Event, Outcome, Snapshot};
use plimsoll_core::decision::{Decision, RequestId, Side, Standing};
use plimsoll_core::policy::{CLASSES_MAX, ClassId, Mode, Policy, QueueOrder};
use plimsoll_core::standing::{Tenure, USAGE_PENALTY_MAX, Value};
use plimsoll_core::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Few enough that stories stay quick, many more than the limits they lead to.
const LIVE_MAX: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Asked,
    Queued,
    Admitted,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    class: ClassId,
    stage: Stage,
    standing: Standing,
    side: Side,
    deadline: Time,
    /// When its class lets it wait no longer.
    wait_end: Time,
    /// From when on it may be too late for its SLO, and wait behind those of its class who are not.
    late_from: Time,
    /// It ends with the event being told.
    leaving: bool,
}

/// The controller and what is known of it from outside.
pub(crate) struct Shadow {
    controller: Controller,
    policy: Arc<Policy>,
    /// Of the policy before the event being told, whose rules hold for what expired by then.
    mode_before: Mode,
    now: Time,
    /// By slot and epoch.
    live: BTreeMap<(u32, u32), Live>,
    epochs: u32,
    /// A new policy may leave more waiting in a class than it lets in.
    inherited: [u32; CLASSES_MAX],
    /// What was shown before the event being told.
    before: Snapshot,
    seen: Seen,
}

impl Shadow {
    pub(crate) fn new(seed: u64) -> Shadow {
        let policy = Arc::new(policies::policy(seed));
        let controller = Controller::new(policy.clone());
        Shadow {
            before: controller.snapshot(Time::ZERO),
            controller,
            mode_before: policy.mode(),
            policy,
            now: Time::ZERO,
            live: BTreeMap::new(),
            epochs: 0,
            inherited: [0; CLASSES_MAX],
            seen: Seen::default(),
        }
    }

    /// Lets the event happen that `bits` stand for.
    pub(crate) fn live_through(&mut self, bits: u64) {
        let mut random = Random(bits);
        match random.below(100) {
            0..50 if self.live.len() < LIVE_MAX => self.arrive(&mut random),
            0..65 => self.finish(&mut random),
            65..78 => self.first_byte(&mut random),
            78..84 => self.abandon(&mut random),
            84..87 => self.repeat_or_confuse(&mut random),
            87..98 => self.pass_time(&mut random),
            98 => self.force_breaker(&mut random),
            _ => self.change_policy(random.bits()),
        }
    }

    /// Ends every request that is left: nothing may remain.
    pub(crate) fn close(mut self) -> Seen {
        loop {
            if let Some(request) = self.first_admitted() {
                self.finish_with(request, Outcome::Success);
            } else if let Some(wakeup) = self.controller.next_wakeup() {
                self.now = self.now.max(wakeup);
                self.tell(Event::Woken);
            } else {
                break;
            }
        }
        assert_eq!(self.controller.snapshot(self.now).inflight, 0, "a permit leaked");
        assert!(self.live.is_empty(), "never answered: {:?}", self.live);
        self.seen
    }

    // Events.

    fn arrive(&mut self, random: &mut Random) {
        let is_free = |slot: &u32| self.live.range((*slot, 0)..=(*slot, u32::MAX)).next().is_none();
        let slot = (0..).find(is_free).expect("slots are endless");
        let arrival = self.arrival(slot, random);
        if self.policy.mode() == Mode::Enforce {
            match random.below(16) {
                0..2 => checks::standing_is_monotone(&self.controller, arrival, self.now),
                2 => checks::refusal_is_no_inversion(&self.controller, arrival, self.now),
                _ => {}
            }
        }
        self.ask(arrival);
    }

    fn arrival(&mut self, slot: u32, random: &mut Random) -> Arrival {
        self.epochs += 1;
        Arrival {
            request: RequestId { slot, epoch: self.epochs },
            // Now and then of a class the policy does not have.
            class: ClassId::new(random.below(6) as usize).expect("six are few enough"),
            value: Value::new(random.unit() as f32),
            tenure: if random.below(3) == 0 { Tenure::Admitted } else { Tenure::Fresh },
            usage_penalty: random.below(u64::from(USAGE_PENALTY_MAX) + 9) as u8,
            lot: random.below(256) as u8,
            is_idempotent: random.below(2) == 0,
            deadline: self.now.after(Duration::from_millis(random.below(2_000))),
        }
    }

    fn ask(&mut self, arrival: Arrival) {
        let class = self.policy.nearest(arrival.class);
        let live = Live {
            class,
            stage: Stage::Asked,
            standing: Standing::default(),
            side: Side::AboveLine,
            deadline: arrival.deadline,
            wait_end: self.now.after(self.policy.class(class).queue.wait_max),
            late_from: Time::NEVER,
            leaving: false,
        };
        self.live.insert(key(arrival.request), live);
        self.tell(Event::Arrived(arrival));
    }

    fn first_byte(&mut self, random: &mut Random) {
        let Some(request) = self.pick(random) else { return };
        let ago = Duration::from_millis(random.below(400)).as_nanos() as u64;
        let sent = Time::from_nanos(self.now.as_nanos().saturating_sub(ago));
        self.tell(Event::FirstByte { request, sent });
    }

    fn finish(&mut self, random: &mut Random) {
        let Some(request) = self.pick(random) else { return };
        let outcome = match random.below(10) {
            0 => Outcome::Overloaded,
            1..3 => Outcome::Failed,
            _ => Outcome::Success,
        };
        self.finish_with(request, outcome);
    }

    fn finish_with(&mut self, request: RequestId, outcome: Outcome) {
        let live = self.live.get_mut(&key(request)).expect("it was picked from the living");
        // One that waits has no result: the controller ignores it.
        live.leaving = live.stage == Stage::Admitted;
        self.tell(Event::Finished { request, outcome });
    }

    fn abandon(&mut self, random: &mut Random) {
        let Some(request) = self.pick(random) else { return };
        self.leave(request);
        self.tell(Event::Abandoned { request });
    }

    /// Events of a request that is gone or never was, an arrival told twice, or one whose slot is
    /// held by another.
    fn repeat_or_confuse(&mut self, random: &mut Random) {
        let Some(request) = self.pick(random) else { return };
        let stale = match random.below(2) {
            0 => RequestId { epoch: request.epoch.wrapping_sub(1), ..request },
            _ => RequestId { slot: 1_000_000 + request.slot, ..request },
        };
        match random.below(5) {
            0 => self.tell(Event::Abandoned { request: stale }),
            1 => self.tell(Event::Finished { request: stale, outcome: Outcome::Failed }),
            2 => self.tell(Event::FirstByte { request: stale, sent: Time::ZERO }),
            3 => {
                let again = Arrival { request, ..self.arrival(request.slot, random) };
                self.tell(Event::Arrived(again));
            }
            _ => {
                let successor = self.arrival(request.slot, random);
                self.leave(request);
                self.ask(successor);
            }
        }
    }

    fn pass_time(&mut self, random: &mut Random) {
        let span = [0, 1, 20, 300][random.below(4) as usize];
        let until = self.now.after(Duration::from_millis(random.below(span + 1)));
        while let Some(wakeup) = self.controller.next_wakeup().filter(|wakeup| *wakeup <= until) {
            self.now = self.now.max(wakeup);
            self.tell(Event::Woken);
        }
        self.now = until;
    }

    fn change_policy(&mut self, seed: u64) {
        let old = std::mem::replace(&mut self.policy, Arc::new(policies::policy(seed)));
        let last = ClassId::new(self.policy.classes().len() - 1).expect("it has a class");
        for live in self.live.values_mut() {
            live.class = self.policy.class_named(&old.class(live.class).name).unwrap_or(last);
        }
        self.mode_before = old.mode();
        self.inherited = [u32::MAX; CLASSES_MAX];
        self.seen.note("policy changed");
        self.tell(Event::PolicyChanged(self.policy.clone()));
        self.mode_before = self.policy.mode();
    }

    /// Mostly back to what it sees itself, or stories would be about nothing else.
    fn force_breaker(&mut self, random: &mut Random) {
        let class = ClassId::new(random.below(6) as usize).expect("six are few enough");
        let forced = match random.below(8) {
            0 => Some(Forced::Open),
            1 => Some(Forced::Closed),
            _ => None,
        };
        self.tell(Event::BreakerForced { class, forced });
        let shown = self.controller.snapshot(self.now);
        assert_eq!(shown.classes[self.policy.nearest(class).index()].forced, forced);
        if forced == Some(Forced::Open) {
            self.seen.note("breaker forced open");
        }
    }

    /// One of the living.
    fn pick(&self, random: &mut Random) -> Option<RequestId> {
        let index = random.below(self.live.len().max(1) as u64) as usize;
        self.live.keys().nth(index).map(|(slot, epoch)| RequestId { slot: *slot, epoch: *epoch })
    }

    fn first_admitted(&self) -> Option<RequestId> {
        let (key, _) = self.live.iter().find(|(_, live)| live.stage == Stage::Admitted)?;
        Some(RequestId { slot: key.0, epoch: key.1 })
    }

    fn leave(&mut self, request: RequestId) {
        self.live.get_mut(&key(request)).expect("it was picked from the living").leaving = true;
    }

    // Answers.

    fn tell(&mut self, event: Event) {
        self.before = self.controller.snapshot(self.now);
        self.controller.handle(event, self.now);
        while let Some(effect) = self.controller.poll_effect() {
            self.take(effect);
        }
        self.live.retain(|_, live| !live.leaving);
        self.check_state();
    }

    fn take(&mut self, effect: Effect) {
        let live = *self.live.get(&key(effect.request)).expect("an answer is for one who lives");
        assert_ne!(live.stage, Stage::Admitted, "answered twice: {effect:?}");
        self.seen.decision(effect.decision);
        if live.stage == Stage::Asked {
            self.check_forced(&live, &effect);
            self.check_breaker(&effect);
        }
        let side = effect.evidence.side;
        if side == Side::Late {
            assert!(live.late_from <= self.now, "put behind too early: {effect:?}");
            self.seen.note("late");
        }
        match effect.decision {
            Decision::Admit | Decision::AdmitObserved(_) => {
                self.check_admission(&Live { side, ..live }, &effect);
                self.live.insert(key(effect.request), Live { stage: Stage::Admitted, ..live });
            }
            Decision::Queue => {
                self.check_threshold(&live, &effect);
                assert_eq!(live.stage, Stage::Asked, "queued twice: {effect:?}");
                assert_eq!(self.policy.mode(), Mode::Enforce, "queued while observing: {effect:?}");
                let standing = effect.evidence.standing;
                if side == Side::BelowLine {
                    self.seen.note("below the line");
                }
                let class = self.policy.class(live.class);
                let may_be_late = side == Side::AboveLine && class.queue.order == QueueOrder::Fifo;
                let in_time_until = self.now.after(class.slo_latency.mul_f64(0.75));
                let late_from = if may_be_late { in_time_until } else { Time::NEVER };
                let queued = Live { stage: Stage::Queued, standing, side, late_from, ..live };
                self.live.insert(key(effect.request), queued);
            }
            Decision::Shed(_) => {
                assert_eq!(self.mode_before, Mode::Enforce, "refused while observing: {effect:?}");
                self.live.remove(&key(effect.request));
            }
        }
    }

    fn count(&self, class: ClassId, stage: Stage) -> u32 {
        let counts = |live: &&Live| live.class == class && live.stage == stage && !live.leaving;
        self.live.values().filter(counts).count() as u32
    }
}

fn key(request: RequestId) -> (u32, u32) {
    (request.slot, request.epoch)
}
