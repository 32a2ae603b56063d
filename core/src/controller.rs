//! The one composer: takes events and `now`, answers with effects.
//!
//! A controller arbitrates one pool. Its caller reports what happens
//! ([`Event`]), then takes every [`Effect`] until there is none; an effect may
//! answer the request of the event or one that has been waiting. Between
//! events, the caller wakes it at [`Controller::next_wakeup`] at the latest.
//!
//! After each event: no seat is free while somebody waits who may have it. So a
//! request that finds a free seat on arrival passes nobody by, and the common
//! case touches neither queue nor estimate.
//!
//! It has no clock, no lock and no I/O; it never fails. Events that name a
//! request it does not know (a late one of a slot's previous holder) are
//! ignored.

use crate::admission::{Load, Tenure, Value, ring_of, standing};
use crate::breaker::{Breaker, BreakerState, Passage};
use crate::decision::{Decision, Evidence, Reason, RequestId, Standing};
use crate::limit::Limit;
use crate::policy::{CLASSES_MAX, ClassId, Mode, Policy, QueueOrder};
use crate::queue::{Queue, Ring, RingSet};
use crate::time::Time;
use crate::window::Health;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A request that asks for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its name; no request that still waits or holds a permit may have the same slot.
    pub request: RequestId,
    /// Its class under the policy the controller has now.
    pub class: ClassId,
    /// What it is worth within its class.
    pub value: Value,
    /// Whether its session was admitted before.
    pub tenure: Tenure,
    /// How much its client asked for lately: 0 to [`crate::admission::USAGE_PENALTY_MAX`].
    pub usage_penalty: u8,
    /// When its answer is worth nothing any more.
    pub deadline: Time,
}

/// How an admitted request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered, and not with a failure of its own.
    Success,
    /// The upstream answered 5xx, or broke off.
    Failed,
    /// The upstream said it is overloaded (503), timed out, or could not be connected.
    Overloaded,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request asks for a permit.
    Arrived(Arrival),
    /// The first byte of an answer came.
    FirstByte {
        /// Whose answer.
        request: RequestId,
        /// When the last byte of the request had been sent.
        sent: Time,
    },
    /// The answer has come in whole, or has failed: the permit is back.
    Finished {
        /// Whose answer.
        request: RequestId,
        /// How it ended.
        outcome: Outcome,
    },
    /// The client left; a permit it held is back.
    Abandoned {
        /// Whose client.
        request: RequestId,
    },
    /// Another policy holds from now on. State is carried over by class name; whoever waits in a
    /// class that is gone waits in the least important one.
    PolicyChanged(Arc<Policy>),
    /// Time has passed.
    Woken,
}

/// An answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The request answered.
    pub request: RequestId,
    /// The answer.
    pub decision: Decision,
    /// What it was decided on.
    pub evidence: Evidence,
}

/// One class in a [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassSnapshot {
    /// Permits out.
    pub inflight: u32,
    /// Requests waiting.
    pub queued: u32,
    /// Its breaker, if it has one.
    pub breaker: Option<BreakerState>,
    /// Its healthy latency, zero while unknown.
    pub baseline: Duration,
}

/// What `/v1/state` and the metrics show of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The limit now.
    pub limit: u32,
    /// Permits out.
    pub inflight: u32,
    /// The classes in the order of the policy.
    pub classes: Vec<ClassSnapshot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Admitted,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    epoch: u32,
    phase: Phase,
    class: ClassId,
    standing: Standing,
    passage: Passage,
    /// When it arrived while waiting, when it was admitted from then on.
    since: Time,
    wait_allowed: Duration,
    deadline: Time,
    first_byte: Option<Duration>,
}

/// The controller of one pool.
#[derive(Debug)]
pub struct Controller {
    policy: Arc<Policy>,
    slots: Vec<Option<Slot>>,
    queue: Queue,
    load: Load,
    limit: Limit,
    breakers: [Breaker; CLASSES_MAX],
    inflight: u32,
    inflight_of: [u32; CLASSES_MAX],
    effects: VecDeque<Effect>,
}

impl Controller {
    /// A controller that knows nothing of its pool yet.
    pub fn new(policy: Arc<Policy>) -> Controller {
        Controller {
            policy,
            slots: Vec::new(),
            queue: Queue::default(),
            load: Load::default(),
            limit: Limit::default(),
            breakers: std::array::from_fn(|_| Breaker::default()),
            inflight: 0,
            inflight_of: [0; CLASSES_MAX],
            effects: VecDeque::new(),
        }
    }

    /// Takes note of an event at `now` and queues the answers it leads to.
    pub fn handle(&mut self, event: Event, now: Time) {
        self.load.refresh(&self.policy, self.limit.expected(), now);
        self.expire(now);
        match event {
            Event::Arrived(arrival) => self.arrive(arrival, now),
            Event::FirstByte { request, sent } => self.first_byte(request, sent, now),
            Event::Finished { request, outcome } => self.finish(request, outcome, now),
            Event::Abandoned { request } => self.abandon(request, now),
            Event::PolicyChanged(policy) => self.change_policy(policy),
            Event::Woken => {}
        }
        self.dispatch(now);
    }

    /// The next answer to give.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to wake the controller if nothing happens before; `None` if nobody waits.
    pub fn next_wakeup(&self) -> Option<Time> {
        self.queue.next_deadline()
    }

    /// The policy decisions are made under.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Whether a request would find no free seat now. The value of a request matters only then.
    pub fn is_saturated(&self) -> bool {
        self.inflight >= self.limit.current()
    }

    /// The state for people and dashboards.
    pub fn snapshot(&self, now: Time) -> Snapshot {
        let class = |id: ClassId| ClassSnapshot {
            inflight: self.inflight_of[id.index()],
            queued: self.queue.class_length(id),
            breaker: self.policy.class(id).breaker.map(|_| self.breakers[id.index()].state(now)),
            baseline: self.limit.baseline(id.index()),
        };
        Snapshot {
            limit: self.limit.current(),
            inflight: self.inflight,
            classes: self.policy.ids().map(class).collect(),
        }
    }

    // Events.

    fn arrive(&mut self, arrival: Arrival, now: Time) {
        let id = self.policy.nearest(arrival.class);
        let class = self.policy.class(id);
        let standing = standing(class, arrival.value, arrival.tenure, arrival.usage_penalty);
        let slot = Slot {
            epoch: arrival.request.epoch,
            phase: Phase::Waiting,
            class: id,
            standing,
            passage: Passage::Pass,
            since: now,
            wait_allowed: Duration::ZERO,
            deadline: arrival.deadline,
            first_byte: None,
        };
        match class.breaker.map(|breaker| self.breakers[id.index()].ask(&breaker, now)) {
            Some(Passage::Refuse) => self.refuse(arrival.request, slot, Reason::BreakerOpen, now),
            Some(Passage::Probe) => {
                self.seat_or_queue(arrival.request, Slot { passage: Passage::Probe, ..slot }, now);
            }
            Some(Passage::Pass) | None => self.seat_or_queue(arrival.request, slot, now),
        }
    }

    fn seat_or_queue(&mut self, request: RequestId, slot: Slot, now: Time) {
        let ring = ring_of(slot.class, slot.standing);
        if self.inflight < self.limit.current() && !self.is_at_ceiling(slot.class) {
            return self.admit(request, slot, Decision::Admit, now);
        }
        let expected = self.limit.expected();
        let wait = self.load.wait(&self.policy, &self.queue, ring, expected, now);
        let class = self.policy.class(slot.class);
        let wait_allowed = self.load.wait_allowed(slot.class, class, slot.deadline, now);
        let slot = Slot { wait_allowed, ..slot };
        if wait > wait_allowed || wait_allowed.is_zero() {
            self.load.refused(slot.class, now);
            return self.refuse_at_door(request, slot, Reason::WaitTooLong, wait, now);
        }
        let is_full = self.queue.class_length(slot.class) >= class.queue.length_max;
        if is_full && !self.displace_worse_than(ring, now) {
            return self.refuse_at_door(request, slot, Reason::QueueFull, wait, now);
        }
        self.enqueue(request, slot, wait, now);
    }

    fn enqueue(&mut self, request: RequestId, slot: Slot, wait: Duration, now: Time) {
        if self.policy.mode() == Mode::Observe {
            return self.admit(request, slot, Decision::Admit, now);
        }
        let ring = ring_of(slot.class, slot.standing);
        let evidence = self.evidence(&slot, wait);
        self.effects.push_back(Effect { request, decision: Decision::Queue, evidence });
        self.load.accept(ring);
        self.load.queue_occupied(slot.class, now);
        let until = now.after(self.longest_wait(&slot, now));
        self.queue.join(request.slot, ring, until);
        self.keep(request, slot);
    }

    /// The wait after which it is refused. Longer than the wait it was let in with: being a little
    /// late beats having waited in vain.
    fn longest_wait(&self, slot: &Slot, now: Time) -> Duration {
        let in_time = slot.deadline.since(now).saturating_sub(self.load.hold(slot.class));
        self.policy.class(slot.class).queue.wait_max.min(in_time)
    }

    fn first_byte(&mut self, request: RequestId, sent: Time, now: Time) {
        let Some(slot) = self.find(request) else { return };
        if slot.phase != Phase::Admitted || slot.first_byte.is_some() {
            return;
        }
        let latency = now.since(sent);
        slot.first_byte = Some(latency);
        let class = slot.class;
        self.limit.observe(class.index(), latency, now);
    }

    fn finish(&mut self, request: RequestId, outcome: Outcome, now: Time) {
        let Some(slot) = self.take_admitted(request) else { return };
        self.give_back(&slot, now);
        self.limit.result(outcome == Outcome::Overloaded, now);
        let Some(breaker) = self.policy.class(slot.class).breaker else { return };
        let latency = slot.first_byte.unwrap_or_else(|| now.since(slot.since));
        let slow = latency > breaker.slow_call && !self.limit.shrinking(now);
        let health = Health { failed: outcome != Outcome::Success, slow };
        self.breakers[slot.class.index()].record(&breaker, slot.passage, health, now);
    }

    fn abandon(&mut self, request: RequestId, now: Time) {
        let Some(slot) = self.find(request) else { return };
        let phase = slot.phase;
        let slot = self.take(request.slot);
        match phase {
            Phase::Admitted => self.give_back(&slot, now),
            Phase::Waiting => {
                self.queue.leave(request.slot);
                self.after_leaving(&slot);
            }
        }
        self.return_probe(&slot);
    }

    fn change_policy(&mut self, policy: Arc<Policy>) {
        let old = std::mem::replace(&mut self.policy, policy);
        let old_of: Vec<Option<usize>> = self
            .policy
            .classes()
            .iter()
            .map(|class| old.class_named(&class.name).map(ClassId::index))
            .collect();
        let new_of = |id: ClassId, policy: &Policy| {
            let last = ClassId::new(policy.classes().len() - 1).expect("a policy has a class");
            policy.class_named(&old.class(id).name).unwrap_or(last)
        };
        self.load.remap(&old_of);
        self.limit.remap(&old_of);
        let mut breakers = std::mem::replace(&mut self.breakers, std::array::from_fn(|_| Breaker::default()));
        for (new, source) in old_of.iter().enumerate() {
            if let Some(source) = source {
                self.breakers[new] = std::mem::take(&mut breakers[*source]);
            }
        }
        self.inflight_of = [0; CLASSES_MAX];
        for index in 0..self.slots.len() {
            let Some(slot) = &mut self.slots[index] else { continue };
            slot.class = new_of(slot.class, &self.policy);
            let cohort = slot.standing.0 % 128;
            slot.standing = Standing(u16::from(self.policy.class(slot.class).rank) * 128 + cohort);
            let slot = *slot;
            if slot.phase == Phase::Admitted {
                self.inflight_of[slot.class.index()] += 1;
            } else {
                self.requeue(index as u32, &slot);
            }
        }
    }

    fn requeue(&mut self, index: u32, slot: &Slot) {
        self.queue.change_ring(index, ring_of(slot.class, slot.standing));
        self.load.queue_occupied(slot.class, slot.since);
    }

    // Consequences.

    /// Gives every free seat to the best waiter who may have it: first those of classes below their
    /// floor, then by standing.
    fn dispatch(&mut self, now: Time) {
        while !self.queue.occupied().is_empty() && self.inflight < self.limit.current() {
            let (open, owed) = self.open_and_owed();
            let waiting = self.queue.occupied().and(open);
            let Some(ring) = waiting.and(owed).first().or_else(|| waiting.first()) else { break };
            let order = self.policy.class(ring.class()).queue.order;
            let index = self.queue.next(ring, order).expect("an occupied ring has a next");
            self.queue.leave(index);
            let slot = self.take(index);
            self.after_leaving(&slot);
            let request = RequestId { slot: index, epoch: slot.epoch };
            let waited = now.since(slot.since);
            self.seat(request, slot, Decision::Admit, waited, now);
        }
        let waiting = !self.queue.occupied().is_empty();
        self.limit.set_inflight(self.inflight, waiting, now);
    }

    /// The rings of classes below their ceiling, and of those below their floor.
    fn open_and_owed(&self) -> (RingSet, RingSet) {
        let mut open = RingSet::EMPTY;
        let mut owed = RingSet::EMPTY;
        for id in self.policy.ids() {
            let floor = self.policy.class(id).floor.seats(self.limit.current());
            if !self.is_at_ceiling(id) {
                open = open.or(RingSet::of_class(id));
            }
            if self.inflight_of[id.index()] < floor {
                owed = owed.or(RingSet::of_class(id));
            }
        }
        (open, owed)
    }

    fn is_at_ceiling(&self, id: ClassId) -> bool {
        let ceiling = self.policy.class(id).ceiling.seats(self.limit.current());
        self.inflight_of[id.index()] >= ceiling
    }

    fn expire(&mut self, now: Time) {
        while let Some(index) = self.queue.expired(now) {
            self.evict(index, Reason::DeadlinePassed, now);
        }
    }

    /// Makes room in a full class for a better ring, at the cost of its worst waiter.
    fn displace_worse_than(&mut self, ring: Ring, now: Time) -> bool {
        let of_class = self.queue.occupied().and(RingSet::of_class(ring.class()));
        let Some(worst) = of_class.last().filter(|worst| *worst > ring) else { return false };
        let newest = self.queue.next(worst, QueueOrder::Lifo);
        self.evict(newest.expect("an occupied ring has a next"), Reason::Displaced, now);
        true
    }

    fn evict(&mut self, index: u32, reason: Reason, now: Time) {
        self.queue.leave(index);
        let slot = self.take(index);
        self.after_leaving(&slot);
        self.return_probe(&slot);
        let request = RequestId { slot: index, epoch: slot.epoch };
        let evidence = self.evidence(&slot, now.since(slot.since));
        self.effects.push_back(Effect { request, decision: Decision::Shed(reason), evidence });
    }

    fn refuse_at_door(&mut self, request: RequestId, slot: Slot, reason: Reason, wait: Duration, now: Time) {
        if self.policy.mode() == Mode::Observe {
            return self.admit(request, slot, Decision::AdmitObserved(reason), now);
        }
        self.return_probe(&slot);
        let evidence = self.evidence(&slot, wait);
        self.effects.push_back(Effect { request, decision: Decision::Shed(reason), evidence });
    }

    fn refuse(&mut self, request: RequestId, slot: Slot, reason: Reason, now: Time) {
        self.refuse_at_door(request, slot, reason, Duration::ZERO, now);
    }

    /// Admits on arrival.
    fn admit(&mut self, request: RequestId, slot: Slot, decision: Decision, now: Time) {
        self.load.accept(ring_of(slot.class, slot.standing));
        self.seat(request, slot, decision, Duration::ZERO, now);
    }

    fn seat(&mut self, request: RequestId, slot: Slot, decision: Decision, waited: Duration, now: Time) {
        let evidence = self.evidence(&slot, waited);
        self.effects.push_back(Effect { request, decision, evidence });
        self.inflight += 1;
        self.inflight_of[slot.class.index()] += 1;
        self.limit.set_inflight(self.inflight, false, now);
        self.keep(request, Slot { phase: Phase::Admitted, since: now, ..slot });
    }

    fn give_back(&mut self, slot: &Slot, now: Time) {
        self.inflight -= 1;
        self.inflight_of[slot.class.index()] -= 1;
        self.load.release(slot.class, now.since(slot.since));
        self.limit.set_inflight(self.inflight, !self.queue.occupied().is_empty(), now);
    }

    fn return_probe(&mut self, slot: &Slot) {
        if slot.passage == Passage::Probe {
            self.breakers[slot.class.index()].return_probe();
        }
    }

    fn after_leaving(&mut self, slot: &Slot) {
        if self.queue.class_length(slot.class) == 0 {
            self.load.queue_empty(slot.class);
        }
    }

    fn evidence(&self, slot: &Slot, wait: Duration) -> Evidence {
        let ring = ring_of(slot.class, slot.standing);
        let ahead = self.queue.occupied().take_while(|other| *other <= ring);
        Evidence {
            class: slot.class,
            standing: slot.standing,
            limit: self.limit.current(),
            inflight: self.inflight,
            queued_ahead: ahead.map(|ring| self.queue.ring_length(ring)).sum(),
            wait,
            wait_allowed: slot.wait_allowed,
        }
    }

    // The table of live requests.

    fn keep(&mut self, request: RequestId, slot: Slot) {
        let index = request.slot as usize;
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
        }
        self.slots[index] = Some(slot);
    }

    fn find(&mut self, request: RequestId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(request.slot as usize)?.as_mut()?;
        (slot.epoch == request.epoch).then_some(slot)
    }

    fn take(&mut self, index: u32) -> Slot {
        self.slots[index as usize].take().expect("who waits has a slot")
    }

    fn take_admitted(&mut self, request: RequestId) -> Option<Slot> {
        let slot = *self.find(request)?;
        (slot.phase == Phase::Admitted).then(|| self.take(request.slot))
    }
}
