//! Every failure mode of `scenarios/failure-modes/`, shortened, and what it must not do to the shop.
//!
//! The bounds are what holds with room to spare in the median of three stories; what
//! good looks like stands at the head of each scenario, and may be more. A controller
//! that falls below one of these has lost something that it once could.

use super::contest::{Contestant, run};
use super::judge::Judge;
use super::ledger::Ledger;
use crate::scenario::Scenario;
use crate::tally::cell::Cell;
use plimsoll::policy;
use std::path::{Path, PathBuf};

/// By how much phases are shortened; none to less than [`SECONDS_MIN`].
const SHORTER: f64 = 0.5;
/// Of each scenario: one alone says as much of its chances as of the controller.
const STORIES: u64 = 3;
/// A phase must be long enough for useful work to be counted in it.
const SECONDS_MIN: f64 = 4.0;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/failure-modes")
}

/// Shortened runs of one of the files, each with a seed of its own.
struct Runs {
    name: String,
    scenario: Scenario,
    ledgers: Vec<Ledger>,
}

fn simulated(file: &str, contestant: Contestant) -> Runs {
    let mut scenario = Scenario::read(&directory().join(format!("{file}.yaml"))).unwrap();
    for phase in &mut scenario.phases {
        let seconds = phase.duration.as_secs_f64();
        phase.duration = phase.duration.mul_f64((SHORTER * seconds).max(seconds.min(SECONDS_MIN)) / seconds);
    }
    let judge = Judge::new(policy::storefront(), &scenario).unwrap();
    let seeds = scenario.seed..scenario.seed + STORIES;
    let ledgers = seeds.map(|seed| run(&scenario, &judge, contestant, seed)).collect();
    Runs { name: format!("{file} with {contestant}"), scenario, ledgers }
}

fn guarded(file: &str) -> Runs {
    simulated(file, Contestant::Plimsoll)
}

impl Runs {
    fn phase(&self, name: &str) -> usize {
        self.scenario.phases.iter().position(|phase| phase.name == name).unwrap()
    }

    /// Of what `measure` says of each run.
    fn median(&self, measure: impl Fn(&Ledger) -> f64) -> f64 {
        let mut values: Vec<f64> = self.ledgers.iter().map(measure).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    fn of_cell(&self, phase: &str, class: &str, measure: impl Fn(&Cell) -> f64) -> f64 {
        let index = self.phase(phase);
        let column = self.scenario.classes().iter().position(|name| *name == class).unwrap();
        self.median(|ledger| measure(ledger.tally.cell(index, column)))
    }

    /// The share of a class that is served in time, in percent.
    fn in_time(&self, phase: &str, class: &str) -> f64 {
        self.of_cell(phase, class, |cell| {
            assert!(cell.offered > 0, "{}: {phase} has no {class}", self.name);
            cell.good as f64 * 100.0 / cell.offered as f64
        })
    }

    fn serves(&self, phase: &str, class: &str, at_least: f64) -> &Runs {
        let share = self.in_time(phase, class);
        assert!(share >= at_least, "{}: {phase}: {class} {share:.2} % in time, not {at_least}", self.name);
        self
    }

    fn uses(&self, phase: &str, at_least: f64) -> &Runs {
        let index = self.phase(phase);
        let capacity = self.scenario.origin.capacity_in(&self.scenario.phases[index]);
        let useful = self.median(|ledger| ledger.tally.useful_work(index, capacity).unwrap() * 100.0);
        assert!(useful >= at_least, "{}: {phase}: useful work {useful:.2} %, not {at_least}", self.name);
        self
    }

    fn refuses(&self, phase: &str, at_most: f64) -> &Runs {
        let index = self.phase(phase);
        let refused = self.median(|ledger| {
            let all = ledger.tally.phase_total(index);
            all.refusals() as f64 * 100.0 / all.offered as f64
        });
        assert!(refused <= at_most, "{}: {phase}: {refused:.2} % refused, more than {at_most}", self.name);
        self
    }
}

#[test]
fn every_file_is_a_scenario_and_has_a_test_here() {
    let tests = include_str!("failure_modes_tests.rs");
    let mut files = 0;
    for entry in std::fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let scenario = Scenario::read(&path).unwrap();
        let head = std::fs::read_to_string(&path).unwrap();
        assert!(head.starts_with("# ") && head.contains("Good is"), "{name}: say what good looks like");
        assert!(!scenario.thresholds.is_empty(), "{name}: say it in figures, too");
        assert!(!scenario.description.is_empty() && tests.contains(&format!("(\"{name}\"")), "{name}");
        files += 1;
    }
    assert!(files >= 15, "{files}");
}

#[test]
fn slower_shop_keeps_its_checkouts_and_recovers() {
    let run = guarded("01-slower-shop");
    for phase in ["twice as slow", "leaking", "leaking more"] {
        run.refuses(phase, 0.1).serves(phase, "checkout", 99.0).serves(phase, "cart", 99.0);
    }
    run.serves("slow but 200", "checkout", 35.0).serves("well again", "checkout", 90.0);
}

#[test]
fn shift_of_the_mix_is_no_overload() {
    let run = guarded("02-mix-shift");
    for phase in ["usual", "orders", "beacons", "searches"] {
        run.refuses(phase, 0.01);
    }
}

#[test]
fn flood_at_the_start_is_survived_from_the_first_second() {
    let run = guarded("03-start-under-flood");
    run.serves("flood", "checkout", 99.0).uses("flood", 93.0).refuses("calm", 6.0);
}

#[test]
fn limit_that_collapsed_comes_back() {
    let run = guarded("04-collapse-then-idle");
    assert_eq!(run.in_time("broken", "checkout"), 0.0, "the shop is broken indeed");
    run.refuses("usual", 0.5).serves("usual", "checkout", 99.0);
}

#[test]
fn capacity_is_followed_down_and_up() {
    let run = guarded("05-capacity-changes");
    run.serves("whole", "checkout", 99.0).serves("half", "checkout", 99.0).serves("double", "checkout", 99.0);
    run.uses("half", 95.0).uses("double", 88.0).uses("a tenth", 75.0);
    run.uses("whole again", 85.0).serves("whole again", "checkout", 90.0);
}

#[test]
fn retry_storm_ends_with_a_proxy_and_does_not_without() {
    let run = guarded("06-retry-storm");
    for phase in ["spike", "after", "later"] {
        run.serves(phase, "checkout", 99.0).serves(phase, "cart", 99.0).uses(phase, 90.0);
    }
    let direct = simulated("06-retry-storm", Contestant::NoControl);
    assert!(direct.in_time("calm", "checkout") > 99.0);
    assert!(direct.in_time("later", "checkout") < 5.0, "the storm outlasts its trigger");
}

#[test]
fn one_class_that_explodes_hurts_none_above_it() {
    let run = guarded("07-one-class-explodes");
    run.serves("beacons", "checkout", 99.0).serves("beacons", "browse", 99.0).uses("beacons", 97.0);
    run.uses("checkouts", 97.0);
}

#[test]
fn session_that_floods_the_checkout_stands_behind_the_others() {
    let run = guarded("08-abusive-session");
    run.serves("abuse", "checkout", 95.0).serves("usual again", "checkout", 97.0).uses("abuse", 95.0);
    assert!(run.in_time("abuse", "abuse") < 20.0);
}

#[test]
fn wrong_model_hurts_only_those_it_misjudges() {
    let run = guarded("09-wrong-model");
    run.uses("wrong", 95.0).serves("wrong", "checkout", 80.0).serves("right again", "checkout", 97.0);
}

#[test]
fn reload_in_a_flood_goes_unnoticed() {
    let run = guarded("10-reload-under-load");
    for phase in ["flood", "reloaded", "once more"] {
        run.serves(phase, "checkout", 99.0).uses(phase, 95.0);
    }
    // All of them in its first second.
    run.refuses("calm again", 6.0);
}

#[test]
fn several_proxies_share_one_shop() {
    let run = guarded("11-several-proxies");
    run.refuses("calm", 0.1)
        .serves("double", "checkout", 99.0)
        .uses("double", 90.0)
        .refuses("calm again", 6.0);
}

#[test]
fn slow_transfers_are_not_taken_for_a_slow_shop() {
    let run = guarded("12-slow-transfers");
    run.refuses("calm", 1.0)
        .serves("calm", "checkout", 99.0)
        .serves("double", "checkout", 94.0)
        .uses("double", 75.0);
}

#[test]
fn one_bad_endpoint_does_not_close_the_shop() {
    let run = guarded("13-one-bad-endpoint");
    run.serves("one slow", "checkout", 85.0).serves("one slow", "browse", 85.0);
    run.serves("one fails", "checkout", 90.0).serves("one fails", "browse", 90.0).refuses("one fails", 2.0);
    run.serves("well again", "checkout", 99.0).refuses("well again", 0.1);
}

#[test]
fn trickle_jump_and_disconnects_are_survived() {
    let run = guarded("14-trickle-jump-and-disconnects");
    run.refuses("trickle", 0.0).serves("disconnects", "checkout", 97.0);
    let left = run.of_cell("disconnects", "leaving", |cell| cell.timed_out as f64);
    assert!(left > 1_000.0, "most of them leave");
    // What was inside during the jump looks a minute old.
    run.serves("usual again", "checkout", 97.0).serves("jumped", "browse", 90.0).refuses("jumped", 2.0);
}

#[test]
fn other_sizes_need_no_tuning() {
    let large = guarded("15-large-and-fast");
    large.serves("double", "checkout", 99.0).uses("double", 95.0).refuses("calm again", 6.0);
    let small = guarded("15-small-and-slow");
    small.serves("double", "checkout", 65.0).uses("double", 70.0);
}

#[test]
fn sessions_survive_in_a_shop_that_is_well_and_most_that_meet_a_rush() {
    let run = guarded("funnel-under-rush");
    run.serves("rush", "checkout", 99.0).serves("rush", "cart", 95.0);
    let [usual, rush, usual_again] = ["usual", "rush", "usual again"].map(|phase| run.phase(phase));
    for ledger in &run.ledgers {
        let [before, during, after] = [usual, rush, usual_again].map(|phase| ledger.survival[phase]);
        assert!(after.admitted > 40 && after.lost * 50 <= after.admitted, "{after:?}");
        assert!(before.admitted > 50 && before.lost * 3 <= before.completed * 2, "{before:?}");
        assert!(during.begun > 500, "a rush of sessions, too: {during:?}");
    }
}

#[test]
fn slow_payment_leaves_the_carts_and_is_over_when_it_is_repaired() {
    let run = guarded("slow-payment");
    run.serves("slow payment", "cart", 99.0)
        .serves("slow payment", "browse", 95.0)
        .serves("later", "checkout", 95.0);
}
