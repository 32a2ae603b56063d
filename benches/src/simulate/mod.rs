//! `plimsoll-bench simulate`: a scenario in virtual time.
//!
//! The controller is the one the proxy runs, compiled from the same policy file;
//! the shop, the clients and time are simulated, so that a minute takes a second,
//! every run of a seed is the same, and shops of a size that no machine here
//! could play are shops like any other.
//!
//! What it cannot show is what it does not model: the cost of a connection, of a
//! refusal, of the proxy itself. Those are measured over sockets.

mod live;
mod shop;
mod door;
mod judge;
mod memory;
mod ours;
mod opponents;
mod fairness;
mod ledger;
mod proxies;
mod inversions;
mod world;
pub(crate) mod contest;
mod static_sweep;
mod oracle;
mod against;
mod picture;
pub(crate) mod grid;

use crate::crowd::Survival;
use crate::report::{PhaseReport, PhaseTitle, Report, ratio};
use crate::results::write_json;
use crate::scenario::Scenario;
use crate::tally::Tally;
use crate::terminal;
use crate::verdict::{self, Measured, Verdict};
use against::Field;
use anyhow::Context;
use clap::Args;
use contest::Contestant;
use door::Reasons;
use fairness::Evenness;
use judge::Judge;
use ledger::Ledger;
use plimsoll::policy;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs a scenario in virtual time.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// The scenario file
    scenario: PathBuf,
    /// The policy: a file or a directory; the built-in one if absent
    #[arg(long, value_name = "FILE|DIR")]
    policy: Option<PathBuf>,
    /// Overrides the scenario's seed
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds are pooled
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Prints a table of contestants instead: `all`, or some of plimsoll, none, static:20, haproxy:20, envoy,
    /// envoy-sparing, gradient2, failsafe, codel:20 and dagor:20, between commas
    #[arg(long, value_name = "WHO", value_parser = against::field, conflicts_with_all = ["json", "svg"])]
    against: Option<Field>,
    /// Writes the results here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draws the course of the first run here
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// The results of a simulation, as written to a JSON file.
#[derive(Debug, Serialize)]
struct Simulation {
    #[serde(flatten)]
    report: Report,
    policy: String,
    /// What the answers in time to each phase's requests were worth.
    worth: Vec<f64>,
    /// Inversions in each phase.
    inversions: Vec<u64>,
    /// Jain's index over the sessions of each class in each phase; none where nobody got anything.
    fairness: Vec<Vec<Option<f64>>>,
    /// Why whom was refused, by class of the policy.
    reasons: Reasons,
    /// Sessions by the phase in which they began.
    survival: Vec<Survival>,
    /// The scenario's thresholds.
    thresholds: Vec<Verdict>,
}

/// Runs the command.
pub(crate) fn simulate(args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let scenario = Scenario::read_for_simulation(&args.scenario)?;
    let judge = Judge::new(policy_at(args.policy.as_deref())?, &scenario)?;
    terminal::line(&scenario.description);
    let seeds: Vec<u64> = (args.seed.unwrap_or(scenario.seed)..).take(args.seeds as usize).collect();
    if let Some(field) = &args.against {
        against::compare(&scenario, &judge, field, &seeds);
        return Ok(ExitCode::SUCCESS);
    }
    let ledger = contest::pooled(&scenario, &judge, Contestant::Plimsoll, &seeds);
    let report = report(&scenario, seeds, &ledger);
    tell(&scenario, &report, &ledger);
    let direct = scenario.compares_with_direct();
    let direct = direct.then(|| contest::pooled(&scenario, &judge, Contestant::NoControl, &report.seeds));
    let measured = Measured {
        tally: &ledger.tally,
        survival: &ledger.survival,
        direct: direct.as_ref().map(|direct| &direct.tally),
    };
    let thresholds = verdict::verdicts(&scenario, &measured);
    terminal::line(&verdict::table(&thresholds));
    if let Some(path) = &args.svg {
        picture::draw(path, &scenario, &ledger.course)
            .with_context(|| format!("cannot draw {}", path.display()))?;
    }
    if let Some(path) = &args.json {
        write_json(path, &Simulation::of(report, &judge, ledger, thresholds.clone()))?;
    }
    Ok(verdict::exit_code(&thresholds))
}

impl Simulation {
    fn of(report: Report, judge: &Judge, ledger: Ledger, thresholds: Vec<Verdict>) -> Simulation {
        let indices = |classes: &Vec<Evenness>| classes.iter().map(Evenness::index).collect();
        Simulation {
            report,
            policy: judge.policy.source.clone(),
            fairness: ledger.evenness.iter().map(indices).collect(),
            worth: ledger.worth,
            inversions: ledger.inversions,
            reasons: ledger.reasons,
            survival: ledger.survival,
            thresholds,
        }
    }
}

/// Prints the scoreboard, and what a simulation alone knows: inversions, reasons, and the sessions of each phase.
fn tell(scenario: &Scenario, report: &Report, ledger: &Ledger) {
    terminal::line(&report.table());
    let (inversions, requests) = (ledger.inversions.iter().sum::<u64>(), ledger.requests());
    terminal::line(&format!(
        "\n{inversions} inversions in {requests} requests, {:.1} per million",
        inversions as f64 * 1e6 / requests.max(1) as f64
    ));
    terminal::line(&fairness(scenario, ledger));
    for (class, counts) in &ledger.reasons {
        let counts = counts.iter().map(|(reason, number)| format!("{number} {reason}"));
        terminal::line(&format!("refused of {class}: {}", counts.collect::<Vec<_>>().join(", ")));
    }
    if !scenario.funnels.is_empty() {
        terminal::line(&survivals(scenario, ledger));
    }
}

/// The counts of `scenario` with `who` at the door, and the shipped policy, pooled over seeds.
pub(crate) fn tally(scenario: &Scenario, who: Contestant, seeds: &[u64]) -> anyhow::Result<Tally> {
    let judge = Judge::new(policy::storefront(), scenario)?;
    Ok(contest::pooled(scenario, &judge, who, seeds).tally)
}

fn policy_at(path: Option<&Path>) -> anyhow::Result<policy::compiled::CompiledPolicy> {
    match path {
        Some(path) => Ok(policy::check(path)?),
        None => Ok(policy::storefront()),
    }
}

/// Jain's index over the sessions of each class, phase by phase.
fn fairness(scenario: &Scenario, ledger: &Ledger) -> String {
    let mut text = format!("\n{:<14}", "fairness");
    for class in scenario.classes() {
        text.push_str(&format!("{class:>10}"));
    }
    for (phase, classes) in scenario.phases.iter().zip(&ledger.evenness) {
        text.push_str(&format!("\n  {:<12}", phase.name));
        for evenness in classes {
            let index = evenness.index().map_or("-".into(), |index| format!("{index:.3}"));
            text.push_str(&format!("{index:>10}"));
        }
    }
    text
}

/// What became of the sessions that began in each phase.
fn survivals(scenario: &Scenario, ledger: &Ledger) -> String {
    let mut text = String::from("\nsessions         begun  admitted  completed      lost  survived");
    for (phase, Survival { begun, admitted, completed, lost }) in scenario.phases.iter().zip(&ledger.survival)
    {
        let share = ratio(*completed, completed + lost);
        text.push_str(&format!(
            "\n  {:<12}{begun:>8}{admitted:>10}{completed:>11}{lost:>10}{share:>10}",
            phase.name
        ));
    }
    text
}

fn report(scenario: &Scenario, seeds: Vec<u64>, ledger: &Ledger) -> Report {
    let classes = scenario.classes();
    let phases = scenario.phases.iter().enumerate().map(|(index, phase)| {
        let title = PhaseTitle { name: phase.name.clone(), load: phase.load_label() };
        let capacity = scenario.origin.capacity_in(phase);
        PhaseReport::new(&ledger.tally, index, title, &classes, Some(capacity))
    });
    Report {
        source: scenario.name.clone(),
        target: "plimsoll, simulated".into(),
        seeds,
        valid: true,
        send_lag_p99_ms: None,
        send_lag_phase: None,
        phases: phases.collect(),
    }
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "failure_modes_tests.rs"]
mod failure_modes_tests;

#[cfg(test)]
#[path = "peers_tests.rs"]
mod peers_tests;

#[cfg(test)]
#[path = "shipped_tests.rs"]
mod shipped_tests;
