//! A policy of a thousand routes: what it takes to compile and check, and what a request pays to find its route.
//!
//! The routes are such as a generated policy has: mostly paths of their own, some with methods,
//! stars or query keys. The request looked up takes the last of them, or none.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::Criterion;
use plimsoll::classify::head::Head;
use plimsoll::classify::path;
use plimsoll::classify::session::Stage;
use plimsoll::policy::compile::compile;
use plimsoll::policy::compiled::CompiledPolicy;
use plimsoll::yaml::source::Source;

use crate::sample;

const ROUTES: usize = 1_000;
const EXPRESSIONS: usize = 20;
/// Expressions that compare texts are answered without the interpreter.
const COMPARED: &str = "request.query.step == 's{number}' && session.stage == 'cart'";
/// So are those that compare numbers.
const COUNTED: &str = "request.path.size() > 200 + {number} && session.stage == 'cart'";
/// Others are not: this one is its as a whole, and asked for every request.
const INTERPRETED: &str = "size(request.cookies) > {number}";

pub(crate) fn measure(criterion: &mut Criterion) {
    let (plain, compared) = (source(None), source(Some(COMPARED)));
    let (counted, interpreted) = (source(Some(COUNTED)), source(Some(INTERPRETED)));
    let mut group = criterion.benchmark_group("1000 routes");
    group.sample_size(20);
    group.bench_function("compile and check (at most 200 ms)", |bencher| {
        bencher.iter(|| compile(black_box(&plain)).is_ok());
    });
    let find = |policy: &CompiledPolicy, parts: &http::request::Parts| {
        let head = Head::of(black_box(parts));
        policy.routes.find_at(&head, &path::key(head.path()), None, Stage::Browsing).map(|route| route.class)
    };
    for (name, source) in [
        ("no CEL (at most 1.5 us)", &plain),
        ("20 CEL rules that compare texts (at most 15 us)", &compared),
        ("20 CEL rules that count (at most 15 us)", &counted),
        ("20 CEL rules for the interpreter (at most 15 us)", &interpreted),
    ] {
        let policy = compile(source).expect("a generated policy is valid");
        for (what, target) in [("the last route", "/shop990/item/7?k999=1"), ("no route", sample::UNROUTED)] {
            let parts = sample::get(target);
            group.bench_function(format!("{what}, {name}"), |bencher| bencher.iter(|| find(&policy, &parts)));
        }
    }
    group.finish();
}

/// A policy of a thousand routes, the first of which have an expression that is asked for every request.
fn source(expression: Option<&str>) -> Source {
    let mut text = "version: 1\nclasses: { checkout: {}, browse: {} }\nroutes:\n".to_owned();
    for number in 0..ROUTES {
        if let Some(expression) = expression.filter(|_| number < EXPRESSIONS) {
            let when = expression.replace("{number}", &number.to_string());
            writeln!(text, "  - {{ when: \"{when}\", class: checkout }}")
                .expect("a string takes what is written");
            continue;
        }
        let written = match number % 10 {
            0..=5 => writeln!(text, "  - {{ path: /shop{number}/checkout/**, class: checkout }}"),
            6 => writeln!(
                text,
                "  - {{ methods: [POST], path: [/a{number}, /b{number}/**], class: checkout }}"
            ),
            7 => writeln!(text, "  - {{ path: /rest/*/v{number}/*-cart/**, class: browse }}"),
            8 => writeln!(text, "  - {{ path: '/**/*.x{number}', class: browse }}"),
            _ => writeln!(text, "  - {{ path: /shop990/**, query: {{ k{number}: }}, class: browse }}"),
        };
        written.expect("a string takes what is written");
    }
    Source::of("thousand.yaml", &text)
}
