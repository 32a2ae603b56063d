//! The one lock: what a seat costs, asked for, taken and given back, by one thread and by two at once.

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use plimsoll::clock::Clock;
use plimsoll::gate::{Asked, Gate};
use plimsoll::journal::entry::Grounds;
use plimsoll::policy;
use plimsoll_core::controller::{Arrival, Outcome};
use plimsoll_core::policy::Policy;
use plimsoll_core::standing::{Tenure, Value};
use plimsoll_core::time::Time;

const THREADS: u64 = 2;

struct Door {
    gate: Arc<Gate>,
    policy: Arc<Policy>,
    clock: Clock,
}

impl Door {
    fn new() -> Door {
        let policy = Arc::clone(&policy::storefront().core);
        let clock = Clock::start();
        Door { gate: Gate::new(Arc::clone(&policy), clock), policy, clock }
    }

    /// A request that finds a free seat, from its question to its end.
    fn pass(&self) {
        let asked = self.gate.ask(&self.policy, &Grounds::default(), |request| Arrival {
            request,
            class: self.policy.ids().next().expect("a policy has a class"),
            value: Value::new(0.5),
            tenure: Tenure::Fresh,
            usage_penalty: 0,
            lot: 0,
            is_idempotent: true,
            deadline: Time::NEVER,
        });
        let Asked::Answered(answer) = asked else { unreachable!("a seat is free for each thread") };
        let permit = answer.permit.expect("a seat is free for each thread");
        // One that was sent long ago would be slow, and open the breaker.
        permit.first_byte(self.clock.now());
        permit.finish(Outcome::Success);
    }

    /// How long it takes until each thread has passed so often.
    fn pass_together(&self, times: u64) -> Duration {
        let start = self.clock.now();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..times).for_each(|_| self.pass()));
            }
        });
        self.clock.now().since(start)
    }
}

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gate");
    let door = Door::new();
    group.throughput(Throughput::Elements(1));
    group.bench_function("one thread", |bencher| bencher.iter(|| door.pass()));
    group.throughput(Throughput::Elements(THREADS));
    // Each thread passes once: two million a second in all.
    group.bench_function("two threads, a request of each (at most 1 us)", |bencher| {
        bencher.iter_custom(|times| door.pass_together(times));
    });
    group.finish();
}
