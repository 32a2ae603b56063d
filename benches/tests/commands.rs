//! The commands as their users meet them: over the command line and loopback sockets.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "commands/thresholds.rs"]
mod thresholds;
#[path = "commands/trouble.rs"]
mod trouble;
#[path = "commands/real_shop.rs"]
mod real_shop;
#[path = "commands/exported.rs"]
mod exported;
#[path = "commands/control.rs"]
mod control;
#[path = "commands/contest.rs"]
mod contest;
#[path = "commands/claims.rs"]
mod claims;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const SCENARIO: &str = "\
name: brief
description: a second of light load
origin: { workers: 16, service: { mean: 5ms } }
slo: 1s
patience: 2s
mix:
  - { name: page, class: browse, paths: [/], weight: 3 }
  - { name: order, class: checkout, method: POST, paths: [/checkout], cost: 1.5, weight: 1 }
phases:
  - { name: only, duration: 1s, load: 50/s }
";

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll-bench")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An origin that ends with the test.
struct Origin {
    process: Child,
    address: SocketAddr,
}

impl Origin {
    fn start(options: &[&str]) -> Origin {
        let address = free_address();
        let mut process = Command::new(env!("CARGO_BIN_EXE_plimsoll-bench"))
            .args(["origin", "--listen", &address.to_string()])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It says so when it listens.
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("origin on"), "{line}");
        Origin { process, address }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a request with `Connection: close` and returns the whole answer.
    fn ask(&self, request_line: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "{request_line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn stats(&self) -> serde_json::Value {
        let answer = self.ask("GET /__origin/stats", "");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits for a condition, at most some twenty seconds.
fn wait_until(condition: impl Fn() -> bool) {
    let holds = (0..20_000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        condition()
    });
    assert!(holds, "the condition did not come true");
}

fn file(directory: &TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path: PathBuf = directory.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn origin_says_so_when_its_port_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = bench(&["origin", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains(&address) && message.contains("in use"), "{message}");
}

#[test]
fn origin_refuses_options_out_of_range() {
    for (option, value) in
        [("--workers", "0"), ("--service-ms", "0"), ("--thrash", "-1"), ("--speed-spread", "2")]
    {
        let argument = format!("{option}={value}");
        let output = bench(&["origin", "--listen", "127.0.0.1:0", &argument]);
        assert!(!output.status.success(), "{argument}");
        assert!(stderr(&output).contains(option), "{argument}: {}", stderr(&output));
    }
}

#[test]
fn origin_counts_an_order_and_names_its_value() {
    let origin = Origin::start(&["--service-ms=1"]);
    let order = origin.ask("POST /checkout", "Content-Length: 0\r\n");
    assert!(order.starts_with("HTTP/1.1 200") && order.contains("x-order-value: "), "{order}");
    let stats = origin.stats();
    assert_eq!((stats["orders"].as_u64(), stats["cost_served"].as_f64()), (Some(1), Some(1.5)));
}

#[test]
fn origin_gives_a_session_only_to_those_without() {
    let origin = Origin::start(&["--service-ms=1"]);
    assert!(origin.ask("GET /", "").contains("set-cookie: session="));
    assert!(!origin.ask("GET /", "Cookie: a=b; session=c\r\n").contains("set-cookie"));
}

#[test]
fn origin_stops_working_for_a_client_who_leaves() {
    let origin = Origin::start(&["--service-ms=3600000", "--workers=1"]);
    come_and_leave(&origin);
}

/// Keeps a worker busy, and leaves before there is an answer.
fn come_and_leave(origin: &Origin) {
    let mut client = TcpStream::connect(origin.address).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    wait_until(|| origin.stats()["busy"] == 1);
    drop(client);
    wait_until(|| origin.stats()["busy"] == 0);
}

#[test]
fn load_reports_every_request() {
    let origin = Origin::start(&["--service-ms=5"]);
    let directory = tempfile::tempdir().unwrap();
    let scenario = file(&directory, "s.yaml", SCENARIO);
    let json = directory.path().join("result.json");
    let output = bench(&["load", &scenario, "--target", &origin.url(), "--json", json.to_str().unwrap()]);
    // A machine that is too busy to send on time makes the run invalid, but not wrong.
    assert!(matches!(output.status.code(), Some(0 | 2)), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let classes = report["phases"][0]["classes"].as_array().unwrap();
    let answered = |class: &serde_json::Value| {
        ["good", "late", "timed_out"].iter().map(|key| class[key].as_u64().unwrap()).sum::<u64>()
    };
    let offered: u64 = classes.iter().map(|class| class["offered"].as_u64().unwrap()).sum();
    assert!((20..100).contains(&offered), "{offered}");
    assert!(classes.iter().all(|class| class["offered"].as_u64() == Some(answered(class))), "{classes:?}");
    assert!(stdout(&output).contains("checkout"));
}

#[test]
fn load_leaves_a_record_and_a_page_that_needs_nothing() {
    let origin = Origin::start(&["--service-ms=5"]);
    let directory = tempfile::tempdir().unwrap();
    let scenario = file(&directory, "s.yaml", SCENARIO);
    let [json, page, diff] = ["r.json", "r.html", "d.html"].map(|name| directory.path().join(name));
    let [json_at, page_at, diff_at] = [&json, &page, &diff].map(|path| path.to_str().unwrap());
    let target = origin.url();
    let output = bench(&["load", &scenario, "--target", &target, "--json", json_at, "--html", page_at]);
    assert!(matches!(output.status.code(), Some(0 | 2)), "{}", stderr(&output));
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!((record["format"].as_u64(), record["scenario"].as_str()), (Some(1), Some(SCENARIO)));
    let sum = |counts: &serde_json::Value| {
        counts.as_array().unwrap().iter().filter_map(|n| n.as_u64()).sum::<u64>()
    };
    let by_class =
        |key: &str| record["seconds"].as_array().unwrap().iter().map(|class| sum(&class[key])).sum::<u64>();
    assert!(by_class("offered") > 0 && by_class("offered") == sum(&record["total_seconds"]["offered"]));
    for path in [page_at, diff_at] {
        if path == diff_at {
            let output = bench(&["report", json_at, json_at, "--output", diff_at]);
            assert!(output.status.success() && stdout(&output).contains("+0.00"), "{}", stderr(&output));
        }
        let page = std::fs::read_to_string(path).unwrap();
        assert!(page.contains("<svg") && page.contains("checkout"), "{path}");
        for foreign in ["<script", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(foreign), "{path} has {foreign}");
        }
    }
}

#[test]
fn report_of_what_is_no_result_fails_clearly() {
    let directory = tempfile::tempdir().unwrap();
    let prose = file(&directory, "prose.json", "once upon a time");
    let output = bench(&["report", &prose, "-o", "/dev/null"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("prose.json is not a result of plimsoll-bench"), "{}", stderr(&output));
}

#[test]
fn exported_script_is_one_that_node_can_parse() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = scenario(&directory);
    let script = directory.path().join("s.mjs");
    let output = bench(&["export", "k6", &scenario, "--output", script.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    for (tool, arguments) in [("node", "--check"), ("k6", "inspect")] {
        match Command::new(tool).arg(arguments).arg(&script).env("TARGET", "http://127.0.0.1:9").output() {
            Ok(output) => assert!(output.status.success(), "{tool}: {}", stderr(&output)),
            Err(error) => eprintln!("skipped: {tool} {arguments}: {error}"),
        }
    }
}

#[test]
fn load_says_so_when_the_target_is_down() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = file(&directory, "s.yaml", SCENARIO);
    let target = free_address().to_string();
    let output = bench(&["load", &scenario, "--target", &format!("http://{target}")]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains(&format!("cannot connect to {target}")), "{message}");
}

#[test]
fn load_leaves_other_peoples_machines_alone() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = file(&directory, "s.yaml", SCENARIO);
    let output = bench(&["load", &scenario, "--target", "http://192.0.2.1"]);
    assert_eq!(output.status.code(), Some(1));
    let advice = "--i-own http://192.0.2.1 --rate-max 100";
    assert!(stderr(&output).contains(advice), "{}", stderr(&output));
}

#[test]
fn load_names_the_mistake_in_a_scenario() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = file(&directory, "s.yaml", SCENARIO.replace("slo: 1s", "slo: 1"));
    let output = bench(&["load", &scenario, "--target", "http://127.0.0.1:9"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("s.yaml:4:6: "), "{}", stderr(&output));
}

#[test]
fn replay_leaves_bad_lines_out_and_says_which() {
    let origin = Origin::start(&["--service-ms=1"]);
    let directory = tempfile::tempdir().unwrap();
    let line = |path: &str| format!("h - - [30/Apr/2017:04:28:11 +0000] \"GET {path} HTTP/1.1\" 200 1\n");
    let log = [line("/a"), "oops\n".into(), line("/checkout"), line("/b")].concat();
    let log = file(&directory, "access.log", log);
    let output = bench(&["replay", &log, "--target", &origin.url(), "--speed", "10"]);
    assert!(matches!(output.status.code(), Some(0 | 2)), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("3 requests to replay") && text.contains("line 2: "), "{text}");
    let served = origin.stats()["served"].clone();
    assert_eq!((served["other"].as_u64(), served["checkout"].as_u64()), (Some(2), Some(1)));
}

#[test]
fn replay_of_what_is_no_log_fails_clearly() {
    let directory = tempfile::tempdir().unwrap();
    let prose = file(&directory, "prose.txt", "once upon a time\n");
    for (path, expected) in [
        (prose.as_str(), "is not an access log"),
        (directory.path().to_str().unwrap(), "is a directory"),
        ("no-such.log", "cannot read the log no-such.log"),
    ] {
        let output = bench(&["replay", path, "--target", "http://127.0.0.1:9"]);
        assert_eq!(output.status.code(), Some(1), "{path}");
        assert!(stderr(&output).contains(expected), "{path}: {}", stderr(&output));
    }
}

#[test]
fn measure_shows_what_a_failing_proxy_said() {
    let directory = tempfile::tempdir().unwrap();
    // `sh serve` looks for a script of that name and complains.
    let policy = file(&directory, "p.yaml", "");
    let output = bench(&[
        "measure",
        "--plimsoll",
        "/bin/sh",
        "--policy",
        &policy,
        "--scenario",
        &scenario(&directory),
    ]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("plimsoll ended with") && message.contains("serve"), "{message}");
}

#[test]
fn interrupted_command_leaves_no_process_behind() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = scenario(&directory);
    // A proxy that never gets ready: the command waits for it, with an origin running.
    let sleeper = file(&directory, "sleeper", "#!/bin/sh\nexec sleep 600\n");
    std::fs::set_permissions(&sleeper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll-bench"))
        .args(["measure", "--plimsoll", &sleeper, "--scenario", &scenario])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let id = command.id();
    wait_until(|| children_of(id).len() == 2);
    let children = children_of(id);
    let asked = Command::new("kill").args(["-TERM", &id.to_string()]).status().unwrap();
    assert!(asked.success());
    assert_eq!(command.wait().unwrap().code(), Some(130));
    wait_until(|| children.iter().all(|child| !is_running(child)));
}

fn children_of(id: u32) -> Vec<String> {
    let path = format!("/proc/{id}/task/{id}/children");
    std::fs::read_to_string(path).unwrap().split_ascii_whitespace().map(str::to_owned).collect()
}

/// Whether a process exists that is more than an exit status nobody has asked for.
fn is_running(id: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains("zombie"))
}

fn scenario(directory: &TempDir) -> String {
    file(directory, "s.yaml", SCENARIO)
}

#[test]
fn simulation_prints_counts_and_writes_results_and_picture() {
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "brief.yaml", SCENARIO.replace("50/s", "2x"));
    let [json, svg] = ["results.json", "course.svg"].map(|name| directory.path().join(name));
    let paths = [&json, &svg].map(|path| path.to_str().unwrap());
    let output = bench(&["simulate", &scenario, "--seed=3", "--json", paths[0], "--svg", paths[1]]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("brief on plimsoll, simulated, seeds [3]"), "{}", stdout(&output));
    let results: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let classes = results["phases"][0]["classes"].as_array().unwrap();
    assert!(classes[0]["good"].as_u64().unwrap() > 500, "{results}");
    assert!(results["worth"][0].as_f64().unwrap() > 1_000.0, "{results}");
    let picture = std::fs::read_to_string(&svg).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("limit") && picture.contains("checkout"));
}

#[test]
fn run_without_a_proxy_is_simulated_for_its_latency_and_a_load_that_has_none_says_so() {
    let directory = TempDir::new().unwrap();
    let text = SCENARIO.to_owned() + "thresholds: [all.p99 <= 1.05x direct]\n";
    let scenario = file(&directory, "brief.yaml", text);
    let output = bench(&["simulate", &scenario]);
    assert!(output.status.success() && stdout(&output).contains("100.000 %  held"), "{}", stdout(&output));
    let output = bench(&["load", &scenario, "--target", "http://127.0.0.1:9"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("`plimsoll-bench prove`"), "{}", stderr(&output));
}

#[test]
fn simulation_tells_every_mistake_of_a_policy() {
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "brief.yaml", SCENARIO);
    let policy = file(&directory, "policy.yaml", "version: 1\nclases: {}\n");
    let output = bench(&["simulate", &scenario, "--policy", &policy]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("policy.yaml:2:1"), "{}", stderr(&output));
}

#[test]
fn grid_compares_a_cell_with_its_best_static_limit() {
    let output = bench(&["grid", "--workers=4", "--service-ms=40", "--distributions=uniform"]);
    let table = stdout(&output);
    assert!(table.contains("      4   40 ms  uniform:0.5") && table.contains("of 1 cells hold"), "{table}");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", stderr(&output));
}
