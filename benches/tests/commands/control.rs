//! The origin's control port, and a scenario that changes the shop over it.

use super::{Origin, SCENARIO, bench, come_and_leave, file, free_address, stderr, stdout, wait_until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// An origin with a control port.
fn controlled(options: &[&str]) -> (Origin, SocketAddr) {
    let control = free_address();
    let origin = Origin::start(&[&["--control", &control.to_string()], options].concat());
    (origin, control)
}

fn ask(address: SocketAddr, request_line: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "{request_line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A reset is an answer, too.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn change(control: SocketAddr, patch: &str) {
    let answer = ask(control, "PATCH /settings", patch);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn settings_are_read_changed_and_refused_over_the_control_port() {
    let (_origin, control) = controlled(&["--workers=3", "--service-ms=1"]);
    assert!(ask(control, "GET /settings", "").contains(r#""workers":3"#));
    change(control, r#"{"workers": 5}"#);
    assert!(ask(control, "GET /settings", "").contains(r#""workers":5"#));
    let refused = ask(control, "PATCH /settings", r#"{"workers": 0}"#);
    assert!(
        refused.starts_with("HTTP/1.1 400") && refused.contains("`workers` is out of range"),
        "{refused}"
    );
    assert!(ask(control, "GET /stats", "").contains(r#""orders":0"#));
    assert!(ask(control, "GET /other", "").starts_with("HTTP/1.1 404"));
}

#[test]
fn faults_befall_the_pages_they_are_meant_for() {
    let (origin, control) = controlled(&["--service-ms=1"]);
    let product = || ask(origin.address, "GET /product/7", "");
    change(control, r#"{"faults": [{"fault": "error", "routes": ["product"]}]}"#);
    assert!(product().starts_with("HTTP/1.1 500"));
    assert!(ask(origin.address, "GET /", "").starts_with("HTTP/1.1 200"));
    for silent in ["abort", "reset"] {
        change(control, &format!(r#"{{"faults": [{{"fault": "{silent}"}}]}}"#));
        assert_eq!(product(), "", "{silent}");
    }
    change(control, r#"{"faults": [{"fault": "truncate"}]}"#);
    let cut = product();
    assert!(cut.starts_with("HTTP/1.1 200") && !cut.contains("</html>"), "{cut}");
    change(control, r#"{"faults": [{"fault": "drip", "delay_ms": 1, "routes": ["static"]}]}"#);
    assert!(ask(origin.address, "GET /static/shop.css", "").contains("sans-serif"));
    change(control, r#"{"faults": []}"#);
    assert!(product().contains("</html>"));
}

#[test]
fn answer_is_as_long_as_it_is_told_to_be() {
    let (origin, control) = controlled(&["--service-ms=1"]);
    change(control, r#"{"routes": {"product": {"bytes": 100000}, "collect": {"bytes": 100000}}}"#);
    let long = ask(origin.address, "GET /product/7", "");
    let body = long.split("\r\n\r\n").nth(1).unwrap();
    assert!(long.to_lowercase().contains("content-length: 100000"), "{}", &long[..200]);
    assert!(body.len() == 100_000 && body.trim_end().ends_with("</html>"), "{}", body.len());
    assert!(ask(origin.address, "GET /category/1", "").len() < 5_000);
    assert!(ask(origin.address, "POST /collect", "").starts_with("HTTP/1.1 204"));
}

#[test]
fn hanging_page_keeps_its_worker_until_its_client_leaves() {
    let (origin, control) = controlled(&["--service-ms=1", "--workers=1"]);
    change(control, r#"{"faults": [{"fault": "hang"}]}"#);
    come_and_leave(&origin);
}

#[test]
fn dependency_that_fails_fails_those_who_need_it_and_nobody_else() {
    let (origin, control) = controlled(&["--service-ms=1"]);
    let payment = r#"{"dependencies": {"payment": {"slots": 1, "service": {"mean_ms": 1}, "failing": 1}},
                      "routes": {"order": {"needs": "payment"}}}"#;
    change(control, payment);
    assert!(ask(origin.address, "POST /checkout", "").starts_with("HTTP/1.1 500"));
    assert!(ask(origin.address, "GET /checkout", "").starts_with("HTTP/1.1 200"));
    change(control, r#"{"dependencies": {"payment": {"failing": 0}}}"#);
    assert!(ask(origin.address, "POST /checkout", "").contains("x-order-value"));
    assert_eq!(origin.stats()["orders"], 1);
}

#[test]
fn scenario_makes_the_origin_its_shop_and_changes_it_on_the_way() {
    let (origin, control) = controlled(&["--workers=3", "--service-ms=1"]);
    let directory = TempDir::new().unwrap();
    let broken = "phases:\n  - { name: well, duration: 1s, load: 50/s }\n  \
                  - { name: ill, duration: 1s, load: 50/s, workers: 0.5x, failing: { origin: 100% } }\n";
    let text = SCENARIO.split("phases:").next().unwrap().to_owned() + broken;
    let scenario = file(&directory, "s.yaml", text);
    let json = directory.path().join("r.json").to_string_lossy().into_owned();
    let output = bench(&["load", &scenario, "--target", &origin.url()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--origin-control"), "{}", stderr(&output));
    // One of another day.
    assert!(ask(origin.address, "POST /checkout", "").contains("x-order-value"));
    let control = control.to_string();
    let output =
        bench(&["load", &scenario, "--target", &origin.url(), "--origin-control", &control, "--json", &json]);
    let results = std::fs::read(&json).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    let results: serde_json::Value = serde_json::from_slice(&results).unwrap();
    let errors = |phase: usize| {
        let classes = results["phases"][phase]["classes"].as_array().unwrap();
        classes.iter().filter_map(|class| class["errors"]["500"].as_u64()).sum::<u64>()
    };
    // A request of the first moments may still meet the shop of the phase before.
    assert!(errors(0) <= 5 && errors(1) > 20, "{results}");
    let orders = results["origin"]["orders"].as_u64().unwrap();
    assert!(orders > 0 && origin.stats()["orders"].as_u64() == Some(orders + 1), "{results}");
    assert!(stdout(&output).contains("the origin completed"), "{}", stdout(&output));
    let settings = ask(control.parse().unwrap(), "GET /settings", "");
    assert!(settings.contains(r#""workers":8"#) && settings.contains(r#""mean_ms":5.0"#), "{settings}");
}

#[test]
fn shop_that_is_gone_at_the_end_takes_no_report_with_it() {
    let (origin, control) = controlled(&["--service-ms=1"]);
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", SCENARIO.replace("duration: 1s", "duration: 3s"));
    let run = Command::new(env!("CARGO_BIN_EXE_plimsoll-bench"))
        .args(["load", &scenario, "--target", &origin.url(), "--origin-control", &control.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until(|| origin.stats()["served"].as_object().is_some_and(|served| !served.is_empty()));
    drop(origin);
    let output = run.wait_with_output().unwrap();
    assert!(stdout(&output).contains("failed requests"), "{}", stdout(&output));
    assert!(stderr(&output).contains("does not tell what the shop has done"), "{}", stderr(&output));
}
