//! Everything goes wrong at once, and nothing is held or lost for it: clients leave at every point, endpoints
//! fail, are killed and come back, policies are replaced by good and by broken ones, and filters panic.
//!
//! When it is over, nobody has a seat or waits for one; every request whose client stayed was answered, by
//! the answer to that request and by no other; an order was read once at most; and nothing has panicked that
//! was not told to. `make chaos` does a million requests, and this test as many as there is time for.

mod saboteur;
mod shop;
mod clients;
#[path = "../../../fuzz/src/random.rs"]
mod random;
#[path = "../../../tests/serve/harness/wire.rs"]
#[expect(dead_code, reason = "the socket tests use all of it")]
mod wire;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::doors::Doors;
use super::preface::EitherHttp;
use super::service::Plimsoll;
use crate::config::{Config, DEFAULT_POOL, Listener, Pool};
use crate::serving::{Applying, Outcome, Serving};
use clients::Seen;
use saboteur::{INJECTED, Saboteur};
use shop::{Endpoint, Read};

/// Some seconds, unoptimised.
const REQUESTS: u64 = 4_000;
/// More than there are seats to begin with, so that some wait.
const CLIENTS: u64 = 64;
/// One in so many clients speaks HTTP/2.
const HTTP2_EVERY: u64 = 4;
/// The threads of this test, whose panics are counted: others run beside it.
const THREAD: &str = "chaos";

async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(Duration::from_secs(60), future).await;
    outcome.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    bounded(what, holds).await;
}

fn total() -> u64 {
    std::env::var("PLIMSOLL_CHAOS").map_or(REQUESTS, |count| count.parse().unwrap())
}

/// Counts the panics of this test that nobody asked for.
fn count_panics() -> Arc<AtomicU64> {
    let count = Arc::new(AtomicU64::new(0));
    let (counted, before) = (count.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        let is_ours = std::thread::current().name() == Some(THREAD);
        let says = panic.payload_as_str().unwrap_or_default();
        if is_ours && says.starts_with(INJECTED) {
            return;
        }
        counted.fetch_add(u64::from(is_ours), Ordering::Relaxed);
        before(panic);
    }));
    count
}

struct Proxy {
    serving: Arc<Serving>,
    doors: Arc<Doors<HttpProxy<Saboteur>>>,
    address: SocketAddr,
    injected: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    accepting: JoinSet<()>,
}

impl Proxy {
    async fn start(endpoints: Vec<SocketAddr>, policy: &Path) -> Proxy {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let config = Config {
            listen: vec![Listener::clear(address)],
            pools: vec![Pool::new(DEFAULT_POOL, endpoints.into_iter().map(Into::into).collect())],
            policy: Some(policy.to_owned()),
            ..Config::default()
        };
        let serving = Serving::start(config).unwrap();
        let (stop, stopped) = watch::channel(false);
        let injected = Arc::new(AtomicU64::new(0));
        let proxy = Plimsoll::new(serving.clone()).await.unwrap();
        let strain = proxy.strain();
        let gate = serving.pools[0].gate.clone();
        tokio::spawn(async move { gate.run_timer().await });
        let app =
            http_proxy(&Arc::new(ServerConf::default()), Saboteur { proxy, injected: injected.clone() });
        let app = EitherHttp::new(app, serving.clone(), strain.clone());
        let (doors, accepting) = Doors::open(app, serving.clone(), vec![listener], strain, &stopped).unwrap();
        Proxy { serving, doors, address, injected, stop, accepting }
    }

    /// Waits until nobody has a seat, waits for one, or is owed an answer.
    async fn until_idle(&self) {
        let gate = &self.serving.pools[0].gate;
        until("seats to be given back", || gate.snapshot().inflight == 0).await;
        let waiting = || gate.snapshot().classes.iter().map(|class| class.queued).sum::<u32>();
        until("queues to be left", || waiting() == 0).await;
        until("requests to be over", || self.serving.is_idle()).await;
        until("connections to be closed", || self.doors.connections() == 0).await;
        assert_eq!(self.serving.metrics.upload_bytes.get(), 0, "bytes of bodies are held");
        assert_eq!(self.serving.metrics.held_bytes.get(), 0, "bytes of responses are held");
    }
}

/// Another policy for each `number`; every third is broken. Half of them only observe: endpoints that die all the
/// time leave few seats.
fn policy(number: u64) -> String {
    let patience = if number % 3 == 2 { "for ever".to_owned() } else { format!("{}s", 5 + number % 20) };
    let mode = if number % 4 < 2 { "enforce" } else { "observe" };
    format!("version: 1\nmode: {mode}\nclasses: {{ all: {{ patience: {patience} }} }}\n")
}

/// Kills, revives and reloads as requests go by, until `seen` has all of them.
async fn storm(mut endpoints: Vec<Endpoint>, serving: Arc<Serving>, path: &Path, seen: &Seen) -> [u64; 3] {
    let [mut kills, mut applied, mut rejected] = [0; 3];
    let mut turn = 0;
    while seen.count() < total() {
        if seen.count() < turn * 100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        turn += 1;
        // One at a time, and now and then all of them.
        let all = turn % 16 == 0;
        for (index, endpoint) in endpoints.iter_mut().enumerate() {
            if all || turn as usize % 6 == 2 * index {
                endpoint.kill().await;
                kills += 1;
            } else {
                endpoint.revive().await;
            }
        }
        fs::write(path, policy(turn)).unwrap();
        let reloading = serving.clone();
        let outcome = tokio::task::spawn_blocking(move || reloading.reload(Applying::Changed));
        match outcome.await.unwrap() {
            Ok(Outcome::Applied(_)) => applied += 1,
            Ok(outcome) => panic!("turn {turn}: {outcome:?}"),
            Err(_) => rejected += 1,
        }
        assert_eq!(rejected, (turn + 1) / 3, "turn {turn}");
    }
    [kills, applied, rejected]
}

async fn chaos() {
    let (total, others) = (total(), count_panics());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.yaml");
    fs::write(&path, policy(0)).unwrap();
    let read: Read = Arc::new((0..total).map(|_| AtomicU8::new(0)).collect());
    let mut endpoints = Vec::new();
    for _ in 0..3 {
        endpoints.push(Endpoint::start(&read).await);
    }
    let addresses = endpoints.iter().map(|endpoint| endpoint.address).collect();
    let mut proxy = Proxy::start(addresses, &path).await;
    let seen = Arc::new(Seen::default());
    let mut crowd = JoinSet::new();
    for seed in 1..=CLIENTS {
        if seed % HTTP2_EVERY == 0 {
            crowd.spawn(clients::http2(proxy.address, total, seed, seen.clone()));
        } else {
            crowd.spawn(clients::http1(proxy.address, total, seed, seen.clone()));
        }
    }
    let [kills, applied, rejected] = storm(endpoints, proxy.serving.clone(), &path, &seen).await;
    while let Some(client) = crowd.join_next().await {
        client.unwrap();
    }
    proxy.until_idle().await;
    let orders = std::mem::take(&mut *seen.orders.lock().unwrap());
    for order in &orders {
        assert!(read[*order].load(Ordering::Relaxed) <= 1, "order {order} was sent twice");
    }
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    let injected = count(&proxy.injected);
    println!(
        "{total} requests: {} served, {} refused, {} broken off, {} left by their clients; {} orders; \
         {kills} kills, {applied} policies applied, {rejected} rejected, {injected} panics injected",
        count(&seen.served),
        count(&seen.refused),
        count(&seen.broken),
        count(&seen.left),
        orders.len(),
    );
    let all = [&seen.served, &seen.refused, &seen.broken, &seen.left].map(count).iter().sum::<u64>();
    assert_eq!(all, total, "requests without an outcome");
    assert!(count(&seen.served) > total / 10 && injected > 0 && kills > 0 && applied > 0 && rejected > 0);
    assert_eq!(count(&others), 0, "panics that nobody asked for");
    proxy.stop.send_replace(true);
    while proxy.accepting.join_next().await.is_some() {}
}

#[test]
fn whatever_goes_wrong_nothing_is_held_and_every_request_is_answered_once() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(4).thread_name(THREAD).enable_all().build().unwrap();
    // On a thread of the runtime, whose panics are counted.
    let outcome = runtime.block_on(async { tokio::spawn(chaos()).await });
    runtime.shutdown_background();
    outcome.unwrap();
}
