//! Loads that a policy of two classes can come to, and the waits they allow.

use super::*;
use crate::policy::{Mode, QueuePolicy, Share};

fn class(name: &str, rank: u8, floor: u32) -> Class {
    Class { floor: Share::from_percent(floor).unwrap(), ..Class::sample(name, rank) }
}

fn policy() -> Policy {
    Policy::new(Mode::Enforce, vec![class("checkout", 0, 0), class("browse", 1, 20)]).unwrap()
}

/// The worst of a class.
const POOR: Standing = Standing(127);

/// In a flood of a hundred times the seats, of which a fifth is believed at first, the lots from 9 to 12
/// fill gaps.
const GAP: u8 = 11;

const TEN: SeatsToExpect =
    SeatsToExpect { limit: 10.0, slow_alone: SlowAlone { classes: ClassSet::EMPTY, seats: 10 } };

/// Half above the healthy latency.
const FULL_RATIO: f64 = 1.5;

fn id(index: usize) -> ClassId {
    ClassId::new(index).unwrap()
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// A permit came back after `held`, which is what its class takes when the pool is well.
fn release(load: &mut Load, class: ClassId, held: Duration) {
    load.release(class, held, held, held);
}

/// From 100 ms on a class asks for a hundred times as much as ten seats can do.
fn flooded(index: usize, slow_alone: ClassSet) -> Load {
    let mut load = Load::default();
    release(&mut load, id(index), Duration::from_millis(100));
    (0..1_000).for_each(|_| load.ask(id(index), POOR));
    load.refresh(
        &policy(),
        SeatsToExpect { slow_alone: SlowAlone { classes: slow_alone, seats: 10 }, ..TEN },
        FULL_RATIO,
        true,
        at(100),
    );
    load
}

/// What a load allows a class, with a deadline far away.
fn allowed(load: &Load, index: usize, now: Time) -> Duration {
    let side = load.side(id(index), POOR, GAP, now);
    load.wait_allowed(id(index), policy().class(id(index)), side, at(1_000_000), now)
}

#[test]
fn refusal_in_a_flood_leaves_only_the_target_for_half_a_second() {
    let mut load = flooded(0, ClassSet::EMPTY);
    assert_eq!(allowed(&load, 0, at(100)), Duration::from_millis(800));
    load.refused(id(0), at(100));
    assert_eq!(allowed(&load, 0, at(599)), Duration::from_millis(50));
    assert_eq!(allowed(&load, 0, at(600)), Duration::from_millis(800));
}

#[test]
fn queue_that_stands_longer_than_a_burst_leaves_only_the_target_in_a_flood() {
    let mut load = flooded(0, ClassSet::EMPTY);
    load.note_waiting(id(0), 1, at(100));
    load.note_waiting(id(0), 2, at(190));
    assert_eq!(allowed(&load, 0, at(199)), Duration::from_millis(800));
    assert_eq!(allowed(&load, 0, at(200)), Duration::from_millis(50));
    load.note_waiting(id(0), 0, at(200));
    assert_eq!(allowed(&load, 0, at(200)), Duration::from_millis(800));
}

#[test]
fn queue_longer_than_a_burst_need_not_stand_to_be_none() {
    let mut load = flooded(0, ClassSet::EMPTY);
    load.note_waiting(id(0), BURST_MAX - 1, at(100));
    assert_eq!(allowed(&load, 0, at(100)), Duration::from_millis(800));
    load.note_waiting(id(0), BURST_MAX, at(100));
    assert_eq!(allowed(&load, 0, at(100)), Duration::from_millis(50));
}

#[test]
fn spike_is_measured_early_and_is_no_surprise_any_more() {
    let mut load = Load::default();
    let mut ask = |count, now| {
        (0..count).for_each(|_| load.ask(id(0), POOR));
        if load.is_due(true, now) {
            load.refresh(&policy(), TEN, FULL_RATIO, true, now);
        }
        load.next_refresh()
    };
    assert_eq!(ask(40, at(100)), at(200));
    assert_eq!(ask(79, at(120)), at(200));
    assert_eq!(ask(1, at(120)), at(220), "twice as many as in the tenth of a second before");
    assert_eq!(ask(799, at(140)), at(220), "eighty in 20 ms are the rule now");
}

#[test]
fn those_who_waited_when_their_class_was_shut_may_have_free_seats_once() {
    let mut load = flooded(0, ClassSet::EMPTY);
    let mut shut = |from: u64| {
        (0..1_000).for_each(|_| load.ask(id(0), POOR));
        load.refused(id(0), at(from));
        load.refresh(&policy(), TEN, FULL_RATIO, true, at(from));
        assert!(load.is_shut(id(1), at(from)));
        [0, 799, 800].map(|later| load.rings_in_grace(at(from + later)).has_any_of(id(1)))
    };
    assert_eq!(shut(10_000), [true, true, false], "for as long as its queue lets them wait");
    assert_eq!(shut(14_000), [false; 3], "it was shut a moment ago");
    assert_eq!(shut(19_000), [true, true, false]);
}

#[test]
fn grace_is_over_where_an_answer_would_be_late() {
    let browse = class("browse", 1, 20);
    let queue = QueuePolicy { wait_max: Duration::from_secs(2), ..browse.queue };
    let classes = vec![class("checkout", 0, 0), Class { queue, ..browse }];
    let patient = Policy::new(Mode::Enforce, classes).unwrap();
    let mut load = flooded(0, ClassSet::EMPTY);
    (0..1_000).for_each(|_| load.ask(id(0), POOR));
    load.refused(id(0), at(10_000));
    load.refresh(&patient, TEN, FULL_RATIO, true, at(10_000));
    assert!(load.is_shut(id(1), at(10_000)));
    let in_grace = |now| load.rings_in_grace(at(now)).has_any_of(id(1));
    assert_eq!([10_999, 11_000].map(in_grace), [true, false], "its SLO is a second");
}

#[test]
fn class_that_asks_for_no_more_than_there_is_may_wait_in_spite_of_a_refusal() {
    let mut load = Load::default();
    load.refused(id(0), at(0));
    assert_eq!(allowed(&load, 0, at(1)), Duration::from_millis(750), "most of its SLO");
    assert!(!load.is_shut(id(1), at(1)), "and takes nothing from those below it");
}

/// More of a class wait than a burst leaves behind, and nobody has asked for more than there is.
fn with_a_burst(policy: &Policy) -> Load {
    let mut load = Load::default();
    load.refresh(policy, TEN, FULL_RATIO, true, at(1));
    load.note_waiting(id(0), BURST_MAX, at(1));
    load
}

#[test]
fn burst_that_is_turned_away_in_part_is_not_passed_by() {
    let mut load = with_a_burst(&policy());
    assert!(!load.is_shut(id(1), at(1)), "a burst");
    load.refused(id(0), at(1));
    assert!(load.is_shut(id(1), at(1)));
    load.note_waiting(id(0), 0, at(2));
    assert!(!load.is_shut(id(1), at(2)), "that is over");
}

/// Its demand is measured at a hundred a second, of which each takes `seconds` of ten seats.
fn asking(seconds: f64) -> Load {
    let mut load = Load::default();
    for tenth in 1..=100 {
        (0..10).for_each(|_| load.ask(id(0), POOR));
        release(&mut load, id(0), Duration::from_secs_f64(seconds));
        load.refresh(&policy(), TEN, FULL_RATIO, true, at(tenth * 100));
    }
    load.refused(id(0), at(10_000));
    load
}

#[test]
fn who_may_ask_for_more_than_there_is_waits_for_less_and_who_does_for_least() {
    // Chance is a seat in ten: what is two beyond may be more than there is, and what is three beyond is.
    let waits = [0.09, 0.13, 0.15].map(|seconds| allowed(&asking(seconds), 0, at(10_001)));
    assert_eq!(waits, [750, 500, 250].map(Duration::from_millis));
}

#[test]
fn seats_that_are_held_for_shorter_ask_for_fewer_before_anybody_is_refused() {
    let mut load = asking(0.15);
    // Of a smaller limit: the hold time that is judged by follows within a second.
    (0..200).for_each(|_| release(&mut load, id(0), Duration::from_millis(80)));
    (0..10).for_each(|_| load.ask(id(0), POOR));
    load.refresh(&policy(), TEN, FULL_RATIO, true, at(10_100));
    assert_eq!(allowed(&load, 0, at(10_100)), Duration::from_millis(500));
    assert!(load.is_shut(id(1), at(10_100)), "others are kept out by what was");
}

#[test]
fn burst_of_a_class_with_a_ceiling_takes_nothing_from_others() {
    let half = Class { ceiling: Share::from_percent(50).unwrap(), ..class("checkout", 0, 0) };
    let policy = Policy::new(Mode::Enforce, vec![half, class("browse", 1, 20)]).unwrap();
    let mut load = with_a_burst(&policy);
    load.refused(id(0), at(1));
    assert!(!load.is_shut(id(1), at(1)));
}

#[test]
fn lines_are_drawn_as_soon_as_the_limit_is_found() {
    let mut load = Load::default();
    load.refresh(&policy(), TEN, FULL_RATIO, false, at(100));
    assert!(!load.is_due(false, at(110)) && !load.is_due(true, at(109)) && load.is_due(true, at(110)));
    load.refresh(&policy(), TEN, FULL_RATIO, true, at(110));
    assert!(!load.is_due(true, at(209)));
}

#[test]
fn wait_leaves_time_to_answer_before_the_deadline() {
    let mut load = Load::default();
    release(&mut load, id(0), Duration::from_millis(100));
    let wait = |deadline| load.wait_allowed(id(0), policy().class(id(0)), Side::AboveLine, deadline, at(0));
    assert_eq!(wait(at(300)), Duration::from_millis(200));
    assert_eq!(wait(at(100)), Duration::ZERO);
    assert_eq!(wait(at(0)), Duration::ZERO);
}

#[test]
fn wait_is_the_work_ahead_over_the_seats() {
    let mut load = Load::default();
    release(&mut load, id(0), Duration::from_millis(100));
    let ring = Ring::new(id(0), 0);
    let mut queue = Queue::default();
    queue.join(0, ring, at(500));
    queue.join(1, ring, at(500));
    queue.join(2, Ring::new(id(0), 1), at(500));
    // Two ahead and itself, a tenth of a second each; the one in a worse ring does not count.
    let wait = load.wait(&policy(), &queue, ring, TEN, at(0));
    assert_eq!(wait, Duration::from_millis(30));
}

#[test]
fn congested_better_class_leaves_the_others_their_floor() {
    let mut load = flooded(0, ClassSet::EMPTY);
    release(&mut load, id(1), Duration::from_millis(100));
    let wait = |load: &Load, now| load.wait(&policy(), &Queue::default(), Ring::new(id(1), 0), TEN, now);
    assert_eq!(wait(&load, at(100)), Duration::from_millis(10));
    load.refused(id(0), at(100));
    // 20 % of ten seats instead of all of them.
    assert_eq!(wait(&load, at(599)), Duration::from_millis(50));
    assert_eq!(wait(&load, at(600)), Duration::from_millis(10));
}

#[test]
fn class_that_is_slow_by_itself_shuts_nobody_out() {
    let mut load = flooded(0, ClassSet::EMPTY);
    load.refused(id(0), at(100));
    assert!(load.is_shut(id(1), at(100)));
    let mut load = flooded(0, ClassSet::EMPTY.with(id(0)));
    load.refused(id(0), at(100));
    assert!(!load.is_shut(id(1), at(100)));
    assert_eq!(load.side(id(0), POOR, 255, at(100)), Side::Beyond, "what it lacks, nobody has");
}

#[test]
fn seats_that_better_rings_keep_busy_are_not_counted_on() {
    let mut load = Load::default();
    release(&mut load, id(0), Duration::from_millis(100));
    release(&mut load, id(1), Duration::from_millis(100));
    let wait = |load: &Load| load.wait(&policy(), &Queue::default(), Ring::new(id(1), 0), TEN, at(100));
    let before = wait(&load);
    for _ in 0..10 {
        load.accept(Ring::new(id(0), 0));
    }
    assert_eq!(wait(&load), before, "not measured yet");
    assert!(!load.is_due(false, at(99)) && load.is_due(false, at(100)));
    // Half of the hundred a second are believed: five seats.
    load.refresh(&policy(), TEN, FULL_RATIO, true, at(100));
    assert_eq!(wait(&load), Duration::from_millis(20));
}

#[test]
fn new_policy_finds_the_load_of_a_class_by_its_name() {
    let old = policy();
    let classes = vec![class("browse", 0, 0), class("checkout", 1, 0), class("bots", 2, 0)];
    let new = Policy::new(Mode::Enforce, classes).unwrap();
    let mut load = flooded(0, ClassSet::EMPTY);
    load.refused(id(0), at(100));
    load.succeed(&Succession::between(&old, &new));
    assert_eq!(load.hold(id(1)), Duration::from_millis(100));
    assert_eq!(load.hold(id(0)), Duration::ZERO);
    assert_eq!(allowed(&load, 1, at(101)), Duration::from_millis(50), "it is still congested");
    assert_eq!(allowed(&load, 0, at(101)), Duration::from_millis(800));
}

#[test]
fn what_waits_in_a_pool_that_is_too_full_asks_for_no_more_than_before() {
    // Of ten seats those who ask for six, 60 a second, wait in the pool for three times what is healthy: by how
    // long they hold their seats they would ask for 24.
    let mut load = Load::default();
    for tenth in 1..=50_u64 {
        (0..6).for_each(|_| load.ask(id(0), POOR));
        load.release(
            id(0),
            Duration::from_millis(400),
            Duration::from_millis(400),
            Duration::from_millis(100),
        );
        load.refused(id(0), at(tenth * 100));
        load.refresh(&policy(), TEN, FULL_RATIO, true, at(tenth * 100));
    }
    assert!(!load.is_shut(id(1), at(5_000)));
    assert_eq!(load.side(id(0), POOR, 255, at(5_000)), Side::AboveLine);
}
