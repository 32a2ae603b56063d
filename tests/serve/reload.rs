//! A policy changes while it is in force: at a signal, a call or an edit; whole, or not at all.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::process::{Process, Setup};
use crate::harness::until;
use crate::harness::upstream::{answering, echo, response};
use crate::harness::wire::Wire;

const REJECTED: &str = "plimsoll_reloads_total{kind=\"rejected\"}";

fn policy(class: &str) -> String {
    format!("version: 1\nclasses: {{ {class}: {{}} }}\nheaders: {{ decision: on }}\n")
}

/// Replaces a file as editors do.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

async fn assert_class(proxy: &Process, class: &str, generation: u64) {
    proxy.until_generation(generation).await;
    let told = proxy.ask("GET /", "").await.header("x-plimsoll-decision").unwrap();
    assert!(told.starts_with(&format!("{class}; ")), "{told}");
    assert!(told.contains(&format!("generation={generation}; ")), "{told}");
    assert_eq!(proxy.metric("plimsoll_generation").await, generation as f64);
    proxy.until_idle().await;
}

#[tokio::test]
async fn an_edited_file_is_in_force_by_itself() {
    let proxy = Setup::before(&[echo().await]).policy(&policy("before")).start().await;
    assert_class(&proxy, "before", 1).await;
    replace(&proxy.file("policy.yaml"), &policy("after"));
    assert_class(&proxy, "after", 2).await;
}

/// A policy that is not watched: the process has a symlink to it from another directory.
async fn start_unwatched() -> (Process, tempfile::TempDir) {
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir(elsewhere.path().join("target")).unwrap();
    fs::write(elsewhere.path().join("target/policy.yaml"), policy("before")).unwrap();
    let stated = elsewhere.path().join("stated");
    fs::create_dir(&stated).unwrap();
    symlink("../link/policy.yaml", stated.join("policy.yaml")).unwrap();
    symlink("target", elsewhere.path().join("link")).unwrap();
    let setup = Setup::before(&[echo().await]).flag("--policy", &stated.join("policy.yaml"));
    let proxy = setup.start().await;
    fs::create_dir(elsewhere.path().join("next")).unwrap();
    fs::write(elsewhere.path().join("next/policy.yaml"), policy("after")).unwrap();
    fs::remove_file(elsewhere.path().join("link")).unwrap();
    symlink("next", elsewhere.path().join("link")).unwrap();
    (proxy, elsewhere)
}

#[tokio::test]
async fn a_hangup_signal_reloads() {
    let (proxy, _files) = start_unwatched().await;
    assert_class(&proxy, "before", 1).await;
    proxy.signal("HUP").await;
    assert_class(&proxy, "after", 2).await;
}

#[tokio::test]
async fn a_call_reloads_and_says_the_generation() {
    let (proxy, _files) = start_unwatched().await;
    let answer = proxy.admin("POST /v1/reload").await;
    assert_eq!(answer.status(), 200);
    let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer["generation"], 2);
    assert_class(&proxy, "after", 2).await;
    assert_eq!(proxy.admin("GET /v1/reload").await.status(), 405);
}

#[tokio::test]
async fn a_config_map_that_kubernetes_swaps_is_in_force_by_itself() {
    let map = tempfile::tempdir().unwrap();
    for (data, class) in [("..1", "before"), ("..2", "after"), ("..3", "later")] {
        fs::create_dir(map.path().join(data)).unwrap();
        fs::write(map.path().join(data).join("policy.yaml"), policy(class)).unwrap();
    }
    symlink("..1", map.path().join("..data")).unwrap();
    symlink("..data/policy.yaml", map.path().join("policy.yaml")).unwrap();
    let swap = |data: &str| {
        symlink(data, map.path().join("..data_tmp")).unwrap();
        fs::rename(map.path().join("..data_tmp"), map.path().join("..data")).unwrap();
    };
    let proxy = Setup::before(&[echo().await]).flag("--policy", map.path()).start().await;
    assert_class(&proxy, "before", 1).await;
    swap("..2");
    assert_class(&proxy, "after", 2).await;
    swap("..3");
    assert_class(&proxy, "later", 3).await;
}

#[tokio::test]
async fn a_bad_file_leaves_the_policy_in_force() {
    let proxy = Setup::before(&[echo().await]).policy(&policy("before")).start().await;
    fs::write(proxy.file("policy.yaml"), "version: 1\nclasses: { before: {} }\nrutes: []\n").unwrap();
    let answer = proxy.admin("POST /v1/reload").await;
    assert_eq!(answer.status(), 422);
    assert!(answer.text().contains("policy.yaml:3:1"), "{}", answer.text());
    // The call, and the watch on its own.
    until("both rejections", async || proxy.metric(REJECTED).await == 2.0).await;
    proxy.log.contain("policy.yaml:3:1").await;
    assert_class(&proxy, "before", 1).await;
    replace(&proxy.file("policy.yaml"), &policy("after"));
    assert_class(&proxy, "after", 2).await;
}

#[tokio::test]
async fn a_bad_bundle_leaves_policy_and_model_in_force() {
    let proxy = Setup::before(&[echo().await]).policy(&policy("before")).start().await;
    let bundle = proxy.file("bundle");
    fs::create_dir(&bundle).unwrap();
    let with_bundle = format!("{}model: {{ bundle: \"{}\" }}\n", policy("after"), bundle.display());
    replace(&proxy.file("policy.yaml"), &with_bundle);
    until("the rejection", async || proxy.metric(REJECTED).await > 0.0).await;
    proxy.log.contain("manifest.json").await;
    assert_class(&proxy, "before", 1).await;
    assert_eq!(proxy.state().await["model"]["usable"], true);
}

/// Reloads in a test; `make reloads` asks for a thousand.
fn reloads() -> u64 {
    std::env::var("PLIMSOLL_RELOADS").map_or(60, |count| count.parse().unwrap())
}

/// Asks until it is told that it is over. Returns how often, and every pair of a class and a generation that
/// an answer told.
async fn ask_on(address: SocketAddr, over: Arc<AtomicBool>) -> (u64, BTreeSet<(String, u64)>) {
    let (mut client, mut count, mut told) = (Wire::connect(address).await, 0, BTreeSet::new());
    while !over.load(Ordering::Relaxed) {
        let answer = client.exchange("GET /", "").await;
        assert_eq!(answer.status(), 200, "request {count}: {answer:?}");
        let header = answer.header("x-plimsoll-decision").unwrap();
        let (class, rest) = header.split_once("; ").unwrap();
        let (_, generation) = rest.split_once("generation=").unwrap();
        told.insert((class.to_owned(), generation.split(';').next().unwrap().parse().unwrap()));
        count += 1;
    }
    (count, told)
}

#[tokio::test]
async fn no_request_fails_or_mixes_generations_while_policies_come_and_go() {
    // Observed: how fast this machine is does not matter here.
    let policy = |class: &str| policy(class) + "mode: observe\n";
    let shop = answering(response("200 OK", "", b"ok")).await;
    let proxy = Setup::before(&[shop]).policy(&policy("odd")).start().await;
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4).map(|_| tokio::spawn(ask_on(proxy.address, over.clone()))).collect();
    let mut applied = BTreeSet::from([("odd".to_owned(), 1)]);
    let mut is_even = false;
    for number in 1..=reloads() {
        let is_bad = number % 10 == 0;
        is_even ^= !is_bad;
        let class = if is_even { "even" } else { "odd" };
        let text = if is_bad { policy("other") + "rutes: []\n" } else { policy(class) };
        replace(&proxy.file("policy.yaml"), &text);
        let answer = proxy.admin("POST /v1/reload").await;
        assert_eq!(answer.status(), if is_bad { 422 } else { 200 }, "{}", answer.text());
        if !is_bad {
            let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            applied.insert((class.to_owned(), answer["generation"].as_u64().unwrap()));
        }
    }
    over.store(true, Ordering::Relaxed);
    let (mut asked, mut told) = (0, BTreeSet::new());
    for client in clients {
        let (count, pairs) = client.await.unwrap();
        asked += count;
        told.extend(pairs);
    }
    println!("{asked} requests over {} reloads, {} generations seen", reloads(), told.len());
    assert_eq!(told.difference(&applied).next(), None, "a class of one generation with another's number");
    assert!(told.len() > 2 && asked > reloads(), "{asked} requests, {told:?}");
    proxy.until_idle().await;
}
