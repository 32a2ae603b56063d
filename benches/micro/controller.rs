//! The core alone, in virtual time: admit, refuse at the door, queue and dispatch.

use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use plimsoll::policy;
use plimsoll_core::controller::{Arrival, Controller, Event, Outcome};
use plimsoll_core::decision::{Decision, RequestId};
use plimsoll_core::policy::{ClassId, Policy};
use plimsoll_core::standing::{Tenure, Value};
use plimsoll_core::time::Time;

/// How long a request is worked on.
const SERVICE: Duration = Duration::from_millis(40);
/// Between two arrivals.
const TICK: Duration = Duration::from_micros(1);

/// A controller, its time, and who comes and goes next.
struct Pool {
    controller: Controller,
    now: Time,
    arrived: u32,
    admitted: u32,
}

impl Pool {
    /// A pool that has seen enough requests to know how long they take.
    fn acquainted(policy: &Arc<Policy>) -> Pool {
        let controller = Controller::new(Arc::clone(policy));
        let mut pool = Pool { controller, now: Time::ZERO, arrived: 0, admitted: 0 };
        for class in policy.ids() {
            for _ in 0..100 {
                pool.arrive(class);
                pool.now = pool.now.after(SERVICE);
                pool.finish();
            }
        }
        pool
    }

    /// One whose every seat is taken.
    fn saturated(policy: &Arc<Policy>, class: ClassId) -> Pool {
        let mut pool = Pool::acquainted(policy);
        while !pool.controller.is_saturated() {
            pool.arrive(class);
        }
        pool
    }

    fn arrive(&mut self, class: ClassId) -> Decision {
        self.now = self.now.after(TICK);
        let arrival = Arrival {
            request: request(self.arrived),
            class,
            value: Value::new(0.5),
            tenure: Tenure::Fresh,
            usage_penalty: 0,
            lot: 0,
            is_idempotent: true,
            deadline: self.now.after(Duration::from_secs(3_600)),
        };
        self.controller.handle(Event::Arrived(arrival), self.now);
        let effect = self.controller.poll_effect().expect("an arrival is answered at once");
        if !matches!(effect.decision, Decision::Shed(_)) {
            self.arrived += 1;
        }
        effect.decision
    }

    /// The oldest admitted request ends; its seat may go to one that waits.
    fn finish(&mut self) -> Option<Decision> {
        let finished = Event::Finished { request: request(self.admitted), outcome: Outcome::Success };
        self.admitted += 1;
        self.controller.handle(finished, self.now);
        self.controller.poll_effect().map(|effect| effect.decision)
    }
}

/// Slots are used in turn, as the gate uses them again; far more than are ever taken at once.
fn request(number: u32) -> RequestId {
    RequestId { slot: number % 4_096, epoch: number / 4_096 }
}

pub(crate) fn measure(criterion: &mut Criterion) {
    let policy = policy::storefront().core;
    let class = |name| policy.class_named(name).expect("a class of the shipped policy");
    let mut group = criterion.benchmark_group("controller");

    let mut pool = Pool::acquainted(&policy);
    assert_eq!(pool.arrive(class("browse")), Decision::Admit);
    // 300 ns for the one, and as much for the other.
    group.bench_function("admit and finish (at most 0.6 us)", |bencher| {
        bencher.iter(|| (pool.arrive(class("browse")), pool.finish()));
    });

    let mut pool = Pool::saturated(&policy, class("checkout"));
    while pool.arrive(class("analytics")) == Decision::Queue {}
    group.bench_function("refuse at the door", |bencher| {
        bencher.iter(|| pool.arrive(class("analytics")));
    });

    let mut pool = Pool::saturated(&policy, class("checkout"));
    assert_eq!(pool.arrive(class("checkout")), Decision::Queue);
    group.bench_function("queue, finish and dispatch", |bencher| {
        bencher.iter(|| (pool.arrive(class("checkout")), pool.finish()));
    });
    group.finish();
}
