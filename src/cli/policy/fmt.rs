//! `plimsoll policy fmt PATH...`: one layout for policies, comments kept.
//!
//! A file that cannot be kept whole is left as it is, and said so. With `--check` nothing is written, and the exit
//! code tells: for a check before a commit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

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

/// The files themselves, and those of directories that `serve --policy DIR` would read, with their tests.
fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
            let path = entry?.path();
            let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if !is_hidden && path.extension().is_some_and(|extension| extension == "yaml") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A process that watches the file sees the old one or the new one, whole.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text).with_context(|| new.display().to_string())?;
    fs::set_permissions(&new, fs::metadata(path)?.permissions())?;
    fs::rename(&new, path).with_context(|| path.display().to_string())
}
