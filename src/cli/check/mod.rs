//! `plimsoll check FILE...`: every mistake in policies, or none.
//!
//! Exit code 1 if there is an error, and with `--strict` also if there is a warning. What was found
//! goes to standard error as text, or to standard output for programs.

mod text;
mod json;
mod sarif;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::policy;
use crate::policy::compiled::CompiledPolicy;
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
}

/// Checks each file; exit code 1 if one has a mistake.
///
/// # Errors
/// None; mistakes are printed.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let checked: Vec<Checked> = arguments.files.iter().map(|path| check(path)).collect();
    match arguments.format {
        Format::Text => text::print(&checked),
        Format::Json => println!("{:#}", json::report(&checked)),
        Format::Sarif => println!("{:#}", sarif::report(&checked)),
    }
    let found = |severity| checked.iter().any(|file| count(file, severity) > 0);
    let fails = found(Severity::Error) || arguments.strict && found(Severity::Warning);
    Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn check(path: &Path) -> Checked {
    let name = path.display().to_string();
    match policy::check(path) {
        Ok(policy) => Checked { name, found: policy.warnings.0.clone(), policy: Some(policy) },
        Err(Diagnostics(found)) => Checked { name, policy: None, found },
    }
}

fn count(file: &Checked, severity: Severity) -> usize {
    file.found.iter().filter(|one| one.severity == severity).count()
}
