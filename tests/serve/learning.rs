//! What a model can learn from, as a real process writes it down beside its journal.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::process::Setup;
use crate::harness::until;
use crate::harness::upstream::{answering, response};

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
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
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
