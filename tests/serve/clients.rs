//! Clients that leave, dawdle or make no sense: nothing is held for them, nothing leaks.

use std::collections::BTreeMap;

use tokio::net::TcpSocket;

use crate::harness::process::{Process, Setup};
use crate::harness::until;
use crate::harness::upstream::{self, Stalled, answering, response, scripted};
use crate::harness::wire::Wire;

/// One class whose requests wait patiently.
const PATIENT: &str = "version: 1\nclasses: { all: { patience: 30s } }\n";

#[tokio::test]
async fn a_client_that_leaves_while_queued_leaves_the_queue() {
    let shop = Stalled::new().await;
    let proxy = Setup::before(&[shop.address]).policy(PATIENT).start().await;
    let seated = proxy.fill().await;
    let mut waiting = proxy.client().await;
    waiting.ask("GET /", "").await;
    let mut uploaded = proxy.client().await;
    uploaded.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\nabc").await;
    let mut chunked = proxy.client().await;
    let body = "3\r\nabc\r\n0\r\n\r\n";
    chunked
        .send(format!("POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}"))
        .await;
    proxy.until_pool("queued", 3).await;
    drop(waiting);
    proxy.until_pool("queued", 2).await;
    uploaded.reset();
    proxy.until_pool("queued", 1).await;
    drop(chunked);
    proxy.until_pool("queued", 0).await;
    drop(seated);
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_client_that_stays_in_the_queue_gets_its_answer() {
    let shop = Stalled::new().await;
    let proxy = Setup::before(&[shop.address]).policy(PATIENT).start().await;
    let mut seated = proxy.fill().await;
    let mut waiting = proxy.client().await;
    waiting.ask("GET /", "").await;
    proxy.until_pool("queued", 1).await;
    shop.answer(seated.len() + 1);
    for client in seated.iter_mut().chain([&mut waiting]) {
        assert_eq!(client.message().await.unwrap().status(), 200);
    }
    proxy.until_idle().await;
    assert_eq!(proxy.metric("plimsoll_queue_wait_seconds_count{class=\"all\"}").await, 1.0);
}

#[tokio::test]
async fn a_client_that_leaves_mid_upload_holds_nothing() {
    let shop = Stalled::new().await;
    let proxy = Process::before(shop.address).await;
    // Short enough to be read before a seat is asked for.
    let mut small = proxy.client().await;
    small.send("POST /checkout HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100\r\n\r\nhalf").await;
    drop(small);
    let rejected = "plimsoll_rejections_total{kind=\"incomplete_body\"}";
    until("the rejection", async || proxy.metric(rejected).await == 1.0).await;
    // Too long for that: it has a seat while it goes through.
    let mut large = proxy.client().await;
    large.send("POST /checkout HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1000000\r\n\r\n").await;
    large.send(vec![b'x'; 500_000]).await;
    proxy.until_pool("inflight", 1).await;
    drop(large);
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_client_that_leaves_mid_download_holds_nothing() {
    let shop = answering(response("200 OK", "", &vec![b'x'; 16 << 20])).await;
    let proxy = Process::before(shop).await;
    for path in ["/", "/checkout"] {
        let mut client = proxy.client().await;
        client.ask(&format!("GET {path}"), "").await;
        assert_eq!(client.head().await.unwrap().status(), 200);
        drop(client);
        proxy.until_idle().await;
    }
}

/// A page of 200 KiB, framed in every way a shop may choose, and whether its connection is closed then.
fn pages() -> [(Vec<u8>, bool); 3] {
    let page = vec![b'x'; PAGE];
    let chunk = [format!("{PAGE:x}\r\n").as_bytes(), &page, b"\r\n0\r\n\r\n"].concat();
    let chunked = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &chunk[..]].concat();
    let delimited = [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", &page[..]].concat();
    [(response("200 OK", "", &page), false), (chunked, false), (delimited, true)]
}

const PAGE: usize = 200 << 10;

#[tokio::test]
async fn slow_readers_hold_no_seats() {
    for (page, is_closed) in pages() {
        let shop = scripted(move |mut wire| {
            let page = page.clone();
            async move {
                while wire.message().await.is_ok() && wire.try_send(&page).await.is_ok() && !is_closed {}
            }
        });
        // Observed: how fast this machine is does not matter here.
        let policy = "version: 1\nmode: observe\nclasses: { all: {} }\n";
        let proxy = Setup::before(&[shop.await]).policy(policy).start().await;
        // More than there are seats.
        let mut readers = Vec::new();
        for _ in 0..100 {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(4_096).unwrap();
            let mut reader = Wire::over(socket.connect(proxy.address).await.unwrap());
            reader.ask("GET /", "").await;
            readers.push(reader);
        }
        let answered = "plimsoll_upstream_latency_seconds_count{class=\"all\"}";
        until("all to be answered", async || proxy.metric(answered).await == 100.0).await;
        proxy.until_idle().await;
        for mut reader in readers {
            assert_eq!(reader.message().await.unwrap().body.len(), PAGE);
        }
    }
}

#[tokio::test]
async fn ten_thousand_sessions_in_a_row_are_answered_within_the_bound() {
    const CLIENTS: usize = 8;
    let shop = answering(response("200 OK", "", b"ok")).await;
    // Observed: how fast this machine is does not matter here.
    let policy = "version: 1\nmode: observe\nsessions: { cookies: [sid], max: 1024 }\nclasses: { all: {} }\n";
    let proxy = Setup::before(&[shop]).policy(policy).start().await;
    let visits = (0..CLIENTS).map(|client| {
        let address = proxy.address;
        tokio::spawn(async move {
            let mut wire = Wire::connect(address).await;
            for visit in 0..10_000 / CLIENTS {
                let answer = wire.exchange("GET /", &format!("Cookie: sid={client}-{visit}\r\n")).await;
                assert_eq!(answer.status(), 200, "{answer:?}");
            }
        })
    });
    for visit in visits.collect::<Vec<_>>() {
        visit.await.unwrap();
    }
    let sessions = proxy.state().await["sessions"].as_u64().unwrap();
    assert!((1..=1_024).contains(&sessions), "{sessions} sessions");
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_request_without_host_is_a_bad_request() {
    let proxy = Process::before(upstream::echo().await).await;
    let requests = ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"];
    for (count, request) in requests.into_iter().enumerate() {
        let mut client = proxy.client().await;
        client.send(request).await;
        assert_eq!(client.message().await.unwrap().status(), 400, "{request}");
        let rejected = proxy.metric("plimsoll_rejections_total{kind=\"missing_host\"}").await;
        assert_eq!(rejected, count as f64 + 1.0, "{request}");
    }
    let mut client = proxy.client().await;
    client.send("GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(client.message().await.unwrap().status(), 200);
    proxy.until_idle().await;
}

/// The next byte of a fixed sequence (xorshift, Marsaglia 2003).
fn next(state: &mut u32) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state as u8
}

#[tokio::test]
async fn garbage_does_not_end_the_process() {
    let proxy = Process::before(upstream::echo().await).await;
    let garbage: [&[u8]; 8] = [
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello, of sorts ..........",
        b"GET\r\n\r\n.............................................",
        b"GET / HTTP/9.9\r\nHost: shop.test\r\n\r\n.............",
        b"GET \xff\xfe\xfd HTTP/1.1\r\nHost: shop.test\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot an HTTP/2 frame at all ............",
        b"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ];
    let mut noise = 1_u32;
    let noise = (0..100).map(|_| (0..256).map(|_| next(&mut noise)).collect::<Vec<u8>>());
    for bytes in garbage.into_iter().map(<[u8]>::to_vec).chain(noise) {
        let mut client = proxy.client().await;
        // It may be cut off before it has said everything.
        let _ = client.try_send([&bytes, &b"\r\n\r\n"[..]].concat()).await;
        drop(client);
    }
    assert_eq!(proxy.ask("GET /", "").await.status(), 200);
    proxy.until_idle().await;
    assert!(!proxy.log.text().contains("panicked"), "{}", proxy.log.text());
}

#[tokio::test]
async fn a_connection_reset_by_its_client_while_it_is_served_holds_nothing() {
    let shop = scripted(|mut wire| async move {
        wire.message().await.unwrap();
        // Never answers; ends when the proxy hangs up.
        wire.rest().await;
    });
    let proxy = Process::before(shop.await).await;
    let clients = proxy.fill().await;
    clients.into_iter().for_each(Wire::reset);
    proxy.until_idle().await;
}

#[tokio::test]
async fn nobody_fills_the_log_with_heads_that_break_off() {
    const HEADS: usize = 500;
    let proxy = Process::before(upstream::echo().await).await;
    for _ in 0..HEADS {
        let mut client = proxy.client().await;
        client.send("GET / HTTP/1.1\r\nHost: sho").await;
    }
    until("all to be gone", async || proxy.metric("plimsoll_connections").await == 0.0).await;
    proxy.log.contain(" pingora").await;
    let log = proxy.log.text();
    let mut of_second = BTreeMap::<&str, usize>::new();
    for line in log.lines().filter(|line| line.contains(" pingora")) {
        *of_second.entry(line.split(' ').next().unwrap()).or_default() += 1;
    }
    // Ten in each second of the log's own, which begins anywhere.
    assert!(of_second.values().all(|lines| *lines <= 20), "{of_second:?}");
}
