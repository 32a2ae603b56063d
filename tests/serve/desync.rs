//! No request is read in two ways: each of a table is refused, or read by a strict origin as it must be.

use std::sync::{Arc, Mutex};

use crate::backends::{passers, readers};
use crate::desync_rows::{CHUNKS, ENCODINGS, FIELDS, HOSTS, LENGTHS, Outcome, TARGETS};
use crate::harness::process::{Process, Setup};
use crate::harness::upstream::{echo, response, scripted};
use crate::harness::wire::Wire;

/// What an origin read, in its order.
pub(crate) type Readings = Arc<Mutex<Vec<String>>>;

/// The bytes that a row stands for.
pub(crate) fn bytes(row: &str) -> Vec<u8> {
    let byte = |character| match character {
        '␊' => vec![b'\n'],
        '␍' => vec![b'\r'],
        '⏎' => vec![b'\r', b'\n'],
        '␀' => vec![0],
        '␁' => vec![1],
        '␉' => vec![b'\t'],
        '␡' => vec![0x7f],
        character => vec![u8::try_from(character).unwrap()],
    };
    row.chars().flat_map(byte).collect()
}

/// Reads a head as strictly as can be: what is not as it should be is told instead of what was read.
async fn head(wire: &mut Wire) -> Option<Vec<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(wire.bytes(1).await.ok()?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    Some(text.trim_end().split("\r\n").map(str::to_owned).collect())
}

fn values<'l>(lines: &'l [String], name: &str) -> Vec<&'l str> {
    let fields = lines[1..].iter().filter_map(|line| line.split_once(": "));
    fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

/// Reads the body that `lines` announce, or tells what is wrong with them.
async fn body(wire: &mut Wire, lines: &[String]) -> Result<Vec<u8>, String> {
    let is_sound = |line: &String| !line.contains(['\r', '\n']) && !line.starts_with([' ', '\t']);
    let is_field = |line: &String| line.split_once(": ").is_some_and(|(name, _)| !name.contains([' ', '_']));
    if !lines.iter().all(is_sound) || !lines[1..].iter().all(is_field) {
        return Err(format!("{lines:?}"));
    }
    match (&values(lines, "content-length")[..], &values(lines, "transfer-encoding")[..]) {
        ([], []) => Ok(Vec::new()),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length = length.parse().map_err(|error| format!("{length}: {error}"))?;
            wire.bytes(length).await.map_err(|error| error.to_string())
        }
        ([], ["chunked"]) => {
            let mut body = Vec::new();
            loop {
                let chunk = wire.chunk().await.map_err(|error| error.to_string())?;
                if chunk.is_empty() {
                    return Ok(body);
                }
                body.extend(chunk);
            }
        }
        framing => Err(format!("{framing:?}")),
    }
}

pub(crate) async fn strict(readings: Readings) -> std::net::SocketAddr {
    scripted(move |mut wire| {
        let readings = readings.clone();
        async move {
            while let Some(lines) = head(&mut wire).await {
                let reading = match body(&mut wire, &lines).await {
                    Ok(body) => {
                        let request = lines[0].strip_suffix(" HTTP/1.1").unwrap_or("another version");
                        let hosts = values(&lines, "host").join(" and ");
                        let host = if hosts.is_empty() { "-" } else { &hosts };
                        format!("{request} {host} {}", String::from_utf8_lossy(&body).replace("\r\n", "⏎"))
                    }
                    Err(flaw) => format!("flawed: {flaw}"),
                };
                readings.lock().unwrap().push(reading);
                wire.send(response("200 OK", "", b"")).await;
            }
        }
    })
    .await
}

/// Sends each row and compares what came of it; all that differ are told.
async fn compare(rows: &[(String, Outcome)]) {
    let readings = Readings::default();
    let proxy = Process::before(strict(readings.clone()).await).await;
    let mut differing = Vec::new();
    for (row, outcome) in rows {
        readings.lock().unwrap().clear();
        let expected = expected(outcome);
        let statuses: &[u16] = match outcome {
            Outcome::Refused(status) => std::slice::from_ref(status),
            Outcome::Read(_) => &[200],
            Outcome::ReadBoth(..) => &[200, 200],
        };
        let mut client = proxy.client().await;
        // It may be refused before it has said everything.
        let _ = client.try_send(bytes(row)).await;
        let mut answered = Vec::new();
        for _ in statuses {
            answered.push(client.message().await.map_or(0, |answer| answer.status()));
        }
        let read = readings.lock().unwrap().clone();
        if answered != statuses || read != expected {
            differing.push(format!(
                "{row}\n  answered {answered:?}, not {statuses:?}; read {read:?}, not {expected:?}"
            ));
        }
    }
    assert!(differing.is_empty(), "{} of {}:\n{}", differing.len(), rows.len(), differing.join("\n"));
    proxy.until_idle().await;
    assert!(!proxy.log.text().contains("panicked"), "{}", proxy.log.text());
}

fn owned(rows: &[(&str, Outcome)]) -> Vec<(String, Outcome)> {
    rows.iter().map(|(row, outcome)| ((*row).to_owned(), *outcome)).collect()
}

#[tokio::test]
async fn hosts_and_targets_have_one_reading() {
    compare(&owned(&[HOSTS, TARGETS].concat())).await;
}

fn chunked() -> Vec<(String, Outcome)> {
    const CHUNKED: &str = "POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: chunked⏎⏎";
    CHUNKS.iter().map(|(row, outcome)| (format!("{CHUNKED}{row}"), *outcome)).collect()
}

#[tokio::test]
async fn bodies_have_one_reading() {
    compare(&owned(&[LENGTHS, ENCODINGS].concat())).await;
    compare(&chunked()).await;
}

#[tokio::test]
async fn lines_and_fields_have_one_reading() {
    compare(&owned(FIELDS)).await;
}

/// All rows.
fn all() -> Vec<(String, Outcome)> {
    let rows = [owned(&[HOSTS, TARGETS, LENGTHS, ENCODINGS, FIELDS].concat()), chunked()].concat();
    assert!(rows.len() >= 200, "{}", rows.len());
    rows
}

fn expected(outcome: &Outcome) -> Vec<&str> {
    match outcome {
        Outcome::Refused(_) => Vec::new(),
        Outcome::Read(reading) => vec![reading],
        Outcome::ReadBoth(one, two) => vec![one, two],
    }
}

/// Sends a row; the status and body of each answer, until there is as many as it should have.
async fn answers(proxy: &Process, row: &str, count: usize) -> Vec<(u16, String)> {
    let mut client = proxy.client().await;
    let _ = client.try_send(bytes(row)).await;
    let mut answers = Vec::new();
    while answers.len() < count {
        let Ok(answer) = client.message().await else { break };
        answers.push((answer.status(), String::from_utf8_lossy(&answer.body).into_owned()));
    }
    answers
}

/// What differs from the table behind one server of others: it may refuse what it does not like, and read
/// nothing else in it.
async fn differing(name: &str, address: std::net::SocketAddr, told: Option<&Readings>) -> Vec<String> {
    let proxy = Process::before(address).await;
    let mut differing = Vec::new();
    for (row, outcome) in all() {
        if let Some(readings) = told {
            readings.lock().unwrap().clear();
        }
        let expected = expected(&outcome);
        let answers = answers(&proxy, &row, expected.len().max(1)).await;
        let (read, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|(status, _)| *status == 200);
        let readings = match told {
            Some(readings) => readings.lock().unwrap().clone(),
            None => read.iter().map(|(_, body)| body.clone()).collect(),
        };
        let is_refused = refused.iter().all(|(status, _)| matches!(status, 400..=499 | 502));
        if readings.iter().zip(&expected).any(|(read, expected)| read != expected)
            || readings.len() > expected.len()
            || !is_refused
            || readings.len() + refused.len() < expected.len().max(1)
        {
            differing.push(format!("{name}: {row}\n  read {readings:?}, not {expected:?}; {answers:?}"));
        }
    }
    proxy.until_idle().await;
    differing
}

#[tokio::test]
async fn servers_of_others_read_what_the_table_says_or_refuse_it() {
    let readings = Readings::default();
    let mut found = Vec::new();
    for backend in readers().await {
        found.extend(differing(backend.name, backend.address, None).await);
    }
    for backend in passers(strict(readings.clone()).await).await {
        found.extend(differing(backend.name, backend.address, Some(&readings)).await);
    }
    assert!(found.is_empty(), "{} differ:\n{}", found.len(), found.join("\n"));
}

fn rejections(kind: &str) -> String {
    format!("plimsoll_rejections_total{{kind=\"{kind}\"}}")
}

/// Sends each row on a connection of its own: it gets this status, and is the first that is counted for this reason.
async fn assert_counted(proxy: &Process, rows: &[(&str, u16, &str)]) {
    for (row, status, kind) in rows {
        let mut client = proxy.client().await;
        client.send(bytes(row)).await;
        assert_eq!(client.message().await.unwrap().status(), *status, "{row}");
        assert_eq!(proxy.metric(&rejections(kind)).await, 1.0, "{row}");
    }
}

#[tokio::test]
async fn what_settings_forbid_is_counted_by_its_reason() {
    let settings = "requests: { underscores: refuse, paths: refuse, target_bytes_max: 64, fields_max: 4 }\n";
    let proxy = Setup::before(&[echo().await]).config(settings).start().await;
    let long = format!("GET /{} HTTP/1.1⏎Host: shop.test⏎⏎", "a".repeat(64));
    let rows = [
        (long.as_str(), 414, "target_size"),
        ("GET / HTTP/1.1⏎Host: shop.test⏎A: 1⏎B: 1⏎C: 1⏎D: 1⏎⏎", 431, "head_size"),
        ("GET / HTTP/1.1⏎Host: shop.test⏎A_B: 1⏎⏎", 400, "underscore"),
        ("GET /a/../b HTTP/1.1⏎Host: shop.test⏎⏎", 400, "dot_segment"),
        ("GET /a%2fb HTTP/1.1⏎Host: shop.test⏎⏎", 400, "path_separator"),
        ("GET ftp://shop.test/ HTTP/1.1⏎Host: shop.test⏎⏎", 400, "target"),
        ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5, 5⏎⏎hello", 400, "content_length"),
        ("POST / HTTP/1.1⏎Host: shop.test⏎Expect: 200-ok⏎⏎", 417, "expectation"),
    ];
    assert_counted(&proxy, &rows).await;
    // On either side of two of the bounds.
    let within = format!("GET /{}", "a".repeat(63));
    assert_eq!(proxy.ask(&within, "A: 1\r\nB: 1\r\nC: 1\r\n").await.status(), 200);
}

#[tokio::test]
async fn every_refusal_is_counted_by_its_reason() {
    let proxy = Process::before(echo().await).await;
    let rows = [
        ("GET / HTTP/1.1⏎⏎", 400, "missing_host"),
        ("GET / HTTP/1.1⏎Host: a b⏎⏎", 400, "invalid_host"),
        ("GET / HTTP/1.1␊Host: shop.test⏎⏎", 400, "line_end"),
        ("GET /%00 HTTP/1.1⏎Host: shop.test⏎⏎", 400, "path_escape"),
        ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: gzip, chunked⏎⏎0⏎⏎", 400, "transfer_encoding"),
        ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: chunked⏎⏎x⏎", 400, "chunk"),
        ("CONNECT shop.test:80 HTTP/1.1⏎Host: shop.test:80⏎⏎", 405, "method"),
        ("GET / HTTP/1.1⏎Host: shop.test⏎Connection: Host⏎⏎", 400, "connection"),
        ("GET / HTTP/1.1⏎Host : shop.test⏎⏎", 400, "unparsed"),
    ];
    assert_counted(&proxy, &rows).await;
    // After a request that was in order, and once whatever follows.
    let mut client = proxy.client().await;
    assert_eq!(client.exchange("GET /", "").await.status(), 200);
    client.send(bytes("GET / HTTP/1.1⏎Host: shop.test⏎A: ␁⏎⏎")).await;
    assert_eq!(client.message().await.unwrap().status(), 400);
    assert_eq!(proxy.metric(&rejections("unparsed")).await, 2.0);
    // What Pingora refuses before anybody else sees it.
    let unseen = [
        "GET / HTTP/1.1⏎Host: shop.test⏎Host: shop.test⏎⏎",
        "GET http://evil.test/ HTTP/1.1⏎Host: shop.test⏎⏎",
        "POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5⏎Content-Length: 6⏎⏎hello",
        "GET / HTTP/1.1⏎Host: shop.test⏎A␀: 1⏎⏎",
    ];
    for (count, row) in (3_u32..).zip(unseen) {
        let mut client = proxy.client().await;
        client.send(bytes(row)).await;
        assert_eq!(client.message().await.unwrap().status(), 400, "{row}");
        assert_eq!(proxy.metric(&rejections("unparsed")).await, f64::from(count), "{row}");
    }
}

#[tokio::test]
async fn fields_between_neighbours_are_dropped() {
    let proxy = Process::before(echo().await).await;
    let fields = "Connection: close, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: x\r\nTE: gzip\r\n\
                  Upgrade: h2c\r\nX_Real_IP: 1\r\n";
    let answer = proxy.ask("GET /", fields).await;
    let seen = answer.text().to_lowercase();
    for field in ["x-secret", "keep-alive", "proxy-authorization", "te:", "upgrade", "x_real_ip"] {
        assert!(!seen.contains(&format!("\n{field}")), "{field}: {seen}");
    }
}
