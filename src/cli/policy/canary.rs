//! `plimsoll policy canary`: a generation that decides for a share of the sessions, over the admin API.

use std::process::ExitCode;

use anyhow::Context;
use serde::Deserialize;

use super::generations;
use crate::cli::admin_call::{Call, Reach};

/// What to do about it.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show what became of requests in both arms since it began
    Status(Arguments),
    /// Put it into force, for all sessions
    Promote(Arguments),
    /// Give it up; its file is held off until it changes
    Abort(Arguments),
}

/// Whom to ask.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    reach: Reach,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Status {
    canary: Option<Canary>,
}

#[derive(Deserialize)]
struct Canary {
    generation: u64,
    running: u64,
    policy: String,
    share: f64,
    classes: Vec<Class>,
}

#[derive(Deserialize)]
struct Class {
    class: String,
    canary: Arm,
    rest: Arm,
}

#[derive(Deserialize)]
struct Arm {
    admitted: u64,
    shed: u64,
    slo_kept: u64,
    slo_missed: u64,
}

/// Does it.
pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Status(arguments) => {
            let answer = arguments.reach.call(&Call::get("/v1/canary"))?;
            let text = if arguments.json { answer } else { table(&parse(&answer)?) };
            print!("{text}");
        }
        Command::Promote(arguments) => end(arguments, "/v1/canary/promote")?,
        Command::Abort(arguments) => end(arguments, "/v1/canary/abort")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn end(arguments: &Arguments, target: &str) -> anyhow::Result<()> {
    let answer = arguments.reach.call(&Call::post(target))?;
    let text = if arguments.json { answer } else { generations::shown(&answer)? };
    print!("{text}");
    Ok(())
}

fn parse(answer: &str) -> anyhow::Result<Status> {
    serde_json::from_str(answer).context("the admin API answered something else")
}

fn table(status: &Status) -> String {
    let Some(canary) = &status.canary else { return "there is no canary\n".to_owned() };
    // A share is whole millionths; times a hundred, some are not the number that was written.
    let percent = (canary.share * 1e6).round() / 1e4;
    let mut text = format!(
        "generation {} ({}) decides for {percent}% of the sessions, generation {} for the rest\n",
        canary.generation, canary.policy, canary.running,
    );
    text.push_str(&format!("  {:<16}{:>22}{:>12}{:>12}\n", "class", "requests", "shed", "SLO kept"));
    for Class { class, canary, rest } in &canary.classes {
        for (name, arm) in [("canary", canary), ("rest", rest)] {
            let requests = arm.admitted + arm.shed;
            text.push_str(&format!(
                "  {class:<16}{name:<8}{requests:>14}{:>12}{:>12}\n",
                share(arm.shed, requests),
                share(arm.slo_kept, arm.slo_kept + arm.slo_missed),
            ));
        }
    }
    text
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.1}%", part as f64 * 100.0 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_told_as_it_was_written() {
        let told = |share: f64| {
            let policy = "shop.yaml".to_owned();
            table(&Status {
                canary: Some(Canary { generation: 3, running: 2, policy, share, classes: Vec::new() }),
            })
        };
        for (share, percent) in
            [(0.05, "5%"), (0.07, "7%"), (0.29, "29%"), (0.001_25, "0.125%"), (1.0, "100%")]
        {
            assert!(
                told(share).contains(&format!("decides for {percent} of the sessions")),
                "{}",
                told(share)
            );
        }
    }
}
