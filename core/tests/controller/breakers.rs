//! When a class's breaker lets a request pass, and what is told of it.

use crate::pool::{BROWSE, CHECKOUT, Pool, at, class, with_breaker};
use plimsoll_core::breaker::Forced;
use plimsoll_core::controller::{Event, Outcome};
use plimsoll_core::decision::{BreakerState, Decision, Reason};
use plimsoll_core::policy::{ClassId, Mode};

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
fn evidence_tells_the_state_of_a_breaker_and_who_probes_it() {
    let mut pool = Pool::enforcing(&[with_breaker(class("checkout", 0)), class("browse", 1)]);
    pool.open_breaker(CHECKOUT, at(0));
    let told =
        [(BROWSE, 0), (CHECKOUT, 4_999), (CHECKOUT, 5_000), (CHECKOUT, 5_000)].map(|(class, millis)| {
            let evidence = pool.evidence(class, at(millis));
            (evidence.breaker, evidence.is_probe)
        });
    let half_open = Some(BreakerState::HalfOpen);
    assert_eq!(
        told,
        [(None, false), (Some(BreakerState::Open), false), (half_open, true), (half_open, false)]
    );
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
fn provider_that_answers_nobody_opens_the_breaker_once_its_clients_have_waited_for_a_slow_call() {
    for (millis, state) in [(999, BreakerState::Closed), (1_000, BreakerState::Open)] {
        let mut pool = Pool::enforcing(&[with_breaker(class("checkout", 0))]);
        let asked: Vec<u32> = (0..20).map(|_| pool.ask(CHECKOUT, at(0))).collect();
        asked.into_iter().for_each(|slot| pool.abandon(slot, at(millis)));
        assert_eq!(pool.breaker(CHECKOUT, at(millis)), Some(state));
    }
}

/// In overload everything is slow, and that is the limit's business.
#[test]
fn calls_that_are_slow_while_the_limit_shrinks_open_no_breaker() {
    for (outcome, expected) in
        [(Outcome::Success, BreakerState::Open), (Outcome::Overloaded, BreakerState::Closed)]
    {
        let mut pool = Pool::enforcing(&[with_breaker(class("checkout", 0)), class("browse", 1)]);
        let slow = [(); 2].map(|()| pool.ask(CHECKOUT, at(0)));
        let others = [(); 3].map(|()| pool.ask(BROWSE, at(0)));
        // Three for which the shop is too busy cut the limit.
        others.into_iter().for_each(|slot| pool.finish(slot, outcome, at(1_500)));
        slow.into_iter().for_each(|slot| pool.finish(slot, Outcome::Success, at(1_500)));
        assert_eq!(pool.breaker(CHECKOUT, at(1_500)), Some(expected), "{outcome:?}");
    }
}
