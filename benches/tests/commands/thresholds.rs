//! What a continuous integration sees of `load`: exit codes, verdicts, and a run that was cut short.

use super::{Origin, SCENARIO, bench, file, stderr, stdout, wait_until};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The results of loading `origin` with `scenario`, and the exit code, which may be 2 on a machine too busy
/// to send on time.
fn load(origin: &Origin, scenario: &str, more: &[&str]) -> (Option<i32>, serde_json::Value, String) {
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", scenario);
    let json = directory.path().join("r.json").to_string_lossy().into_owned();
    let arguments = ["load", &scenario, "--target", &origin.url(), "--json", &json];
    let output = bench(&[&arguments, more].concat());
    let results = std::fs::read(&json).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    (output.status.code(), serde_json::from_slice(&results).unwrap(), stdout(&output))
}

#[test]
fn thresholds_decide_the_exit_code_and_are_told_with_what_was_measured() {
    let origin = Origin::start(&["--service-ms=5"]);
    let scenario = format!("{SCENARIO}thresholds: [all.good >= 50%, checkout.p50 <= 2s]\n");
    let (code, results, text) = load(&origin, &scenario, &[]);
    assert!(matches!(code, Some(0 | 2)), "{text}");
    assert_eq!(results["thresholds"][0]["held"], true, "{results}");
    assert!(text.contains("all.good >= 50%") && text.contains("held"), "{text}");
    let scenario = format!("{SCENARIO}thresholds: [all.shed > 50%]\n");
    let (code, results, text) = load(&origin, &scenario, &[]);
    assert!(matches!(code, Some(1 | 2)), "{text}");
    assert_eq!(results["thresholds"][0]["measured"], 0.0, "{results}");
    assert!(text.contains("MISSED"), "{text}");
}

#[test]
fn warm_up_is_sent_and_not_counted() {
    let origin = Origin::start(&["--service-ms=5"]);
    let warm =
        "phases:\n  - { name: warm, duration: 1s, load: 50/s, warm_up: true, weights: { checkout: 1 } }\n";
    let scenario = SCENARIO.replace("load: 50/s }", "load: 50/s, weights: { browse: 1 } }");
    let (_, results, text) = load(&origin, &scenario.replace("phases:\n", warm), &[]);
    assert_eq!(results["phases"].as_array().unwrap().len(), 1, "{text}");
    let served = |class: usize| results["latency"][class]["served"].as_array().unwrap().len();
    assert!(served(0) > 0 && served(1) == 0, "orders came in the warm-up alone: {}", results["latency"]);
    let served: u64 = origin.stats()["served"].as_object().unwrap().values().filter_map(|n| n.as_u64()).sum();
    assert!(served > 60, "{served}");
}

#[test]
fn sessions_walk_a_funnel_and_orders_are_counted_where_they_are_made() {
    let origin = Origin::start(&["--service-ms=2"]);
    let funnel = "slo: 1s\nfunnels: [{ name: f, begin: 1280, think: 1ms, steps: [page, page, order] }]";
    let scenario = SCENARIO.replace("slo: 1s", funnel).replace("weight: 1", "weight: 0");
    let (_, results, text) = load(&origin, &scenario, &[]);
    let completed = results["sessions"]["completed"].as_u64().unwrap();
    assert!(completed > 5, "{results}");
    assert!(text.contains("sessions: "), "{text}");
    assert_eq!(origin.stats()["orders"].as_u64(), Some(completed), "{text}");
    let last = &results["funnels"][0]["steps"][2];
    assert_eq!(
        (last["step"].as_str(), last["served"].as_u64()),
        (Some("order"), Some(completed)),
        "{results}"
    );
    assert!(text.contains("    order "), "{text}");
    let (_, results, text) = load(&origin, &scenario.replace("load: 50/s", "load: 50/s, warm_up: true"), &[]);
    assert_eq!(results["sessions"]["begun"].as_u64(), Some(0), "{text}");
}

/// What a command says that is interrupted as soon as `origin` has served somebody.
fn interrupted(origin: &Origin, arguments: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_plimsoll-bench"))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until(|| origin.stats()["served"].as_object().is_some_and(|served| !served.is_empty()));
    let asked = Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert!(asked.success());
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(105), "{}", stderr(&output));
    stdout(&output)
}

#[test]
fn interrupted_run_tells_what_it_had_measured_and_says_that_it_is_partial() {
    let origin = Origin::start(&["--service-ms=2"]);
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", SCENARIO.replace("duration: 1s", "duration: 10m"));
    let json = directory.path().join("r.json").to_string_lossy().into_owned();
    let text = interrupted(&origin, &["load", &scenario, "--target", &origin.url(), "--json", &json]);
    assert!(text.contains("PARTIAL: ended after"), "{text}");
    let results: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(results["partial"], true);
}

#[test]
fn interrupted_replay_is_partial_as_well() {
    let origin = Origin::start(&["--service-ms=2"]);
    let directory = TempDir::new().unwrap();
    let line = |minute| format!("h - - [30/Apr/2017:04:{minute:02}:11 +0000] \"GET / HTTP/1.1\" 200 1\n");
    let log = file(&directory, "access.log", (0..60).map(line).collect::<String>());
    let text = interrupted(&origin, &["replay", &log, "--target", &origin.url()]);
    assert!(text.contains("PARTIAL: ended after"), "{text}");
}

#[test]
fn replay_of_nobody_is_an_error_and_no_success() {
    let directory = TempDir::new().unwrap();
    let line = "h - - [30/Apr/2017:04:00:11 +0000] \"GET / HTTP/1.1\" 200 1\n";
    let log = file(&directory, "access.log", line);
    let output = bench(&["replay", &log, "--target", "http://127.0.0.1:9", "--scale", "0.01"]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stderr(&output).contains("leaves out every session"), "{}", stderr(&output));
}

#[test]
fn stall_of_the_generator_in_one_phase_makes_the_run_invalid_and_the_phase_is_named() {
    let origin = Origin::start(&["--service-ms=1"]);
    let directory = TempDir::new().unwrap();
    // Eight of the forty are late then, and of all requests less than a hundredth.
    let phases = "  - { name: busy, duration: 2s, load: 500/s, weights: { browse: 1 } }
  - { name: quiet, duration: 2s, load: 20/s, weights: { checkout: 1 } }\n";
    let scenario = SCENARIO.replace("  - { name: only, duration: 1s, load: 50/s }\n", phases);
    let scenario = file(&directory, "s.yaml", scenario.replace("slo: 1s", "slo: 1s\narrivals: constant"));
    let json = directory.path().join("r.json").to_string_lossy().into_owned();
    let run = Command::new(env!("CARGO_BIN_EXE_plimsoll-bench"))
        .args(["load", &scenario, "--target", &origin.url(), "--json", &json])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until(|| origin.stats()["orders"].as_u64() > Some(0));
    let id = run.id();
    let stall = format!("kill -STOP {id}; sleep 0.4; kill -CONT {id}");
    assert!(Command::new("sh").args(["-c", &stall]).status().unwrap().success());
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    let results: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(
        (results["valid"].as_bool(), results["send_lag_phase"].as_str()),
        (Some(false), Some("quiet"))
    );
    assert!(stdout(&output).contains("ms late (p99, in quiet): INVALID"), "{}", stdout(&output));
}

#[test]
fn rate_is_never_more_than_its_bound_and_the_run_says_so() {
    let origin = Origin::start(&["--service-ms=1"]);
    let (code, results, text) = load(&origin, SCENARIO, &["--rate-max", "10"]);
    assert_eq!(code, Some(2), "{text}");
    let withheld = results["withheld"].as_u64().unwrap();
    let served: u64 = origin.stats()["served"].as_object().unwrap().values().filter_map(|n| n.as_u64()).sum();
    // One second of load, which may be spread over two of the clock's.
    assert!(withheld >= 10 && served <= 20, "{withheld} {served}");
    assert!(text.contains("--rate-max"), "{text}");
}
