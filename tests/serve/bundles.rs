//! What the process makes of a bundle: a whole one is used, a bad one is done without, and another takes its place
//! without a request that fails.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::harness::bounded;
use crate::harness::process::{Setup, complaint, plimsoll};
use crate::harness::upstream::{answering, echo, response};
use crate::harness::wire::Wire;

/// A copy of the shipped bundle.
fn bundle() -> TempDir {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/storefront");
    let copy = tempfile::tempdir().unwrap();
    for file in ["manifest.json", "manifest.sha256", "model.onnx", "golden.json"] {
        fs::copy(shipped.join(file), copy.path().join(file)).unwrap();
    }
    copy
}

/// The same under another name, sealed anew.
fn bundle_named(name: &str) -> TempDir {
    let bundle = bundle();
    let manifest = bundle.path().join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let renamed = text.replacen("\"name\": \"storefront\"", &format!("\"name\": \"{name}\""), 1);
    assert_ne!(renamed, text);
    fs::write(bundle.path().join("manifest.sha256"), format!("{:x}\n", Sha256::digest(&renamed))).unwrap();
    fs::write(manifest, renamed).unwrap();
    bundle
}

async fn assert_serves_without_model(bundle: &Path, says: &str) {
    let shop = echo().await;
    let proxy = Setup::before(&[shop]).flag("--model", bundle).start().await;
    assert_eq!(proxy.ask("GET /some/page", "").await.status(), 200);
    assert_eq!(proxy.state().await["model"], Value::Null);
    assert_eq!(proxy.metric("plimsoll_model_usable").await, 0.0);
    assert_eq!(proxy.metric("plimsoll_classified_total{kind=\"fallback\"}").await, 1.0);
    let log = proxy.log.text();
    assert!(log.contains("no model") && log.contains(says), "`{says}` is not in: {log}");
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_truncated_model_is_done_without() {
    let bundle = bundle();
    let model = bundle.path().join("model.onnx");
    let bytes = fs::read(&model).unwrap();
    fs::write(&model, &bytes[..bytes.len() / 2]).unwrap();
    assert_serves_without_model(bundle.path(), "model.onnx").await;
}

#[tokio::test]
async fn a_model_of_another_digest_is_done_without() {
    let bundle = bundle();
    let golden = bundle.path().join("golden.json");
    let text = fs::read_to_string(&golden).unwrap();
    fs::write(&golden, text + "\n").unwrap();
    assert_serves_without_model(bundle.path(), "golden.json").await;
}

#[tokio::test]
async fn a_bundle_without_manifest_is_done_without() {
    let bundle = bundle();
    fs::remove_file(bundle.path().join("manifest.json")).unwrap();
    assert_serves_without_model(bundle.path(), "manifest.json").await;
}

#[tokio::test]
async fn a_whole_bundle_is_used() {
    let bundle = bundle();
    let shop = echo().await;
    let proxy = Setup::before(&[shop]).flag("--model", bundle.path()).start().await;
    assert_eq!(proxy.ask("GET /some/page", "").await.status(), 200);
    assert_eq!(proxy.state().await["model"]["usable"], true, "{}", proxy.log.text());
    assert_eq!(proxy.metric("plimsoll_classified_total{kind=\"model\"}").await, 1.0);
}

#[tokio::test]
async fn a_check_tells_all_that_stands_before_a_bundle_and_refuses_a_bad_one() {
    let bundle = bundle();
    let check = ["model", "check", bundle.path().to_str().unwrap()];
    let output = bounded("the check", plimsoll(&check).output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    for (what, says) in [
        ("digests", "seal"),
        ("features", "schema"),
        ("operators", "Relu"),
        ("shapes", "bounded"),
        ("golden", "reproduced"),
        ("trial", "10s and 1024 MiB"),
        ("answers", "[0, 1]"),
        ("drift", "threshold 0.25"),
        ("runs", "value"),
        ("budget", "2ms"),
    ] {
        let line = told.lines().find(|line| line.starts_with(&format!("  {what} ")));
        assert!(line.is_some_and(|line| line.contains(says)), "{what}: {told}");
    }
    assert!(told.contains("CC BY 4.0") && told.contains("class_log_accuracy"), "{told}");
    fs::write(bundle.path().join("model.onnx"), "nonsense").unwrap();
    let message = complaint(&check).await;
    assert!(message.contains("model.onnx"), "{message}");
}

#[tokio::test]
async fn a_model_that_is_over_its_budget_again_and_again_is_given_up_and_its_shop_is_served() {
    // There is no inference that takes no time.
    let policy = "version: 1\nclasses: { all: {} }\nmodel: { time_budget: 0ms }\n";
    let proxy = Setup::before(&[echo().await]).policy(policy).start().await;
    assert_eq!(proxy.metric("plimsoll_model_usable").await, 1.0);
    // What was scored once is remembered: each is of other words.
    let words =
        ["cart", "checkout", "search", "account", "category", "login", "static/a.js", "collect", "api"];
    for word in words {
        assert_eq!(proxy.ask(&format!("GET /{word}"), "").await.status(), 200, "{word}");
    }
    assert_eq!(proxy.metric("plimsoll_model_usable").await, 0.0);
    assert_eq!(proxy.metric("plimsoll_model_overruns").await, 8.0);
    proxy.log.contain("the model is given up").await;
    proxy.until_idle().await;
}

/// Swaps in the test.
const SWAPS: u64 = 6;
/// Who asks meanwhile.
const CLIENTS: u32 = 16;

/// A policy that leaves everything to the model of one of two bundles.
fn policy(bundles: &[TempDir; 2], generation: u64) -> String {
    let bundle = bundles[generation as usize % 2].path();
    // Observed, and with a large budget: how fast this machine is does not matter here.
    format!(
        "version: 1\nmode: observe\nclasses: {{ checkout: {{}}, browse: {{}} }}\nheaders: {{ decision: on }}\n\
         model: {{ bundle: \"{}\", time_budget: 10s }}\n",
        bundle.display()
    )
}

/// Asks for what only a model can tell, one after the other, until it is over; how often. Without a pause: the more
/// there are, the sooner a swap catches one between its judgement and its decision.
async fn ask_until(is_over: Arc<AtomicBool>, address: SocketAddr) -> u64 {
    let mut client = Wire::connect(address).await;
    let mut asked = 0;
    while !is_over.load(Ordering::Relaxed) {
        let answer = client.exchange("POST /checkout/payment", "Content-Length: 0\r\n").await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        let told = answer.header("x-plimsoll-decision").unwrap();
        assert!(told.starts_with("checkout; "), "{told}");
        asked += 1;
    }
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_or_goes_unjudged_while_bundles_come_and_go() {
    let bundles = [bundle_named("even"), bundle_named("odd")];
    let shop = answering(response("200 OK", "", b"ok")).await;
    let proxy = Setup::before(&[shop]).policy(&policy(&bundles, 1)).start().await;
    let is_over = Arc::new(AtomicBool::default());
    let clients = (0..CLIENTS).map(|_| tokio::spawn(ask_until(is_over.clone(), proxy.address)));
    let clients: Vec<_> = clients.collect();
    for generation in 2..=SWAPS {
        fs::write(proxy.file("policy.yaml"), policy(&bundles, generation)).unwrap();
        assert_eq!(proxy.admin("POST /v1/reload").await.status(), 200, "{}", proxy.log.text());
        let name = if generation % 2 == 0 { "even" } else { "odd" };
        assert_eq!(proxy.state().await["model"]["name"], name);
    }
    is_over.store(true, Ordering::Relaxed);
    let mut asked = 0;
    for client in clients {
        asked += client.await.unwrap();
    }
    assert!(asked > SWAPS, "{asked}");
    assert_eq!(proxy.metric("plimsoll_classified_total{kind=\"model\"}").await, asked as f64);
    proxy.until_idle().await;
}
