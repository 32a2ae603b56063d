//! The simulated shop against what queueing theory and arithmetic say of it.

use super::contest::{Contestant, run};
use super::judge::Judge;
use super::ledger::{Ledger, Point};
use super::shop::Shop;
use crate::scenario::Scenario;
use crate::tally::Cell;
use plimsoll::policy;
use std::path::Path;
use std::time::Duration;

const MIX: &str = "  - { name: order, class: checkout, paths: [/checkout], weight: 1 }
  - { name: page, class: browse, paths: [\"/product/{50}\"], weight: 3 }
";

/// A scenario with this origin, mix and phases, and whatever else `more` says.
fn scenario(origin: &str, more: &str, mix: &str, phases: &str) -> Scenario {
    let text = format!(
        "name: test\ndescription: a test\norigin: {origin}\nslo: 1s\npatience: 2s\n{more}\nmix:\n{mix}\nphases:\n{phases}\n"
    );
    Scenario::parse(Path::new("test.yaml"), &text).unwrap()
}

fn simulate(scenario: &Scenario, contestant: Contestant, seed: u64) -> Ledger {
    let judge = Judge::new(policy::storefront(), scenario).unwrap();
    run(scenario, &judge, contestant, seed)
}

/// Mean seconds in the shop.
fn mean_stay(cell: &Cell) -> f64 {
    cell.served_us.mean() / 1e6
}

/// The chance that one must wait for `servers` that are asked for `erlangs` of work (Erlang C).
fn erlang_c(servers: u32, erlangs: f64) -> f64 {
    let mut blocked = 1.0;
    for server in 1..=servers {
        blocked = erlangs * blocked / (f64::from(server) + erlangs * blocked);
    }
    let idle = 1.0 - erlangs / f64::from(servers);
    blocked / (idle + (1.0 - idle) * blocked)
}

#[test]
fn unlimited_line_waits_as_long_as_erlang_says() {
    for servers in [1, 4, 32] {
        let mean = 0.01;
        let origin =
            format!("{{ workers: {servers}, service: {{ mean: 10ms, distribution: exponential }} }}");
        // 320,000 requests each: waits of neighbours resemble each other, so that fewer say little.
        let phase = format!("  - {{ name: long, duration: {}s, load: 0.8x }}", 4_000 / servers);
        let scenario = scenario(&origin, "", MIX, &phase);
        let ledger = simulate(&scenario, Contestant::NoControl, 1);
        let stay = mean_stay(&ledger.tally.phase_total(0));
        let offered = 0.8 * f64::from(servers);
        let expected = mean + erlang_c(servers, offered) * mean / (f64::from(servers) - offered);
        assert!((stay / expected - 1.0).abs() < 0.05, "{servers}: {stay} s, expected {expected} s");
    }
}

#[test]
fn every_request_has_one_end_and_a_seed_one_course() {
    let scenario = scenario(
        "{ workers: 4, service: { mean: 20ms }, thrash: 0.2% }",
        "",
        MIX,
        "  - { name: busy, duration: 20s, load: 3x }",
    );
    for contestant in [Contestant::Plimsoll, Contestant::NoControl, Contestant::StaticLimit(6)] {
        let counts = |ledger: &Ledger| {
            let all = ledger.tally.phase_total(0);
            let ends = [all.good, all.late, all.refusals(), all.failed, all.timed_out];
            assert_eq!(ends.iter().sum::<u64>(), all.offered, "{contestant}: {all:?}");
            (all.offered, ends)
        };
        let first = counts(&simulate(&scenario, contestant, 7));
        assert_eq!(first, counts(&simulate(&scenario, contestant, 7)), "{contestant}");
        assert_ne!(first, counts(&simulate(&scenario, contestant, 8)), "{contestant}");
    }
}

#[test]
fn all_contestants_are_asked_for_the_same() {
    let scenario = scenario(
        "{ workers: 4, service: { mean: 20ms } }",
        "",
        MIX,
        "  - { name: busy, duration: 10s, load: 3x }",
    );
    let offered = |contestant| simulate(&scenario, contestant, 3).tally.class_total(1).offered;
    assert_eq!(offered(Contestant::Plimsoll), offered(Contestant::NoControl));
}

#[test]
fn overload_without_control_serves_nobody_in_time_and_plimsoll_serves_the_checkouts() {
    let scenario = scenario(
        "{ workers: 16, service: { mean: 40ms }, thrash: 0.2% }",
        "",
        MIX,
        "  - { name: busy, duration: 20s, load: 2x }",
    );
    let direct = simulate(&scenario, Contestant::NoControl, 1);
    let guarded = simulate(&scenario, Contestant::Plimsoll, 1);
    assert!(direct.tally.useful_work(0, 400.0).unwrap() < 0.1);
    assert!(guarded.tally.useful_work(0, 400.0).unwrap() > 0.9);
    let checkout = guarded.tally.cell(0, 0);
    assert!(checkout.good * 100 >= checkout.offered * 99, "{checkout:?}");
    assert!(guarded.worth[0] > 5.0 * direct.worth[0], "{:?} {:?}", guarded.worth, direct.worth);
}

#[test]
fn phase_changes_the_shop() {
    let scenario = scenario(
        "{ workers: 8, service: { mean: 10ms, distribution: deterministic }, endpoints: 2 }",
        "",
        MIX,
        "  - { name: whole, duration: 10s, load: 0.5x }
  - { name: half, duration: 10s, load: 0.5x, workers: 0.5x }
  - { name: slow, duration: 10s, load: 0.2x, slow: { origin: 3x } }
  - { name: one slow, duration: 10s, load: 0.2x, slow: { endpoint 2: 3x } }
  - { name: broken, duration: 10s, load: 0.2x, failing: { endpoint 1: 100% } }",
    );
    let capacities: Vec<f64> =
        scenario.phases.iter().map(|phase| Shop::capacity(&scenario, phase).round()).collect();
    assert_eq!(capacities, [800.0, 400.0, 267.0, 533.0, 800.0]);
    let ledger = simulate(&scenario, Contestant::NoControl, 1);
    let stay = |phase| mean_stay(&ledger.tally.phase_total(phase));
    assert!(stay(0) < 0.015 && stay(1) > stay(0), "{} {}", stay(0), stay(1));
    assert!((stay(2) - 0.03).abs() < 0.003 && (stay(3) - 0.02).abs() < 0.002, "{} {}", stay(2), stay(3));
    let broken = ledger.tally.phase_total(4);
    assert_eq!(broken.errors[&500], broken.offered.div_ceil(2), "endpoints take turns: {broken:?}");
}

#[test]
fn slow_dependency_fills_the_shop_and_leaves_those_alone_who_do_not_need_it_only_while_workers_are_free() {
    let mix = "  - { name: order, class: checkout, paths: [/checkout], weight: 1, needs: payment }
  - { name: page, class: browse, paths: [/], weight: 9 }";
    let scenario = scenario(
        "{ workers: 10, service: { mean: 10ms }, dependencies: { payment: { slots: 4, service: { mean: 20ms } } } }",
        "",
        mix,
        "  - { name: well, duration: 10s, load: 0.5x }
  - { name: slow, duration: 20s, load: 0.5x, slow: { payment: 10x } }",
    );
    let ledger = simulate(&scenario, Contestant::NoControl, 1);
    let stay = |phase, class| mean_stay(ledger.tally.cell(phase, class));
    assert!((stay(0, 0) - 0.03).abs() < 0.005 && (stay(0, 1) - 0.01).abs() < 0.002);
    // 50 orders per second need 10 slots of 200 ms, and there are 4: their workers wait, then all do.
    assert!(stay(1, 1) > 0.2, "{}", stay(1, 1));
}

#[test]
fn wires_add_to_the_latency_and_to_what_a_leaving_client_costs() {
    let origin = "{ workers: 4, service: { mean: 10ms, distribution: deterministic } }";
    let calm = "  - { name: calm, duration: 10s, load: 0.1x }";
    let scenario_with = |wire: &str| scenario(origin, wire, MIX, calm);
    let near = simulate(&scenario_with(""), Contestant::NoControl, 1);
    let far = simulate(&scenario_with("wire: { client: 5ms, origin: 20ms }"), Contestant::NoControl, 1);
    let stay = |ledger: &Ledger| mean_stay(&ledger.tally.phase_total(0));
    assert!((stay(&far) - stay(&near) - 0.05).abs() < 0.001, "{} {}", stay(&near), stay(&far));
    let flood = "  - { name: flood, duration: 20s, load: 3x }";
    let scenario = scenario(origin, "wire: { client: 5ms, origin: 20ms }", MIX, flood);
    let all = simulate(&scenario, Contestant::NoControl, 1).tally.phase_total(0);
    assert!(all.timed_out > all.offered / 2 && all.good + all.late + all.timed_out == all.offered, "{all:?}");
}

#[test]
fn client_who_leaves_frees_its_worker() {
    // Services of three seconds, patience of two: each worker is freed by leaving clients only.
    let origin = "{ workers: 2, service: { mean: 3s, distribution: deterministic } }";
    let phases = "  - { name: hopeless, duration: 20s, load: 1/s }
  - { name: empty, duration: 10s, load: 0.001/s }
  - { name: quick, duration: 10s, load: 1/s, slow: { origin: 0.01x } }";
    let ledger = simulate(&scenario(origin, "", MIX, phases), Contestant::NoControl, 1);
    assert_eq!(ledger.tally.phase_total(0).timed_out, ledger.tally.phase_total(0).offered);
    let quick = ledger.tally.phase_total(2);
    assert_eq!(quick.good, quick.offered, "no worker is still busy with those who left");
}

#[test]
fn course_adds_up_to_the_counts() {
    let scenario = scenario(
        "{ workers: 4, service: { mean: 20ms } }",
        "",
        MIX,
        "  - { name: busy, duration: 10s, load: 3x }",
    );
    let ledger = simulate(&scenario, Contestant::StaticLimit(4), 1);
    let sum = |counts: fn(&Point) -> &[u32]| {
        ledger.course.points.iter().flat_map(counts).map(|count| u64::from(*count)).sum::<u64>()
    };
    let all = ledger.tally.phase_total(0);
    assert_eq!(sum(|point| &point.offered), all.offered);
    // Clients may still be served when the course has ended.
    assert!(all.good + all.late - sum(|point| &point.served) < 10);
    assert_eq!(sum(|point| &point.shed), all.refusals());
    assert_eq!(ledger.course.step, Duration::from_millis(100));
    assert!(ledger.course.points.iter().all(|point| point.gauge.limit == Some(4.0)));
}
