//! `plimsoll model check DIR`: whether a bundle may be used, and what it says of itself.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::model::Scorer;

/// What to do with a bundle.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run every check that stands before a bundle is used
    Check {
        /// The bundle's directory
        directory: PathBuf,
    },
}

/// Runs the command.
///
/// # Errors
/// Why the bundle may not be used.
pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let Command::Check { directory } = command;
    let scorer =
        Scorer::load(directory).with_context(|| format!("{}: not a usable bundle", directory.display()))?;
    println!("{}: ok\n{:#?}", directory.display(), scorer.manifest());
    Ok(ExitCode::SUCCESS)
}
