//! Where a policy's text comes from: a file, a directory of overlays, or the binary.
//!
//! A directory's `*.yaml` are read in the order of their names, each laid over
//! those before it: its keys win, its routes are tried first, and a key that stands
//! alone leaves what is below it. Hidden files are passed over: Kubernetes keeps its own among them. So are those named
//! `*_test.yaml`, which hold tests and nothing else, unless they are asked for.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::diagnostic::{Diagnostic, Diagnostics, Severity, UNREADABLE};

/// A policy of ten thousand routes has 1 MB; what is longer is not a policy.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How the names of files end that hold tests only.
const TEST_SUFFIX: &str = "_test.yaml";

/// The text of a policy, and what to call it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Source {
    /// The file or directory.
    pub name: String,
    /// Its files in the order in which they are laid over each other.
    pub files: Vec<SourceFile>,
}

/// One file of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SourceFile {
    /// What its mistakes are reported under.
    pub name: String,
    /// What it says.
    pub text: String,
    /// Whether it may hold tests only.
    pub is_test: bool,
}

impl Source {
    /// A policy that is already in memory.
    pub fn of(name: &str, text: &str) -> Source {
        let file = SourceFile { name: name.to_owned(), text: text.to_owned(), is_test: false };
        Source { name: name.to_owned(), files: vec![file] }
    }

    /// Reads the file or directory at `path`.
    ///
    /// # Errors
    /// Every file that cannot be read, and why.
    pub fn read(path: &Path) -> Result<Source, Diagnostics> {
        Source::of_files(path, &policies(path)?)
    }

    /// The SHA-256 of what its files say, in their order, in hexadecimal: sources that say the same have
    /// one digest, wherever they lie.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for file in &self.files {
            // Its length first, or two files could be cut in another place.
            hash.update((file.text.len() as u64).to_le_bytes());
            hash.update(&file.text);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn of_files(path: &Path, paths: &[PathBuf]) -> Result<Source, Diagnostics> {
        let (mut files, mut errors) = (Vec::new(), Vec::new());
        for path in paths {
            match file(path) {
                Ok(file) => files.push(file),
                Err(error) => errors.push(*error),
            }
        }
        if errors.is_empty() {
            Ok(Source { name: path.display().to_string(), files })
        } else {
            Err(Diagnostics(errors))
        }
    }
}

/// The file itself, or the files of a directory in the order in which they are laid over each other.
pub(crate) fn policies(path: &Path) -> Result<Vec<PathBuf>, Diagnostics> {
    if path.is_dir() { overlays(path) } else { Ok(vec![path.to_owned()]) }
}

/// The files of tests beside them: every `*_test.yaml` of a directory, `shop_test.yaml` of `shop.yaml`.
pub(crate) fn tests(path: &Path) -> Result<Vec<PathBuf>, Diagnostics> {
    if path.is_dir() {
        return Ok(files(path)?.into_iter().filter(|path| is_test(path)).collect());
    }
    let beside = |stem: &OsStr| path.with_file_name(format!("{}{TEST_SUFFIX}", stem.to_string_lossy()));
    Ok(path.file_stem().map(beside).filter(|beside| beside.exists()).into_iter().collect())
}

/// The policy beside a file of tests, if it is one of those and there is such a policy.
pub(crate) fn tested_by(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy();
    let policy = path.with_file_name(format!("{}.yaml", name.strip_suffix(TEST_SUFFIX)?));
    policy.exists().then_some(policy)
}

fn overlays(directory: &Path) -> Result<Vec<PathBuf>, Diagnostics> {
    let mut paths = files(directory)?;
    paths.retain(|path| !is_test(path));
    if paths.is_empty() {
        let hint = "files named `*.yaml` are read in the order of their names";
        return Err(Diagnostics(vec![diagnostic(directory, "no policy in this directory", hint)]));
    }
    Ok(paths)
}

/// Whether a file of this name holds tests only.
pub(crate) fn is_test(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(TEST_SUFFIX))
}

/// The `*.yaml` of a directory, in the order of their names.
fn files(directory: &Path) -> Result<Vec<PathBuf>, Diagnostics> {
    let failed = |error: &io::Error| Diagnostics(vec![unreadable(directory, error)]);
    let entries = fs::read_dir(directory).map_err(|error| failed(&error))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| failed(&error))?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|extension| extension == "yaml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads one file.
pub(crate) fn file(path: &Path) -> Result<SourceFile, Box<Diagnostic>> {
    let length = fs::metadata(path).map_err(|error| Box::new(unreadable(path, &error)))?.len();
    if length > FILE_BYTES_MAX {
        return Err(Box::new(diagnostic(path, "the file is too long for a policy", "at most 4 MiB")));
    }
    let bytes = fs::read(path).map_err(|error| Box::new(unreadable(path, &error)))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        let not_text = diagnostic(path, "not UTF-8", "save the file as UTF-8");
        Box::new(Diagnostic { position: Some((line, 1)), ..not_text })
    })?;
    // Editors on Windows put a byte order mark in front; YAML allows it.
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    Ok(SourceFile { name: path.display().to_string(), text, is_test: is_test(path) })
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => "let the user plimsoll runs as read it",
        _ => "check the file",
    };
    diagnostic(path, &format!("cannot be read: {error}"), hint)
}

/// What is in the way of having a file at all.
pub(crate) fn diagnostic(path: &Path, message: &str, hint: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        rule: UNREADABLE,
        file: path.display().to_string(),
        position: None,
        key: String::new(),
        message: message.to_owned(),
        hint: Some(hint.to_owned()),
        line_text: None,
    }
}
