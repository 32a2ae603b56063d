//! `plimsoll policy ...`: what operators do with policies besides running them.

mod test;
mod diff;
mod generations;
mod canary;
mod fmt;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;

use crate::config::Config;
use crate::generation::Generation;
use crate::policy::compiled::CompiledPolicy;
use crate::policy::includes::Tests;
use crate::serving::load_model;
use crate::yaml::source::tested_by;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run the tests of policies; exit 1 if one does not hold
    Test(test::Arguments),
    /// Tell which requests of an access log another policy would treat otherwise
    Diff(diff::Arguments),
    /// List the generations that a running process has applied
    List(generations::ListArguments),
    /// Bring a generation back, at once and whole
    Rollback(generations::RollbackArguments),
    /// Lay policies out in one way, comments kept
    Fmt(fmt::Arguments),
    /// Look at the canary, put it into force or give it up
    #[command(subcommand)]
    Canary(canary::Command),
}

/// Does it.
///
/// # Errors
/// Policies, models and logs that cannot be used.
pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Test(arguments) => test::run(arguments),
        Command::Diff(arguments) => diff::run(arguments),
        Command::List(arguments) => generations::list(arguments),
        Command::Rollback(arguments) => generations::roll_back(arguments),
        Command::Canary(command) => canary::run(command),
        Command::Fmt(arguments) => fmt::run(arguments),
    }
}

/// The generation of `policy` with the bundle in `model`, or else its own.
pub(super) fn generation(policy: CompiledPolicy, model: Option<&Path>) -> anyhow::Result<Generation> {
    let config = Config { model: model.map(PathBuf::from), ..Config::default() };
    let model = load_model(&policy, &config)?;
    Ok(Generation::new(1, policy, Some(model)))
}

/// The policies that are meant by these paths, each once: a file of tests stands for the policy beside it, with them.
pub(super) fn meant(paths: &[PathBuf]) -> Vec<(PathBuf, Tests)> {
    let mut meant: Vec<(PathBuf, Tests)> = Vec::new();
    for path in paths {
        let (policy, tests) = match tested_by(path) {
            Some(policy) => (policy, Tests::Beside),
            None => (path.clone(), Tests::Without),
        };
        match meant.iter_mut().find(|(known, _)| *known == policy) {
            Some((_, known)) if tests == Tests::Beside => *known = tests,
            Some(_) => {}
            None => meant.push((policy, tests)),
        }
    }
    meant
}

/// What whoever meant each file of a directory by itself has to know of its mistakes; empty for a file.
pub(super) fn note_on(path: &Path) -> &'static str {
    if !path.is_dir() {
        return "";
    }
    "its files are laid over each other, as `serve --policy DIR` has them; name files to look at each by itself\n"
}

/// A load as a flag: `2` or `2x`, times what the shop can carry.
pub(super) fn load(text: &str) -> anyhow::Result<f64> {
    match text.trim_end_matches('x').parse::<f64>() {
        Ok(load) if (0.01..=20.0).contains(&load) => Ok(load),
        _ => bail!("a number from 0.01 to 20 is needed, like 2x or 0.8x"),
    }
}
