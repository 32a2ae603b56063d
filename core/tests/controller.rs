//! The controller in literal time: each answer, and both sides of what it depends on.

use plimsoll_core::breaker::{BreakerState, Forced};
use plimsoll_core::controller::{Arrival, Controller, Event, Outcome};
use plimsoll_core::decision::{Decision, Reason, RequestId};
use plimsoll_core::policy::{
    BreakerPolicy, Class, ClassId, ClassSet, Mode, Policy, QueueOrder, QueuePolicy, Share,
};
use plimsoll_core::standing::{Tenure, Value};
use plimsoll_core::time::Time;
use std::sync::Arc;
use std::time::Duration;

const CHECKOUT: usize = 0;
const BROWSE: usize = 1;
/// Seats of a controller that has seen nothing.
const SEATS: u32 = 32;

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn percent(percent: u32) -> Share {
    Share::from_percent(percent).expect("at most 100")
}

fn class(name: &str, rank: u8) -> Class {
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

fn with_breaker(class: Class) -> Class {
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

fn policy(mode: Mode, classes: &[Class]) -> Arc<Policy> {
    Arc::new(Policy::new(mode, classes.to_vec()).expect("it keeps every bound"))
}

/// A controller whose answers are kept.
struct Pool {
    controller: Controller,
    answers: Vec<(u32, Decision)>,
    slots: u32,
}

impl Pool {
    fn new(mode: Mode, classes: &[Class]) -> Pool {
        Pool { controller: Controller::new(policy(mode, classes)), answers: Vec::new(), slots: 0 }
    }

    fn enforcing(classes: &[Class]) -> Pool {
        Pool::new(Mode::Enforce, classes)
    }

    fn tell(&mut self, event: Event, now: Time) {
        self.controller.handle(event, now);
        while let Some(effect) = self.controller.poll_effect() {
            self.answers.push((effect.request.slot, effect.decision));
        }
    }

    /// Asks for one more request and answers its slot.
    fn ask(&mut self, class: usize, now: Time) -> u32 {
        self.ask_with_value(class, 0.5, now)
    }

    fn ask_with_value(&mut self, class: usize, value: f32, now: Time) -> u32 {
        let arrival = Arrival { value: Value::new(value), ..self.arrival(class, now) };
        self.tell(Event::Arrived(arrival), now);
        arrival.request.slot
    }

    /// Asks for what may not be asked for again.
    fn order(&mut self, class: usize, now: Time) -> u32 {
        let arrival = Arrival { is_idempotent: false, ..self.arrival(class, now) };
        self.tell(Event::Arrived(arrival), now);
        arrival.request.slot
    }

    fn arrival(&mut self, class: usize, now: Time) -> Arrival {
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
    fn fill(&mut self, class: usize, now: Time) -> Vec<u32> {
        let slots = (0..SEATS).map(|_| self.ask(class, now)).collect();
        assert!(self.controller.is_saturated());
        slots
    }

    fn finish(&mut self, slot: u32, outcome: Outcome, now: Time) {
        self.tell(Event::Finished { request: id(slot), outcome }, now);
    }

    fn abandon(&mut self, slot: u32, now: Time) {
        self.tell(Event::Abandoned { request: id(slot) }, now);
    }

    fn change_policy(&mut self, mode: Mode, classes: &[Class], now: Time) {
        self.tell(Event::PolicyChanged(policy(mode, classes)), now);
    }

    /// Lets two requests of a class fail, which opens its breaker.
    fn open_breaker(&mut self, class: usize, now: Time) {
        for _ in 0..2 {
            let slot = self.ask(class, now);
            self.finish(slot, Outcome::Failed, now);
        }
        assert_eq!(self.breaker(class, now), Some(BreakerState::Open));
    }

    fn breaker(&self, class: usize, now: Time) -> Option<BreakerState> {
        self.controller.snapshot(now).classes[class].breaker
    }

    fn last(&self, slot: u32) -> Decision {
        let answers = self.answers.iter().rev();
        let found = answers.into_iter().find(|(answered, _)| *answered == slot);
        found.expect("it was answered").1
    }

    fn inflight(&self) -> u32 {
        self.controller.snapshot(Time::ZERO).inflight
    }
}

fn id(slot: u32) -> RequestId {
    RequestId { slot, epoch: 0 }
}

#[test]
fn last_seat_is_given_and_the_next_request_waits() {
    let mut pool = Pool::enforcing(&[class("checkout", 0)]);
    let seated = pool.fill(CHECKOUT, at(0));
    assert_eq!(pool.last(seated[31]), Decision::Admit);
    let next = pool.ask(CHECKOUT, at(0));
    assert_eq!(pool.last(next), Decision::Queue);
    pool.finish(seated[0], Outcome::Success, at(10));
    assert_eq!(pool.last(next), Decision::Admit);
}

#[test]
fn waiter_is_refused_at_its_deadline_and_not_before() {
    let mut pool = Pool::enforcing(&[class("checkout", 0)]);
    pool.fill(CHECKOUT, at(0));
    let waiter = pool.ask(CHECKOUT, at(0));
    assert_eq!(pool.controller.next_wakeup(), Some(at(500)));
    pool.tell(Event::Woken, at(499));
    assert_eq!(pool.last(waiter), Decision::Queue);
    pool.tell(Event::Woken, at(500));
    assert_eq!(pool.last(waiter), Decision::Shed(Reason::DeadlinePassed));
    assert_eq!(pool.controller.next_wakeup(), None);
}

#[test]
fn full_queue_refuses_an_equal_and_makes_room_for_a_better_cohort() {
    let mut pool = Pool::enforcing(&[class("checkout", 0)]);
    pool.fill(CHECKOUT, at(0));
    let older = pool.ask(CHECKOUT, at(0));
    let newer = pool.ask(CHECKOUT, at(1));
    let equal = pool.ask(CHECKOUT, at(2));
    assert_eq!(pool.last(equal), Decision::Shed(Reason::QueueFull));
    let better = pool.ask_with_value(CHECKOUT, 1.0, at(2));
    assert_eq!(pool.last(better), Decision::Queue);
    assert_eq!(pool.last(newer), Decision::Shed(Reason::Displaced));
    assert_eq!(pool.last(older), Decision::Queue);
}

#[test]
fn floor_is_reclaimed_on_the_next_free_seat() {
    let browse = Class { floor: percent(5), ..class("browse", 1) };
    let mut pool = Pool::enforcing(&[class("checkout", 0), browse]);
    let seated = pool.fill(CHECKOUT, at(0));
    let browsing: Vec<u32> = (0..2).map(|_| pool.ask(BROWSE, at(0))).collect();
    let buying = pool.ask(CHECKOUT, at(0));
    // 5 % of 32 seats is two, rounded up: the first two free seats are owed to browsing.
    for (seat, slot) in browsing.iter().enumerate() {
        pool.finish(seated[seat], Outcome::Success, at(10));
        assert_eq!(pool.last(*slot), Decision::Admit);
        assert_eq!(pool.last(buying), Decision::Queue);
    }
    pool.finish(seated[2], Outcome::Success, at(10));
    assert_eq!(pool.last(buying), Decision::Admit);
}

#[test]
fn without_a_floor_the_more_important_class_goes_first() {
    let mut pool = Pool::enforcing(&[class("checkout", 0), class("browse", 1)]);
    let seated = pool.fill(CHECKOUT, at(0));
    let browsing = pool.ask(BROWSE, at(0));
    let buying = pool.ask(CHECKOUT, at(1));
    pool.finish(seated[0], Outcome::Success, at(10));
    assert_eq!(pool.last(buying), Decision::Admit);
    assert_eq!(pool.last(browsing), Decision::Queue);
}

#[test]
fn ceiling_holds_while_seats_are_free() {
    let capped = Class { ceiling: percent(50), ..class("checkout", 0) };
    let mut pool = Pool::enforcing(&[capped, class("browse", 1)]);
    let seated: Vec<u32> = (0..16).map(|_| pool.ask(CHECKOUT, at(0))).collect();
    assert_eq!(pool.last(seated[15]), Decision::Admit);
    let beyond = pool.ask(CHECKOUT, at(0));
    assert_eq!(pool.last(beyond), Decision::Queue);
    let other = pool.ask(BROWSE, at(0));
    assert_eq!(pool.last(other), Decision::Admit);
    pool.finish(other, Outcome::Success, at(1));
    assert_eq!(pool.last(beyond), Decision::Queue);
    pool.finish(seated[0], Outcome::Success, at(1));
    assert_eq!(pool.last(beyond), Decision::Admit);
}

#[test]
fn refusals_of_an_open_breaker_count_in_no_breaker() {
    let mut pool = Pool::enforcing(&[with_breaker(class("checkout", 0))]);
    pool.open_breaker(CHECKOUT, at(0));
    for _ in 0..10 {
        let refused = pool.ask(CHECKOUT, at(4_999));
        assert_eq!(pool.last(refused), Decision::Shed(Reason::BreakerOpen));
        pool.finish(refused, Outcome::Failed, at(4_999));
    }
    let probe = pool.ask(CHECKOUT, at(5_000));
    assert_eq!(pool.last(probe), Decision::Admit);
    pool.finish(probe, Outcome::Success, at(5_000));
    assert_eq!(pool.breaker(CHECKOUT, at(5_000)), Some(BreakerState::Closed));
}

#[test]
fn half_open_breaker_takes_no_order_for_a_probe_while_something_else_is_asked_for() {
    let shed = Decision::Shed(Reason::BreakerOpen);
    for asks_for_pages in [true, false] {
        let mut pool = Pool::enforcing(&[with_breaker(class("checkout", 0))]);
        pool.open_breaker(CHECKOUT, at(0));
        if asks_for_pages {
            pool.ask(CHECKOUT, at(4_000));
        }
        let order = pool.order(CHECKOUT, at(5_000));
        assert_eq!(pool.last(order), if asks_for_pages { shed } else { Decision::Admit });
        let page = pool.ask(CHECKOUT, at(5_000));
        assert_eq!(pool.last(page), if asks_for_pages { Decision::Admit } else { shed });
        // One probe of one has succeeded.
        pool.finish(if asks_for_pages { page } else { order }, Outcome::Success, at(5_100));
        let next = pool.order(CHECKOUT, at(5_100));
        assert_eq!(pool.last(next), Decision::Admit);
    }
}

#[test]
fn breaker_forced_open_refuses_its_class_until_it_is_released() {
    let mut pool = Pool::enforcing(&[class("checkout", 0), class("browse", 1)]);
    let browse = ClassId::new(BROWSE).expect("there are two");
    pool.tell(Event::BreakerForced { class: browse, forced: Some(Forced::Open) }, at(0));
    assert_eq!(pool.breaker(BROWSE, at(0)), Some(BreakerState::Open));
    let (refused, other) = (pool.ask(BROWSE, at(1)), pool.ask(CHECKOUT, at(1)));
    // A change of the policy does not release it.
    pool.change_policy(Mode::Enforce, &[class("browse", 0)], at(2));
    let still = pool.ask(0, at(3));
    pool.tell(Event::BreakerForced { class: ClassId::new(0).expect("one"), forced: None }, at(4));
    let released = pool.ask(0, at(4));
    let shed = Decision::Shed(Reason::BreakerOpen);
    let expected = [(refused, shed), (other, Decision::Admit), (still, shed), (released, Decision::Admit)];
    assert_eq!(pool.answers, expected);
    assert_eq!(pool.breaker(0, at(4)), None, "the class has none");
}

#[test]
fn controller_of_an_image_decides_as_the_one_it_was_taken_of() {
    let mut pool = Pool::enforcing(&[with_breaker(class("checkout", 0)), class("browse", 1)]);
    for step in 0..40 {
        pool.ask(step % 2, at(step as u64));
    }
    let mut image = Vec::new();
    pool.controller.write_image(&mut image);
    let controller = Controller::from_image(&image).expect("it was just taken");
    let mut other = Pool { controller, answers: pool.answers.clone(), slots: pool.slots };
    for step in 0..40 {
        for pool in [&mut pool, &mut other] {
            pool.finish(step as u32, Outcome::Success, at(50 + step as u64));
            pool.ask(step % 2, at(50 + step as u64));
        }
    }
    assert_eq!(pool.answers, other.answers);
    assert!(Controller::from_image(&image[1..]).is_none());
    image.push(0);
    assert!(Controller::from_image(&image).is_none(), "one byte too many");
}

#[test]
fn refusals_for_want_of_seats_open_no_breaker() {
    let mut pool = Pool::enforcing(&[with_breaker(class("checkout", 0))]);
    pool.fill(CHECKOUT, at(0));
    for _ in 0..10 {
        pool.ask(CHECKOUT, at(0));
    }
    assert!(pool.answers.iter().any(|(_, decision)| *decision == Decision::Shed(Reason::QueueFull)));
    assert_eq!(pool.breaker(CHECKOUT, at(0)), Some(BreakerState::Closed));
}

#[test]
fn probe_that_is_abandoned_makes_room_for_another() {
    let mut pool = Pool::enforcing(&[with_breaker(class("checkout", 0))]);
    pool.open_breaker(CHECKOUT, at(0));
    let probe = pool.ask(CHECKOUT, at(5_000));
    let beside = pool.ask(CHECKOUT, at(5_000));
    assert_eq!(pool.last(beside), Decision::Shed(Reason::BreakerOpen));
    pool.abandon(probe, at(5_001));
    let next = pool.ask(CHECKOUT, at(5_001));
    assert_eq!(pool.last(next), Decision::Admit);
}

#[test]
fn probe_that_waits_in_vain_makes_room_for_another() {
    let mut pool = Pool::enforcing(&[with_breaker(class("checkout", 0)), class("browse", 1)]);
    pool.open_breaker(CHECKOUT, at(0));
    let seated = pool.fill(BROWSE, at(5_000));
    let probe = pool.ask(CHECKOUT, at(5_000));
    assert_eq!(pool.last(probe), Decision::Queue);
    pool.tell(Event::Woken, at(5_500));
    assert_eq!(pool.last(probe), Decision::Shed(Reason::DeadlinePassed));
    pool.finish(seated[0], Outcome::Success, at(5_500));
    let next = pool.ask(CHECKOUT, at(5_500));
    assert_eq!(pool.last(next), Decision::Admit);
}

#[test]
fn probe_out_while_its_breaker_is_dropped_does_not_block_the_next_one() {
    let guarded = [with_breaker(class("checkout", 0))];
    let mut pool = Pool::enforcing(&guarded);
    pool.open_breaker(CHECKOUT, at(0));
    let probe = pool.ask(CHECKOUT, at(5_000));
    pool.change_policy(Mode::Enforce, &[class("checkout", 0)], at(5_001));
    pool.finish(probe, Outcome::Success, at(5_002));
    pool.change_policy(Mode::Enforce, &guarded, at(5_003));
    let next = pool.ask(CHECKOUT, at(5_004));
    assert_eq!(pool.last(next), Decision::Admit);
}

#[test]
fn policy_change_carries_state_by_name_through_a_change_of_rank() {
    let mut pool = Pool::enforcing(&[with_breaker(class("checkout", 0)), class("browse", 1)]);
    pool.open_breaker(CHECKOUT, at(0));
    let browsing = pool.ask(BROWSE, at(0));
    let classes = [with_breaker(class("checkout", 7)), class("browse", 1)];
    pool.change_policy(Mode::Enforce, &classes, at(1));
    let snapshot = pool.controller.snapshot(at(1));
    assert_eq!(snapshot.classes[0].inflight, 1, "browse comes first now");
    assert_eq!(snapshot.classes[1].breaker, Some(BreakerState::Open));
    pool.finish(browsing, Outcome::Success, at(2));
    assert_eq!(pool.inflight(), 0);
}

#[test]
fn waiters_of_a_removed_class_move_to_the_least_important_one() {
    let mut pool = Pool::enforcing(&[class("checkout", 0), class("browse", 1)]);
    let seated = pool.fill(BROWSE, at(0));
    let moved = pool.ask(CHECKOUT, at(0));
    pool.change_policy(Mode::Enforce, &[class("cart", 2), class("browse", 3)], at(1));
    let snapshot = pool.controller.snapshot(at(1));
    assert_eq!((snapshot.classes[0].queued, snapshot.classes[1].queued), (0, 1));
    let cart = pool.ask(0, at(1));
    pool.finish(seated[0], Outcome::Success, at(2));
    assert_eq!((pool.last(cart), pool.last(moved)), (Decision::Admit, Decision::Queue));
}

#[test]
fn observing_admits_all_and_says_what_it_would_have_done() {
    let mut pool = Pool::new(Mode::Observe, &[with_breaker(class("checkout", 0))]);
    for _ in 0..SEATS + 1 {
        pool.ask(CHECKOUT, at(0));
    }
    assert!(pool.answers.iter().all(|(_, decision)| *decision == Decision::Admit));
    for slot in 0..2 {
        pool.finish(slot, Outcome::Failed, at(1));
    }
    let observed = pool.ask(CHECKOUT, at(1));
    assert_eq!(pool.last(observed), Decision::AdmitObserved(Reason::BreakerOpen));
}

#[test]
fn observing_lets_those_in_who_already_wait() {
    let mut pool = Pool::enforcing(&[class("checkout", 0)]);
    pool.fill(CHECKOUT, at(0));
    let waiter = pool.ask(CHECKOUT, at(0));
    pool.change_policy(Mode::Observe, &[class("checkout", 0)], at(1));
    assert_eq!(pool.last(waiter), Decision::Admit);
}

#[test]
fn a_class_that_is_observed_is_never_refused_while_the_others_are() {
    let mut pool = Pool::enforcing(&[class("checkout", 0), with_breaker(class("browse", 1))]);
    let observed = ClassSet::EMPTY.with(ClassId::new(BROWSE).expect("few classes"));
    pool.fill(BROWSE, at(0));
    let waiters = [CHECKOUT, BROWSE].map(|class| pool.ask(class, at(0)));
    let policy = Policy::clone(pool.controller.policy()).observing(observed);
    pool.tell(Event::PolicyChanged(Arc::new(policy)), at(1));
    assert_eq!(waiters.map(|waiter| pool.last(waiter)), [Decision::Queue, Decision::Admit]);
    let later = [CHECKOUT, BROWSE].map(|class| pool.ask(class, at(1)));
    assert_eq!(later.map(|asked| pool.last(asked)), [Decision::Queue, Decision::Admit]);
    let forced = Event::BreakerForced {
        class: ClassId::new(BROWSE).expect("few classes"),
        forced: Some(Forced::Open),
    };
    pool.tell(forced, at(2));
    let refused = pool.ask(BROWSE, at(2));
    assert_eq!(pool.last(refused), Decision::AdmitObserved(Reason::BreakerOpen));
}

#[test]
fn request_that_takes_over_a_slot_frees_the_seat_of_its_holder() {
    let mut pool = Pool::enforcing(&[class("checkout", 0)]);
    let seated = pool.fill(CHECKOUT, at(0));
    let waiter = pool.ask(CHECKOUT, at(0));
    let request = RequestId { slot: seated[0], epoch: 1 };
    let successor = Arrival { request, ..pool.arrival(CHECKOUT, at(0)) };
    pool.tell(Event::Arrived(successor), at(1));
    assert_eq!(pool.last(waiter), Decision::Admit, "who waited comes first");
    assert_eq!(pool.last(seated[0]), Decision::Queue);
    pool.tell(Event::Arrived(successor), at(1));
    assert_eq!(pool.inflight(), SEATS, "told twice, it is one request");
}

#[test]
fn late_event_of_a_previous_holder_changes_nothing() {
    let mut pool = Pool::enforcing(&[class("checkout", 0)]);
    let slot = pool.ask(CHECKOUT, at(0));
    let stale = RequestId { slot, epoch: 9 };
    pool.tell(Event::Finished { request: stale, outcome: Outcome::Success }, at(1));
    pool.tell(Event::Abandoned { request: stale }, at(1));
    assert_eq!(pool.inflight(), 1);
    pool.finish(slot, Outcome::Success, at(2));
    pool.finish(slot, Outcome::Success, at(3));
    assert_eq!(pool.inflight(), 0);
}

#[test]
fn clock_that_jumps_back_refuses_nobody_and_loses_no_permit() {
    let mut pool = Pool::enforcing(&[class("checkout", 0)]);
    let seated = pool.fill(CHECKOUT, at(10_000));
    let waiter = pool.ask(CHECKOUT, at(10_000));
    pool.tell(Event::FirstByte { request: id(seated[0]), sent: at(10_000) }, at(4_000));
    pool.tell(Event::Woken, at(4_000));
    assert_eq!(pool.last(waiter), Decision::Queue);
    for slot in seated {
        pool.finish(slot, Outcome::Success, at(4_001));
    }
    pool.finish(waiter, Outcome::Success, at(4_002));
    assert_eq!(pool.inflight(), 0);
}
