//! `plimsoll check FILE...`: every mistake in policies, or none.
//!
//! Exit code 1 if there is an error, and with `--strict` also if there is a warning. What was found
//! goes to standard error as text, or to standard output for programs.

mod text;
mod json;
mod sarif;
mod corpus;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::access_log::AccessLog;
use crate::cli::check::corpus::Coverage;
use crate::cli::policy::meant;
use crate::policy;
use crate::policy::compiled::CompiledPolicy;
use crate::policy::includes::Tests;
use crate::yaml::diagnostic::{Diagnostic, Diagnostics, Severity};

/// What to check, and how to tell.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Policy files, or directories of overlays
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// How to tell what was found: text for people, json for scripts, sarif for code scanning
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// An access log, plain or gzip: warn of routes and conditions that none of its requests meets
    #[arg(long, value_name = "ACCESS_LOG")]
    corpus: Option<PathBuf>,
    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
}

/// One checked file or directory.
struct Checked {
    name: String,
    /// The policy, unless it has an error.
    policy: Option<CompiledPolicy>,
    found: Vec<Diagnostic>,
    /// What a log says of it, if one was given.
    coverage: Option<Coverage>,
}

/// Checks each file; exit code 1 if one has a mistake.
///
/// # Errors
/// A log or a model that cannot be used; mistakes are printed.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let log = arguments.corpus.as_deref().map(AccessLog::read).transpose()?;
    let meant = meant(&arguments.files);
    let checked = meant.iter().map(|(path, tests)| check(path, *tests, log.as_ref()));
    let checked = checked.collect::<anyhow::Result<Vec<Checked>>>()?;
    match arguments.format {
        Format::Text => text::print(&checked),
        Format::Json => println!("{:#}", json::report(&checked)),
        Format::Sarif => println!("{:#}", sarif::report(&checked)),
    }
    let found = |severity| checked.iter().any(|file| count(file, severity) > 0);
    let fails = found(Severity::Error) || arguments.strict && found(Severity::Warning);
    Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn check(path: &Path, tests: Tests, log: Option<&AccessLog>) -> anyhow::Result<Checked> {
    let name = path.display().to_string();
    let policy = match policy::checked(path, tests) {
        Ok(policy) => policy,
        Err(Diagnostics(found)) => return Ok(Checked { name, policy: None, found, coverage: None }),
    };
    let mut found = policy.warnings.0.clone();
    let coverage = log.map(|log| corpus::check(&policy, log, &mut found)).transpose()?;
    Ok(Checked { name, policy: Some(policy), found, coverage })
}

fn count(file: &Checked, severity: Severity) -> usize {
    file.found.iter().filter(|one| one.severity == severity).count()
}
