//! The one composer: takes events and `now`, answers with effects.
//!
//! A controller arbitrates one pool. Its caller reports what happens
//! ([`Event`]), then takes every [`Effect`] until there is none; an effect may
//! answer the request of the event or one that has been waiting. Between
//! events, the caller wakes it at [`Controller::next_wakeup`] at the latest.
//!
//! After each event: no seat is free while somebody waits who may have it; those below the line
//! at which the seats are used up may have their floors only. So a
//! request that finds a free seat on arrival passes nobody by, and the common
//! case touches neither queue nor estimate.
//!
//! It has no clock, no lock and no I/O; it never fails. Events that name a
//! request it does not know (a late one of a slot's previous holder) are
//! ignored, and so is an arrival told twice. An arrival under a slot that is
//! still held tells that its holder is gone: no permit is ever lost.

mod capacity;
pub mod memory;
mod messages;
mod results;
mod snapshot;
mod state;

pub use capacity::Capacity;
pub use messages::{Arrival, Effect, Event, Outcome};
pub use snapshot::{ClassSnapshot, Snapshot};

use crate::admission::{Load, SeatsToExpect};
use crate::breaker::{Breaker, Passage, Stake};
use crate::decision::{COHORTS, Decision, Evidence, Reason, Side, Standing};
use crate::limit::{Limit, Out};
use crate::policy::{CLASSES_MAX, ClassId, Mode, Policy, QueueOrder};
use crate::queue::{Queue, Ring, RingSet};
use crate::requests::{Phase, Request, Requests};
use crate::seats::{Seats, ceiling, observed_rings};
use crate::standing::{restand, ring_of, standing, worst_of};
use crate::succession::Succession;
use crate::time::Time;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// The controller of one pool.
#[derive(Clone, Debug)]
pub struct Controller {
    policy: Arc<Policy>,
    requests: Requests,
    queue: Queue,
    seats: Seats,
    load: Load,
    limit: Limit,
    breakers: [Breaker; CLASSES_MAX],
    effects: VecDeque<Effect>,
}

impl Controller {
    /// A controller that knows nothing of its pool yet.
    pub fn new(policy: Arc<Policy>) -> Controller {
        let limit = Limit::new(slo_of(&policy));
        Controller {
            policy,
            requests: Requests::default(),
            queue: Queue::default(),
            seats: Seats::default(),
            load: Load::default(),
            limit,
            breakers: Default::default(),
            effects: VecDeque::new(),
        }
    }

    /// Takes note of an event at `now` and queues the answers it leads to.
    pub fn handle(&mut self, event: Event, now: Time) {
        if self.load.is_due(self.limit.is_found(), now) {
            let (seats, full_ratio) = (self.seats_to_expect(), self.limit.full_ratio());
            self.load.refresh(&self.policy, seats, full_ratio, self.limit.is_found(), now);
        }
        self.expire(now);
        self.limit.pass_time(now);
        match event {
            Event::Arrived(arrival) => self.arrive(arrival, now),
            Event::FirstByte { request, sent } => self.first_byte(request, sent, now),
            Event::Finished { request, outcome } => self.finish(request, outcome, now),
            Event::Abandoned { request } => self.abandon(request, now),
            Event::PolicyChanged(policy) => self.change_policy(policy, now),
            Event::BreakerForced { class, forced } => {
                self.breakers[self.policy.nearest(class).index()].force(forced);
            }
            Event::Woken => {}
        }
        self.dispatch(now);
        self.limit.set_out(self.out(), self.is_somebody_waiting(), now);
        // The limit is told class by class, and by every way in and out.
        debug_assert_eq!(
            self.limit.unanswered(),
            self.policy.ids().map(|id| self.seats.unanswered_of(id)).sum()
        );
    }

    /// The next answer to give.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to wake the controller if nothing happens before; `None` if nobody waits. Who waits beside a
    /// free seat waits for the line to move, which it does when loads are measured.
    pub fn next_wakeup(&self) -> Option<Time> {
        let deadline = self.queue.next_deadline()?;
        Some(if self.is_saturated() { deadline } else { deadline.min(self.load.next_refresh()) })
    }

    /// The policy decisions are made under.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Whether a request would find no free seat now. The value of a request matters only then.
    pub fn is_saturated(&self) -> bool {
        self.seats.taken() >= self.limit.current()
    }

    /// Whether somebody had to be refused lately for want of seats.
    pub fn is_shedding(&self, now: Time) -> bool {
        self.policy.ids().any(|class| self.load.has_refused_lately(class, now))
    }

    /// Whether the answer to a request of `class` may depend on its value: it must wait, its class had
    /// to refuse somebody lately, and the best of the class would not be refused. Else any value will
    /// do, and need not be computed.
    pub fn depends_on_value(&self, class: ClassId, deadline: Time, now: Time) -> bool {
        let id = self.policy.nearest(class);
        if !self.is_saturated() || !self.load.has_refused_lately(id, now) {
            return false;
        }
        let best = Ring::new(id, 0);
        self.wait(best, now)
            <= self.load.wait_allowed(id, self.policy.class(id), Side::AboveLine, deadline, now)
    }

    // Events.

    fn arrive(&mut self, arrival: Arrival, now: Time) {
        match self.requests.holder(arrival.request.slot) {
            Some(holder) if holder == arrival.request => return,
            Some(holder) => {
                // Its seat is for those who wait, not for the one that came after them.
                self.abandon(holder, now);
            }
            None => {}
        }
        // The line may have moved, and a floor have rested enough: who waits for that comes before who comes now.
        self.dispatch(now);
        let id = self.policy.nearest(arrival.class);
        let class = self.policy.class(id);
        let stake = if arrival.is_idempotent { Stake::Repeatable } else { Stake::Unrepeatable };
        let passage = self.breakers[id.index()].passage(class.breaker.as_ref(), stake, now);
        let standing = standing(class, arrival.value, arrival.tenure, arrival.usage_penalty);
        let request = Request {
            id: arrival.request,
            phase: Phase::Waiting,
            class: id,
            standing,
            side: Side::AboveLine,
            passage,
            since: now,
            wait_allowed: Duration::ZERO,
            until: now,
            deadline: arrival.deadline,
            first_byte: None,
        };
        self.load.ask(id, standing);
        match request.passage {
            Passage::Refuse => self.refuse(request, Reason::BreakerOpen, Duration::ZERO, now),
            Passage::Probe | Passage::Pass => self.seat_or_queue(request, arrival.lot, now),
        }
    }

    fn seat_or_queue(&mut self, mut request: Request, lot: u8, now: Time) {
        if !self.is_saturated() && self.may_take_a_seat(request.class, now) {
            return self.admit(request, Decision::Admit, now);
        }
        request.side = self.load.side(request.class, request.standing, lot, now);
        let class = self.policy.class(request.class);
        let wait = self.wait(ring(&request), now);
        request.wait_allowed =
            self.load.wait_allowed(request.class, class, request.side, request.deadline, now);
        if wait > request.wait_allowed || request.wait_allowed.is_zero() {
            self.refuse(request, Reason::WaitTooLong, wait, now);
            // One that came too late by itself tells nothing about its class.
            if request.side == Side::Beyond || !request.wait_allowed.is_zero() {
                self.load.refused(request.class, now);
            }
            return;
        }
        let is_full = self.queue.class_length(request.class) >= class.queue.length_max;
        if is_full && !self.displace_worse_than(ring(&request), now) {
            self.refuse(request, Reason::QueueFull, wait, now);
        } else {
            self.enqueue(request, wait, now);
        }
        if is_full {
            // It, or whom it has displaced.
            self.load.refused(request.class, now);
        }
    }

    fn enqueue(&mut self, request: Request, wait: Duration, now: Time) {
        if self.policy.mode_of(request.class) == Mode::Observe {
            return self.admit(request, Decision::Admit, now);
        }
        self.answer(&request, Decision::Queue, wait, now);
        self.load.accept(ring(&request));
        let until = now.after(self.longest_wait(&request, now));
        self.queue.join(request.id.slot, ring(&request), self.in_time_until(&request, now).min(until));
        self.note_waiting(request.class, now);
        self.requests.keep(Request { until, ..request });
    }

    /// Until when it waits in its own ring: later its answer would miss the SLO. What is served newest first has the
    /// late ones at its end as it is, and while the limit is looked for everybody waits for that.
    fn in_time_until(&self, request: &Request, now: Time) -> Time {
        let class = self.policy.class(request.class);
        let has_way_down = ring(request) != Ring::last_of(request.class);
        if has_way_down && class.queue.order == QueueOrder::Fifo && self.load.knows_seats() {
            now.after(Load::wait_in_time(class))
        } else {
            Time::NEVER
        }
    }

    /// The wait after which it is refused. Longer than the wait it was let in with: being a little
    /// late beats having waited in vain.
    fn longest_wait(&self, request: &Request, now: Time) -> Duration {
        let in_time = request.deadline.since(now).saturating_sub(self.load.hold(request.class));
        self.policy.class(request.class).queue.wait_max.min(in_time)
    }

    fn change_policy(&mut self, policy: Arc<Policy>, now: Time) {
        let succession = Succession::between(&self.policy, &policy);
        self.policy = policy;
        self.load.succeed(&succession);
        self.limit.succeed(&succession, now);
        self.limit.set_slo(slo_of(&self.policy));
        self.breakers = succession.carry(std::mem::take(&mut self.breakers));
        self.seats = self.seats.succeed(&succession);
        for request in self.requests.iter_mut() {
            if succession.namesake(request.class).is_none() {
                // The result of a probe concerns the breaker that sent it, which is gone.
                request.passage = Passage::Pass;
            }
            request.class = succession.heir(request.class);
            request.standing = restand(self.policy.class(request.class), request.standing);
            match request.phase {
                Phase::Admitted => {
                    self.seats.take(request.class);
                    if request.first_byte.is_some() {
                        self.seats.answer(request.class);
                    }
                }
                Phase::Waiting => {
                    self.queue.change_ring(request.id.slot, ring(request));
                    self.load.note_waiting(
                        request.class,
                        self.queue.class_length(request.class),
                        request.since,
                    );
                }
            }
        }
        // Whoever lost his class waits in that of his heir.
        for class in self.policy.clone().ids() {
            self.note_unanswered(class, now);
        }
    }

    // Consequences.

    /// Gives every free seat to the best waiter who may have it.
    fn dispatch(&mut self, now: Time) {
        while let Some(ring) = self.next_ring(now) {
            let order = self.policy.class(ring.class()).queue.order;
            let slot = self.queue.next(ring, order).expect("an occupied ring has a next");
            self.queue.leave(slot);
            let request = self.requests.take_waiting(slot);
            self.seat(request, Decision::Admit, now.since(request.since), now);
            self.note_waiting(request.class, now);
        }
    }

    /// Who has the next free seat: first those of classes below their floor, then by standing.
    fn next_ring(&self, now: Time) -> Option<Ring> {
        let waiting = self.queue.occupied();
        if waiting.is_empty() {
            return None;
        }
        // Those who waited when observing began wait no longer.
        let observed = waiting.and(observed_rings(&self.policy)).first();
        if observed.is_some() {
            return observed;
        }
        if self.is_saturated() {
            return None;
        }
        let limit = self.limit.current();
        let open = waiting.and(self.seats.below_ceiling(&self.policy, self.limit.slow_alone(), limit));
        let owed = open.and(self.seats.below_floor(&self.policy, limit, now));
        let may_have_more = || self.open_rings(now).or(self.load.rings_in_grace(now));
        owed.first().or_else(|| open.and(may_have_more()).first())
    }

    /// Whether a request may have a free seat. What is below the line at which the seats are used up
    /// may not: a moment later somebody better would be refused for it.
    fn may_take_a_seat(&self, class: ClassId, now: Time) -> bool {
        let floor = self.policy.class(class).floor;
        let is_open = || self.open_rings(now).has_any_of(class);
        self.seats.is_below_floor(class, floor, self.limit.current(), now)
            || !self.is_at_ceiling(class) && is_open()
    }

    /// The rings that may have more than their floors. While the limit is looked for nobody knows what fits.
    fn open_rings(&self, now: Time) -> RingSet {
        if self.load.knows_seats() { self.load.open_rings(now) } else { RingSet::ALL }
    }

    /// The worst standing that may have more than floors, as `class` meets it: see [`Evidence::threshold`].
    fn threshold(&self, class: ClassId, now: Time) -> Option<Standing> {
        if !self.load.knows_seats() {
            return None;
        }
        // A free seat asks nobody on which side of a line he is.
        let is_full = |id| self.is_saturated() || self.is_at_ceiling(id);
        let line = |id| self.load.cohorts_let_in(id, now).filter(|_| is_full(id));
        let shutting = self.load.first_shutting(now);
        let (last, cohorts) = match line(class).filter(|_| shutting.is_none_or(|first| class <= first)) {
            Some(cohorts) => (class, cohorts),
            None => {
                let first = shutting?;
                (first, line(first).unwrap_or(COHORTS))
            }
        };
        Some(worst_of(self.policy.class(last), cohorts))
    }

    fn is_at_ceiling(&self, class: ClassId) -> bool {
        self.seats.taken_by(class)
            >= ceiling(&self.policy, self.limit.slow_alone(), self.limit.current(), class)
    }

    /// The wait to expect in `ring`.
    fn wait(&self, ring: Ring, now: Time) -> Duration {
        self.load.wait(&self.policy, &self.queue, ring, self.seats_to_expect(), now)
    }

    fn seats_to_expect(&self) -> SeatsToExpect {
        SeatsToExpect { limit: self.limit.expected(), slow_alone: self.limit.slow_alone() }
    }

    fn out(&self) -> Out {
        Out { seats: self.seats.taken(), stuck: self.seats.taken_by_any(self.limit.slow_alone().classes) }
    }

    fn is_somebody_waiting(&self) -> bool {
        !self.queue.occupied().is_empty()
    }

    fn expire(&mut self, now: Time) {
        while let Some(slot) = self.queue.expired(now) {
            let Request { until, class, .. } = *self.requests.waiting(slot);
            if until > now {
                self.put_behind(slot);
            } else {
                self.evict(slot, Reason::DeadlinePassed, now);
                self.load.refused(class, now);
            }
        }
    }

    /// Whoever is too late for the SLO is worth an answer all the same, but behind those of his class who are not: in
    /// their order each would be served a moment too late, until the queue is empty.
    fn put_behind(&mut self, slot: u32) {
        let request = self.requests.waiting(slot);
        request.side = Side::Late;
        self.queue.rejoin(slot, ring(request), request.until);
    }

    /// Makes room in a full class for a better ring, at the cost of its worst waiter.
    fn displace_worse_than(&mut self, ring: Ring, now: Time) -> bool {
        let of_class = self.queue.occupied().and(RingSet::of_class(ring.class()));
        let Some(worst) = of_class.last().filter(|worst| *worst > ring) else { return false };
        let newest = self.queue.next(worst, QueueOrder::Lifo);
        self.evict(newest.expect("an occupied ring has a next"), Reason::Displaced, now);
        true
    }

    fn evict(&mut self, slot: u32, reason: Reason, now: Time) {
        self.queue.leave(slot);
        let request = self.requests.take_waiting(slot);
        // First, for it may be by itself the queue that it is refused for.
        self.answer(&request, Decision::Shed(reason), now.since(request.since), now);
        self.note_waiting(request.class, now);
        self.return_probe(&request);
    }

    fn refuse(&mut self, request: Request, reason: Reason, wait: Duration, now: Time) {
        if self.policy.mode_of(request.class) == Mode::Observe {
            return self.admit(request, Decision::AdmitObserved(reason), now);
        }
        self.return_probe(&request);
        self.answer(&request, Decision::Shed(reason), wait, now);
    }

    /// Admits on arrival.
    fn admit(&mut self, request: Request, decision: Decision, now: Time) {
        self.load.accept(ring(&request));
        self.seat(request, decision, Duration::ZERO, now);
    }

    fn seat(&mut self, request: Request, decision: Decision, waited: Duration, now: Time) {
        self.answer(&request, decision, waited, now);
        self.seats.take(request.class);
        self.note_unanswered(request.class, now);
        self.limit.seated(request.class, self.seats.taken_by(request.class), now);
        self.requests.keep(Request { phase: Phase::Admitted, since: now, ..request });
    }

    fn note_waiting(&mut self, class: ClassId, now: Time) {
        self.load.note_waiting(class, self.queue.class_length(class), now);
    }

    fn note_unanswered(&mut self, class: ClassId, now: Time) {
        self.limit.set_unanswered(class, self.seats.unanswered_of(class), now);
    }

    fn answer(&mut self, request: &Request, decision: Decision, wait: Duration, now: Time) {
        let ring = ring(request);
        let breaker = &self.breakers[request.class.index()];
        let ahead = self.queue.occupied().take_while(|other| *other <= ring);
        let evidence = Evidence {
            class: request.class,
            standing: request.standing,
            side: request.side,
            threshold: self.threshold(request.class, now),
            breaker: breaker.state_under(self.policy.class(request.class).breaker.as_ref(), now),
            is_probe: request.passage == Passage::Probe,
            limit: self.limit.current(),
            inflight: self.seats.taken(),
            queued_ahead: ahead.map(|ring| self.queue.ring_length(ring)).sum(),
            wait,
            wait_allowed: request.wait_allowed,
        };
        self.effects.push_back(Effect { request: request.id, decision, evidence });
    }
}

/// Where a request waits, or would.
fn ring(request: &Request) -> Ring {
    ring_of(request.class, request.standing, request.side)
}

/// The latency that the most important class wants.
fn slo_of(policy: &Policy) -> Duration {
    policy.classes()[0].slo_latency
}
