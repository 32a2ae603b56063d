//! The simulated shop against what queueing theory and arithmetic say of it.

use super::contest::{Contestant, run};
use super::judge::Judge;
use super::ledger::{Ledger, Point};
use crate::scenario::Scenario;
use crate::tally::cell::Cell;
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
    let reasons: u64 = guarded.reasons.values().flat_map(|counts| counts.values()).sum();
    assert_eq!(reasons, guarded.tally.phase_total(0).refusals(), "every refusal has a reason");
    let checkout = guarded.tally.cell(0, 0);
    assert!(checkout.good * 100 >= checkout.offered * 99, "{checkout:?}");
    assert!(guarded.worth[0] > 5.0 * direct.worth[0], "{:?} {:?}", guarded.worth, direct.worth);
}

#[test]
fn sessions_are_served_evenly_where_their_class_is_served_whole() {
    let scenario = scenario(
        "{ workers: 16, service: { mean: 40ms } }",
        "",
        MIX,
        "  - { name: busy, duration: 20s, load: 3x }",
    );
    let orders = |contestant| simulate(&scenario, contestant, 1).evenness[0][0].index().unwrap();
    let (guarded, blind) = (orders(Contestant::Plimsoll), orders(Contestant::StaticLimit(20)));
    assert!(guarded > 0.99 && blind < 0.9, "{guarded} {blind}");
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
        scenario.phases.iter().map(|phase| scenario.origin.capacity_in(phase).round()).collect();
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

#[test]
fn refused_clients_come_back_as_often_as_they_are_told_to() {
    let flood = "  - { name: flood, duration: 20s, load: 100x }";
    let origin = "{ workers: 1, service: { mean: 100ms } }";
    let offered = |retries: &str| {
        let scenario = scenario(origin, retries, MIX, flood);
        simulate(&scenario, Contestant::StaticLimit(1), 1).tally.phase_total(0).offered
    };
    let once = offered("");
    // One in a hundred is served; the others come three times more, the last of them not before the end.
    let ratio = offered("retries: { attempts: 3, backoff: 100ms, jitter: none }") as f64 / once as f64;
    assert!((3.8..4.0).contains(&ratio), "{ratio}");
    let ratio = offered("retries: { attempts: 3, backoff: 100ms, jitter: full }") as f64 / once as f64;
    assert!((3.8..4.0).contains(&ratio), "{ratio}");
}

#[test]
fn funnel_takes_its_steps_in_order_and_ends_where_it_is_not_served() {
    let funnel = "funnels: [{ name: buyer, begin: 10, think: 100ms, steps: [browse, browse, checkout] }]";
    let origin = "{ workers: 100, service: { mean: 10ms } }";
    let phases = "  - { name: well, duration: 100s, load: 1/s, workers: 1x }";
    let calm = scenario(origin, &funnel.replace("begin: 10", "begin: 100000"), MIX, phases);
    let ledger = simulate(&calm, Contestant::NoControl, 1);
    let survival = ledger.survival[0];
    assert!(
        survival.begun > 800 && survival.lost == 0 && survival.begun - survival.completed < 20,
        "{survival:?}"
    );
    let orders = ledger.tally.cell(0, 0).offered - survival.completed;
    assert!(orders < 60, "an order per session, and a quarter of the schedule's hundred: {orders}");
    let flood = scenario(origin, funnel, MIX, "  - { name: flood, duration: 20s, load: 3x }");
    let survival = simulate(&flood, Contestant::NoControl, 1).survival[0];
    assert!(survival.completed + survival.lost <= survival.admitted && survival.admitted < survival.begun);
}

#[test]
fn sessions_follow_the_shape_of_the_load() {
    let begun = |load: &str| {
        let funnel = "funnels: [{ name: buyer, begin: 1000, think: 100ms, steps: [browse] }]";
        let phases = format!("  - {{ name: only, duration: 100s, {load} }}");
        let scenario = scenario("{ workers: 100, service: { mean: 10ms } }", funnel, MIX, &phases);
        simulate(&scenario, Contestant::NoControl, 1).survival[0].begun
    };
    let (flat, shaped) = (begun("load: 0.01x"), begun("load: 0.01x, shape: [1x, 5x]"));
    // Five standard deviations on either side.
    assert!(flat.abs_diff(1_000) < 160 && shaped.abs_diff(3_000) < 275, "{flat} {shaped}");
}

#[test]
fn proxies_share_the_traffic_as_told_and_each_its_own_limit() {
    let origin = "{ workers: 100, service: { mean: 100ms, distribution: deterministic } }";
    let phases = "  - { name: flood, duration: 20s, load: 10x }";
    let good = |more: &str| {
        let scenario = scenario(origin, more, MIX, phases);
        simulate(&scenario, Contestant::StaticLimit(10), 1).tally.phase_total(0).good
    };
    let (one, three) = (good(""), good("proxies: [1, 1, 1]"));
    assert!(three.abs_diff(3 * one) < one / 10, "{one} {three}");
}

#[test]
fn long_transfers_hold_a_permit_and_no_worker() {
    let mix = "  - { name: film, class: browse, paths: [/], weight: 1, download: 3s }
  - { name: photo, class: cart, paths: [/cart], weight: 1, upload: 3s, patience: 10s, slo: 4s }";
    let origin = "{ workers: 4, service: { mean: 10ms } }";
    let scenario = scenario(origin, "", mix, "  - { name: calm, duration: 30s, load: 20/s }");
    let ledger = simulate(&scenario, Contestant::NoControl, 1);
    let all = ledger.tally.phase_total(0);
    assert_eq!(all.good, all.offered, "the shop is hardly asked for anything");
    let inflight: Vec<u32> = ledger.course.points.iter().map(|point| point.gauge.inflight).collect();
    assert!(inflight[200] > 40, "twenty a second stay for three: {}", inflight[200]);
}

#[test]
fn jump_of_the_clock_is_seen_by_proxies_only() {
    let origin = "{ workers: 4, service: { mean: 10ms } }";
    let phases = "  - { name: before, duration: 10s, load: 0.2x }
  - { name: after, duration: 30s, load: 0.2x, clock_jump: 300s }";
    let ledger = simulate(&scenario(origin, "", MIX, phases), Contestant::Haproxy(1), 1);
    assert!(mean_stay(&ledger.tally.phase_total(1)) < 0.2);
    let all = ledger.tally.phase_total(1);
    assert!(all.refusals() < 5 && all.good > 2_000, "only those who waited just then are refused: {all:?}");
}

#[test]
fn misjudged_requests_are_treated_as_what_they_are_not() {
    let origin = "{ workers: 16, service: { mean: 40ms } }";
    let phases = "  - { name: right, duration: 10s, load: 3x }
  - { name: wrong, duration: 10s, load: 3x, misjudged: 100% }";
    let ledger = simulate(&scenario(origin, "", MIX, phases), Contestant::Haproxy(20), 1);
    let in_time = |phase, class| {
        let cell = ledger.tally.cell(phase, class);
        cell.good as f64 / cell.offered as f64
    };
    assert!(in_time(0, 0) > 0.99 && in_time(0, 1) < 0.2, "{} {}", in_time(0, 0), in_time(0, 1));
    assert!(in_time(1, 0) < 0.2, "an order is taken for a page: {}", in_time(1, 0));
}
