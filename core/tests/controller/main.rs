//! The controller in literal time: each answer, and both sides of what it depends on.

mod pool;
mod breakers;

use plimsoll_core::breaker::Forced;
use plimsoll_core::controller::{Arrival, Capacity, Controller, Event, Outcome};
use plimsoll_core::decision::{BreakerState, Decision, Reason, RequestId, Standing};
use plimsoll_core::policy::{Class, ClassId, ClassSet, Mode, Policy};
use pool::{BROWSE, CHECKOUT, Pool, SEATS, at, class, id, percent, waiting_up_to, with_breaker};
use std::sync::Arc;
use std::time::Duration;

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

#[test]
fn evidence_tells_down_to_which_standing_there_are_seats() {
    let mut pool = Pool::enforcing(&[class("checkout", 0), class("browse", 1)]);
    let capacity = Capacity { seats: 10, is_found: true };
    let threshold = |pool: &mut Pool, class, millis| {
        pool.controller.hold_capacity(capacity);
        pool.evidence(class, at(millis)).threshold
    };
    assert_eq!([0; 10].map(|millis| threshold(&mut pool, CHECKOUT, millis)), [None; 10]);
    (0..10).for_each(|slot| pool.finish(slot, Outcome::Success, at(100)));
    // Ten seats for a tenth of a second each, and a thousand a second who ask, all of cohort 80.
    (100..2_100).for_each(|millis| _ = threshold(&mut pool, CHECKOUT, millis));
    assert_eq!(threshold(&mut pool, BROWSE, 2_100), Some(Standing(80)));
    // The last two who wait are told of the queue that they were.
    pool.controller.hold_capacity(capacity);
    pool.controller.handle(Event::Woken, at(2_111));
    let effects = std::iter::from_fn(|| pool.controller.poll_effect());
    let told: Vec<_> = effects.map(|effect| (effect.decision, effect.evidence.threshold)).collect();
    assert_eq!(told, [(Decision::Shed(Reason::DeadlinePassed), Some(Standing(80))); 2]);
}

/// Full of checkouts since the first second, and known to carry no more; others wait for so long.
fn full_of_checkouts(wait_max: Duration) -> (Pool, Vec<u32>) {
    let mut pool = Pool::enforcing(&[waiting_up_to(wait_max, class("checkout", 0))]);
    pool.controller.hold_capacity(Capacity { seats: SEATS, is_found: true });
    let seated = pool.fill(CHECKOUT, at(1_000));
    (pool, seated)
}

#[test]
fn who_is_too_late_for_the_slo_waits_behind_who_is_not() {
    let (mut pool, seated) = full_of_checkouts(Duration::from_secs(2));
    let late = pool.ask(CHECKOUT, at(1_000));
    let in_time = pool.ask(CHECKOUT, at(1_700));
    // Three quarters of the SLO.
    assert_eq!(pool.controller.next_wakeup(), Some(at(1_750)));
    pool.finish(seated[0], Outcome::Success, at(1_750));
    assert_eq!([late, in_time].map(|slot| pool.last(slot)), [Decision::Queue, Decision::Admit]);
    pool.finish(seated[1], Outcome::Success, at(1_751));
    assert_eq!(pool.last(late), Decision::Admit, "it is worth an answer all the same");
}

#[test]
fn who_is_too_late_for_the_slo_is_refused_when_the_wait_is_over() {
    let (mut pool, _) = full_of_checkouts(Duration::from_millis(1_500));
    let late = pool.ask(CHECKOUT, at(1_000));
    for millis in [1_750, 2_499] {
        pool.tell(Event::Woken, at(millis));
        assert_eq!((pool.last(late), pool.controller.next_wakeup()), (Decision::Queue, Some(at(2_500))));
    }
    pool.tell(Event::Woken, at(2_500));
    assert_eq!(pool.last(late), Decision::Shed(Reason::DeadlinePassed));
}

#[test]
fn full_queue_and_a_wait_in_vain_are_shedding_too() {
    let mut pool = Pool::enforcing(&[class("checkout", 0)]);
    pool.fill(CHECKOUT, at(0));
    pool.ask(CHECKOUT, at(0));
    pool.ask(CHECKOUT, at(0));
    assert!(!pool.controller.is_shedding(at(1)));
    let refused = pool.ask(CHECKOUT, at(1));
    assert_eq!(pool.last(refused), Decision::Shed(Reason::QueueFull));
    assert!(pool.controller.is_shedding(at(1)));
    // Those two have waited for 500 ms by then, in vain.
    pool.tell(Event::Woken, at(600));
    assert!([600, 1_099, 1_100].map(|millis| pool.controller.is_shedding(at(millis))) == [true, true, false]);
}

/// Nothing is retried meanwhile.
#[test]
fn pool_sheds_while_somebody_was_refused_lately_for_want_of_seats() {
    let mut pool = Pool::enforcing(&[waiting_up_to(Duration::from_millis(1), class("checkout", 0))]);
    // Seats are held for 400 ms: of eight times 32, as many as a start may come to, one is free every 1.6.
    let first = pool.fill(CHECKOUT, at(0));
    first.into_iter().for_each(|slot| pool.finish(slot, Outcome::Success, at(400)));
    pool.fill(CHECKOUT, at(400));
    assert!(!pool.controller.is_shedding(at(400)));
    let refused = pool.ask(CHECKOUT, at(400));
    assert_eq!(pool.last(refused), Decision::Shed(Reason::WaitTooLong));
    assert!([400, 899].into_iter().all(|millis| pool.controller.is_shedding(at(millis))));
    assert!(!pool.controller.is_shedding(at(900)));
}
