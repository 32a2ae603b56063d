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

/// Buyers who walk from a page with a picture to the order, and try again once.
const FUNNEL: &str = "\
name: brief
description: two steps
origin: { workers: 16, service: { mean: 5ms } }
slo: 1s
patience: 2s
retries: { attempts: 1, backoff: 3s }
funnels: [{ name: buyer, begin: 4, think: 2s, steps: [page, order] }]
thresholds: [sessions.survived >= 50%]
mix:
  - { name: page, class: browse, paths: [/], weight: 3, loads: [picture] }
  - { name: order, class: checkout, method: POST, paths: [/checkout], weight: 1 }
  - { name: picture, class: static, paths: [/lamp.svg], weight: 0 }
phases:
  - { name: calm, duration: 10s, load: 1x }
  - { name: rush, duration: 10s, load: 2x }
";

/// What the script imports from k6, so far as it uses it: every request is told on a line, with its end and
/// its phase. `statuses` are answered in turn, the last one for ever, and only who sleeps takes time.
const K6: &str = "\
const __ENV = { TARGET: 'http://shop.test', CLASS: 'checkout', FUNNEL: '0' };
let statuses;
let timeMs = 0;
const sleep = (seconds) => { timeMs += seconds * 1000; };
const exec = { instance: { get currentTestRunDuration() { return timeMs; } } };
class Trend { add() {} }
class Rate {
  constructor(name) { this.name = name; }
  add(is_so, tags) {
    if (this.name === 'survived') {
      console.log(`survived ${is_so} ${tags.phase}`);
    } else if (is_so) {
      console.log(this.name === 'good' ? 'good' : `${this.name} ${tags.class} ${tags.phase}`);
    }
  }
}
const timings = { blocked: 0, connecting: 0, tls_handshaking: 0, duration: 1 };
class CookieJar {}
const ownJar = new CookieJar();
const answer = () => ({ status: statuses.length > 1 ? statuses.shift() : statuses[0], timings });
const http = {
  CookieJar,
  cookieJar: () => ownJar,
  request: (method, url, body, parameters) => {
    if (!(parameters.jar instanceof CookieJar)) { throw new Error('no cookies are kept'); }
    console.log(JSON.stringify([method, url, body, parameters.headers]));
    return answer();
  },
  batch: (requests) => requests.map(({ method, url, params }) => {
    console.log(`${method} ${url} ${params.jar === ownJar ? 'in the same jar' : 'in a jar of its own'}`);
    return answer();
  }),
};
";

/// The lines that the script of `scenario` prints while `calls` are made of it; `None` without node.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn played(scenario: &str, calls: &str) -> Option<Vec<String>> {
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", scenario);
    let output = bench(&["export", "k6", &scenario]);
    assert!(output.status.success(), "{}", stderr(&output));
    let script = String::from_utf8(output.stdout).unwrap().replace("export ", "");
    let script: Vec<&str> = script.lines().filter(|line| !line.starts_with("import ")).collect();
    let script = file(&directory, "played.mjs", format!("{K6}{}\n{calls}\n", script.join("\n")));
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

/// The same lines without the requests that are not loaded with a page.
fn told(scenario: &str, calls: &str) -> Option<Vec<String>> {
    let lines = played(scenario, calls)?;
    Some(lines.into_iter().filter(|line| !line.starts_with('[')).collect())
}

#[test]
fn exported_script_counts_answers_as_load_does() {
    let arrivals: String = [200, 302, 399, 400, 404, 429, 503]
        .map(|status| format!("statuses = [{status}]; arrive();\n"))
        .concat();
    let Some(ends) = told(SCENARIO, &arrivals) else { return };
    let (errors, shed) = ("errors checkout phase_01", "shed checkout phase_01");
    assert_eq!(ends, ["good", "good", "good", errors, errors, shed, shed]);
}

#[test]
fn exported_script_sends_the_headers_that_load_sends() {
    let Some(lines) = played(SCENARIO, "statuses = [200]; arrive();") else { return };
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

#[test]
fn exported_visitor_walks_the_funnel_with_cookies_of_its_own() {
    let Some(lines) =
        played(FUNNEL, "Math.random = () => 0.5; statuses = [200]; visit(); console.log(timeMs);")
    else {
        return;
    };
    let (page, order) = (&lines[0], &lines[4]);
    assert!(page.contains("\"GET\",\"http://shop.test/\""), "{lines:?}");
    assert_eq!(lines[1..4], ["good", "GET http://shop.test/lamp.svg in a jar of its own", "good"]);
    assert!(order.contains("\"POST\",\"http://shop.test/checkout\""), "{lines:?}");
    assert_eq!(lines[5..7], ["good", "survived true phase_01"]);
    // It thinks once, for the median of an exponential of two seconds.
    let thought_ms: f64 = lines[7].parse().unwrap();
    assert!((thought_ms - 2_000.0 * 2.0_f64.ln()).abs() < 1.0, "{lines:?}");
}

#[test]
fn exported_visitor_who_is_refused_tries_again_and_then_leaves() {
    let calls =
        "Math.random = () => 0.5; statuses = [200, 200, 503, 503, 200]; visit(); console.log(timeMs);";
    let Some(lines) = told(FUNNEL, calls) else { return };
    let shed = "shed checkout phase_01";
    assert_eq!(lines[2..6], ["good", shed, shed, "survived false phase_01"], "{lines:?}");
    let ms: f64 = lines[6].parse().unwrap();
    assert!((ms - 2_000.0 * 2.0_f64.ln() - 3_000.0).abs() < 1.0, "once, after 3 s: {lines:?}");
    // Who was never let in has lost nothing, and who is served the second time goes on.
    let Some(lines) = told(FUNNEL, "statuses = [503]; visit();") else { return };
    assert_eq!(lines, ["shed browse phase_01"; 2]);
    let Some(lines) = told(FUNNEL, "Math.random = () => 0.5; statuses = [503, 200]; visit();") else {
        return;
    };
    assert_eq!(lines.last().map(String::as_str), Some("survived true phase_01"), "{lines:?}");
}

#[test]
fn exported_requests_count_in_the_phase_that_it_is_and_none_is_sent_after_the_end() {
    let Some(lines) = told(FUNNEL, "timeMs = 8000; statuses = [503]; arrive();") else { return };
    assert_eq!(lines, ["shed checkout phase_01", "shed checkout phase_02"]);
    let Some(lines) = told(FUNNEL, "timeMs = 18000; statuses = [503]; arrive();") else { return };
    assert_eq!(lines, ["shed checkout phase_02"], "the retry would be after the end");
    let calls = "Math.random = () => 0.9; timeMs = 18000; statuses = [200]; visit();";
    let Some(lines) = told(FUNNEL, calls) else { return };
    assert!(lines.iter().all(|line| !line.starts_with("survived")), "who is under way is neither: {lines:?}");
}
