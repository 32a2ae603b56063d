//! Nor is a request over HTTP/2 read in two ways by a shop that gets it over HTTP/1: what would be another line there,
//! another length or another host is refused, however it is written into frames.
//!
//! Fields are encoded by hand (RFC 7541), for no library would send these. Of what is refused it does not matter by
//! whom, our parser or ourselves: the shop reads nothing.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::desync::{Readings, bytes, strict};
use crate::harness::bounded;
use crate::harness::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RESET, begin, frame, next_frame,
};
use crate::harness::process::Process;

/// What the shop may read of a request.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// This.
    Read(&'static str),
    /// This, or nothing.
    Perhaps(&'static str),
    /// Nothing.
    Refused,
}

use Outcome::{Perhaps, Read, Refused};

const OK: Outcome = Read("GET / shop.test ");
const HELLO: Outcome = Read("POST / shop.test hello");

/// A change of a request that is in order, its body, and what may come of it. A field that is in order is replaced by
/// another of its name; `-` leaves it out, and `+` adds one whatever there is.
type Row = (&'static [(&'static str, &'static str)], &'static str, Outcome);

/// Who is asked, and for what. Bytes are written as in `desync_rows`.
const TARGETS: &[Row] = &[
    (&[], "", OK),
    (&[(":path", "/a/../b")], "", Read("GET /b shop.test ")),
    (&[(":path", "/a/%2e%2e/b?c=/../d")], "", Read("GET /b?c=/../d shop.test ")),
    (&[(":path", "/a/../b"), (":authority", "shop.test:80")], "", Read("GET /b shop.test:80 ")),
    (&[(":path", "/a/../b"), (":authority", "-"), ("host", "shop.test")], "", Read("GET /b shop.test ")),
    (&[(":path", "/a%2fb")], "", Read("GET /a%2fb shop.test ")),
    (&[(":path", "/a#b")], "", Perhaps("GET /a shop.test ")),
    (&[(":path", "/a%00b")], "", Refused),
    (&[(":path", "/a\\b")], "", Refused),
    (&[(":path", "/a b")], "", Refused),
    (&[(":path", "/a␉b")], "", Refused),
    (&[(":path", "/ HTTP/1.1⏎Host: evil.test⏎⏎")], "", Refused),
    (&[(":path", "/␊Host: evil.test")], "", Refused),
    (&[(":path", "/␍X")], "", Refused),
    (&[(":path", "/␀")], "", Refused),
    (&[(":path", "")], "", Refused),
    (&[(":path", "-")], "", Refused),
    (&[(":path", "*")], "", Refused),
    (&[(":path", "a")], "", Refused),
    (&[(":path", "http://evil.test/")], "", Refused),
    (&[(":path", "http://shop.test/")], "", Refused),
    (&[("+:path", "/b")], "", Refused),
    (&[(":method", "GET / HTTP/1.1⏎X:")], "", Refused),
    (&[(":method", "GET /b")], "", Refused),
    (&[(":method", "")], "", Refused),
    (&[(":method", "-")], "", Refused),
    (&[(":method", "TRACE")], "", Refused),
    (&[(":method", "CONNECT")], "", Refused),
    (&[(":method", "CONNECT"), (":path", "-"), (":scheme", "-")], "", Refused),
    (&[("+:method", "POST")], "", Refused),
    (&[(":scheme", "https")], "", Perhaps("GET / shop.test ")),
    (&[(":scheme", "http://evil.test/?")], "", Refused),
    (&[(":scheme", "-")], "", Refused),
    (&[(":authority", "-")], "", Refused),
    (&[(":authority", "-"), ("host", "shop.test")], "", OK),
    (&[(":authority", "-"), ("host", "shop.test"), ("+host", "shop.test")], "", Refused),
    (&[("host", "shop.test")], "", OK),
    (&[("host", "evil.test")], "", Refused),
    (&[("host", "")], "", Refused),
    (&[(":authority", "")], "", Refused),
    (&[(":authority", "user@shop.test")], "", Refused),
    (&[(":authority", "shop.test.")], "", Refused),
    (&[(":authority", "shop.test/x")], "", Refused),
    (&[(":authority", "shop.test, evil.test")], "", Refused),
    (&[(":authority", "shop.test⏎X: 1")], "", Refused),
    (&[("+:authority", "evil.test")], "", Refused),
    (&[("x", "1"), ("+:path", "/b")], "", Refused),
    (&[("+:status", "200")], "", Refused),
    (&[("+:evil", "1")], "", Refused),
];

/// How long the body is.
const BODIES: &[Row] = &[
    (&[(":method", "POST")], "hello", HELLO),
    (&[(":method", "POST"), ("content-length", "5")], "hello", HELLO),
    (&[(":method", "POST"), ("content-length", "3")], "hello", Refused),
    (&[(":method", "POST"), ("content-length", "9")], "hello", Refused),
    (&[(":method", "POST"), ("content-length", "0")], "hello", Perhaps("POST / shop.test ")),
    (&[(":method", "POST"), ("content-length", "5")], "", Refused),
    (&[(":method", "POST"), ("content-length", "5, 5")], "hello", Refused),
    (&[(":method", "POST"), ("content-length", "+5")], "hello", Refused),
    (&[(":method", "POST"), ("content-length", "0x5")], "hello", Refused),
    (&[(":method", "POST"), ("content-length", "")], "hello", Refused),
    (&[(":method", "POST"), ("content-length", "5"), ("+content-length", "5")], "hello", Refused),
    (&[(":method", "POST"), ("content-length", "5"), ("+content-length", "0")], "hello", Refused),
    (&[(":method", "POST"), ("content_length", "0")], "hello", HELLO),
    (
        &[(":method", "POST"), ("transfer-encoding", "chunked")],
        "0⏎⏎GET /b HTTP/1.1⏎Host: shop.test⏎⏎",
        Refused,
    ),
    (&[(":method", "POST"), ("transfer-encoding", "identity")], "hello", Refused),
    (&[(":method", "POST"), ("transfer_encoding", "chunked")], "hello", HELLO),
    (&[(":method", "POST"), ("expect", "200-ok")], "hello", Refused),
];

/// How fields are written.
const FIELDS: &[Row] = &[
    (&[("x", "1⏎Host: evil.test")], "", Refused),
    (&[("x", "1␊Transfer-Encoding: chunked")], "", Refused),
    (&[("x", "1␍")], "", Refused),
    (&[("x", "␀")], "", Refused),
    (&[("x: 1⏎host", "evil.test")], "", Refused),
    (&[("x:", "1")], "", Refused),
    (&[("x y", "1")], "", Refused),
    (&[("X", "1")], "", Refused),
    (&[("xÿ", "1")], "", Refused),
    (&[("x␊", "1")], "", Refused),
    (&[("connection", "close")], "", Refused),
    (&[("connection", "host")], "", Refused),
    (&[("keep-alive", "5")], "", Refused),
    (&[("proxy-connection", "close")], "", Refused),
    (&[("upgrade", "websocket")], "", Refused),
    (&[("te", "gzip")], "", Refused),
    (&[("te", "trailers")], "", OK),
    (&[("x", "")], "", OK),
    (&[("x", "ÿ")], "", OK),
];

/// The fields of a row.
fn fields(changes: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let mut fields =
        vec![(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "shop.test")];
    for &(name, value) in changes {
        if let Some(name) = name.strip_prefix('+') {
            fields.push((name, value));
            continue;
        }
        match fields.iter().position(|(known, _)| *known == name) {
            Some(at) if value == "-" => _ = fields.remove(at),
            Some(at) => fields[at].1 = value,
            None => fields.push((name, value)),
        }
    }
    fields
}

/// A literal field that is not indexed, with a new name and without Huffman's code (RFC 7541, section 6.2.2).
fn encoded((name, value): (&str, &str)) -> Vec<u8> {
    let (name, value) = (bytes(name), bytes(value));
    // Longer ones would take more than one byte.
    let length = |text: &[u8]| u8::try_from(text.len()).ok().filter(|length| *length < 0x7f).unwrap();
    [&[0, length(&name)][..], &name, &[length(&value)], &value].concat()
}

/// The frames of a request that is changed in this way, as the first stream of a connection.
pub(crate) fn message(changes: &[(&'static str, &'static str)], body: &str) -> Vec<u8> {
    let block: Vec<u8> = fields(changes).into_iter().flat_map(encoded).collect();
    let ends = if body.is_empty() { END_STREAM } else { 0 };
    let head = frame(HEADERS, END_HEADERS | ends, 1, &block);
    let data = if body.is_empty() { Vec::new() } else { frame(DATA, END_STREAM, 1, &bytes(body)) };
    [head, data].concat()
}

/// Waits for what becomes of the first stream: its answer, its reset, or the end of its connection.
pub(crate) async fn until_over(stream: &mut TcpStream) {
    while let Ok(frame) = next_frame(stream).await {
        if matches!(frame.kind, HEADERS | RESET | GOAWAY) {
            return;
        }
    }
}

#[tokio::test]
async fn requests_over_http2_have_one_reading_over_http1() {
    let readings = Readings::default();
    let proxy = Process::before(strict(readings.clone()).await).await;
    let mut differing = Vec::new();
    for row in [TARGETS, BODIES, FIELDS].concat() {
        readings.lock().unwrap().clear();
        let mut stream = begin(&proxy).await;
        // It may be refused before it has said everything.
        let _ = stream.write_all(&message(row.0, row.1)).await;
        bounded("an end", until_over(&mut stream)).await;
        proxy.until_idle().await;
        let read = readings.lock().unwrap().clone();
        let is_as_expected = match row.2 {
            Read(reading) => read == [reading],
            Perhaps(reading) => read.is_empty() || read == [reading],
            Refused => read.is_empty(),
        };
        if !is_as_expected {
            differing.push(format!("{row:?}\n  read {read:?}"));
        }
    }
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    assert!(!proxy.log.text().contains("panicked"), "{}", proxy.log.text());
}
