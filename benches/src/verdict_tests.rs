//! Thresholds against counts that were made by hand.

use super::*;
use crate::client::failure::Failure;
use crate::tally::lag::Departure;
use crate::tally::{Account, Expectation, Outcome};
use http::StatusCode;
use std::path::Path;
use std::time::Duration;

const SCENARIO: &str = "\
name: small
description: two phases, the first of which is warm-up
origin: { workers: 1, service: { mean: 100ms } }
slo: 1s
patience: 2s
mix:
  - { name: order, class: checkout, paths: [/checkout], weight: 1 }
  - { name: page, class: browse, paths: [/], weight: 1 }
phases:
  - { name: warm, duration: 10s, load: 1x, warm_up: true }
  - { name: hot, duration: 10s, load: 1x }
thresholds:
";

const OK: Outcome = Outcome::Answered(StatusCode::OK);
const ERROR: Outcome = Outcome::Answered(StatusCode::INTERNAL_SERVER_ERROR);
const REFUSED: Outcome = Outcome::Answered(StatusCode::SERVICE_UNAVAILABLE);

/// How a request ended: phase, class, outcome, latency in milliseconds.
type End = (usize, usize, Outcome, u64);

/// The verdicts on `thresholds` after these ends.
fn verdicts_on(thresholds: &[&str], ends: &[End]) -> Vec<Verdict> {
    verdicts_beside(thresholds, ends, None)
}

/// The same, if a run without a proxy ended so.
fn verdicts_beside(thresholds: &[&str], ends: &[End], direct: Option<&[End]>) -> Vec<Verdict> {
    let lines: Vec<String> = thresholds.iter().map(|line| format!("  - {line}\n")).collect();
    let scenario = Scenario::parse(Path::new("s.yaml"), &format!("{SCENARIO}{}", lines.concat())).unwrap();
    let (tally, direct) = (tally_of(&scenario, ends), direct.map(|ends| tally_of(&scenario, ends)));
    let survival = [Survival { begun: 9, admitted: 9, completed: 9, lost: 0 }, Survival::default()];
    verdicts(&scenario, &Measured { tally: &tally, survival: &survival, direct: direct.as_ref() })
}

fn tally_of(scenario: &Scenario, ends: &[End]) -> Tally {
    let mut tally = Tally::new(scenario.spans(), 2, Expectation::Success);
    for (phase, class, outcome, millis) in ends {
        let account = Account { phase: *phase, class: *class, cost: 1.0, slo: Duration::from_secs(1) };
        tally.offer(account, Departure::default());
        tally.settle(account, *outcome, Duration::from_millis(*millis), Duration::from_secs(15));
    }
    tally
}

fn held(thresholds: &[&str], ends: &[End]) -> Vec<bool> {
    verdicts_on(thresholds, ends).iter().map(|verdict| verdict.held).collect()
}

#[test]
fn share_at_the_bound_is_held_and_one_below_missed() {
    let mut ends = vec![(1, 0, OK, 10); 999];
    ends.push((1, 0, Outcome::Failed(Failure::Reset), 10));
    let thresholds = ["checkout.good >= 99.9%", "checkout.failed <= 0.1%", "checkout.failed < 0.1%"];
    assert_eq!(held(&thresholds, &ends), [true, true, false]);
    ends.push((1, 0, Outcome::TimedOut, 2_000));
    assert_eq!(held(&thresholds, &ends), [false, true, true]);
}

#[test]
fn warm_up_counts_only_where_it_is_named() {
    let ends = [(0, 0, REFUSED, 1), (1, 0, OK, 1)];
    let thresholds = ["checkout.good >= 100%", "checkout.good >= 100% in warm", "all.shed <= 0%"];
    assert_eq!(held(&thresholds, &ends), [true, false, true]);
}

#[test]
fn refusals_have_a_latency_of_their_own() {
    let ends = [(1, 0, OK, 900), (1, 1, REFUSED, 4)];
    assert_eq!(held(&["shed.p99 < 5ms", "all.p99 < 5ms", "all.max > 899ms"], &ends), [true, false, true]);
}

#[test]
fn clients_who_left_have_waited_as_long_as_their_patience() {
    let mut ends = vec![(1, 0, OK, 20); 99];
    ends.push((1, 0, Outcome::TimedOut, 2_000));
    let thresholds = ["checkout.p99 < 500ms", "checkout.max < 500ms", "checkout.max >= 2s"];
    assert_eq!(held(&thresholds, &ends), [true, false, true]);
    ends.push((1, 0, Outcome::TimedOut, 2_000));
    assert_eq!(held(&thresholds, &ends), [false, false, true]);
    // How soon a connection breaks or a shop fails says nothing of how long an answer takes.
    let ends = [(1, 0, OK, 900), (1, 0, Outcome::Failed(Failure::Reset), 1), (1, 0, ERROR, 1)];
    assert_eq!(held(&["checkout.p50 > 500ms"], &ends), [true]);
}

#[test]
fn latency_is_held_against_that_without_a_proxy() {
    let thresholds = ["all.p99 <= 1.05x direct", "all.p99 <= 1.01x direct in hot", "browse.p50 < 2x direct"];
    let (ends, direct) = ([(0, 0, OK, 900), (1, 0, OK, 208)], [(0, 0, OK, 1), (1, 0, OK, 200)]);
    let verdicts = verdicts_beside(&thresholds, &ends, Some(&direct));
    assert_eq!(verdicts.iter().map(|verdict| verdict.held).collect::<Vec<_>>(), [true, false, false]);
    let ratio = verdicts[0].measured.unwrap();
    assert!((ratio - 1.04).abs() < 0.005, "{ratio}");
    assert!(verdicts[0].value().starts_with("10") && verdicts[0].value().ends_with(" %"), "{verdicts:?}");
    assert_eq!(verdicts[2].measured, None, "nobody browsed");
    assert_eq!(held(&thresholds, &ends), [false; 3], "there was no such run");
}

#[test]
fn useful_work_is_of_the_phase() {
    // Forty of eighty units: ten a second, in the eight seconds that count.
    let ends = vec![(1, 1, OK, 10); 40];
    let verdicts = verdicts_on(&["all.useful_work >= 50% in hot", "all.useful_work > 50% in hot"], &ends);
    assert_eq!(verdicts.iter().map(|verdict| verdict.held).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn nothing_measured_is_not_held() {
    let verdicts = verdicts_on(&["checkout.good >= 0%", "sessions.survived >= 0%", "shed.p99 < 1s"], &[]);
    assert!(verdicts.iter().all(|verdict| !verdict.held && verdict.measured.is_none()), "{verdicts:?}");
    assert!(table(&verdicts).contains("no data  MISSED"), "{}", table(&verdicts));
    assert_eq!(table(&[]), "");
}
