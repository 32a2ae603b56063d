//! From one process to the next: sockets, readiness, what was learned; and no request is lost on the way.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpStream, UnixDatagram};
use tokio::process::Command;

use crate::harness::process::{Process, Setup, is_gone, signal_to};
use crate::harness::upstream::{echo, response, scripted};
use crate::harness::wire::Wire;
use crate::harness::{bounded, until};

/// Upgrades and drains in a test; `make upgrades` asks for fifty.
fn times() -> u32 {
    std::env::var("PLIMSOLL_UPGRADES").map_or(3, |count| count.parse().unwrap())
}

/// A download of so much, in pieces, over about as long as a process takes to start.
const DOWNLOAD: usize = 4 << 20;
const PIECES: usize = 64;

/// Observed: how fast this machine is does not matter here.
const POLICY: &str = "version: 1\nmode: observe\nclasses: { all: {} }\n";

/// A shop that answers at once, and a download slowly.
async fn shop() -> SocketAddr {
    scripted(|mut wire| async move {
        while let Ok(request) = wire.message().await {
            if !request.start.contains("/download") {
                wire.send(response("200 OK", "", b"ok")).await;
                continue;
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {DOWNLOAD}\r\n\r\n");
            let _ = wire.try_send(head).await;
            for _ in 0..PIECES {
                let _ = wire.try_send(vec![b'x'; DOWNLOAD / PIECES]).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    })
    .await
}

/// What the clients of a proxy have seen.
#[derive(Clone, Default)]
struct Seen {
    answered: Arc<AtomicU64>,
    /// Nothing more is asked.
    over: Arc<AtomicBool>,
    /// Nobody listens from some moment on: a connection that was never accepted may be reset.
    closing: Arc<AtomicBool>,
}

impl Seen {
    fn count(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Asks over one connection, and over another when that one is closed as it was announced. Without a
/// listener it ends; every request that was sent must be answered.
async fn keep_alive(address: SocketAddr, seen: Seen) {
    while let Ok(stream) = TcpStream::connect(address).await {
        let mut wire = Wire::over(stream);
        for request in 0.. {
            if seen.is_over() {
                return;
            }
            let sent = wire.try_send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
            let answer = match sent.and(wire.message().await) {
                Ok(answer) => answer,
                Err(_) if request == 0 && seen.is_closing() => return,
                Err(error) => panic!("request {request} was dropped: {error}"),
            };
            assert_eq!(answer.status(), 200);
            seen.count();
            if answer.header("connection").is_some_and(|said| said == "close") {
                break;
            }
        }
    }
}

async fn http2(address: SocketAddr) -> Option<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

async fn multiplexed(address: SocketAddr, seen: Seen) {
    while let Some(mut client) = http2(address).await {
        // Not ready any more: the connection was told to go away, and nothing was sent.
        let mut is_first = true;
        while client.ready().await.is_ok() && !seen.is_over() {
            let request = Request::get("http://shop.test/").body(Empty::new()).unwrap();
            match bounded("an answer", client.send_request(request)).await {
                Ok(answer) => {
                    assert_eq!(answer.status(), 200);
                    bounded("a body", answer.into_body().collect()).await.unwrap();
                    is_first = false;
                    seen.count();
                }
                // It was told while this one was made; hyper knows that it was not sent, or not taken: a
                // GOAWAY without an error ends the streams above its last one only.
                Err(error) if error.is_canceled() || format!("{error:?}").contains("NO_ERROR") => break,
                Err(error) => assert!(is_first && seen.is_closing(), "a request was dropped: {error:?}"),
            }
        }
        if seen.is_over() {
            return;
        }
    }
}

async fn downloads(address: SocketAddr, seen: Seen) {
    while !seen.is_over() {
        let Ok(stream) = TcpStream::connect(address).await else { return };
        let mut wire = Wire::over(stream);
        let request = "GET /download HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";
        let head = match wire.try_send(request).await.and(wire.head().await) {
            Ok(head) => head,
            Err(_) if seen.is_closing() => return,
            Err(error) => panic!("a download was dropped: {error}"),
        };
        assert_eq!(head.status(), 200);
        wire.bytes(DOWNLOAD).await.unwrap_or_else(|error| panic!("a download was cut off: {error}"));
        seen.count();
    }
}

/// Clients of every kind, until they are over.
fn load(address: SocketAddr, seen: &Seen) -> Vec<tokio::task::JoinHandle<()>> {
    let mut clients: Vec<_> = (0..4).map(|_| tokio::spawn(keep_alive(address, seen.clone()))).collect();
    clients.extend((0..2).map(|_| tokio::spawn(multiplexed(address, seen.clone()))));
    clients.extend((0..2).map(|_| tokio::spawn(downloads(address, seen.clone()))));
    clients
}

async fn until_answered(seen: &Seen, more: u64) {
    let goal = seen.answered.load(Ordering::Relaxed) + more;
    until("answers", async || seen.answered.load(Ordering::Relaxed) >= goal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrades_under_load_drop_no_request() {
    let settings = "connections: { idle: 1s }\n";
    let mut proxy = Setup::before(&[shop().await]).policy(POLICY).config(settings).start().await;
    let seen = Seen::default();
    let clients = load(proxy.address, &seen);
    for _ in 0..times() {
        until_answered(&seen, 200).await;
        proxy.upgrade().await;
    }
    until_answered(&seen, 200).await;
    seen.over.store(true, Ordering::Relaxed);
    for client in clients {
        bounded("a client", client).await.unwrap();
    }
    proxy.until_idle().await;
    proxy.signal("TERM").await;
    proxy.until_gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drains_under_load_drop_no_request() {
    let shop = shop().await;
    for _ in 0..times() {
        let mut proxy = Setup::before(&[shop]).policy(POLICY).start().await;
        let seen = Seen::default();
        let clients = load(proxy.address, &seen);
        until_answered(&seen, 200).await;
        seen.closing.store(true, Ordering::Relaxed);
        proxy.signal("TERM").await;
        assert!(proxy.end().await.success());
        for client in clients {
            bounded("a client", client).await.unwrap();
        }
    }
}

/// A shop with an event stream that lasts until its reader leaves.
async fn streaming() -> SocketAddr {
    scripted(|mut wire| async move {
        while let Ok(request) = wire.message().await {
            if !request.start.contains("/events") {
                wire.send(response("200 OK", "", b"ok")).await;
                continue;
            }
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
            while wire.try_send("data: 1\n\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_event_stream_outlives_the_upgrade() {
    let settings = "connections: { idle: 300ms }\n";
    let mut proxy = Setup::before(&[streaming().await]).policy(POLICY).config(settings).start().await;
    let mut reader = proxy.client().await;
    reader.ask("GET /events", "").await;
    assert_eq!(reader.head().await.unwrap().status(), 200);
    let mut idle = proxy.client().await;
    assert_eq!(idle.exchange("GET /", "").await.status(), 200);
    proxy.upgrade().await;
    // The old process has closed what was idle, and has waited for as long as it waits for anybody's next request.
    idle.rest().await;
    for _ in 0..100 {
        reader.bytes(9).await.unwrap();
    }
    drop(reader);
    assert!(proxy.end().await.success());
}

#[tokio::test]
async fn a_predecessor_that_is_told_to_end_does_not_wait_for_streams() {
    for signal in ["TERM", "INT"] {
        let mut proxy = Setup::before(&[streaming().await]).policy(POLICY).start().await;
        let mut reader = proxy.client().await;
        reader.ask("GET /events", "").await;
        assert_eq!(reader.head().await.unwrap().status(), 200);
        let predecessor = proxy.id();
        proxy.upgrade().await;
        signal_to(predecessor, signal).await;
        // Far less than the ten minutes that it has.
        assert!(proxy.end().await.success(), "{signal}");
        assert_eq!(proxy.ask("GET /", "").await.status(), 200, "the successor serves");
    }
}

/// What `parent` has started and not buried.
fn children(parent: u32) -> Vec<u32> {
    let is_child = |id: &u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // A name may have anything in it; state and parent come after it.
        let told = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        told == Some(parent)
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}

#[tokio::test]
async fn a_process_that_is_told_to_end_while_its_successor_starts_ends_with_it() {
    let mut proxy = Setup::before(&[echo().await]).config("threads: 2\n").start().await;
    // Whoever reads settings from a pipe waits for somebody who writes them.
    let settings = proxy.file("plimsoll.yaml");
    fs::remove_file(&settings).unwrap();
    assert!(Command::new("mkfifo").arg(&settings).status().await.unwrap().success());
    let process = proxy.id();
    proxy.signal("USR2").await;
    until("a successor", async || !children(process).is_empty()).await;
    let successor = children(process)[0];
    proxy.signal("TERM").await;
    assert!(proxy.end().await.success());
    until("the successor's end", async || is_gone(successor)).await;
}

#[tokio::test]
async fn a_successor_that_cannot_start_changes_nothing() {
    let mut proxy = Setup::before(&[echo().await]).config("threads: 2\n").start().await;
    let mut client = proxy.client().await;
    assert_eq!(client.exchange("GET /", "").await.status(), 200);
    fs::write(proxy.file("plimsoll.yaml"), "thraeds: 2\n").unwrap();
    proxy.signal("USR2").await;
    proxy.log.contain("no upgrade, this process goes on").await;
    assert_eq!(client.exchange("GET /", "").await.status(), 200);
    assert_eq!(proxy.ask("GET /", "").await.status(), 200);
    fs::write(proxy.file("plimsoll.yaml"), "threads: 1\n").unwrap();
    proxy.upgrade().await;
    assert_eq!(proxy.ask("GET /", "").await.status(), 200);
    // The connection that was kept is served by the old process, for the last time.
    let last = client.exchange("GET /", "").await;
    assert_eq!((last.status(), last.header("connection").as_deref()), (200, Some("close")));
    assert!(proxy.end().await.success());
}

/// The file as it is written, with this limit.
fn state(limit: u32, saved_unix_s: u64) -> String {
    format!(
        "{{ \"version\": 1, \"saved_unix_s\": {saved_unix_s}, \"pools\": {{ \"default\": \
         {{ \"limit\": {limit}, \"baselines_us\": {{ \"checkout\": 40000 }} }} }} }}"
    )
}

#[tokio::test]
async fn the_learned_limit_is_begun_with_and_saved_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("learned.json");
    let now = std::fs::metadata(directory.path()).unwrap().modified().unwrap();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let settings = format!("state_dir: \"{}\"\n", directory.path().display());
    for (text, limit) in [(state(77, now), 77), (state(77, now - 100_000), 32), ("nonsense".to_owned(), 32)] {
        fs::write(&path, text).unwrap();
        let mut proxy = Setup::before(&[echo().await]).config(&settings).start().await;
        assert_eq!(proxy.pool("limit").await, limit);
        assert_eq!(proxy.ask("GET /", "").await.status(), 200);
        proxy.signal("TERM").await;
        assert!(proxy.end().await.success());
        let saved: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let expected = if limit == 77 { serde_json::json!(77) } else { serde_json::Value::Null };
        assert_eq!(saved["pools"]["default"]["limit"], expected, "what is not known is not saved");
    }
}

#[tokio::test]
async fn a_service_manager_is_told_of_readiness_and_of_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let heard = async || {
        let mut bytes = [0; 1_024];
        let count = bounded("a message", manager.recv(&mut bytes)).await.unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    let mut proxy: Process = Setup::before(&[echo().await]).variable("NOTIFY_SOCKET", &path).start().await;
    let first = heard().await;
    assert!(first.contains("READY=1") && first.contains("MAINPID="), "{first}");
    proxy.upgrade().await;
    let second = heard().await;
    assert!(second.contains("READY=1") && second != first, "another process is the main one: {second}");
    proxy.signal("TERM").await;
    assert!(heard().await.contains("STOPPING=1"));
    proxy.until_gone().await;
}
