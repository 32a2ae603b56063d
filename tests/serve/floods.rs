//! Clients of HTTP/2 that cost us work and themselves none: they are cut off, others do not notice.
//!
//! Frames are written by hand, since no library would send them. Each attack goes on until it is cut
//! off, and fails the test if it is not within a bound.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GET, GOAWAY, HEADERS, PING, POST, PREFACE, PRIORITY,
    RESET, SETTINGS, WINDOW_UPDATE, begin, frame, get, head, next_frame,
};
use crate::harness::process::{Process, Setup};
use crate::harness::upstream::{Stalled, answering, echo, response};
use crate::harness::{bounded, until};

/// Rounds of an attack that must not be let pass: many times any allowance.
const ROUNDS_MAX: u32 = 20_000;
const FLOODS: &str = "plimsoll_connections_refused_total{kind=\"flood\"}";

/// Sends a round for each stream id until the connection is closed; the kinds of frames that came back.
async fn attack(proxy: &Process, what: &str, round: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    let (mut reader, mut writer) = begin(proxy).await.into_split();
    let answers = tokio::spawn(async move {
        let mut kinds = Vec::new();
        while let Ok(frame) = next_frame(&mut reader).await {
            kinds.push(frame.kind);
        }
        kinds
    });
    let cut_off = async {
        for number in 0..ROUNDS_MAX {
            if answers.is_finished() || writer.write_all(&round(2 * number + 1)).await.is_err() {
                return;
            }
        }
        // What was sent is read at the proxy's pace: it may be far behind.
        until(what, async || answers.is_finished()).await;
    };
    bounded(what, cut_off).await;
    drop(writer);
    bounded(what, answers).await.unwrap()
}

/// The proxy serves others, and holds nothing of the attack any more.
async fn assert_well(proxy: &Process, what: &str) {
    assert_eq!(proxy.ask("GET /", "").await.status(), 200, "{what}");
    proxy.until_idle().await;
    until(what, async || proxy.metric("plimsoll_connections").await == 0.0).await;
    assert!(!proxy.log.text().contains("panicked"), "{what}: {}", proxy.log.text());
}

#[tokio::test]
async fn frames_that_ask_for_nothing_end_the_connection() {
    let proxy = Process::before(echo().await).await;
    let settings = [0, 3, 0, 0, 0, 100];
    let attacks: [(&str, Vec<u8>); 5] = [
        ("pings", frame(PING, 0, 0, &[0; 8])),
        ("settings", frame(SETTINGS, 0, 0, &settings)),
        ("priorities", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16])),
        ("window updates", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("unknown frames", frame(0xfa, 0, 0, &[])),
    ];
    for (index, (what, bytes)) in attacks.iter().enumerate() {
        attack(&proxy, what, |_| bytes.clone()).await;
        until(what, async || proxy.metric(FLOODS).await == (index + 1) as f64).await;
        assert_well(&proxy, what).await;
    }
}

/// What makes a window that is open wider than one may be: an error of its stream (RFC 9113, section 6.9.1).
const WIDEST: [u8; 4] = [0x7f, 0xff, 0xff, 0xff];

/// Reads up to the head of an answer. The connection is not ended before.
async fn until_answered(stream: &mut TcpStream) {
    let answered = async {
        loop {
            let frame = next_frame(stream).await.unwrap();
            assert_ne!(frame.kind, GOAWAY, "{:?}", frame.payload);
            if frame.kind == HEADERS {
                return;
            }
        }
    };
    bounded("an answer", answered).await;
}

#[tokio::test]
async fn a_trusted_hop_may_have_the_resets_that_many_clients_provoke() {
    const PROVOKED: u32 = 64;
    let shop = Stalled::new().await;
    let proxy = Setup::before(&[shop.address])
        .policy("version: 1\nmode: observe\nclasses: { all: {} }\n")
        .config("trusted_hops: [127.0.0.1]\n")
        .start()
        .await;
    let mut stream = begin(&proxy).await;
    let provoking = (0..PROVOKED).map(|number| 2 * number + 1);
    let mut sent: Vec<u8> = provoking
        .flat_map(|stream| [get(stream), frame(WINDOW_UPDATE, 0, stream, &WIDEST)].concat())
        .collect();
    sent.extend(get(2 * PROVOKED + 1));
    stream.write_all(&sent).await.unwrap();
    shop.answer(10_000);
    until_answered(&mut stream).await;
    drop(stream);
    assert_well(&proxy, "resets that a hop's clients provoke").await;
}

#[tokio::test]
async fn a_trusted_hop_brings_the_frames_of_many_clients_and_not_without_end() {
    let proxy = Setup::before(&[echo().await]).config("trusted_hops: [127.0.0.1]\n").start().await;
    let ping = frame(PING, 0, 0, &[0; 8]);
    let mut stream = begin(&proxy).await;
    // Eight times what one client may send at once.
    stream.write_all(&[ping.repeat(2_000), get(1)].concat()).await.unwrap();
    until_answered(&mut stream).await;
    assert_eq!(proxy.metric(FLOODS).await, 0.0);
    drop(stream);
    attack(&proxy, "pings of a hop", |_| ping.repeat(10)).await;
    until("the count", async || proxy.metric(FLOODS).await == 1.0).await;
    assert_well(&proxy, "pings of a hop").await;
}

#[tokio::test]
async fn requests_that_are_reset_at_once_end_the_connection() {
    let shop = Stalled::new().await;
    let proxy = Setup::before(&[shop.address])
        .policy("version: 1\nmode: observe\nclasses: { all: {} }\n")
        .start()
        .await;
    attack(&proxy, "rapid reset", |stream| [get(stream), frame(RESET, 0, stream, &[0, 0, 0, 8])].concat())
        .await;
    // Before ours, requests whose clients have left may wait at the shop.
    shop.answer(10_000);
    assert_well(&proxy, "rapid reset").await;
}

#[tokio::test]
async fn resets_that_a_client_provokes_end_the_connection() {
    let shop = Stalled::new().await;
    let proxy = Setup::before(&[shop.address])
        .policy("version: 1\nmode: observe\nclasses: { all: {} }\n")
        .start()
        .await;
    let kinds = attack(&proxy, "made you reset", |stream| {
        [get(stream), frame(WINDOW_UPDATE, 0, stream, &WIDEST)].concat()
    })
    .await;
    // Of those that are read at once none is answered, for the connection ends with them.
    assert!(kinds.iter().filter(|kind| **kind == RESET).count() <= 64, "{}", kinds.len());
    // Before ours, requests whose clients have left may wait at the shop.
    shop.answer(10_000);
    assert_well(&proxy, "made you reset").await;
}

#[tokio::test]
async fn a_head_without_an_end_ends_the_connection() {
    let proxy = Process::before(echo().await).await;
    // A field of a thousand bytes, not indexed, over and over.
    let field = [&[0, 1, b'x', 0x7f, 0xe9, 0x06][..], &[b'y'; 1_000]].concat();
    let began = std::sync::atomic::AtomicBool::new(false);
    attack(&proxy, "continuation", |_| {
        if began.swap(true, std::sync::atomic::Ordering::Relaxed) {
            frame(CONTINUATION, 0, 1, &field)
        } else {
            frame(HEADERS, END_STREAM, 1, &head(GET))
        }
    })
    .await;
    assert_well(&proxy, "continuation").await;
    let empty = std::sync::atomic::AtomicBool::new(false);
    attack(&proxy, "empty continuation", |_| {
        if empty.swap(true, std::sync::atomic::Ordering::Relaxed) {
            frame(CONTINUATION, 0, 1, &[])
        } else {
            frame(HEADERS, END_STREAM, 1, &head(GET))
        }
    })
    .await;
    assert_well(&proxy, "empty continuation").await;
}

#[tokio::test]
async fn a_body_of_empty_frames_ends_the_connection() {
    let proxy = Process::before(echo().await).await;
    attack(&proxy, "empty data", |stream| match stream {
        1 => frame(HEADERS, END_HEADERS, 1, &head(POST)),
        _ => frame(DATA, 0, 1, &[]),
    })
    .await;
    assert_well(&proxy, "empty data").await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_the_others_served() {
    let shop = Stalled::new().await;
    let settings = "connections: { streams_max: 4 }\n";
    let proxy = Setup::before(&[shop.address]).config(settings).start().await;
    let mut stream = begin(&proxy).await;
    let requests: Vec<u8> = (0..6).flat_map(|number| get(2 * number + 1)).collect();
    stream.write_all(&requests).await.unwrap();
    shop.answer(4);
    let (mut refused, mut answered) = (Vec::new(), Vec::new());
    let collect = async {
        while refused.len() + answered.len() < 6 {
            let Frame { kind, stream: id, payload } = next_frame(&mut stream).await.unwrap();
            match kind {
                RESET => refused.push((id, payload[3])),
                HEADERS => answered.push(id),
                GOAWAY => panic!("the connection was ended: {payload:?}"),
                _ => {}
            }
        }
    };
    bounded("all answers", collect).await;
    // REFUSED_STREAM: the client may try again (RFC 9113, section 8.7).
    assert_eq!(refused, [(9, 7), (11, 7)]);
    answered.sort_unstable();
    assert_eq!(answered, [1, 3, 5, 7]);
    drop(stream);
    proxy.until_idle().await;
}

/// CVE-2019-9517: windows as wide as can be, many answers, and a client that reads none of them.
#[tokio::test]
async fn answers_that_nobody_reads_are_counted_until_somebody_does() {
    const STREAMS: u32 = 60;
    const PAGE: usize = 200 << 10;
    let shop = answering(response("200 OK", "", &vec![b'x'; PAGE])).await;
    let policy = "version: 1\nmode: observe\nclasses: { all: {} }\n";
    let proxy = Setup::before(&[shop]).policy(policy).start().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(proxy.address).await.unwrap();
    let of_streams = frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    // What the connection has at first is 65,535 bytes.
    let of_connection = frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes());
    let requests: Vec<u8> = (0..STREAMS).flat_map(|number| get(2 * number + 1)).collect();
    stream.write_all(&[PREFACE, &of_streams, &of_connection, &requests].concat()).await.unwrap();
    let answered = "plimsoll_upstream_latency_seconds_count{class=\"all\"}";
    until("all to be answered", async || proxy.metric(answered).await == f64::from(STREAMS)).await;
    // Nobody has a seat for it, and little of it is where nobody counts it.
    proxy.until_idle().await;
    let held = proxy.metric("plimsoll_held_bytes").await;
    assert!(held > f64::from(STREAMS) * PAGE as f64 / 2.0, "{held} bytes");
    drop(stream);
    until("no answer", async || proxy.metric("plimsoll_held_bytes").await == 0.0).await;
    assert_well(&proxy, "unread answers").await;
}

/// How many streams the server says that a connection may have at once (RFC 9113, section 6.5.2).
async fn streams_told(stream: &mut TcpStream) -> Option<u32> {
    let Frame { kind, payload, .. } = next_frame(stream).await.unwrap();
    assert_eq!(kind, SETTINGS, "settings come first");
    let told = payload.chunks(6).find(|setting| setting[..2] == [0, 3])?;
    Some(u32::from_be_bytes([told[2], told[3], told[4], told[5]]))
}

#[tokio::test]
async fn the_connections_of_one_address_share_their_streams() {
    let settings = "connections: { per_address_max: 200, streams_max: 8 }\n";
    let proxy = Setup::before(&[echo().await]).config(settings).start().await;
    let mut first = begin(&proxy).await;
    assert_eq!(bounded("settings", streams_told(&mut first)).await, Some(8));
    let mut others = Vec::new();
    for _ in 0..38 {
        others.push(TcpStream::connect(proxy.address).await.unwrap());
    }
    until("all of them", async || proxy.metric("plimsoll_connections").await == 39.0).await;
    let mut fortieth = begin(&proxy).await;
    // Two hundred among forty.
    assert_eq!(bounded("settings", streams_told(&mut fortieth)).await, Some(5));
    drop((first, fortieth, others));
    assert_well(&proxy, "many connections").await;
}

#[tokio::test]
async fn a_connection_that_is_slow_to_begin_is_closed() {
    let proxy =
        Setup::before(&[echo().await]).config("connections: { head: 300ms, idle: 600ms }\n").start().await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    // No settings follow: nothing was asked, and it is idle.
    let mut rest = Vec::new();
    let _ = bounded("the end", stream.read_to_end(&mut rest)).await;
    assert_well(&proxy, "a slow beginning").await;
}
