//! What single parts of a decision cost, as criterion has left it.
//!
//! A benchmark with a target has it in its name, `(at most 4 us)`, so that there is one place
//! to state it; each of them becomes a claim by itself. Medians, of whatever was run last.

use super::claim::{Claim, Figure, Target};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};

const TARGET: &str = " (at most ";

/// What criterion calls a benchmark; its directory's name is cut and replaced in.
#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: String,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    /// In nanoseconds.
    point_estimate: f64,
}

/// The claims of all benchmarks in criterion's `directory` that have a target, in order of their names.
pub(super) fn claims(directory: &Path) -> Vec<Claim> {
    let benchmarks = inside(directory).iter().flat_map(|group| inside(group)).collect::<Vec<PathBuf>>();
    let mut claims: Vec<Claim> = benchmarks.iter().filter_map(|benchmark| claim(benchmark)).collect();
    claims.sort_by(|one, other| one.promise.cmp(&other.promise));
    claims
}

fn inside(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

/// The claim of one benchmark; `None` if it has no target or was not run.
fn claim(benchmark: &Path) -> Option<Claim> {
    let Benchmark { group_id, function_id } = read(&benchmark.join("new/benchmark.json"))?;
    let Estimates { median } = read(&benchmark.join("new/estimates.json"))?;
    let (what, target) = function_id.split_once(TARGET)?;
    let (bound, unit) = target.strip_suffix(')')?.split_once(' ')?;
    let (unit, nanoseconds) = [("us", 1e3), ("ms", 1e6)].into_iter().find(|(known, _)| *known == unit)?;
    let value = median.point_estimate / nanoseconds;
    Some(Claim {
        promise: format!("{group_id}: {what}, median").into(),
        target: Some(Target::at_most(bound.parse().ok()?, unit)),
        measured: Some(Figure { value, text: format!("{value:.2} {unit}") }),
        is_valid: true,
        command: "make micro",
    })
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::claim::table;
    use super::*;
    use serde_json::json;
    use tempfile::TempDir;

    fn leave(directory: &TempDir, place: &str, function: &str, median_ns: f64) {
        let new = directory.path().join("decision").join(place).join("new");
        fs::create_dir_all(&new).unwrap();
        let benchmark = json!({ "group_id": "decision", "function_id": function, "title": "a title" });
        fs::write(new.join("benchmark.json"), benchmark.to_string()).unwrap();
        let estimates = json!({ "mean": null, "median": { "point_estimate": median_ns } });
        fs::write(new.join("estimates.json"), estimates.to_string()).unwrap();
    }

    #[test]
    fn benchmark_with_a_target_in_its_name_is_a_claim() {
        let directory = TempDir::new().unwrap();
        leave(&directory, "a", "new template, admitted (at most 15 us)", 15_001.0 * 1.001);
        leave(&directory, "b", "known template, admitted (at most 4 us)", 4_000.0);
        leave(&directory, "c", "routed, refused", 1_000.0);
        leave(&directory, "d", "compile (at most 200 ms)", 31_400_000.0);
        leave(&directory, "e", "two threads (at least 2 million a second)", 700.0);
        let table = table(&claims(directory.path()));
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| decision: compile, median | <= 200 ms | 31.40 ms | held | `make micro` |",
                "| decision: known template, admitted, median | <= 4 us | 4.00 us | held | `make micro` |",
                "| decision: new template, admitted, median | <= 15 us | 15.02 us | **missed** | `make micro` |",
            ]
        );
    }

    #[test]
    fn nothing_is_claimed_where_nothing_was_run() {
        let directory = TempDir::new().unwrap();
        assert!(claims(directory.path()).is_empty() && claims(&directory.path().join("none")).is_empty());
    }
}
