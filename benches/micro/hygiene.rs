//! What a request pays for being checked before anything else sees it (at most a twentieth of what proxying costs).

use std::hint::black_box;

use criterion::Criterion;
use http::request::Parts;
use plimsoll::clients::TrustedHops;
use plimsoll::hygiene::{Received, Rules, check};

use crate::sample;

pub(crate) fn measure(criterion: &mut Criterion) {
    let (rules, parts) = (Rules::default(), sample::get(sample::ROUTED));
    let bytes = head_of(&parts);
    let mut group = criterion.benchmark_group("hygiene");
    for (name, bytes) in [("HTTP/1", Some(bytes.as_bytes())), ("HTTP/2", None)] {
        let received = Received { parts: &parts, target: sample::ROUTED.as_bytes(), bytes };
        group.bench_function(name, |bencher| bencher.iter(|| check(black_box(received), &rules).is_ok()));
    }
    let hops = TrustedHops::new(vec!["127.0.0.0/8".parse().expect("a literal network")]);
    let mut forwarded = parts.headers.clone();
    forwarded.insert("x-forwarded-for", "198.51.100.7, 203.0.113.1".parse().expect("a literal field"));
    let peer = std::net::Ipv4Addr::LOCALHOST.into();
    group.bench_function("the client behind a hop", |bencher| {
        bencher.iter(|| hops.client(black_box(peer), &forwarded));
    });
    group.finish();
}

/// The head as an HTTP/1.1 client sends it.
fn head_of(parts: &Parts) -> String {
    let mut head = format!("{} {} HTTP/1.1\r\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        let value = value.to_str().expect("a literal field is text");
        head.extend([name.as_str(), ": ", value, "\r\n"]);
    }
    head + "\r\n"
}
