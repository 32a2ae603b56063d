//! Path, routes and model: what a request is.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode};
use plimsoll::classify::features::{LocalTime, RequestFeatures, SESSION_LEN, write_session};
use plimsoll::classify::head::Head;
use plimsoll::classify::path;
use plimsoll::classify::session::{SessionView, Stage};
use plimsoll::clock::Clock;
use plimsoll::generation::Generation;
use plimsoll::model::Scorer;
use plimsoll::policy;

use crate::sample;

pub(crate) fn measure(criterion: &mut Criterion) {
    let policy = policy::storefront();
    let mut classify = criterion.benchmark_group("classify");
    for (name, target) in [("routed", sample::ROUTED), ("unrouted", sample::UNROUTED)] {
        let parts = sample::get(target);
        classify.bench_function(format!("key and route, {name}"), |bencher| {
            bencher.iter(|| {
                let head = Head::of(black_box(&parts));
                policy.routes.find(&head, &path::key(head.path()), None).map(|route| route.class)
            });
        });
    }
    classify.finish();
    measure_model(criterion);
}

fn measure_model(criterion: &mut Criterion) {
    let scorer = Scorer::embedded().expect("the tests load the embedded model");
    let generation = Generation::new(1, policy::storefront(), Some(scorer));
    let clock = Clock::start();
    let judge = |head: Head<'_>| {
        let key = path::key(head.path());
        generation.judge(&head, &key, None, Stage::Browsing, &clock).class
    };
    let mut model = criterion.benchmark_group("model");
    let known = sample::get(sample::UNROUTED);
    model.bench_function("features", |bencher| {
        bencher.iter(|| RequestFeatures::of(&Head::of(black_box(&known)), sample::UNROUTED, None));
    });
    model.bench_function("judge, known template (at most 1.5 us)", |bencher| {
        bencher.iter(|| judge(Head::of(black_box(&known))));
    });
    model.bench_function("judge, new template", |bencher| {
        bencher.iter_batched_ref(sample::ever_new(), |new| judge(Head::of(new)), BatchSize::SmallInput);
    });
    let (session, evening) = (SessionView::default(), LocalTime { hour: 20, weekday: 4 });
    let value_too = |head: Head<'_>| generation.value(judge(head), black_box(&session), evening, &clock);
    model.bench_function("judge and value, known template (at most 4.5 us)", |bencher| {
        bencher.iter(|| value_too(Head::of(black_box(&known))));
    });
    model.bench_function("judge and value, new template (at most 12 us)", |bencher| {
        bencher.iter_batched_ref(sample::ever_new(), |new| value_too(Head::of(new)), BatchSize::SmallInput);
    });
    let scorer = generation.model.as_ref().expect("it was put in above");
    model.bench_function("value", |bencher| {
        let mut features = [0.0; SESSION_LEN];
        write_session(&session, evening, &mut features);
        bencher.iter(|| scorer.value(black_box(&features)));
    });
    // As many in each sample, so that a hundredth of them is some.
    model.sampling_mode(SamplingMode::Flat);
    model.bench_function("judge and value, new template, p99 (at most 30 us)", |bencher| {
        let mut next = sample::ever_new();
        bencher.iter_custom(|count| {
            slow(count, || {
                let parts = next();
                let started = clock.now();
                black_box(value_too(Head::of(&parts)));
                clock.now().since(started)
            })
        });
    });
    model.finish();
}

/// As if each of so many had taken as long as the one that 99 of 100 are quicker than.
fn slow(count: u64, mut time: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..count).map(|_| time()).collect();
    times.sort_unstable();
    times[times.len() * 99 / 100].mul_f64(count as f64)
}
