//! `plimsoll policy fmt PATH...`: one layout for policies, comments kept.
//!
//! What a policy includes is laid out with it. A file that cannot be kept whole is left as it is, and said so. With
//! `--check` nothing is written, and the exit code tells: for a check before a commit.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::policy::includes::{self, Tests};
use crate::yaml::format::format;

/// What to lay out.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Policy files, or directories of them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Write nothing; exit 1 and name the files that are laid out otherwise
    #[arg(long)]
    check: bool,
}

/// Lays them out, or tells which are not.
///
/// # Errors
/// A file that cannot be read or written.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for path in files(&arguments.paths)? {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        match format(&text) {
            Ok(formatted) if formatted == text => {}
            Ok(_) if arguments.check => {
                println!("{}", path.display());
                code = ExitCode::FAILURE;
            }
            Ok(formatted) => {
                replace(&path, &formatted)?;
                println!("{}", path.display());
            }
            Err(error) => {
                eprintln!("{}:{error}", path.display());
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// The files that make up each policy: those of a directory, and what a file includes; with their tests.
fn files(paths: &[PathBuf]) -> anyhow::Result<BTreeSet<PathBuf>> {
    let files: Result<Vec<_>, _> = paths.iter().map(|path| includes::files(path, Tests::Beside)).collect();
    Ok(files?.into_iter().flatten().collect())
}

/// A process that watches the file sees the old one or the new one, whole. A link stays one: what it leads to is
/// replaced.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let path = path.canonicalize().with_context(|| path.display().to_string())?;
    let new = path.with_extension("new");
    fs::write(&new, text).with_context(|| new.display().to_string())?;
    fs::set_permissions(&new, fs::metadata(&path)?.permissions())?;
    fs::rename(&new, &path).with_context(|| path.display().to_string())
}
