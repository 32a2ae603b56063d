//! `plimsoll-bench prove`: holds plimsoll to what scenarios call good, over sockets.
//!
//! Each scenario has a fresh shop, which it changes over its control port, and a fresh
//! plimsoll before it. A simulation of the same files is quicker and repeatable; this
//! is the real proxy, with its connections, timers and threads.
//!
//! A scenario without thresholds calls nothing good, and is refused. One that compares itself
//! with no proxy (`all.p99 <= 1.05x direct`) is run once more, with its seed, straight at the shop.

use crate::contestant::Contestant;
use crate::findings::{Findings, INVALID_RUN};
use crate::load;
use crate::play::play;
use crate::results::write_json;
use crate::scenario::Scenario;
use crate::stage::ProxyArgs;
use crate::tally::Tally;
use crate::terminal;
use anyhow::{Context, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Holds plimsoll to the thresholds of scenarios, each before a fresh shop.
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// The scenario files
    #[arg(required = true)]
    scenarios: Vec<PathBuf>,
    #[command(flatten)]
    proxy: ProxyArgs,
    /// Divides the length of every phase
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    shorten: u32,
    /// Writes the results of each scenario into this directory
    #[arg(long, value_name = "DIRECTORY")]
    json: Option<PathBuf>,
}

/// Runs the command.
pub(crate) async fn prove(args: ProveArgs) -> anyhow::Result<ExitCode> {
    let mut scenarios = Vec::new();
    for path in &args.scenarios {
        scenarios.push((path, readied(path, args.shorten)?));
    }
    let plimsoll = Contestant::Plimsoll(args.proxy);
    let mut proofs = Vec::new();
    for (path, scenario) in scenarios {
        terminal::line(&format!("\n{}: {}", scenario.name, scenario.description));
        let harvest = play(&scenario, scenario.seed, &plimsoll).await?;
        let direct = direct(&scenario).await?;
        let target = plimsoll.to_string();
        let findings = load::findings(&scenario, target, scenario.seed, &harvest, direct.as_ref());
        findings.print();
        if let Some(directory) = &args.json {
            keep(directory, path, &findings)?;
        }
        proofs.push(Proof::of(&scenario, &findings));
    }
    terminal::line(&summary(&proofs));
    Ok(exit_code(&proofs))
}

/// The scenario in a file, which must say what good is.
fn readied(path: &Path, shorten: u32) -> anyhow::Result<Scenario> {
    let mut scenario = Scenario::read_for_sockets(path)?;
    if scenario.thresholds.is_empty() {
        bail!("{} has no thresholds: it proves nothing", path.display());
    }
    scenario.shorten(shorten);
    Ok(scenario)
}

/// The counts of the same run without a proxy, if a threshold asks for it.
async fn direct(scenario: &Scenario) -> anyhow::Result<Option<Tally>> {
    if !scenario.compares_with_direct() {
        return Ok(None);
    }
    terminal::line("the same without a proxy");
    Ok(Some(play(scenario, scenario.seed, &Contestant::Direct).await?.tally))
}

fn keep(directory: &Path, scenario: &Path, findings: &Findings) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let name = scenario.file_stem().context("a scenario is a file")?;
    write_json(&directory.join(name).with_extension("json"), findings)
}

/// What became of one scenario.
struct Proof {
    scenario: String,
    is_valid: bool,
    held: usize,
    missed: Vec<String>,
}

impl Proof {
    fn of(scenario: &Scenario, findings: &Findings) -> Proof {
        let (held, missed): (Vec<_>, Vec<_>) =
            findings.thresholds().iter().partition(|threshold| threshold.held);
        let told = missed.iter().map(|missed| format!("{} ({})", missed.threshold, missed.value()));
        Proof {
            scenario: scenario.name.clone(),
            is_valid: findings.is_valid(),
            held: held.len(),
            missed: told.collect(),
        }
    }
}

fn summary(proofs: &[Proof]) -> String {
    let width = proofs.iter().map(|proof| proof.scenario.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for Proof { scenario, is_valid, held, missed } in proofs {
        let count = held + missed.len();
        text.push_str(&format!("\n{scenario:<width$}  {held} of {count} held"));
        if !is_valid {
            text.push_str(", INVALID: this machine could not send the load on time");
        }
        missed.iter().for_each(|missed| text.push_str(&format!("\n{:<width$}  missed: {missed}", "")));
    }
    text
}

/// An invalid run says nothing about plimsoll, neither good nor bad.
fn exit_code(proofs: &[Proof]) -> ExitCode {
    if proofs.iter().any(|proof| proof.is_valid && !proof.missed.is_empty()) {
        ExitCode::FAILURE
    } else if proofs.iter().any(|proof| !proof.is_valid) {
        ExitCode::from(INVALID_RUN)
    } else {
        ExitCode::SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(is_valid: bool, missed: &[&str]) -> Proof {
        let missed = missed.iter().map(|missed| (*missed).to_owned()).collect();
        Proof { scenario: "a storm".into(), is_valid, held: 2, missed }
    }

    #[test]
    fn what_is_missed_on_time_fails_and_what_was_sent_too_late_says_nothing() {
        let (good, late) = (|| proof(true, &[]), || proof(false, &["all.good >= 99%"]));
        assert_eq!(exit_code(&[good()]), ExitCode::SUCCESS);
        assert_eq!(exit_code(&[good(), late()]), ExitCode::from(INVALID_RUN));
        assert_eq!(exit_code(&[late(), proof(true, &["all.good >= 99%"])]), ExitCode::FAILURE);
    }

    #[test]
    fn summary_names_what_is_missed() {
        let summary = summary(&[proof(true, &[]), proof(false, &["all.good >= 99% (98.000 %)"])]);
        assert!(summary.contains("a storm  2 of 2 held\n"), "{summary}");
        assert!(summary.contains("a storm  2 of 3 held, INVALID"), "{summary}");
        assert!(summary.ends_with("missed: all.good >= 99% (98.000 %)"), "{summary}");
    }
}
