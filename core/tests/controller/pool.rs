//! A controller of a few classes, whose answers are kept.

use plimsoll_core::controller::{Arrival, Controller, Event, Outcome};
use plimsoll_core::decision::{BreakerState, Decision, Evidence, RequestId};
use plimsoll_core::policy::{BreakerPolicy, Class, ClassId, Mode, Policy, QueueOrder, QueuePolicy, Share};
use plimsoll_core::standing::{Tenure, Value};
use plimsoll_core::time::Time;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const CHECKOUT: usize = 0;
pub(crate) const BROWSE: usize = 1;
/// Seats of a controller that has seen nothing.
pub(crate) const SEATS: u32 = 32;

pub(crate) fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

pub(crate) fn percent(percent: u32) -> Share {
    Share::from_percent(percent).expect("at most 100")
}

pub(crate) fn class(name: &str, rank: u8) -> Class {
    Class {
        name: name.into(),
        rank,
        slo_latency: Duration::from_secs(1),
        patience: Duration::from_secs(2),
        floor: Share::NONE,
        ceiling: Share::ALL,
        queue: QueuePolicy { length_max: 2, wait_max: Duration::from_millis(500), order: QueueOrder::Fifo },
        breaker: None,
    }
}

/// The class, of which nobody waits for longer than that.
pub(crate) fn waiting_up_to(wait_max: Duration, class: Class) -> Class {
    Class { queue: QueuePolicy { wait_max, ..class.queue }, ..class }
}

pub(crate) fn with_breaker(class: Class) -> Class {
    let breaker = BreakerPolicy {
        window: Duration::from_secs(10),
        failure_ratio: percent(50),
        slow_call: Duration::from_secs(1),
        slow_ratio: percent(50),
        requests_min: 2,
        open_for: Duration::from_secs(5),
        probes: 1,
    };
    Class { breaker: Some(breaker), ..class }
}

pub(crate) fn policy(mode: Mode, classes: &[Class]) -> Arc<Policy> {
    Arc::new(Policy::new(mode, classes.to_vec()).expect("it keeps every bound"))
}

/// A controller whose answers are kept.
pub(crate) struct Pool {
    pub(crate) controller: Controller,
    pub(crate) answers: Vec<(u32, Decision)>,
    pub(crate) slots: u32,
}

impl Pool {
    pub(crate) fn new(mode: Mode, classes: &[Class]) -> Pool {
        Pool { controller: Controller::new(policy(mode, classes)), answers: Vec::new(), slots: 0 }
    }

    pub(crate) fn enforcing(classes: &[Class]) -> Pool {
        Pool::new(Mode::Enforce, classes)
    }

    pub(crate) fn tell(&mut self, event: Event, now: Time) {
        self.controller.handle(event, now);
        while let Some(effect) = self.controller.poll_effect() {
            self.answers.push((effect.request.slot, effect.decision));
        }
    }

    /// Asks for one more request and answers its slot.
    pub(crate) fn ask(&mut self, class: usize, now: Time) -> u32 {
        self.ask_with_value(class, 0.5, now)
    }

    pub(crate) fn ask_with_value(&mut self, class: usize, value: f32, now: Time) -> u32 {
        let arrival = Arrival { value: Value::new(value), ..self.arrival(class, now) };
        self.tell(Event::Arrived(arrival), now);
        arrival.request.slot
    }

    /// Asks for what may not be asked for again.
    pub(crate) fn order(&mut self, class: usize, now: Time) -> u32 {
        let arrival = Arrival { is_idempotent: false, ..self.arrival(class, now) };
        self.tell(Event::Arrived(arrival), now);
        arrival.request.slot
    }

    /// What one more request is answered on.
    pub(crate) fn evidence(&mut self, class: usize, now: Time) -> Evidence {
        let arrival = self.arrival(class, now);
        self.controller.handle(Event::Arrived(arrival), now);
        let mut effects = std::iter::from_fn(|| self.controller.poll_effect());
        let own = effects.find(|effect| effect.request == arrival.request);
        own.expect("an arrival is answered at once").evidence
    }

    pub(crate) fn arrival(&mut self, class: usize, now: Time) -> Arrival {
        self.slots += 1;
        Arrival {
            request: id(self.slots - 1),
            class: ClassId::new(class).expect("few classes"),
            value: Value::new(0.5),
            tenure: Tenure::Fresh,
            usage_penalty: 0,
            lot: 0,
            is_idempotent: true,
            deadline: now.after(Duration::from_secs(2)),
        }
    }

    /// Takes seats until none is free.
    pub(crate) fn fill(&mut self, class: usize, now: Time) -> Vec<u32> {
        let slots = (0..SEATS).map(|_| self.ask(class, now)).collect();
        assert!(self.controller.is_saturated());
        slots
    }

    pub(crate) fn finish(&mut self, slot: u32, outcome: Outcome, now: Time) {
        self.tell(Event::Finished { request: id(slot), outcome }, now);
    }

    pub(crate) fn abandon(&mut self, slot: u32, now: Time) {
        self.tell(Event::Abandoned { request: id(slot) }, now);
    }

    pub(crate) fn change_policy(&mut self, mode: Mode, classes: &[Class], now: Time) {
        self.tell(Event::PolicyChanged(policy(mode, classes)), now);
    }

    /// Lets two requests of a class fail, which opens its breaker.
    pub(crate) fn open_breaker(&mut self, class: usize, now: Time) {
        for _ in 0..2 {
            let slot = self.ask(class, now);
            self.finish(slot, Outcome::Failed, now);
        }
        assert_eq!(self.breaker(class, now), Some(BreakerState::Open));
    }

    pub(crate) fn breaker(&self, class: usize, now: Time) -> Option<BreakerState> {
        self.controller.snapshot(now).classes[class].breaker
    }

    pub(crate) fn last(&self, slot: u32) -> Decision {
        let answers = self.answers.iter().rev();
        let found = answers.into_iter().find(|(answered, _)| *answered == slot);
        found.expect("it was answered").1
    }

    pub(crate) fn inflight(&self) -> u32 {
        self.controller.snapshot(Time::ZERO).inflight
    }
}

pub(crate) fn id(slot: u32) -> RequestId {
    RequestId { slot, epoch: 0 }
}
