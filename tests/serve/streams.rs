//! Bodies of any length and framing pass whole, as they come; what lasts long holds no seat.

use crate::harness::process::Process;
use crate::harness::upstream::{echo, response, scripted};
use crate::harness::wire::Wire;

const LARGE: usize = 10 << 20;

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
        assert_eq!(wire.chunk().await.unwrap(), b"one");
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
    client
        .send("POST /upload HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        .await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    assert_eq!(client.chunk().await.unwrap(), b"go");
    client.send("3\r\ntwo\r\n0\r\n\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), b"done");
    assert!(client.chunk().await.unwrap().is_empty());
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_page_that_is_flushed_piece_by_piece_comes_as_it_is_made_and_keeps_its_seat() {
    let shop = scripted(|mut wire| async move {
        wire.message().await.unwrap();
        wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        wire.send("4\r\nhead\r\n").await;
        // The page is never finished; the proxy hangs up when the client does.
        wire.rest().await;
    });
    let proxy = Process::before(shop.await).await;
    let mut client = proxy.client().await;
    client.ask("GET /page", "").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    assert_eq!(client.chunk().await.unwrap(), b"head");
    proxy.until_pool("inflight", 1).await;
    drop(client);
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
        wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            .await;
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
