//! Connections that are slow, idle, long-lived or too many: they end, and others do not notice.

use crate::harness::process::{Process, Setup};
use crate::harness::until;
use crate::harness::upstream::{DRIP, echo};
use crate::harness::wire::Wire;

async fn limited(connections: &str) -> Process {
    Setup::before(&[echo().await]).config(&format!("connections: {connections}\n")).start().await
}

/// Says the next byte of a head that never ends, now and then, until it is not listened to any more.
async fn drip(client: &mut Wire) {
    while client.try_send("x").await.is_ok() {
        tokio::time::sleep(DRIP).await;
    }
}

#[tokio::test]
async fn a_head_that_is_dripped_is_cut_off() {
    let proxy = limited("{ head: 300ms }").await;
    let mut first = proxy.client().await;
    first.send("GET / HTTP/1.1\r\nX: ").await;
    drip(&mut first).await;
    // Nor does it help to have been a good client before.
    let mut second = proxy.client().await;
    for _ in 0..2 {
        assert_eq!(second.exchange("GET /", "").await.status(), 200);
    }
    second.send("GET / HTTP/1.1\r\nX: ").await;
    drip(&mut second).await;
    // The first byte of HTTP/2 is one of PUT as well.
    let mut third = proxy.client().await;
    third.send("PUT / HTTP/1.1\r\nX: ").await;
    drip(&mut third).await;
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_head_that_grows_and_grows_is_refused_long_before_the_parser_would() {
    let proxy = Process::before(echo().await).await;
    let refused = "plimsoll_rejections_total{kind=\"head_size\"}";
    // Just below what a head may have, on a connection that is used again, and twice as long at once.
    let mut client = proxy.client().await;
    for (bytes, status) in [(30 << 10, 200), (40 << 10, 431)] {
        let field = format!("X: {}\r\n", "x".repeat(bytes));
        assert_eq!(client.exchange("GET /", &field).await.status(), status, "{bytes}");
    }
    assert_eq!(proxy.metric(refused).await, 1.0);
    // Half of what the parser waits for, and no end.
    for (count, beginning) in ["GET / HTTP/1.1\r\nX: ", "GET /"].into_iter().enumerate() {
        let mut client = proxy.client().await;
        client.send(beginning).await;
        let _ = client.try_send("x".repeat(512 << 10)).await;
        until("the refusal", async || proxy.metric(refused).await == (count + 2) as f64).await;
        // The answer may be lost with what was not read.
        let said = String::from_utf8_lossy(&client.rest().await).into_owned();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 431 "), "{said}");
    }
    proxy.until_idle().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let proxy = limited("{ idle: 300ms }").await;
    let mut silent = proxy.client().await;
    assert!(silent.rest().await.is_empty());
    let mut served = proxy.client().await;
    assert_eq!(served.exchange("GET /", "").await.status(), 200);
    assert!(served.rest().await.is_empty());
    let mut preface = proxy.client().await;
    preface.send("PRI * HTTP/2.0\r\n\r\nSM").await;
    assert!(preface.rest().await.is_empty());
}

#[tokio::test]
async fn a_connection_that_never_asks_is_closed_long_before_one_that_has() {
    let proxy = limited("{ head: 200ms, idle: 1h }").await;
    let mut served = proxy.client().await;
    assert_eq!(served.exchange("GET /", "").await.status(), 200);
    for beginning in ["", "PRI * HTTP/2.0\r\n\r\nSM"] {
        let mut silent = proxy.client().await;
        silent.send(beginning).await;
        assert!(silent.rest().await.is_empty(), "{beginning}");
    }
    assert_eq!(served.exchange("GET /", "").await.status(), 200);
}

#[tokio::test]
async fn a_connection_ends_after_so_many_requests_and_says_so() {
    let proxy = limited("{ requests_max: 2 }").await;
    let mut client = proxy.client().await;
    let mut said = Vec::new();
    for _ in 0..3 {
        let answer = client.exchange("GET /", "").await;
        assert_eq!(answer.status(), 200);
        said.push(answer.header("connection").unwrap());
        if said.last().unwrap() == "close" {
            break;
        }
    }
    assert_eq!(said.last().unwrap(), "close", "{said:?}");
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn a_connection_too_many_is_closed_and_its_place_is_free_again() {
    for (limits, kind) in [("{ max: 2 }", "total"), ("{ per_address_max: 2 }", "address")] {
        let proxy = limited(limits).await;
        let mut clients = Vec::new();
        for _ in 0..2 {
            let mut client = proxy.client().await;
            assert_eq!(client.exchange("GET /", "").await.status(), 200);
            clients.push(client);
        }
        let mut third = proxy.client().await;
        assert!(third.rest().await.is_empty());
        let refused = format!("plimsoll_connections_refused_total{{kind=\"{kind}\"}}");
        until("the count", async || proxy.metric(&refused).await == 1.0).await;
        clients.pop();
        until("a free place", async || {
            let mut client = proxy.client().await;
            client.ask("GET /", "").await;
            client.message().await.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        assert_eq!(clients[0].exchange("GET /", "").await.status(), 200);
    }
}

#[tokio::test]
async fn a_process_that_has_no_memory_left_turns_connections_away_and_says_so() {
    let proxy = Setup::before(&[echo().await]).config("memory_bytes_max: 1\n").start().await;
    until("the last rung", async || proxy.metric("plimsoll_self_protection{kind=\"memory\"}").await == 3.0)
        .await;
    let mut client = proxy.client().await;
    assert!(client.rest().await.is_empty());
    let refused = "plimsoll_connections_refused_total{kind=\"self_protection\"}";
    until("the count", async || proxy.metric(refused).await == 1.0).await;
}

#[tokio::test]
async fn a_trusted_hop_counts_only_in_all() {
    let settings = "connections: { per_address_max: 1 }\ntrusted_hops: [127.0.0.1]\n";
    let proxy = Setup::before(&[echo().await]).config(settings).start().await;
    let mut clients = [proxy.client().await, proxy.client().await];
    for client in &mut clients {
        assert_eq!(client.exchange("GET /", "").await.status(), 200);
    }
}
