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
/// its phase. `statuses` (or answers without one) come in turn, the last one for ever, and only who sleeps takes time.
const K6: &str = "\
const __ENV = { TARGET: 'http://shop.test', CLASS: 'checkout', FUNNEL: '0' };
let statuses;
let timeMs = 0;
const sleep = (seconds) => { timeMs += seconds * 1000; };
const exec = { instance: { get currentTestRunDuration() { return timeMs; } } };
const measured = [];
class Trend {
  constructor(name) { this.name = name; }
  add(ms) { measured.push(`${this.name} ${ms}`); }
}
class Counter {
  add(number, { of, phase }) { measured.push(`counted ${number} of ${of} in ${phase}`); }
}
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
let timings = { blocked: 0, connecting: 0, tls_handshaking: 0, duration: 1 };
class CookieJar {}
const ownJar = new CookieJar();
const answer = () => {
  const next = statuses.length > 1 ? statuses.shift() : statuses[0];
  return typeof next === 'number' ? { status: next, timings } : { status: 0, timings, ...next };
};
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
fn played(scenario: &str, calls: &str) -> Option<Vec<String>> {
    played_on(K6, scenario, calls)
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn played_on(k6: &str, scenario: &str, calls: &str) -> Option<Vec<String>> {
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", scenario);
    let output = bench(&["export", "k6", &scenario]);
    assert!(output.status.success(), "{}", stderr(&output));
    let script = String::from_utf8(output.stdout).unwrap().replace("export ", "");
    let script: Vec<&str> = script.lines().filter(|line| !line.starts_with("import ")).collect();
    let script = file(&directory, "played.mjs", format!("{k6}{}\n{calls}\n", script.join("\n")));
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

#[test]
fn exported_script_times_a_request_with_its_connection_once_and_who_leaves_to_the_end_of_patience() {
    // As k6 has them: blocked is until there is a connection, whose making stands beside it again.
    let calls = "timings = { blocked: 30, connecting: 20, tls_handshaking: 9, duration: 100 };
        statuses = [200]; arrive();
        statuses = [429]; arrive();
        timings = { blocked: 0, connecting: 0, tls_handshaking: 0, duration: 0 };
        for (const error_code of [1050, 1211, 1212]) { statuses = [{ error_code }]; arrive(); }
        console.log(measured.filter((line) => !line.startsWith('counted')).join('; '));";
    let Some(lines) = told(SCENARIO, calls) else { return };
    let timed_out = "timed_out checkout phase_01";
    assert_eq!(
        lines[..5],
        ["good", "shed checkout phase_01", timed_out, timed_out, "failed checkout phase_01"]
    );
    assert_eq!(lines[5], "waited_ms 130; shed_ms 130; waited_ms 2000; waited_ms 2000");
}

#[test]
fn exported_script_counts_what_there_was_to_measure() {
    let calls = "Math.random = () => 0.5; statuses = [200]; visit();
        console.log(measured.filter((line) => line.startsWith('counted')).join('; '));";
    let Some(lines) = told(FUNNEL, calls) else { return };
    let request = "counted 1 of requests in phase_01";
    let expected = [request, request, request, "counted 1 of sessions in phase_01"].join("; ");
    assert_eq!(lines.last(), Some(&expected), "a page, its picture and an order: {lines:?}");
}

#[test]
fn exported_script_asks_for_its_target_when_it_runs_and_not_when_it_is_read() {
    let homeless = K6.replace("TARGET: 'http://shop.test', ", "");
    let calls = "try { setup(); } catch (error) { console.log(error.message); }";
    let Some(lines) = played_on(&homeless, SCENARIO, calls) else { return };
    assert!(lines[0].starts_with("say where the load goes"), "{lines:?}");
    let Some(lines) = played(SCENARIO, "setup(); console.log('there')") else { return };
    assert_eq!(lines, ["there"]);
}

#[test]
fn exported_script_loads_all_of_a_page_at_once() {
    let pictures = ["a", "b", "c", "d", "e", "f", "g"].map(|_| "picture").join(", ");
    let scenario = FUNNEL.replace("loads: [picture]", &format!("loads: [{pictures}]"));
    let calls = "console.log(options.batch, options.batchPerHost);";
    let Some(lines) = played(&scenario, calls) else { return };
    assert_eq!(lines, ["7 7"], "k6 would send six");
    let Some(lines) = played(SCENARIO, calls) else { return };
    assert_eq!(lines, ["1 1"], "k6 sends nothing where it may send none at a time");
}
