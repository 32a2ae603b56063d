//! Bodies of any length and framing pass whole, as they come; what lasts long holds no seat.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::harness::process::{Process, Setup};
use crate::harness::until;
use crate::harness::upstream::{DRIP, echo, response, scripted};
use crate::harness::wire::Wire;

const LARGE: usize = 10 << 20;
/// More of a body than is waited for.
const BEGINNING: usize = 64 << 10;
const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";

/// Bytes whose order tells.
fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}

#[tokio::test]
async fn a_large_body_passes_whole_both_ways() {
    let shop = scripted(|mut wire| async move {
        while let Ok(request) = wire.message().await {
            wire.send(response("200 OK", "", &request.body)).await;
        }
    });
    let proxy = Process::before(shop.await).await;
    let body = noise(LARGE);
    let mut client = proxy.client().await;
    let chunked = [format!("{LARGE:x}\r\n").as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    for (framing, bytes) in
        [(format!("Content-Length: {LARGE}"), &body), ("Transfer-Encoding: chunked".into(), &chunked)]
    {
        client.send(format!("POST /upload HTTP/1.1\r\nHost: shop.test\r\n{framing}\r\n\r\n")).await;
        client.send(bytes).await;
        let answer = client.message().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.body == body, "{framing}: {} bytes came back", answer.body.len());
    }
    proxy.until_idle().await;
}

#[tokio::test]
async fn chunks_are_passed_on_before_the_body_has_ended() {
    let shop = scripted(|mut wire| async move {
        let request = wire.head().await.unwrap();
        assert_eq!(request.header("transfer-encoding").as_deref(), Some("chunked"));
        // As much as is taken in before there is a seat.
        let mut taken_in = 0;
        while taken_in < BEGINNING {
            taken_in += wire.chunk().await.unwrap().len();
        }
        // Told only now to send the rest, so that it cannot have come with the first.
        wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        wire.send("2\r\ngo\r\n").await;
        assert_eq!(wire.chunk().await.unwrap(), b"two");
        assert!(wire.chunk().await.unwrap().is_empty());
        wire.send("4\r\ndone\r\n0\r\n\r\n").await;
    });
    let proxy = Process::before(shop.await).await;
    let mut client = proxy.client().await;
    client.send("POST /upload HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send([format!("{BEGINNING:x}\r\n").as_bytes(), &noise(BEGINNING), b"\r\n"].concat()).await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    assert_eq!(client.chunk().await.unwrap(), b"go");
    client.send("3\r\ntwo\r\n0\r\n\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), b"done");
    assert!(client.chunk().await.unwrap().is_empty());
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_page_that_is_made_slowly_comes_as_it_is_made_and_keeps_its_seat() {
    let shop = scripted(|mut wire| async move {
        wire.message().await.unwrap();
        wire.send(format!("{CHUNKED}Content-Type: text/html\r\n\r\n")).await;
        // The page is never finished; the proxy hangs up when the client does.
        while wire.try_send("4\r\npart\r\n").await.is_ok() {
            tokio::time::sleep(DRIP).await;
        }
    });
    let proxy = Process::before(shop.await).await;
    let mut client = proxy.client().await;
    client.ask("GET /page", "").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    let held_at_first = client.chunk().await.unwrap();
    assert!(held_at_first.len() > 4 && held_at_first.starts_with(b"partpart"), "{held_at_first:?}");
    assert!(client.chunk().await.unwrap().starts_with(b"part"));
    proxy.until_pool("inflight", 1).await;
    drop(client);
    proxy.until_idle().await;
}

#[tokio::test]
async fn what_asks_not_to_be_buffered_is_not() {
    let shop = scripted(|mut wire| async move {
        wire.message().await.unwrap();
        wire.send(format!("{CHUNKED}X-Accel-Buffering: no\r\n\r\n4\r\npart\r\n")).await;
        wire.rest().await;
    });
    let proxy = Process::before(shop.await).await;
    let mut client = proxy.client().await;
    client.ask("GET /page", "").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    assert_eq!(client.chunk().await.unwrap(), b"part");
    drop(client);
    proxy.until_idle().await;
}

/// A shop that has one event to tell at `/events`, tells another when it is asked for `/tell`, and never
/// answers anything else.
async fn newsroom() -> std::net::SocketAddr {
    let news = std::sync::Arc::new(tokio::sync::Notify::new());
    scripted(move |mut wire| {
        let news = news.clone();
        async move {
            while let Ok(request) = wire.message().await {
                if request.start.contains("/tell") {
                    news.notify_one();
                    wire.send(response("200 OK", "", b"")).await;
                } else if request.start.contains("/events") {
                    let head = format!("{CHUNKED}Content-Type: Text/Event-Stream; charset=utf-8\r\n\r\n");
                    wire.send(head + "9\r\ndata: 1\n\n\r\n").await;
                    news.notified().await;
                    wire.send("9\r\ndata: 2\n\n\r\n0\r\n\r\n").await;
                } else {
                    wire.rest().await;
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn events_may_be_far_apart() {
    let settings = format!(
        "pools: {{ default: {{ endpoints: [\"{}\"], timeouts: {{ read: 200ms, total: 300ms }} }} }}\n",
        newsroom().await
    );
    let proxy = Setup::before(&[]).config(&settings).start().await;
    let mut client = proxy.client().await;
    client.ask("GET /events", "").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    assert_eq!(client.chunk().await.unwrap(), b"data: 1\n\n");
    // Each of these takes as long as any other response may be silent.
    for _ in 0..3 {
        assert_eq!(proxy.ask("GET /hang", "").await.status(), 504);
    }
    assert_eq!(proxy.ask("GET /tell", "").await.status(), 200);
    assert_eq!(client.chunk().await.unwrap(), b"data: 2\n\n");
    assert!(client.chunk().await.unwrap().is_empty());
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_stream_too_many_is_told_when_to_come_back() {
    let settings =
        format!("streams_max: 1\npools: {{ default: {{ endpoints: [\"{}\"] }} }}\n", newsroom().await);
    let proxy = Setup::before(&[]).config(&settings).start().await;
    let mut first = proxy.client().await;
    first.ask("GET /events", "").await;
    assert_eq!(first.head().await.unwrap().status(), 200);
    let refusal = proxy.ask("GET /events", "Accept: text/event-stream\r\n").await;
    assert_eq!(refusal.status(), 503);
    assert!(refusal.header("retry-after").unwrap().parse::<u32>().unwrap() > 0, "{refusal:?}");
    assert_eq!(proxy.metric("plimsoll_rejections_total{kind=\"streams_full\"}").await, 1.0);
    drop(first);
    proxy.until_idle().await;
}

#[tokio::test]
async fn events_are_passed_on_as_they_come_without_a_seat() {
    let shop = scripted(|mut wire| async move {
        wire.message().await.unwrap();
        wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        wire.send("9\r\ndata: 1\n\n\r\n").await;
        // The proxy hangs up when the client does.
        wire.rest().await;
    });
    let proxy = Process::before(shop.await).await;
    // More of them than there are seats.
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = proxy.client().await;
        client.ask("GET /events", "Accept: text/event-stream\r\n").await;
        assert_eq!(client.head().await.unwrap().status(), 200);
        assert_eq!(client.chunk().await.unwrap(), b"data: 1\n\n");
        clients.push(client);
    }
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_websocket_passes_bytes_both_ways_without_a_seat() {
    let shop = scripted(|mut wire| async move {
        let request = wire.message().await.unwrap();
        assert_eq!(request.header("upgrade").as_deref(), Some("websocket"));
        wire.send(SWITCHING).await;
        while let Ok(bytes) = wire.bytes(4).await {
            wire.send(bytes.iter().rev().copied().collect::<Vec<_>>()).await;
        }
    });
    let proxy = Process::before(shop.await).await;
    let mut client = proxy.client().await;
    client.ask("GET /chat", "Connection: Upgrade\r\nUpgrade: websocket\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), 101);
    for (sent, received) in [(b"ping", b"gnip"), (b"\0\x01\xfe\xff", b"\xff\xfe\x01\0")] {
        client.send(sent).await;
        assert_eq!(client.bytes(4).await.unwrap(), received);
        proxy.until_pool("inflight", 0).await;
    }
    client.send("last").await;
    assert_eq!(client.bytes(4).await.unwrap(), b"tsal");
}

#[tokio::test]
async fn a_class_without_upgrades_is_a_plain_request_to_the_shop() {
    let shop = scripted(|mut wire| async move {
        while let Ok(request) = wire.message().await {
            wire.send(match request.header("upgrade") {
                Some(_) => SWITCHING.into(),
                None => response("200 OK", "", b"plain"),
            })
            .await;
        }
    });
    let policy = "version: 1\n\
                  classes: { chat: {}, page: { upgrades: off }, watched: { upgrades: off, mode: observe } }\n\
                  routes: [{ path: /chat, class: chat }, { path: /watched, class: watched }, { class: page }]\n";
    let proxy = Setup::before(&[shop.await]).policy(policy).start().await;
    for (target, status) in [("GET /chat", 101), ("GET /page", 200), ("GET /watched", 101)] {
        let mut client = proxy.client().await;
        client.ask(target, "Connection: Upgrade\r\nUpgrade: websocket\r\n").await;
        assert_eq!(client.head().await.unwrap().status(), status, "{target}");
    }
    proxy.until_idle().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let proxy = Process::before(echo().await).await;
    let mut client = proxy.client().await;
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    let post = "POST /two HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\n\r\nbody";
    client.send([request("/one").as_str(), post, &request("/three")].concat()).await;
    for start in ["GET /one ", "POST /two ", "GET /three "] {
        let answer = client.message().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.text().starts_with(start), "{start}: {}", answer.text());
    }
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_slow_first_request_byte_by_byte_is_read() {
    let proxy = Process::before(echo().await).await;
    // The first byte could be the beginning of HTTP/2.
    let mut client: Wire = proxy.client().await;
    for byte in b"PUT /p HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n" {
        client.send([*byte]).await;
    }
    assert!(client.message().await.unwrap().text().starts_with("PUT /p "));
    proxy.until_idle().await;
}

#[tokio::test]
async fn responses_for_which_there_is_no_room_are_passed_on_as_they_come() {
    const HALF: usize = 100 << 10;
    const HELD: &str = "plimsoll_held_bytes";
    let leave = Arc::new(Semaphore::new(0));
    let given = leave.clone();
    let shop = scripted(move |mut wire| {
        let given = given.clone();
        async move {
            let page = response("200 OK", "", &noise(2 * HALF));
            let (begun, rest) = page.split_at(page.len() - HALF);
            while wire.message().await.is_ok() {
                wire.send(begun).await;
                given.acquire().await.unwrap().forget();
                wire.send(rest).await;
            }
        }
    });
    // For one of them, and not for two.
    let proxy = Setup::before(&[shop.await]).config("held_bytes_max: 131072\n").start().await;
    let mut held = proxy.client().await;
    held.ask("GET /", "").await;
    until("the first to be held", async || proxy.metric(HELD).await == HALF as f64).await;
    let mut passed = proxy.client().await;
    passed.ask("GET /", "").await;
    assert_eq!(passed.head().await.unwrap().status(), 200);
    let mut body = passed.bytes(HALF).await.unwrap();
    assert!(proxy.metric(HELD).await <= 131_072.0);
    // At its reader's pace from here on, it needs no seat.
    proxy.until_pool("inflight", 1).await;
    leave.add_permits(2);
    body.extend(passed.bytes(HALF).await.unwrap());
    assert!(body == noise(2 * HALF) && held.message().await.unwrap().body == body);
    until("the room to be given back", async || proxy.metric(HELD).await == 0.0).await;
    proxy.until_idle().await;
}
