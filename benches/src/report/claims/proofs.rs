//! The ways to fail, over sockets, as `make prove` has left them: what each scenario calls good, and what came of it.
//!
//! A scenario states its own thresholds, so there is one place for each of these promises.

use super::claim::verdict;
use crate::verdict::Verdict;
use anyhow::Context;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// What of a scenario's findings is told.
#[derive(Deserialize)]
struct Proof {
    source: String,
    valid: bool,
    thresholds: Vec<Verdict>,
}

/// A row for each threshold, scenarios in order of their files; `None` if nothing was proved.
///
/// # Errors
/// If a file holds no findings.
pub(super) fn table(directory: &Path) -> anyhow::Result<Option<String>> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let rows = files.iter().map(|file| Ok(read(file)?.rows())).collect::<anyhow::Result<String>>()?;
    Ok((!rows.is_empty())
        .then(|| format!("| scenario | what it calls good | measured | |\n|---|---|---|---|\n{rows}")))
}

fn read(file: &Path) -> anyhow::Result<Proof> {
    let told = || format!("{} is no result of `make prove`", file.display());
    let text = fs::read_to_string(file).with_context(told)?;
    serde_json::from_str(&text).with_context(told)
}

impl Proof {
    fn rows(&self) -> String {
        let names = std::iter::once(self.source.as_str()).chain(std::iter::repeat(""));
        self.thresholds.iter().zip(names).map(|(threshold, name)| self.row(name, threshold)).collect()
    }

    fn row(&self, name: &str, threshold: &Verdict) -> String {
        let word = verdict(self.valid, threshold.held);
        format!("| {name} | {} | {} | {word} |\n", threshold.threshold, threshold.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tempfile::TempDir;

    fn leave(directory: &TempDir, file: &str, valid: bool) {
        let threshold = |threshold, measured, held| {
            let is_time = false;
            json!({ "threshold": threshold, "measured": measured, "held": held, "is_time": is_time })
        };
        let thresholds =
            [threshold("all.good >= 99%", 0.995, true), threshold("cart.good >= 90%", 0.5, false)];
        let findings = json!({ "source": format!("{file} it"), "valid": valid, "thresholds": thresholds });
        fs::write(directory.path().join(file).with_extension("json"), findings.to_string()).unwrap();
    }

    #[test]
    fn each_threshold_of_each_scenario_is_told() {
        let directory = TempDir::new().unwrap();
        leave(&directory, "02-slow", false);
        leave(&directory, "01-flood", true);
        let table = table(directory.path()).unwrap().unwrap();
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert!(rows[0].starts_with("| 01-flood it | all.good >= 99% | 99.5"), "{table}");
        assert!(rows[0].ends_with("| held |"), "{table}");
        assert!(rows[1].starts_with("|  | cart.good >= 90% | 50"), "{table}");
        assert!(rows[1].ends_with("| **missed** |"), "{table}");
        assert!(rows[2].starts_with("| 02-slow it |") && rows[2].ends_with("| invalid run |"), "{table}");
    }

    #[test]
    fn nothing_is_told_where_nothing_was_proved_and_what_is_no_result_is_named() {
        let directory = TempDir::new().unwrap();
        assert!(table(directory.path()).unwrap().is_none() && table(Path::new("no/such")).unwrap().is_none());
        fs::write(directory.path().join("x.json"), "{}").unwrap();
        let told = format!("{:#}", table(directory.path()).unwrap_err());
        assert!(told.contains("x.json is no result of `make prove`"), "{told}");
    }
}
