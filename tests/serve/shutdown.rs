//! The end: no new requests, what is under way is finished, and then nothing is waited for.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::harness::process::{Process, Setup};
use crate::harness::until;
use crate::harness::upstream::{Stalled, answering, echo, response, scripted};

#[tokio::test]
async fn an_idle_process_ends_at_once_and_well() {
    for signal in ["TERM", "INT"] {
        let mut proxy = Process::before(echo().await).await;
        // A connection that is kept, but idle, is nothing to wait for.
        let mut client = proxy.client().await;
        assert_eq!(client.exchange("GET /", "").await.status(), 200);
        let told = tokio::time::interval(Duration::from_secs(1)).tick().await;
        proxy.signal(signal).await;
        // Far less than it would wait for a request; `make shutdown` tells how long.
        assert!(proxy.end().await.success(), "{signal}: {}", proxy.log.text());
        println!("SIG{signal}: an idle process with a kept connection ended after {:.2?}", told.elapsed());
    }
}

#[tokio::test]
async fn a_request_under_way_is_finished_before_the_end_and_nobody_else_is_let_in() {
    let shop = Stalled::new().await;
    let mut proxy = Process::before(shop.address).await;
    let mut idle = proxy.client().await;
    shop.answer(1);
    assert_eq!(idle.exchange("GET /", "").await.status(), 200);
    let mut client = proxy.client().await;
    client.ask("GET /checkout", "").await;
    proxy.until_pool("inflight", 1).await;
    proxy.signal("TERM").await;
    until("the drain", async || proxy.admin("GET /readyz").await.status() == 503).await;
    assert_eq!(proxy.admin("GET /healthz").await.status(), 200);
    assert!(idle.rest().await.is_empty());
    // Though somebody is still here, nobody listens.
    until("the door to close", async || TcpStream::connect(proxy.address).await.is_err()).await;
    shop.answer(1);
    let answer = client.message().await.unwrap();
    assert_eq!((answer.text(), answer.header("connection").as_deref()), ("late", Some("close")));
    assert!(proxy.end().await.success());
}

#[tokio::test]
async fn what_outlasts_the_drain_is_not_waited_for() {
    let shop = Stalled::new().await;
    let mut proxy = Setup::before(&[shop.address]).config("drain: { stop: 200ms }\n").start().await;
    let mut client = proxy.client().await;
    client.ask("GET /checkout", "").await;
    proxy.until_pool("inflight", 1).await;
    proxy.signal("TERM").await;
    assert!(proxy.end().await.success());
    assert!(client.message().await.is_err(), "the shop has not answered");
    proxy.log.contain("still unfinished after 200ms").await;
}

#[tokio::test]
async fn a_download_under_way_is_finished_before_the_end() {
    const LENGTH: usize = 16 << 20;
    let shop = answering(response("200 OK", "", &vec![b'x'; LENGTH]));
    let mut proxy = Process::before(shop.await).await;
    let mut client = proxy.client().await;
    client.ask("GET /", "").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    proxy.until_pool("inflight", 0).await;
    proxy.signal("TERM").await;
    until("the drain", async || proxy.admin("GET /readyz").await.status() == 503).await;
    assert_eq!(client.bytes(LENGTH).await.unwrap().len(), LENGTH);
    assert!(proxy.end().await.success());
}

#[tokio::test]
async fn an_endless_stream_is_not_waited_for() {
    let shop = scripted(|mut wire| async move {
        wire.message().await.unwrap();
        wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        wire.rest().await;
    });
    let mut proxy = Process::before(shop.await).await;
    let mut client = proxy.client().await;
    client.ask("GET /events", "").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    proxy.signal("TERM").await;
    assert!(proxy.end().await.success());
}
