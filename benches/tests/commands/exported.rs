//! What an exported script does, where node plays the part of k6.

use super::{bench, file, stderr};
use std::process::Command;
use tempfile::TempDir;

const SCENARIO: &str = "\
name: brief
description: one request
origin: { workers: 16, service: { mean: 5ms } }
slo: 1s
patience: 2s
mix:
  - name: order
    class: checkout
    method: POST
    paths: [/checkout]
    body: '{\"pay\":\"card\"}'
    headers: { X-Shop: lamps, User-Agent: us }
    weight: 1
phases:
  - { name: only, duration: 1s, load: 50/s }
";

/// What the script imports from k6, so far as it uses it: every request is told on a line, with its end.
const K6: &str = "\
const __ENV = { TARGET: 'http://shop.test', CLASS: 'checkout' };
class Trend { add() {} }
class Rate {
  constructor(name) { this.name = name; }
  add(is_so) { if (is_so) console.log(this.name); }
}
const timings = { blocked: 0, connecting: 0, tls_handshaking: 0, duration: 1 };
const http = {
  request: (method, url, body, parameters) => {
    console.log(JSON.stringify([method, url, body, parameters.headers]));
    return { status, timings };
  },
};
let status;
";

/// The lines that the script of `SCENARIO` prints when a request is answered with each of `statuses`;
/// `None` without node.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn played(statuses: &[u16]) -> Option<Vec<String>> {
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", SCENARIO);
    let output = bench(&["export", "k6", &scenario]);
    assert!(output.status.success(), "{}", stderr(&output));
    let script = String::from_utf8(output.stdout).unwrap().replace("export ", "");
    let script: Vec<&str> = script.lines().filter(|line| !line.starts_with("import ")).collect();
    let arrivals: Vec<String> =
        statuses.iter().map(|status| format!("status = {status}; arrive();")).collect();
    let text = format!("{K6}{}\n{}\n", script.join("\n"), arrivals.join("\n"));
    let script = file(&directory, "played.mjs", text);
    match Command::new("node").arg(script).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", stderr(&output));
            Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
        }
        Err(error) => {
            eprintln!("skipped: node: {error}");
            None
        }
    }
}

#[test]
fn exported_script_counts_answers_as_load_does() {
    let Some(lines) = played(&[200, 302, 399, 400, 404, 429, 503]) else { return };
    let ends: Vec<&str> = lines.iter().skip(1).step_by(2).map(String::as_str).collect();
    assert_eq!(ends, ["good", "good", "good", "errors", "errors", "shed", "shed"]);
}

#[test]
fn exported_script_sends_the_headers_that_load_sends() {
    let Some(lines) = played(&[200]) else { return };
    let sent: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    let headers = serde_json::json!({
        "accept": "text/html,*/*;q=0.8",
        "content-type": "application/json",
        "user-agent": "us",
        "x-shop": "lamps",
    });
    let expected = serde_json::json!(["POST", "http://shop.test/checkout", "{\"pay\":\"card\"}", headers]);
    assert_eq!(sent, expected);
}
