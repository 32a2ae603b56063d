//! The `plimsoll-bench` command: the load tester's harness of Plimsoll.
//!
//! It parses, dispatches and turns errors into exit codes, nothing else. One
//! thread does all: load, proxy and origin share the machine, and a generator
//! that spreads over all cores takes them from what it measures.

mod clock;
mod interruption;
mod open_files;
mod terminal;
mod units;
mod service_time;
mod scenario;
mod stretches;
mod arrivals;
mod begins;
mod funnels;
mod crowd;
mod cookies;
mod delivery;
mod client;
mod target;
mod latencies;
mod tally;
mod timeline;
mod gauges;
mod plan;
mod shoppers;
mod open_loop;
mod ending;
mod dashboard;
mod progress;
mod report;
mod origin;
mod director;
mod verdict;
mod results;
mod findings;
mod load;
mod classes;
mod copies;
mod replay;
mod children;
mod stage;
mod peers;
mod contestant;
mod play;
mod scoreboard;
mod demo;
mod measure;
mod prove;
mod compare;
mod cpu_time;
mod vitals;
mod affinity;
mod closed_loop;
mod overhead;
mod generator;
mod soak;
mod siege;
mod simulate;
mod validate;
mod export;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The load tester's harness of Plimsoll.
#[derive(Debug, Parser)]
#[command(name = "plimsoll-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Origin(origin::OriginArgs),
    Load(load::LoadArgs),
    Replay(replay::ReplayArgs),
    Demo(demo::DemoArgs),
    Measure(measure::MeasureArgs),
    Prove(prove::ProveArgs),
    Compare(compare::CompareArgs),
    Overhead(overhead::OverheadArgs),
    Generator(generator::GeneratorArgs),
    Soak(soak::SoakArgs),
    Siege(siege::SiegeArgs),
    Report(report::command::ReportArgs),
    Claims(report::claims::ClaimsArgs),
    Simulate(simulate::SimulateArgs),
    Validate(validate::ValidateArgs),
    Export(export::ExportArgs),
    Grid(simulate::grid::GridArgs),
    /// Prints the JSON Schema of scenario files, for editors
    Schema,
}

impl Command {
    /// How often a user must ask for an end: once, unless a command reports first what it has measured.
    fn interruptions(&self) -> u32 {
        if matches!(self, Command::Load(_) | Command::Replay(_) | Command::Compare(_)) { 2 } else { 1 }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    open_files::raise_limit();
    let interruptions = interruption::interruptions(cli.command.interruptions());
    let result = tokio::select! {
        result = dispatch(cli.command) => result,
        () = interruptions => Ok(ExitCode::from(interruption::ENDED)),
    };
    result.unwrap_or_else(|error| {
        terminal::error(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Origin(args) => Ok(origin::origin(args).await?),
        Command::Load(args) => load::load(args).await,
        Command::Replay(args) => replay::replay(args).await,
        Command::Demo(args) => demo::demo(args).await,
        Command::Measure(args) => measure::measure(args).await,
        Command::Prove(args) => prove::prove(args).await,
        Command::Compare(args) => compare::compare(args).await,
        Command::Overhead(args) => overhead::overhead(args).await,
        Command::Generator(args) => generator::generator(args).await,
        Command::Soak(args) => soak::soak(args).await,
        Command::Siege(args) => siege::siege(args).await,
        Command::Report(args) => report::command::report(&args),
        Command::Claims(args) => report::claims::claims(&args),
        Command::Simulate(args) => simulate::simulate(&args),
        Command::Validate(args) => validate::validate(args).await,
        Command::Export(args) => export::export(&args),
        Command::Grid(args) => simulate::grid::grid(&args),
        Command::Schema => {
            terminal::line(&format!("{:#}", scenario::schema::schema()));
            Ok(ExitCode::SUCCESS)
        }
    }
}
