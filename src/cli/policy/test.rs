//! `plimsoll policy test PATH...`: whether policies keep what they promise.
//!
//! A file is tested with its own `tests:` and those of `NAME_test.yaml` beside it; a directory as
//! `serve --policy DIR` would run it, with every `*_test.yaml` in it; a file of tests stands for its policy.
//! Routes that no test takes are listed: what is not tested changes unnoticed.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{generation, meant, note_on};
use crate::clock::Clock;
use crate::policy::check_with_tests;
use crate::policy::compiled::CompiledPolicy;
use crate::trial::{self, Report};

/// What to test.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Policy files, or directories of overlays
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The model bundle; each policy's choice if absent
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// List the routes that no test takes
    #[arg(long)]
    coverage: bool,
}

/// Tests each policy; exit code 1 if a test does not hold, or there is a mistake.
///
/// # Errors
/// A model that cannot be used.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for (path, _) in &meant(&arguments.paths) {
        match check_with_tests(path) {
            Ok(policy) => {
                let generation = generation(policy, arguments.model.as_deref())?;
                let report = trial::run(&generation, &Clock::start());
                report.failures.iter().for_each(|failure| eprintln!("{failure}"));
                print!("{}", summary(&generation.policy, &report, arguments.coverage));
                if !report.failures.is_empty() {
                    code = ExitCode::FAILURE;
                }
            }
            Err(mistakes) => {
                eprint!("{mistakes}\n{}", note_on(path));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn summary(policy: &CompiledPolicy, report: &Report, lists_untested: bool) -> String {
    let taken = report.taken.iter().filter(|taken| **taken).count();
    let mut text = format!(
        "{}: {} of {} tests hold, {taken} of {} routes are tested\n",
        policy.source,
        report.tests - report.failed,
        report.tests,
        report.taken.len(),
    );
    let untested = policy.routes.routes().iter().zip(&report.taken).filter(|(_, taken)| !**taken);
    for (route, _) in untested.filter(|_| lists_untested) {
        text.push_str(&format!("  not tested: {}\n", route.defined_at));
    }
    text
}
