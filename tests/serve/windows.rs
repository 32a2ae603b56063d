//! Clients of HTTP/2 that open no window: what is held for them, and for how long.
//!
//! What ends it are times that nobody can set, so that these tests wait longer than others.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::frames::{
    END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, RESET, SETTINGS, begin, frame, get, next_frame,
};
use crate::harness::process::{Process, Setup};
use crate::harness::upstream::{answering, echo, response};
use crate::harness::{PATIENCE, until};

/// Twice the longest of these times.
const BOUND: Duration = PATIENCE.saturating_mul(4);
const SLOW: &str = "plimsoll_connections_refused_total{kind=\"slow\"}";

/// A connection whose streams begin with a closed window.
async fn shut(proxy: &Process) -> TcpStream {
    let mut stream = begin(proxy).await;
    stream.write_all(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await.unwrap();
    stream
}

/// Sends a request as stream 1, and reads on until that is reset.
async fn until_reset(stream: &mut TcpStream, request: &[u8]) {
    stream.write_all(request).await.unwrap();
    let mut is_answered = false;
    let reset = async {
        loop {
            let Frame { kind, stream, payload } = next_frame(stream).await.unwrap();
            match (kind, stream) {
                (HEADERS, 1) => is_answered = true,
                (RESET, 1) => return,
                (GOAWAY, _) => panic!("the connection was ended: {payload:?}"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(BOUND, reset).await.expect("the stream is held without an end");
    assert!(is_answered, "it was reset before its answer began");
}

#[tokio::test]
async fn a_page_that_is_not_taken_is_held_for_less_than_a_minute() {
    let page = answering(response("200 OK", "", &vec![b'x'; 200 << 10])).await;
    let proxy = Setup::before(&[page]).start().await;
    let mut stream = shut(&proxy).await;
    until_reset(&mut stream, &get(1)).await;
    until("the count", async || proxy.metric(SLOW).await == 1.0).await;
    until("no page", async || proxy.metric("plimsoll_held_bytes").await == 0.0).await;
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_refusal_that_is_not_taken_is_given_up() {
    let proxy = Process::before(echo().await).await;
    let mut stream = shut(&proxy).await;
    // A path with an escaped NUL, from somebody who reads pages (RFC 7541, appendix A).
    let head: &[&[u8]] =
        &[&[0x82, 0x86, 0x04, 4], b"/%00", &[0x41, 9], b"shop.test", &[0x0f, 0x04, 9], b"text/html"];
    until_reset(&mut stream, &frame(HEADERS, END_STREAM | END_HEADERS, 1, &head.concat())).await;
    proxy.until_idle().await;
}
