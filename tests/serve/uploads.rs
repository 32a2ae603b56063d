//! Bodies on their way in: a request has no seat before the beginning of its body is there.

use crate::harness::process::{Process, Setup};
use crate::harness::until;
use crate::harness::upstream::{Stalled, echo};
use crate::harness::wire::Wire;

const HELD: &str = "plimsoll_upload_bytes";

/// A request whose body is framed in this way, and the beginning and end of its body.
const FRAMINGS: [(&str, &str, &str); 3] = [
    ("Content-Length: 8", "half", "done"),
    ("Transfer-Encoding: chunked", "4\r\nhalf\r\n", "4\r\ndone\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", "8\r\nhalf", "done\r\n0\r\nX-Trailer: 1\r\n\r\n"),
];

async fn post(client: &mut Wire, framing: &str) {
    client.send(format!("POST /checkout HTTP/1.1\r\nHost: shop.test\r\n{framing}\r\n\r\n")).await;
}

async fn until_held(proxy: &Process, bytes: f64) {
    until("bodies to be taken in", async || proxy.metric(HELD).await == bytes).await;
}

#[tokio::test]
async fn a_slow_upload_holds_no_seat_whatever_its_framing() {
    let proxy = Process::before(echo().await).await;
    let mut clients = Vec::new();
    for (framing, beginning, end) in FRAMINGS {
        let mut client = proxy.client().await;
        post(&mut client, framing).await;
        client.send(beginning).await;
        clients.push((client, end));
    }
    until_held(&proxy, 12.0).await;
    proxy.until_idle().await;
    for (client, end) in &mut clients {
        client.send(*end).await;
        let answer = client.message().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.text().ends_with("halfdone"), "{}", answer.text());
        // The connection is as good as new.
        assert_eq!(client.exchange("GET /", "").await.status(), 200);
    }
    until_held(&proxy, 0.0).await;
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_client_that_expects_to_be_told_to_continue_is_told_before_it_has_a_seat() {
    let shop = Stalled::new().await;
    let proxy = Process::before(shop.address).await;
    let seated = proxy.fill().await;
    for (framing, beginning, end) in FRAMINGS {
        let mut client = proxy.client().await;
        post(&mut client, &format!("Expect: 100-continue\r\n{framing}")).await;
        assert_eq!(client.head().await.unwrap().status(), 100);
        client.send(beginning).await;
        client.send(end).await;
        proxy.until_pool("queued", 1).await;
        client.reset();
        proxy.until_pool("queued", 0).await;
    }
    drop(seated);
    proxy.until_idle().await;
}

#[tokio::test]
async fn the_shop_is_not_asked_again_whether_to_continue() {
    let proxy = Process::before(echo().await).await;
    let mut client = proxy.client().await;
    for (framing, beginning, end) in FRAMINGS {
        post(&mut client, &format!("Expect: 100-continue\r\n{framing}")).await;
        assert_eq!(client.head().await.unwrap().status(), 100);
        client.send(beginning).await;
        client.send(end).await;
        let answer = client.message().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!answer.text().to_lowercase().contains("expect"), "{}", answer.text());
        assert!(answer.text().ends_with("halfdone"), "{}", answer.text());
    }
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_client_that_leaves_mid_upload_is_not_taken_for_answered() {
    let proxy = Process::before(echo().await).await;
    let mut client = proxy.client().await;
    post(&mut client, "Expect: 100-continue\r\nContent-Length: 8").await;
    assert_eq!(client.head().await.unwrap().status(), 100);
    client.send("half").await;
    client.reset();
    let rejected = "plimsoll_rejections_total{kind=\"incomplete_body\"}";
    until("the rejection", async || proxy.metric(rejected).await == 1.0).await;
    until_held(&proxy, 0.0).await;
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_body_is_as_long_as_its_class_allows_and_no_longer() {
    let policy = "version: 1\nclasses:\n  checkout: { body_limit: 8B }\n  upload: { body_limit: 1KiB }\n  \
                  watched: { body_limit: 8B, mode: observe }\n  rest: {}\n\
                  routes:\n  - { path: /checkout, class: checkout }\n  - { path: /upload, class: upload }\n  \
                  - { path: /watched, class: watched }\n  - { class: rest }\n";
    let settings = "requests: { body_bytes_max: 100 }\n";
    let proxy = Setup::before(&[echo().await]).policy(policy).config(settings).start().await;
    let mut rejected = 0.0;
    for (path, length, status) in [
        ("checkout", 8, 200),
        ("checkout", 9, 413),
        ("upload", 1_024, 200),
        ("upload", 1_025, 413),
        ("watched", 9, 200),
        ("watched", 100, 200),
        ("watched", 101, 413),
        ("rest", 100, 200),
        ("rest", 101, 413),
    ] {
        let body = "x".repeat(length);
        for framed in [
            format!("Content-Length: {length}\r\n\r\n{body}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
        ] {
            let mut client = proxy.client().await;
            client.send(format!("POST /{path} HTTP/1.1\r\nHost: shop.test\r\n{framed}")).await;
            assert_eq!(client.message().await.unwrap().status(), status, "{path} {length}: {framed}");
            rejected += f64::from(u8::from(status == 413));
        }
    }
    assert_eq!(proxy.metric("plimsoll_rejections_total{kind=\"body_size\"}").await, rejected);
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_body_that_turns_out_too_long_while_it_streams_is_answered_and_holds_no_seat() {
    let policy = "version: 1\nclasses: { upload: { body_limit: 128KiB } }\n";
    let shop = Stalled::new().await;
    let proxy = Setup::before(&[shop.address]).policy(policy).start().await;
    let mut client = proxy.client().await;
    post(&mut client, "Transfer-Encoding: chunked").await;
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 64 << 10], b"\r\n"].concat();
    client.send(&chunk).await;
    client.send(&chunk).await;
    proxy.until_pool("inflight", 1).await;
    client.send("1\r\nx\r\n").await;
    assert_eq!(client.message().await.unwrap().status(), 413);
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_body_that_turns_out_unframed_while_it_streams_is_answered_and_counted() {
    let shop = Stalled::new().await;
    let proxy = Process::before(shop.address).await;
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 64 << 10], b"\r\n"].concat();
    for (end, rejected) in [("x\r\n", 1.0), ("0\r\nX: 1\n\r\n", 2.0)] {
        let mut client = proxy.client().await;
        post(&mut client, "Transfer-Encoding: chunked").await;
        client.send(&chunk).await;
        proxy.until_pool("inflight", 1).await;
        client.send(end).await;
        assert_eq!(client.message().await.unwrap().status(), 400, "{end:?}");
        assert_eq!(proxy.metric("plimsoll_rejections_total{kind=\"chunk\"}").await, rejected, "{end:?}");
        proxy.until_idle().await;
    }
}

#[tokio::test]
async fn an_upload_that_outlasts_its_request_is_answered_and_counted() {
    let shop = Stalled::new().await;
    let pool =
        format!("pools: {{ default: {{ endpoints: [\"{}\"], timeouts: {{ total: 1s }} }} }}\n", shop.address);
    let proxy = Setup::before(&[]).config(&pool).start().await;
    let mut client = proxy.client().await;
    post(&mut client, "Content-Length: 131072").await;
    client.send(vec![b'x'; 64 << 10]).await;
    assert_eq!(client.message().await.unwrap().status(), 408);
    assert_eq!(proxy.metric("plimsoll_rejections_total{kind=\"incomplete_body\"}").await, 1.0);
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_large_upload_asks_for_a_seat_when_its_beginning_is_there() {
    const BEGINNING: usize = 64 << 10;
    let shop = Stalled::new().await;
    let proxy = Process::before(shop.address).await;
    let beginning = vec![b'x'; BEGINNING];
    let chunk = [format!("{BEGINNING:x}\r\n").as_bytes(), &beginning, b"\r\n"].concat();
    for (framing, bytes) in [("Content-Length: 65537", &beginning), ("Transfer-Encoding: chunked", &chunk)] {
        let mut client = proxy.client().await;
        post(&mut client, framing).await;
        client.send(&bytes[..16 << 10]).await;
        until("the first bytes", async || proxy.metric(HELD).await > 0.0).await;
        proxy.until_idle().await;
        client.send(&bytes[16 << 10..]).await;
        proxy.until_pool("inflight", 1).await;
        assert!(proxy.metric(HELD).await <= BEGINNING as f64);
        client.reset();
        proxy.until_idle().await;
        until_held(&proxy, 0.0).await;
    }
}

#[tokio::test]
async fn when_all_room_is_taken_an_upload_is_not_waited_for() {
    let shop = Stalled::new().await;
    let proxy = Setup::before(&[shop.address]).config("upload_buffers_max: 1\n").start().await;
    let mut patient = proxy.client().await;
    post(&mut patient, "Content-Length: 65536").await;
    patient.send(vec![b'x'; (64 << 10) - 1]).await;
    until_held(&proxy, 65_535.0).await;
    proxy.until_idle().await;
    // One byte fits, two do not.
    for (framing, beginning, seats) in [
        ("Content-Length: 2", "x", 0),
        ("Content-Length: 3", "xx", 1),
        ("Transfer-Encoding: chunked", "3\r\nxx", 1),
    ] {
        let mut client = proxy.client().await;
        post(&mut client, framing).await;
        client.send(beginning).await;
        until_held(&proxy, if seats == 0 { 65_536.0 } else { 65_535.0 }).await;
        proxy.until_pool("inflight", seats).await;
        client.reset();
        proxy.until_idle().await;
        until_held(&proxy, 65_535.0).await;
    }
    assert_eq!(proxy.metric("plimsoll_uploads_without_room_total").await, 2.0);
    shop.answer(1);
    patient.send("x").await;
    assert_eq!(patient.message().await.unwrap().status(), 200);
    until_held(&proxy, 0.0).await;
}
