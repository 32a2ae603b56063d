//! All of it, as the proxy does it for each request: who asks, what for, what it is worth, may it pass.
//!
//! The value is computed only where the decision depends on it: while a seat is
//! free, it does not. Behind a full pool every request here is refused at once,
//! because it leaves itself no time to wait.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion};
use http::request::Parts;
use plimsoll::classify::entry::entry;
use plimsoll::classify::features::LocalTime;
use plimsoll::classify::head::Head;
use plimsoll::classify::path;
use plimsoll::classify::sessions::SessionTable;
use plimsoll::clients::Usage;
use plimsoll::clock::Clock;
use plimsoll::gate::{Asked, Gate, Permit};
use plimsoll::generation::Generation;
use plimsoll::journal::entry::Grounds;
use plimsoll::model::Scorer;
use plimsoll::policy;
use plimsoll_core::controller::{Arrival, Outcome};
use plimsoll_core::policy::ClassId;
use plimsoll_core::standing::{Tenure, Value};

use crate::sample;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// More than it takes.
const PATIENT: Duration = Duration::from_secs(1);
/// No time to wait for a seat.
const IMPATIENT: Duration = Duration::ZERO;
const EVENING: LocalTime = LocalTime { hour: 20, weekday: 4 };

/// What a proxy keeps between requests.
struct Shell {
    generation: Generation,
    sessions: SessionTable,
    usage: Usage,
    gate: Arc<Gate>,
    clock: Clock,
}

impl Shell {
    fn new() -> Shell {
        let policy = policy::storefront();
        let clock = Clock::start();
        Shell {
            sessions: SessionTable::new(policy.sessions.sessions_max),
            gate: Gate::new(Arc::clone(&policy.core), clock),
            generation: Generation::new(1, policy, Some(Scorer::embedded().expect("the tests load it"))),
            usage: Usage::default(),
            clock,
        }
    }

    /// Takes every free seat.
    fn fill(&self) -> Vec<Permit> {
        let checkout = self.generation.policy.core.ids().next().expect("a policy has a class");
        std::iter::from_fn(|| self.ask(checkout, 0.5, 0, IMPATIENT)).collect()
    }

    fn ask(&self, class: ClassId, value: f32, usage_penalty: u8, patience: Duration) -> Option<Permit> {
        let deadline = self.clock.now().after(patience);
        let (value, tenure) = (Value::new(value), Tenure::Fresh);
        let asked = self.gate.ask(&self.generation.policy.core, &Grounds::default(), |request| Arrival {
            request,
            class,
            value,
            tenure,
            usage_penalty,
            lot: 0,
            is_idempotent: true,
            deadline,
        });
        match asked {
            Asked::Answered(answer) => answer.permit,
            Asked::Waiting(_) | Asked::Stale => unreachable!("nobody here waits, and no policy changes"),
        }
    }

    /// From a head to an answer, and on to the end of the request if it was admitted.
    fn decide(&self, parts: &Parts, patience: Duration) -> bool {
        let policy = &self.generation.policy;
        let (head, now) = (Head::of(parts), self.clock.now());
        let session = self.sessions.identify(&head, &policy.sessions.cookies, CLIENT);
        let known = self.sessions.view(&session, now);
        let key = path::key(head.path());
        let judgement = self.generation.judge(&head, &key, None, known.view.stage, &self.clock);
        self.sessions.record(&session, policy.settings(judgement.own_class).visit, entry(&head), now);
        let usage_penalty = self.usage.count(known.hash, now);
        let value = if self.gate.depends_on_value(judgement.class, now.after(patience)) {
            self.generation.value(judgement.class, &known.view, EVENING, &self.clock)
        } else {
            policy.settings(judgement.class).value
        };
        let permit = self.ask(judgement.class, value, usage_penalty, patience);
        let Some(permit) = permit else { return false };
        self.sessions.admitted(&session, now);
        permit.first_byte(now);
        permit.finish(Outcome::Success);
        true
    }
}

pub(crate) fn measure(criterion: &mut Criterion) {
    let shell = Shell::new();
    let mut group = criterion.benchmark_group("decision");
    let routed = sample::get(sample::ROUTED);
    let known = sample::get(sample::UNROUTED);
    group.bench_function("routed, admitted (at most 4 us)", |bencher| {
        bencher.iter(|| shell.decide(&routed, PATIENT));
    });
    group.bench_function("known template, admitted (at most 4 us)", |bencher| {
        bencher.iter(|| shell.decide(&known, PATIENT));
    });
    group.bench_function("new template, admitted (at most 15 us)", |bencher| {
        let decide = |new: &mut Parts| shell.decide(new, PATIENT);
        bencher.iter_batched_ref(sample::ever_new(), decide, BatchSize::SmallInput);
    });

    let seats = shell.fill();
    group.bench_function("routed, refused", |bencher| {
        bencher.iter(|| shell.decide(&routed, IMPATIENT));
    });
    group.bench_function("new template, refused (at most 15 us)", |bencher| {
        let decide = |new: &mut Parts| shell.decide(new, IMPATIENT);
        bencher.iter_batched_ref(sample::ever_new(), decide, BatchSize::SmallInput);
    });
    drop(seats);
    group.finish();
}
