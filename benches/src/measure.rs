//! `plimsoll-bench measure`: the project's targets, measured.
//!
//! Each seed gets a fresh origin and a fresh proxy; the counts of all seeds are
//! pooled before any proportion is taken. `--workers` puts the same policy in
//! front of an origin of another size, with the load scaled along, since a load
//! is a multiple of capacity.
//!
//! It prints what it measured and judges nothing but its own validity.

use crate::contestant::Contestant;
use crate::latencies::quantile;
use crate::load;
use crate::play;
use crate::report::{Report, millis, optional_ms, percent, ratio};
use crate::results;
use crate::scenario::Scenario;
use crate::stage::ProxyArgs;
use crate::tally::Tally;
use crate::tally::cell::Cell;
use crate::terminal;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures plimsoll in front of an origin of known capacity.
#[derive(Debug, Args)]
pub(crate) struct MeasureArgs {
    #[command(flatten)]
    proxy: ProxyArgs,
    /// The scenario
    #[arg(long, value_name = "FILE", default_value = "benches/scenarios/spike.yaml")]
    scenario: PathBuf,
    /// Replaces the scenario's number of workers
    #[arg(long)]
    workers: Option<usize>,
    /// How many runs are pooled
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Writes the results here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the command.
pub(crate) async fn measure(args: MeasureArgs) -> anyhow::Result<ExitCode> {
    let mut scenario = Scenario::read_for_sockets(&args.scenario)?;
    results::check_places([&args.json])?;
    scenario.origin.workers = args.workers.unwrap_or(scenario.origin.workers).max(1);
    let seeds: Vec<u64> = (scenario.seed..).take(args.seeds as usize).collect();
    let tally = play::pooled(&scenario, &seeds, &Contestant::Plimsoll(args.proxy)).await?;
    let target = format!("plimsoll, {} workers", scenario.origin.workers);
    let report = load::report(&scenario, target, seeds, &tally);
    let exit = load::publish(&report, args.json.as_deref())?;
    terminal::line(&summary(&scenario, &tally, &report));
    Ok(exit)
}

/// One line per phase with what the targets are about.
fn summary(scenario: &Scenario, tally: &Tally, report: &Report) -> String {
    let mut text = String::from(
        "\nphase           load   useful work        checkout in time         refused  refusal p99 ms  \
         last refusal s",
    );
    let first = scenario.classes().iter().position(|class| *class == "checkout").unwrap_or(0);
    let counted = scenario.phases.iter().enumerate().filter(|(_, phase)| !phase.warm_up);
    for ((index, _), phase) in counted.zip(&report.phases) {
        let (best, all) = (tally.cell(index, first), tally.phase_total(index));
        text.push_str(&format!(
            "\n{:<12}{:>8}{:>14}{:>24}{:>16}{:>16}{:>16}",
            phase.name,
            phase.load,
            phase.useful_work.map_or("-".into(), percent),
            format!("{}/{} {}", best.good, best.offered, ratio(best.good, best.offered)),
            format!("{}/{}", all.refusals(), all.offered),
            refusal_p99(&all),
            phase.refused_last_s.map_or("-".into(), |last| format!("{last:.2}")),
        ));
    }
    text
}

fn refusal_p99(cell: &Cell) -> String {
    optional_ms(quantile(&cell.refused_us, 0.99).map(millis))
}
