//! The schema that editors use: generated, committed, and true of the shipped policies.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a panic is the report, and a skip is told"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plimsoll::policy::compile::compile;
use plimsoll::policy::schema::schema;
use plimsoll::yaml::source::Source;
use serde_json::{Value, json};

/// Answers for each document on its standard input what is wrong with it.
const VALIDATE: &str = "
import json, sys
try:
    from jsonschema import Draft7Validator
except ImportError:
    sys.exit(3)
asked = json.load(sys.stdin)
Draft7Validator.check_schema(asked['schema'])
validator = Draft7Validator(asked['schema'])
told = lambda error: '/'.join(map(str, error.absolute_path)) + ': ' + error.message
print(json.dumps([[told(error) for error in validator.iter_errors(one)] for one in asked['documents']]))
";

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

/// What Python's jsonschema, the reference of its kind, has against each text; `None` where it is not
/// installed. A validator in Rust would turn features on in crates that the proxy is built with.
fn objections(texts: &[&str]) -> Option<Vec<Vec<String>>> {
    // As an editor's YAML 1.2 reader sees them.
    let document = |text: &&str| -> Value { yaml_serde::from_str(text).unwrap() };
    let asked = json!({ "schema": schema(), "documents": texts.iter().map(document).collect::<Vec<_>>() });
    let python = Command::new("python3")
        .args(["-W", "ignore", "-c", VALIDATE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut python) = python else {
        println!("skipped: there is no python3");
        return None;
    };
    // It may end before it has read everything; then its exit code tells.
    let _ = python.stdin.take().unwrap().write_all(asked.to_string().as_bytes());
    let output = python.wait_with_output().unwrap();
    if output.status.code() == Some(3) {
        println!("skipped: Python has no jsonschema");
        return None;
    }
    assert!(output.status.success(), "{output:?}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let committed = fs::read_to_string(policies().join("policy.schema.json")).unwrap();
    let generated = format!("{:#}\n", schema());
    assert!(committed == generated, "run `plimsoll schema > policies/policy.schema.json`");
}

#[test]
fn whoever_has_read_enough_of_an_output_is_told_of_no_panic() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    let mut child = command.arg("schema").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn every_shipped_policy_keeps_the_schema_and_names_it() {
    let paths: Vec<PathBuf> = fs::read_dir(policies()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let paths: Vec<PathBuf> = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    let texts: Vec<String> = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for (path, text) in paths.iter().zip(&texts) {
        assert!(text.starts_with("# yaml-language-server: $schema=policy.schema.json\n"), "{path:?}");
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let Some(objections) = objections(&texts) else { return };
    assert!(objections.len() >= 9, "{}", objections.len());
    for (path, objections) in paths.iter().zip(objections) {
        assert!(objections.is_empty(), "{path:?}: {objections:#?}");
    }
}

#[test]
fn what_the_schema_refuses_the_reader_refuses_too() {
    let refused = |text: &str| compile(&Source::of("policy.yaml", text)).is_err();
    let good = "version: 1\nclasses: { a: {} }\n";
    assert!(!refused(good));
    let bad = [
        "version: 2\nclasses: { a: {} }",
        "version: 1\nclasses: { a: { rang: 1 } }",
        "version: 1\nclasses: { a: { rank: 256 } }",
        "version: 1\nclasses: { a: { slo: { latency: 800 } } }",
        "version: 1\nclasses: { a: { slo: { latency: 800sec } } }",
        "version: 1\nclasses: { a: { floor: 20 } }",
        "version: 1\nclasses: { a: { value: 1.5 } }",
        "version: 1\nclasses: { a: { breaker: never } }",
        "version: 1\nclasses: { a: { refuse: { retry_after: 2..6 } } }",
        "version: 1\nclasses: { a: {} }\nroutes: [{ path: a, class: a }]",
        "version: 1\nclasses: { a: {} }\nroutes: [{ path: /a }]",
        "version: 1\nclasses: { a: {} }\nroutes: [{ methods: get, class: a }]",
        "version: 1\nclasses: { a: {} }\nmode: observ",
        "version: 1\nclasses: { a: {} }\nclients: { limits: [{ key: ip, rate: 1/s }] }",
        "version: 1\nclasses: { a: {} }\nclients: { limits: [{ key: session, rate: 1/d }] }",
        "version: 1\nclasses: { a: {} }\ntests: [{ request: /a, expect: { class: a } }]",
        "version: 1\nclasses: { a: {} }\ntests: [{ request: GET /a, load: 4, expect: {} }]",
        "version: 1\nclasses: { a: { body_limit: 2MB } }",
        "version: 1\nclasses: { a: {} }\nroutes: [{ addresses: shop.test, class: a }]",
        "version: 1\nclasses: { a: {} }\ninclude: { file: b.yaml }",
        "version: 1\nclasses: { a: {} }\nroutes: [{ class: a, model: sometimes }]",
        "version: 1\nclasses: { a: {} }\nroutes: [{ class: a, model: { min_confidence: 2 } }]",
        "version: 1\nclasses: { a: {} }\ntests: [{ request: GET /a, session: { stage: basket }, expect: {} }]",
        "version: 1\nclasses: []",
        "version: 1\nclasses: { a: {} }\ncanary: 5",
        "version: 1\nclasses: { a: {} }\nschedules: { s: { zone: UTC, from: 25:00, to: 12:00, classes: { a: { floor: 1% } } } }",
    ];
    assert!(bad.iter().all(|text| refused(text)), "{:?}", bad.iter().find(|text| !refused(text)));
    let Some(objections) = objections(&[&[good], &bad[..]].concat()) else { return };
    assert!(objections[0].is_empty(), "{:?}", objections[0]);
    for (text, objections) in bad.iter().zip(&objections[1..]) {
        assert!(!objections.is_empty(), "{text}");
    }
}

#[test]
fn an_editor_shows_what_a_key_is_for() {
    let schema = schema();
    let class = &schema["properties"]["classes"]["additionalProperties"]["properties"];
    assert_eq!(class["rank"]["maximum"], 255);
    assert!(class["rank"]["description"].as_str().unwrap().contains("0 is shed last"));
    assert_eq!(class["breaker"]["anyOf"][1]["properties"]["window"]["default"], "10s");
    let route = &schema["properties"]["routes"]["anyOf"][1]["items"];
    assert_eq!(route["required"], json!(["class"]));
    assert!(route["properties"]["graphql"]["description"].as_str().unwrap().contains("operationName"));
}
