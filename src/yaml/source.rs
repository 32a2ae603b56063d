//! Where a policy's text comes from: a file, a directory of overlays, or the binary.
//!
//! A directory's `*.yaml` are read in the order of their names, each laid over
//! those before it: its keys win, its routes are tried first. Hidden files are
//! passed over: Kubernetes keeps its own among them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Diagnostics, Severity, UNREADABLE};

/// A policy of ten thousand routes has 1 MB; what is longer is not a policy.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The text of a policy, and what to call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file or directory.
    pub name: String,
    /// Its files in the order in which they are laid over each other.
    pub files: Vec<SourceFile>,
}

/// One file of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// What its mistakes are reported under.
    pub name: String,
    /// What it says.
    pub text: String,
}

impl Source {
    /// A policy that is already in memory.
    pub fn of(name: &str, text: &str) -> Source {
        let file = SourceFile { name: name.to_owned(), text: text.to_owned() };
        Source { name: name.to_owned(), files: vec![file] }
    }

    /// Reads the file or directory at `path`.
    ///
    /// # Errors
    /// Every file that cannot be read, and why.
    pub fn read(path: &Path) -> Result<Source, Diagnostics> {
        let paths = if path.is_dir() { overlays(path)? } else { vec![path.to_owned()] };
        let (mut files, mut errors) = (Vec::new(), Vec::new());
        for path in &paths {
            match file(path) {
                Ok(file) => files.push(file),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            Ok(Source { name: path.display().to_string(), files })
        } else {
            Err(Diagnostics(errors))
        }
    }
}

fn overlays(directory: &Path) -> Result<Vec<PathBuf>, Diagnostics> {
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
    if paths.is_empty() {
        let hint = "files named `*.yaml` are read in the order of their names";
        return Err(Diagnostics(vec![diagnostic(directory, "no policy in this directory", hint)]));
    }
    Ok(paths)
}

fn file(path: &Path) -> Result<SourceFile, Diagnostic> {
    let length = fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
    if length > FILE_BYTES_MAX {
        return Err(diagnostic(path, "the file is too long for a policy", "at most 4 MiB"));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        Diagnostic { position: Some((line, 1)), ..diagnostic(path, "not UTF-8", "save the file as UTF-8") }
    })?;
    // Editors on Windows put a byte order mark in front; YAML allows it.
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    Ok(SourceFile { name: path.display().to_string(), text })
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => "let the user plimsoll runs as read it",
        _ => "check the file",
    };
    diagnostic(path, &format!("cannot be read: {error}"), hint)
}

fn diagnostic(path: &Path, message: &str, hint: &str) -> Diagnostic {
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
