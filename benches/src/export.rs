//! `plimsoll-bench export`: a scenario as a script of another tool.
//!
//! One machine has its limits, and a distributed runner is not ours to write. What
//! another tool cannot do is named, on the terminal and in the script.

mod k6;

use crate::results;
use crate::scenario::Scenario;
use crate::terminal;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Writes a scenario as a script of another tool.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Debug, Subcommand)]
enum Tool {
    /// A script for Grafana k6, which can spread a load over many machines
    K6(ScriptArgs),
}

#[derive(Debug, Args)]
struct ScriptArgs {
    /// The scenario file
    scenario: PathBuf,
    /// Writes the script here instead of printing it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let Tool::K6(args) = &args.tool;
    let scenario = Scenario::read(&args.scenario)?;
    let script = k6::script(&scenario)?;
    match &args.output {
        Some(path) => {
            results::write(path, &script.text)?;
            for left_out in &script.left_out {
                terminal::line(&format!("left out: {left_out}"));
            }
        }
        None => terminal::line(&script.text),
    }
    Ok(ExitCode::SUCCESS)
}
