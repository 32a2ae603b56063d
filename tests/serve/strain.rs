//! What a process gives up before it has nothing left, one rung after the other, and takes back.

use std::fs;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::harness::frames::{GOAWAY, begin, get};
use crate::harness::process::{Process, Setup};
use crate::harness::upstream::echo;
use crate::harness::wire::Wire;
use crate::harness::{bounded, until};
use crate::http2::{connect, request, text};

/// Of two classes, the second is the less important half.
const POLICY: &str = "version: 1\nclasses: { order: {}, beacon: {} }\n\
                      routes: [{ path: /graphql, graphql: PlaceOrder, class: order }, \
                               { path: [/collect, /graphql], class: beacon }, { class: order }]\n";
/// Descriptors that the process may have: several times what it needs for itself.
const DESCRIPTORS: usize = 400;
/// So many are in use on each rung: past its 80, 90 and 95 %, and well before the next.
const IN_USE: [usize; 4] = [0, 340, 370, 390];

fn rung(of: &str) -> String {
    format!("plimsoll_self_protection{{kind=\"{of}\"}}")
}

async fn until_rung(proxy: &Process, of: &str, expected: usize) {
    until(&format!("{of}: {expected}"), async || proxy.metric(&rung(of)).await == expected as f64).await;
}

/// Connects until the process has as many descriptors open as bring it to this rung. Everybody begins a request,
/// so that it is the time for a head that they have.
async fn climb(proxy: &Process, clients: &mut Vec<Wire>, to: usize) {
    let open = fs::read_dir(format!("/proc/{}/fd", proxy.id())).unwrap().count();
    for _ in open..IN_USE[to] {
        let mut client = proxy.client().await;
        // It may be one too many.
        let _ = client.try_send("G").await;
        clients.push(client);
    }
    until_rung(proxy, "descriptors", to).await;
}

/// The status of an answer, and whether its connection is kept.
async fn ask(proxy: &Process, target: &str) -> (u16, bool) {
    let answer = proxy.ask(target, "").await;
    (answer.status(), answer.header("connection").as_deref() != Some("close"))
}

#[tokio::test]
async fn as_descriptors_run_out_one_thing_after_the_other_is_given_up_and_taken_back() {
    // Nobody of those who only connect leaves meanwhile.
    let setup = Setup::before(&[echo().await]).policy(POLICY).config("connections: { head: 5m, idle: 5m }\n");
    let proxy = setup.descriptors(DESCRIPTORS).start().await;
    let mut clients = Vec::new();
    assert_eq!(ask(&proxy, "GET /collect").await, (200, true));
    climb(&proxy, &mut clients, 1).await;
    assert_eq!(ask(&proxy, "GET /order").await, (200, false));
    assert_eq!(ask(&proxy, "GET /collect").await, (200, false));
    climb(&proxy, &mut clients, 2).await;
    assert_eq!(ask(&proxy, "GET /order").await, (200, false));
    assert_eq!(ask(&proxy, "GET /collect").await, (503, false));
    // Nor is a body waited for.
    let mut upload = proxy.client().await;
    upload.send("POST /collect HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(upload.message().await.unwrap().status(), 503);
    drop(upload);
    // But where only a body tells what is asked for.
    for (operation, status) in [("PlaceOrder", 200), ("Products", 503)] {
        let body = format!("{{\"operationName\":\"{operation}\"}}");
        let head =
            format!("POST /graphql HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut client = proxy.client().await;
        client.send(head + &body).await;
        assert_eq!(client.message().await.unwrap().status(), status, "{operation}");
    }
    assert_eq!(proxy.metric("plimsoll_rejections_total{kind=\"self_protection\"}").await, 3.0);
    climb(&proxy, &mut clients, 3).await;
    assert!(proxy.client().await.rest().await.is_empty());
    drop(clients);
    until_rung(&proxy, "descriptors", 0).await;
    assert_eq!(ask(&proxy, "GET /collect").await, (200, true));
    proxy.until_idle().await;
}

/// The kinds of the frames in what an HTTP/2 server sent.
fn kinds(mut frames: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [high, middle, low, kind, ..] = frames {
        kinds.push(*kind);
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        frames = frames.get(9 + length..).unwrap_or_default();
    }
    kinds
}

#[tokio::test]
async fn where_connections_are_not_kept_http2_clients_are_served_and_told_to_go() {
    let setup = Setup::before(&[echo().await]).policy(POLICY).config("connections: { head: 5m, idle: 5m }\n");
    let proxy = setup.descriptors(DESCRIPTORS).start().await;
    let mut client = connect(&proxy).await;
    let mut clients = Vec::new();
    for is_told in [false, true] {
        if is_told {
            climb(&proxy, &mut clients, 1).await;
        }
        assert!(!client.is_closed(), "nobody is told before they ask");
        let answer = bounded("an answer", client.send_request(request("GET", "/order", ""))).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(text(answer).await.contains("/order"));
    }
    until("the end of the connection", async || client.is_closed()).await;
    drop(clients);
    proxy.until_idle().await;
}

#[tokio::test]
async fn an_http2_client_that_was_told_to_go_and_never_hears_is_left() {
    let setup = Setup::before(&[echo().await]).policy(POLICY).config("connections: { head: 5m, idle: 1s }\n");
    let proxy = setup.descriptors(DESCRIPTORS).start().await;
    let mut clients = Vec::new();
    climb(&proxy, &mut clients, 1).await;
    // None of its frames are answered, not even the ping after which the end would be known.
    let mut stream = begin(&proxy).await;
    stream.write_all(&get(1)).await.unwrap();
    let mut answer = Vec::new();
    let _ = bounded("the end", stream.read_to_end(&mut answer)).await;
    assert!(kinds(&answer).contains(&GOAWAY), "{answer:?}");
    drop(clients);
    proxy.until_idle().await;
}

/// Lets a process run for a twentieth of the time, until this is dropped.
fn starve(id: u32) -> Child {
    let turns = "while kill -STOP $0; do sleep 0.9; kill -CONT $0; sleep 0.05; done";
    let mut command = Command::new("sh");
    command.args(["-c", turns, &id.to_string()]).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().unwrap()
}

#[tokio::test]
async fn a_process_that_is_given_too_little_time_knows_and_recovers() {
    let proxy = Process::before(echo().await).await;
    let mut starving = starve(proxy.id());
    until("the second rung", async || proxy.metric(&rung("delay")).await >= 2.0).await;
    starving.kill().await.unwrap();
    proxy.signal("CONT").await;
    until_rung(&proxy, "delay", 0).await;
    assert_eq!(ask(&proxy, "GET /").await, (200, true));
}
