//! `plimsoll-bench simulate`: a scenario in virtual time.
//!
//! The controller is the one the proxy runs, compiled from the same policy file;
//! the shop, the clients and time are simulated, so that a minute takes a second,
//! every run of a seed is the same, and shops of a size that no machine here
//! could play are shops like any other.
//!
//! What it cannot show is what it does not model: the cost of a connection, of a
//! refusal, of the proxy itself. Those are measured over sockets.

mod agenda;
mod live;
mod shop;
mod door;
mod judge;
mod memory;
mod ours;
mod opponents;
mod ledger;
mod world;
mod contest;
mod picture;
pub(crate) mod grid;

use crate::load::write_json;
use crate::report::{PhaseReport, PhaseTitle, Report};
use crate::scenario::Scenario;
use crate::terminal;
use anyhow::Context;
use clap::Args;
use contest::Contestant;
use judge::Judge;
use ledger::Ledger;
use plimsoll::policy;
use serde::Serialize;
use shop::Shop;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs a scenario in virtual time.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// The scenario file
    scenario: PathBuf,
    /// The policy: a file or a directory; the built-in one if absent
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Overrides the scenario's seed
    #[arg(long)]
    seed: Option<u64>,
    /// Writes the results here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draws the course of the run here
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
}

/// Runs the command.
pub(crate) fn simulate(args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let scenario = Scenario::read(&args.scenario)?;
    let judge = Judge::new(policy_at(args.policy.as_deref())?, &scenario)?;
    terminal::line(&scenario.description);
    let seed = args.seed.unwrap_or(scenario.seed);
    let ledger = contest::run(&scenario, &judge, Contestant::Plimsoll, seed);
    let report = report(&scenario, Contestant::Plimsoll, seed, &ledger);
    terminal::line(&report.table());
    if let Some(path) = &args.svg {
        picture::draw(path, &scenario, &ledger.course)
            .with_context(|| format!("cannot draw {}", path.display()))?;
    }
    if let Some(path) = &args.json {
        let policy = judge.policy.source.clone();
        write_json(path, &Simulation { report, policy, worth: ledger.worth })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn policy_at(path: Option<&Path>) -> anyhow::Result<policy::compiled::CompiledPolicy> {
    match path {
        Some(path) => Ok(policy::check(path)?),
        None => Ok(policy::storefront()),
    }
}

fn report(scenario: &Scenario, contestant: Contestant, seed: u64, ledger: &Ledger) -> Report {
    let classes = scenario.classes();
    let phases = scenario.phases.iter().enumerate().map(|(index, phase)| {
        let title = PhaseTitle { name: phase.name.clone(), load: phase.load.to_string() };
        let capacity = Shop::capacity(scenario, phase);
        PhaseReport::new(&ledger.tally, index, title, &classes, Some(capacity))
    });
    Report {
        source: scenario.name.clone(),
        target: format!("{contestant}, simulated"),
        seeds: vec![seed],
        valid: true,
        send_lag_p99_ms: None,
        phases: phases.collect(),
    }
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
