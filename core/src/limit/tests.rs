//! The limit before pools that answer as they are told.

use super::trial::Step;
use super::*;

/// A pool whose answers take as long as it is told, reported at an even pace.
struct Pool {
    limit: Limit,
    now: Time,
}

impl Pool {
    fn new() -> Pool {
        Pool { limit: Limit::new(SLO), now: Time::ZERO }
    }

    /// Keeps all seats taken for a while, each answer taking `latency`.
    fn saturate(&mut self, latency: Duration, span: Duration) {
        let end = self.now.after(span);
        while self.now < end {
            let seats = self.limit.current();
            self.limit.set_unanswered(ClassId::new(0).unwrap(), seats, self.now);
            self.limit.set_out(out(seats), true, self.now);
            self.now = self.now.after(latency / seats);
            self.limit.observe(0, latency, self.now);
        }
    }

    /// A pool of workers that serve in 40 ms each, and a queue before them.
    fn overload(&mut self, workers: u32, span: Duration) {
        let end = self.now.after(span);
        while self.now < end {
            let waiting = f64::from(self.limit.current()) / f64::from(workers);
            self.saturate(Duration::from_millis(40).mul_f64(waiting.max(1.0)), WINDOW_MIN / 10);
        }
    }
}

fn out(seats: u32) -> Out {
    Out { seats, stuck: 0 }
}

const SLO: Duration = Duration::from_secs(1);
const LATENCY: Duration = Duration::from_millis(40);

#[test]
fn doubles_while_latency_stays_as_it_was() {
    let mut pool = Pool::new();
    pool.saturate(LATENCY, Duration::from_millis(200));
    assert_eq!(pool.limit.current(), 64);
    pool.saturate(LATENCY, Duration::from_secs(5));
    assert_eq!(pool.limit.current(), LIMIT_MAX);
}

#[test]
fn does_not_grow_while_seats_are_free() {
    let mut pool = Pool::new();
    for step in 1..500 {
        let now = Time::from_millis(step * 10);
        pool.limit.set_out(out(31), false, now);
        pool.limit.observe(0, LATENCY, now);
    }
    assert_eq!(pool.limit.current(), 32);
}

#[test]
fn settles_just_above_the_workers() {
    for workers in [8, 50, 200] {
        let mut pool = Pool::new();
        pool.saturate(LATENCY, WINDOW_MIN);
        pool.overload(workers, Duration::from_secs(12));
        let limit = pool.limit.expected();
        let above = limit / f64::from(workers);
        assert!((1.0..1.6).contains(&above), "{limit} seats for {workers} workers");
    }
}

#[test]
fn trial_that_a_late_pool_spoils_is_given_up() {
    let mut pool = Pool::new();
    pool.saturate(LATENCY, WINDOW_MIN);
    pool.overload(16, Duration::from_secs(3));
    while !matches!(pool.limit.phase, Phase::Trial(trial) if trial.step == Step::Up) {
        pool.overload(16, WINDOW_MIN / 10);
    }
    let tried = pool.limit.current();
    let began = pool.now;
    // Two workers are left: they answer 32 times, which a window needs, in 640 ms.
    while matches!(pool.limit.phase, Phase::Trial(_)) {
        pool.overload(2, WINDOW_MIN / 10);
    }
    assert!(pool.limit.current() < tried, "{} of {tried}", pool.limit.current());
    assert!(pool.now.since(began) < Duration::from_millis(600), "{:?}", pool.now.since(began));
}

/// Some of the answers of a shop that is well may take most of the SLO.
#[test]
fn trial_of_a_pool_with_some_slow_answers_is_not_spoilt() {
    let mut limit = Limit::new(SLO);
    let level = Level::at(32.0, 30.0);
    limit.phase = Phase::Trial(Trial { step: Step::Up, before: 32.0, level, began: Time::ZERO });
    for step in 1..=30 {
        let latency = Duration::from_millis(if step % 3 == 0 { 600 } else { 100 });
        limit.observe(0, latency, Time::from_millis(step));
        assert!(matches!(limit.phase, Phase::Trial(_)), "{step}");
    }
}

#[test]
fn baseline_of_a_new_class_is_the_mean_of_what_it_showed() {
    let mut limit = Limit::new(SLO);
    assert_eq!(limit.baseline(3), Duration::ZERO);
    limit.observe(3, Duration::from_millis(10), Time::from_millis(1));
    limit.observe(3, Duration::from_millis(30), Time::from_millis(2));
    assert_eq!(limit.baseline(3), Duration::from_millis(20));
    assert_eq!(limit.baseline(0), Duration::ZERO);
}

#[test]
fn latency_of_nothing_leaves_the_baseline_a_number() {
    let mut pool = Pool::new();
    for step in 0..1_000 {
        pool.limit.observe(0, Duration::ZERO, Time::from_millis(step));
    }
    assert_eq!(pool.limit.baseline(0), Duration::from_micros(1));
}

#[test]
fn overload_answers_cut_once_per_round_trip() {
    let mut limit = Limit::new(SLO);
    let fail = |limit: &mut Limit, now| (0..3).for_each(|_| limit.result(true, now));
    fail(&mut limit, Time::from_millis(0));
    assert_eq!(limit.current(), 25);
    assert!(limit.shrinking(Time::from_millis(999)));
    assert!(!limit.shrinking(Time::from_millis(1_000)));
    // No round trip is known yet: the shortest window stands for it.
    fail(&mut limit, Time::from_millis(99));
    assert_eq!(limit.current(), 25);
    limit.result(true, Time::from_millis(100));
    assert_eq!(limit.current(), 20);
}

#[test]
fn few_overload_answers_among_many_cut_nothing() {
    let after = |good: u32, overloaded: u32| {
        let mut limit = Limit::new(SLO);
        (0..good).for_each(|_| limit.result(false, Time::ZERO));
        (0..overloaded).for_each(|_| limit.result(true, Time::ZERO));
        limit.current()
    };
    assert_eq!(after(0, 2), 32);
    assert_eq!(after(0, 3), 25);
    assert_eq!(after(28, 3), 32);
    assert_eq!(after(27, 3), 25);
}

#[test]
fn overload_answers_never_cut_below_the_least_limit() {
    let mut limit = Limit::new(SLO);
    for step in 0..100 {
        (0..3).for_each(|_| limit.result(true, Time::from_millis(step * 100)));
    }
    assert_eq!(limit.current(), LIMIT_MIN);
}

#[test]
fn window_with_too_few_answers_is_forgotten() {
    let mut pool = Pool::new();
    pool.saturate(LATENCY, WINDOW_MIN);
    let before = pool.limit.current();
    for step in 1..20 {
        let late = pool.now.after(Duration::from_secs(11) * step);
        pool.limit.observe(0, LATENCY * 50, late);
    }
    assert_eq!(pool.limit.current(), before);
}
