//! `plimsoll model check DIR`: whether a bundle may be used, what was checked, and what it says of itself.
//!
//! `plimsoll model try DIR` is what a canary runs in a process of its own; it is not for people.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, io};

use anyhow::Context;

use crate::classify::features::{REQUEST_LEN, SESSION_LEN};
use crate::clock::Clock;
use crate::model::{
    Canary, DRIFT_MAX, Manifest, OVERRUNS_MAX, Scorer, TRIAL_BYTES_MAX, TRIAL_TIME_MAX, try_out,
};
use crate::policy;

/// What to do with a bundle.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run every check that stands before a bundle is used
    Check {
        /// The bundle's directory
        directory: PathBuf,
    },
    /// Load a bundle within the limits of a trial, and tell its seal
    #[command(hide = true)]
    Try {
        /// The bundle's directory
        directory: PathBuf,
    },
}

/// Inferences that are timed: enough for a median on a busy machine.
const RUNS_TIMED: usize = 1_000;

/// Runs the command.
///
/// # Errors
/// Why the bundle may not be used.
pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check { directory } => check(directory),
        Command::Try { directory } => attempt(directory),
    }
}

/// This very program, even if its file was replaced since it started.
///
/// # Errors
/// The system's, if it does not tell.
pub fn own_program() -> io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { env::current_exe() }
}

/// The verdict goes to standard output, a refusal too: the canary reads nothing else.
fn attempt(directory: &Path) -> anyhow::Result<ExitCode> {
    let verdict = try_out(directory);
    println!("{}", verdict.as_ref().map_or_else(ToString::to_string, Clone::clone));
    Ok(if verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(directory: &Path) -> anyhow::Result<ExitCode> {
    let canary = Canary::new(own_program().context("cannot tell which program this is")?);
    let scorer =
        canary.load(directory).with_context(|| format!("{}: not a usable bundle", directory.display()))?;
    let answers_nonsense = scorer.try_value(&[f32::NAN; SESSION_LEN]).is_some()
        || scorer.try_class(&[f32::INFINITY; REQUEST_LEN]).is_some();
    anyhow::ensure!(!answers_nonsense, "{}: answers what is no number", directory.display());
    println!("{}: ok", directory.display());
    print_checks(scorer.manifest());
    print_runs(&scorer);
    print_claims(scorer.manifest());
    Ok(ExitCode::SUCCESS)
}

/// What was found by looking.
fn print_checks(manifest: &Manifest) {
    let Manifest { schema, files, operators, golden_tolerance, histograms, .. } = manifest;
    let (request, session) = (schema.request.len(), schema.session.len());
    println!("  digests      {} files, and the manifest's seal", files.len());
    println!("  features     {request} of a request, {session} of a session, schema {}", schema.hash);
    println!("  operators    {} (all allowed)", operators.join(", "));
    println!("  shapes       every matrix fits and is bounded, and so are a run's multiplications");
    println!("  golden       every vector reproduced within {golden_tolerance}");
    println!(
        "  trial        a process of its own survived loading it, within {TRIAL_TIME_MAX:?} and {} MiB",
        TRIAL_BYTES_MAX >> 20
    );
    println!("  answers      in [0, 1], or none; none to what is no number: the policy's class then decides");
    println!(
        "  drift        {} features watched, threshold {DRIFT_MAX} (plimsoll_model_drift)",
        histograms.len()
    );
}

/// How long the heads take, and how long they may by default.
fn print_runs(scorer: &Scorer) {
    let class = median_of(|| {
        std::hint::black_box(scorer.try_class(&[1.0; REQUEST_LEN]));
    });
    let value = median_of(|| {
        std::hint::black_box(scorer.try_value(&[1.0; SESSION_LEN]));
    });
    let budget = policy::storefront().model.time_budget;
    println!("  runs         class {class:?}, value {value:?} (medians of {RUNS_TIMED})");
    println!(
        "  budget       {budget:?} a run unless the policy says otherwise; after {OVERRUNS_MAX} in a row over it \
         none is asked (plimsoll_model_overruns)"
    );
}

/// What the bundle says of itself.
fn print_claims(manifest: &Manifest) {
    println!("{}, seed {}, trained on:", manifest.name, manifest.seed);
    for data in &manifest.data {
        println!("  {} ({}): {}", data.name, data.licence, data.purpose);
    }
    println!("measured, by its own account:");
    for (name, measure) in &manifest.measures {
        println!("  {name} {measure}");
    }
}

fn median_of(run: impl Fn()) -> Duration {
    let clock = Clock::start();
    let timed = |_| {
        let started = clock.now();
        run();
        clock.now().since(started)
    };
    let mut runs: Vec<Duration> = (0..RUNS_TIMED).map(timed).collect();
    runs.sort_unstable();
    runs[RUNS_TIMED / 2]
}
