//! Where results go: files that the user names.
//!
//! A run may take an hour, so a place that cannot be written is told before it begins.

use anyhow::Context;
use serde::Serialize;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

/// Fails if one of the places cannot be written. Files that are not there yet are made.
pub(crate) fn check_places<'a>(places: impl IntoIterator<Item = &'a Option<PathBuf>>) -> anyhow::Result<()> {
    for path in places.into_iter().flatten() {
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.with_context(|| cannot_write(path))?;
    }
    Ok(())
}

/// Writes results as JSON.
pub(crate) fn write_json(path: &Path, results: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(results).context("results are valid JSON")?;
    write(path, &text)
}

/// Writes a text.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| cannot_write(path))
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
