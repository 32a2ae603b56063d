//! `plimsoll policy list` and `rollback`: the generations of a running process, over its admin API.

use std::process::ExitCode;

use anyhow::Context;
use serde::Deserialize;

use crate::cli::admin_call::{Call, Reach};
use crate::history::Entry;

/// Whom to ask.
#[derive(Debug, clap::Args)]
pub struct ListArguments {
    #[command(flatten)]
    reach: Reach,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where to go back to.
#[derive(Debug, clap::Args)]
pub struct RollbackArguments {
    /// The generation to bring back; by default the one before what is in force
    number: Option<u64>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Deserialize)]
struct Generations {
    running: u64,
    generations: Vec<Entry>,
}

/// Lists the generations kept.
pub(super) fn list(arguments: &ListArguments) -> anyhow::Result<ExitCode> {
    let answer = arguments.reach.call(&Call::get("/v1/generations"))?;
    if arguments.json {
        print!("{answer}");
    } else {
        print!("{}", shown(&answer)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// Goes back.
pub(super) fn roll_back(arguments: &RollbackArguments) -> anyhow::Result<ExitCode> {
    let query = arguments.number.map(|number| format!("?to={number}")).unwrap_or_default();
    let answer = arguments.reach.call(&Call::post(&format!("/v1/rollback{query}")))?;
    print!("{}", shown(&answer)?);
    Ok(ExitCode::SUCCESS)
}

/// The table of what the admin API answered.
pub(super) fn shown(answer: &str) -> anyhow::Result<String> {
    Ok(table(&parse(answer)?))
}

fn parse(answer: &str) -> anyhow::Result<Generations> {
    serde_json::from_str(answer).context("the admin API answered something else")
}

/// The latest last, the one in force with a star.
fn table(found: &Generations) -> String {
    let mut text =
        format!("  {:>6}  {:<20}  {:<18}  {:<12}  {}\n", "number", "applied", "cause", "policy", "source");
    for entry in &found.generations {
        let mark = if entry.number == found.running { '*' } else { ' ' };
        let restores = entry.restores.map(|number| format!(" (= {number})")).unwrap_or_default();
        let applied = chrono::DateTime::from_timestamp(entry.applied_at as i64, 0);
        let applied = applied.map(|time| time.format("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default();
        text.push_str(&format!(
            "{mark} {:>6}  {applied:<20}  {:<18}  {:<12}  {}\n",
            entry.number,
            format!("{}{restores}", entry.cause.name()),
            entry.contents.policy.get(..12).unwrap_or_default(),
            entry.source,
        ));
    }
    text
}
