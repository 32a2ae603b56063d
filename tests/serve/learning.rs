//! What a model can learn from, as a real process writes it down beside its journal.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::process::{Setup, plimsoll};
use crate::harness::upstream::{answering, response};
use crate::harness::{bounded, until};

const POLICY: &str = "version: 1
classes: { shop: {}, checkout: { visit: checkout } }
routes: [{ path: /done/**, class: checkout }]
model: { may_decide: [], fallback_class: shop }
learning: { conversion: { path: /done/** }, sample: 100%, draw: 0% }
";

/// The lines of the samples so far.
fn samples(journal: &Path) -> Vec<Value> {
    let files = fs::read_dir(journal).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    let text: String = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    // A line that is being written is none yet.
    let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    // The first one is of the file.
    lines.filter(|line: &Value| line.get("schema").is_none()).collect()
}

/// The places of the request's features that hold, as training has them of these requests.
async fn trained_on(directory: &Path, rows: &[Value]) -> Vec<Vec<usize>> {
    let schema = plimsoll(&["features", "--schema"]).output();
    let schema: Value = serde_json::from_slice(&bounded("the schema", schema).await.unwrap().stdout).unwrap();
    let [request, session] = ["request", "session"].map(|part| schema[part].as_array().unwrap().len());
    let file = directory.join("rows.jsonl");
    fs::write(&file, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
    let vectors = plimsoll(&["features", file.to_str().unwrap()]).output();
    let vectors = bounded("the vectors", vectors).await.unwrap().stdout;
    let (numbers, rest) = vectors.as_chunks::<4>();
    assert!(rest.is_empty());
    let numbers: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let held = |row: &[f32]| (0..request).filter(|place| row[*place] != 0.0).collect::<Vec<usize>>();
    numbers.chunks(request + session).map(held).collect()
}

#[tokio::test]
async fn requests_and_orders_of_one_session_are_written_under_one_hash() {
    let files = tempfile::tempdir().unwrap();
    let journal = files.path().join("journal");
    let shop = answering(response("200 OK", "X-Order-Value: 149.90\r\n", b"thanks")).await;
    let proxy = Setup::before(&[shop]).policy(POLICY).flag("--journal", &journal).start().await;
    for target in ["GET /a", "GET /b", "GET /done/7"] {
        assert_eq!(proxy.ask(target, "user-agent: one\r\n").await.status(), 200);
    }
    until("four samples", async || samples(&journal).len() == 4).await;
    let samples = samples(&journal);
    let (orders, requests): (Vec<&Value>, Vec<&Value>) =
        samples.iter().partition(|sample| sample.get("order").is_some());
    assert_eq!(orders.len(), 1, "{samples:?}");
    assert_eq!(orders[0]["order"], 149.9);
    assert!(samples.iter().all(|sample| sample["key"] == orders[0]["key"]), "{samples:?}");
    // A sample is written once its client has its answer: the next request may be written before it.
    let counts = requests.iter().map(|request| request["session"]["requests"].as_u64());
    assert_eq!(BTreeSet::from_iter(counts), BTreeSet::from([Some(0), Some(1), Some(2)]), "{samples:?}");
    assert!(requests.iter().all(|request| request["decision"] == "admit" && request["propensity"] == 1.0));
    assert!(!format!("{samples:?}").contains("/done"), "no path is written");
}

#[tokio::test]
async fn a_request_is_written_with_the_features_that_training_computes_whoever_decided_its_class() {
    const AGENT: &str = "user-agent: Mozilla/5.0 (X11) Firefox/150.0\r\n";
    let files = tempfile::tempdir().unwrap();
    let journal = files.path().join("journal");
    let shop = answering(response("200 OK", "", b"thanks")).await;
    let policy = POLICY.replace(
        "classes: { shop: {}, checkout: { visit: checkout } }",
        "classes: { checkout: { rank: 0, visit: checkout }, shop: { rank: 1 } }\ncarry: { checkout: checkout }",
    );
    let proxy = Setup::before(&[shop]).policy(&policy).flag("--journal", &journal).start().await;
    let body = r#"{"operationName":"cartLinesAdd"}"#;
    let json_body = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    let announced = "origin: https://shop.test\r\naccess-control-request-method: POST\r\n";
    let asked = [
        ("GET /warenkorb/7?menge=2", "", ""),
        ("POST /graphql", json_body.as_str(), body),
        ("OPTIONS /cart/add", announced, ""),
        ("GET /done/7", "", ""),
        ("GET /faq", "", ""),
    ];
    let mut written = Vec::new();
    for (target, headers, body) in asked {
        let mut wire = proxy.client().await;
        wire.send(format!("{target} HTTP/1.1\r\nHost: shop.test\r\n{AGENT}{headers}\r\n{body}")).await;
        assert_eq!(wire.message().await.unwrap().status(), 200);
        let count = written.len() + 1;
        let requests = || samples(&journal).into_iter().filter(|sample| sample.get("session").is_some());
        until("its sample", async || requests().count() == count).await;
        written.extend(requests().next_back());
    }
    let agent = json!({ "user-agent": "Mozilla/5.0 (X11) Firefox/150.0" });
    let typed =
        json!({ "user-agent": "Mozilla/5.0 (X11) Firefox/150.0", "content-type": "application/json" });
    let rows = [
        json!({ "url": "/warenkorb/7?menge=2", "headers": agent }),
        json!({ "method": "POST", "url": "/graphql", "operation": "cartLinesAdd", "headers": typed }),
        // A preflight is taken for what it announces.
        json!({ "method": "POST", "url": "/cart/add", "headers": agent }),
        json!({ "url": "/done/7", "headers": agent }),
        json!({ "url": "/faq", "headers": agent }),
    ];
    let expected = trained_on(files.path(), &rows).await;
    for (sample, expected) in written.iter().zip(expected) {
        assert!(!expected.is_empty());
        assert_eq!(sample["features"], json!(expected), "{sample}");
    }
    let text = format!("{written:?}");
    assert!(!text.contains("warenkorb") && !text.contains("cartLinesAdd"), "no word is written: {text}");
    let decided: Vec<_> =
        written.iter().map(|sample| ["class", "own_class", "class_by"].map(|name| &sample[name])).collect();
    assert_eq!(decided[..3], [["shop", "shop", "fallback"]; 3]);
    assert_eq!(decided[3], ["checkout", "checkout", "route"]);
    assert_eq!(decided[4], ["checkout", "shop", "fallback"], "its session lifted it");
}

#[tokio::test]
async fn without_learning_in_the_policy_nothing_is_written_beside_the_journal() {
    let files = tempfile::tempdir().unwrap();
    let journal = files.path().join("journal");
    let shop = answering(response("200 OK", "", b"")).await;
    let policy = "version: 1\nclasses: { shop: {} }\n";
    let mut proxy = Setup::before(&[shop]).policy(policy).flag("--journal", &journal).start().await;
    assert_eq!(proxy.ask("GET /done/7", "").await.status(), 200);
    proxy.signal("TERM").await;
    assert!(proxy.end().await.success());
    assert_eq!(samples(&journal), Vec::<Value>::new());
}
