//! The commands that set up a shop and whoever stands before it: `prove`, `compare`, `validate`.

use super::{SCENARIO, bench, file, stderr, stdout};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Whether there is a plimsoll to put to the test. Where it is not built, commands must say so.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn is_plimsoll_there(output: &std::process::Output) -> bool {
    let is_there = plimsoll().is_file();
    if !is_there {
        assert!(stderr(output).contains("plimsoll"), "{}", stderr(output));
        eprintln!("skipped: there is no plimsoll beside plimsoll-bench");
    }
    is_there
}

fn plimsoll() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_plimsoll-bench")).with_file_name("plimsoll")
}

/// Light load, on a shop that answers nobody well: only a shop that is changed on the way does that.
fn broken() -> String {
    SCENARIO.replace("load: 50/s", "load: 20/s, workers: 0.5x, failing: { origin: 100% }")
}

#[test]
fn comparison_has_a_row_for_everybody_who_is_there_before_the_shop_of_the_scenario() {
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", broken());
    let [json, markdown] = ["c.json", "c.md"].map(|name| directory.path().join(name));
    let paths = [&json, &markdown].map(|path| path.to_str().unwrap());
    let arguments = ["compare", &scenario, "--repeats=2", "--maxconn=20", "--json", paths[0]];
    let output = bench(&[&arguments[..], &["--markdown", paths[1]]].concat());
    if !is_plimsoll_there(&output) {
        return;
    }
    assert!(matches!(output.status.code(), Some(0 | 2)), "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output);
    let results: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let rows = results["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["contestant"].as_str().unwrap()).collect();
    for program in ["plimsoll", "bare-pingora", "haproxy", "nginx", "envoy", "no proxy"] {
        let is_there = names.iter().any(|name| name.starts_with(program));
        assert!(is_there || text.contains(&format!("{program} is not installed")), "{program}: {text}");
    }
    assert!(rows.iter().all(|row| row["all"]["part"] == 0), "{results}");
    let markdown = std::fs::read_to_string(markdown).unwrap();
    assert!(markdown.contains("| only (20/s) | no proxy"), "{markdown}");
    for (row, name) in rows.iter().zip(names) {
        let is_marked = markdown.contains(&format!("| {name}: INVALID |"));
        assert!(row["valid"].as_bool() == Some(!is_marked), "{name}: {markdown}");
    }
    assert!(markdown.contains("seeds 0 and 1"), "{markdown}");
}

#[test]
fn comparison_is_of_those_alone_who_are_named() {
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", SCENARIO);
    let json = directory.path().join("c.json");
    let arguments =
        ["compare", &scenario, "--only=no-proxy", "--repeats=1", "--json", json.to_str().unwrap()];
    let output = bench(&arguments);
    assert!(matches!(output.status.code(), Some(0 | 2)), "{}{}", stdout(&output), stderr(&output));
    let results: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let rows = results["rows"].as_array().unwrap();
    assert!(rows.len() == 1 && rows[0]["contestant"] == "no proxy", "{results}");
    assert!(results["sweep"].is_null(), "nobody needs HAProxy's best maxconn: {results}");
    assert!(results["first_class"] == "browse" && results["second_class"] == "checkout", "{results}");
    assert!(rows[0]["second_class"]["whole"].as_u64() > Some(0), "{results}");
    assert!(rows[0]["first_class_p50_ms"]["mean"].is_number(), "{results}");
}

#[test]
fn name_that_nobody_has_is_told_with_those_that_there_are() {
    let directory = TempDir::new().unwrap();
    let output = bench(&["compare", &file(&directory, "s.yaml", SCENARIO), "--only", "plimsoll,haprxy"]);
    assert!(!output.status.success());
    let message = stderr(&output);
    let names = "[possible values: plimsoll, haproxy, haproxy-guess, envoy-adaptive, envoy-admission, nginx, \
                 bare-pingora, no-proxy]";
    assert!(message.contains("'haprxy'") && message.contains(names), "{message}");
}

#[test]
fn interrupted_comparison_shows_the_runs_that_are_over() {
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", broken());
    let mut run = Command::new(env!("CARGO_BIN_EXE_plimsoll-bench"))
        .args(["compare", &scenario, "--repeats=2", "--maxconn=20"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map(Result::unwrap);
    // The second begins when the first is over.
    let begun = lines.by_ref().filter(|line| line.starts_with("repeat 1 of 2: ")).take(2).count();
    if begun < 2 {
        let output = run.wait_with_output().unwrap();
        assert!(!is_plimsoll_there(&output), "{}", stderr(&output));
        return;
    }
    let asked = Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert!(asked.success());
    let text = lines.collect::<Vec<String>>().join("\n");
    assert_eq!(run.wait().unwrap().code(), Some(105), "{text}");
    assert!(text.contains("only (20/s)\n  plimsoll") && text.contains("PARTIAL: ended after "), "{text}");
}

#[test]
fn proof_tells_what_is_held_and_what_is_missed() {
    let directory = TempDir::new().unwrap();
    let thresholds = "thresholds: [all.errors >= 20%, all.good >= 50%]\n";
    let scenario = file(&directory, "s.yaml", broken() + thresholds);
    let (binary, results) = (plimsoll(), directory.path().join("results"));
    let [binary, results] = [&binary, &results].map(|path| path.to_str().unwrap());
    let output = bench(&["prove", &scenario, "--plimsoll", binary, "--json", results]);
    if !is_plimsoll_there(&output) {
        return;
    }
    assert!(matches!(output.status.code(), Some(1 | 2)), "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("brief  1 of 2 held") && text.contains("missed: all.good >= 50%"), "{text}");
    let results = std::fs::read(directory.path().join("results/s.json")).unwrap();
    let results: serde_json::Value = serde_json::from_slice(&results).unwrap();
    assert_eq!(results["thresholds"][1]["held"], false, "{results}");
}

#[test]
fn scenario_that_calls_nothing_good_proves_nothing() {
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", SCENARIO);
    let output = bench(&["prove", &scenario, "--plimsoll", "/no/such/plimsoll"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("s.yaml has no thresholds"), "{}", stderr(&output));
}

#[test]
fn simulated_figures_stand_beside_the_measured_ones() {
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", SCENARIO);
    let output = bench(&["validate", &scenario]);
    if !is_plimsoll_there(&output) {
        return;
    }
    let text = stdout(&output);
    let row = |who: &str| {
        let row = text.lines().find(|line| line.starts_with(who) && line.contains("browse in time"));
        row.unwrap_or_else(|| panic!("{who}: {text}{}", stderr(&output)))
    };
    for who in ["no proxy", "plimsoll"] {
        assert!(row(who).contains("only (50/s)") && row(who).contains("100.0"), "{}", row(who));
    }
    assert!(text.contains("figures are within 5 points"), "{text}");
}

#[test]
fn generator_tells_how_late_it_sent_and_what_a_request_cost_it() {
    let directory = TempDir::new().unwrap();
    let json = directory.path().join("g.json").to_string_lossy().into_owned();
    let output = bench(&["generator", "--rate=200", "--seconds=1", "--json", &json]);
    assert!(matches!(output.status.code(), Some(0 | 2)), "{}", stderr(&output));
    let results: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let sent = results["sent"].as_u64().unwrap();
    // One more or less at the ends, where a request falls on the boundary.
    assert!((199..=201).contains(&sent) && results["answered"].as_u64() <= Some(sent), "{results}");
    assert!(results["cpu_per_request_us"].as_f64().is_some_and(|spent| spent > 0.0), "{results}");
}
