//! A policy changes while it is in force: at a signal, a call or an edit; whole, or not at all.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

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

#[tokio::test]
async fn an_included_file_is_watched_wherever_it_is() {
    let elsewhere = tempfile::tempdir().unwrap();
    let base = elsewhere.path().join("base.yaml");
    fs::write(&base, policy("before")).unwrap();
    let site = format!("include: {}\n", base.display());
    let proxy = Setup::before(&[echo().await]).policy(&site).start().await;
    assert_class(&proxy, "before", 1).await;
    replace(&base, &policy("after"));
    assert_class(&proxy, "after", 2).await;
    fs::remove_file(&base).unwrap();
    until("the rejection", async || proxy.metric(REJECTED).await == 1.0).await;
    replace(&base, &policy("again"));
    assert_class(&proxy, "again", 3).await;
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
async fn a_client_at_its_limit_is_there_still_after_an_edit_of_something_else() {
    let limited = |class: &str, burst: u32| {
        format!("{}clients: {{ limits: [{{ key: address, rate: 2/h, burst: {burst} }}] }}\n", policy(class))
    };
    let proxy = Setup::before(&[echo().await]).policy(&limited("before", 2)).start().await;
    let status = async || proxy.ask("GET /", "").await.status();
    assert_eq!((status().await, status().await, status().await), (200, 200, 429));
    replace(&proxy.file("policy.yaml"), &limited("after", 2));
    proxy.until_generation(2).await;
    assert_eq!(status().await, 429);
    // Other limits are other buckets.
    replace(&proxy.file("policy.yaml"), &limited("after", 3));
    proxy.until_generation(3).await;
    assert_eq!((status().await, status().await, status().await, status().await), (200, 200, 200, 429));
}

#[tokio::test]
async fn a_number_of_sessions_that_needs_a_new_start_is_said_to() {
    let proxy = Setup::before(&[echo().await]).policy(&policy("before")).start().await;
    let more = format!("{}sessions: {{ max: 4096 }}\n", policy("before"));
    replace(&proxy.file("policy.yaml"), &more);
    proxy.until_generation(2).await;
    proxy.log.contain("sessions.max: 4096 from the next start on: there is room for 131072 until then").await;
    assert_eq!(proxy.log.text().matches("sessions.max").count(), 1);
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
    std::env::var("PLIMSOLL_RELOADS").map_or(50, |count| count.parse().unwrap())
}

/// The class of the policy that is the `generation`-th to be applied.
fn class_of(generation: u64) -> &'static str {
    if generation.is_multiple_of(2) { "even" } else { "odd" }
}

/// Requests per second meanwhile, from all clients; `make reloads` asks for two thousand.
fn rate() -> u32 {
    std::env::var("PLIMSOLL_RELOADS_RATE").map_or(200, |rate| rate.parse().unwrap())
}

/// Who asks meanwhile: enough that one slow answer holds up few of the others.
const CLIENTS: u32 = 16;

/// One reload in so many is of a file that is no policy.
const INVALID_EVERY: u64 = 10;

/// What the clients and the one who reloads know of each other.
#[derive(Default)]
struct Course {
    answers: AtomicU64,
    is_reloading: AtomicBool,
    is_over: AtomicBool,
}

/// How long answers took, from when their requests were due.
#[derive(Default)]
struct Latencies {
    quiet: Vec<Duration>,
    reloading: Vec<Duration>,
}

/// Asks at a steady pace until it is over. Each answer tells the class and the generation under which it was decided.
async fn ask_until_over(course: Arc<Course>, address: SocketAddr) -> Latencies {
    let mut client = Wire::connect(address).await;
    let mut latencies = Latencies::default();
    let mut pace = tokio::time::interval(Duration::from_secs(1) * CLIENTS / rate());
    while !course.is_over.load(Ordering::Relaxed) {
        let due = pace.tick().await;
        let is_reloading = course.is_reloading.load(Ordering::Relaxed);
        let answer = client.exchange("GET /", "").await;
        let latencies = if is_reloading { &mut latencies.reloading } else { &mut latencies.quiet };
        latencies.push(due.elapsed());
        course.answers.fetch_add(1, Ordering::Relaxed);
        assert_eq!(answer.status(), 200, "{answer:?}");
        let told = answer.header("x-plimsoll-decision").unwrap();
        let (class, rest) = told.split_once("; ").unwrap();
        let (_, generation) = rest.split_once("generation=").unwrap();
        let generation = generation.split(';').next().unwrap().parse().unwrap();
        assert_eq!(class, class_of(generation), "decided under two generations: {told}");
    }
    latencies
}

/// The latency that one answer in a hundred exceeds.
fn p99(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_or_is_decided_under_two_generations_while_policies_come_and_go() {
    // Observed: how fast this machine is does not matter here.
    let policy = |generation| policy(class_of(generation)) + "mode: observe\n";
    let shop = answering(response("200 OK", "", b"ok")).await;
    let proxy = Setup::before(&[shop]).policy(&policy(1)).start().await;
    let course = Arc::new(Course::default());
    let clients = (0..CLIENTS).map(|_| tokio::spawn(ask_until_over(course.clone(), proxy.address)));
    let clients: Vec<_> = clients.collect();
    until("answers without reloads", async || course.answers.load(Ordering::Relaxed) > 4 * reloads()).await;
    course.is_reloading.store(true, Ordering::Relaxed);
    let mut generation = 1;
    for number in 1..=reloads() {
        let is_valid = number % INVALID_EVERY != 0;
        let text = if is_valid { policy(generation + 1) } else { "version: 1\nclasses: none\n".to_owned() };
        generation += u64::from(is_valid);
        replace(&proxy.file("policy.yaml"), &text);
        let answer = proxy.admin("POST /v1/reload").await;
        assert_eq!(answer.status() == 200, is_valid, "{answer:?}");
    }
    course.is_over.store(true, Ordering::Relaxed);
    let mut all = Latencies::default();
    for client in clients {
        let Latencies { quiet, reloading } = client.await.unwrap();
        all.quiet.extend(quiet);
        all.reloading.extend(reloading);
    }
    let (asked, quiet, during) = (all.reloading.len(), p99(all.quiet), p99(all.reloading));
    println!(
        "{} reloads, one in {INVALID_EVERY} invalid, during {asked} requests at {}/s",
        reloads(),
        rate()
    );
    println!("p99 without reloads {quiet:.2?}, with them {during:.2?}");
    assert_eq!(proxy.state().await["generation"].as_u64().unwrap(), generation);
    proxy.until_idle().await;
}
