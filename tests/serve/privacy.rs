//! Nothing that tells who somebody is leaves the process on our side: planted secrets are not found again.

use std::fs;
use std::path::Path;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::desync_http2::{message, until_over};
use crate::harness::frames::begin;
use crate::harness::process::{Process, Setup, plimsoll};
use crate::harness::upstream::{answering, echo, refusing, resetting};
use crate::harness::wire::Wire;
use crate::harness::{bounded, until};

/// What is planted, each where it stands in a request; none of it is in anything that a proxy writes by itself.
const SECRETS: [&str; 9] = [
    "secret-cookie",
    "secret-session",
    "secret-token",
    "secret-query",
    "secret-body",
    "secret-referer",
    "secret-target",
    "secret-field",
    "203.0.113.99",
];

/// The planted address as it would stand in a binary file.
const ADDRESS: [u8; 4] = [203, 0, 113, 99];

/// Everything that writes something down does, and `closed` is refused once its breaker is forced.
const POLICY: &str = "version: 1
sessions: { cookies: [session, cart_token] }
headers: { decision: on }
classes: { closed: {}, rest: {} }
routes: [{ path: /closed/**, class: closed }]
model: { may_decide: [], fallback_class: rest }
learning: { conversion: { path: /page }, sample: 100%, draw: 0% }
";

const FIELDS: &str = "Cookie: session=secret-cookie; cart_token=secret-cookie\r\n\
                      Authorization: Bearer secret-token\r\n\
                      X-Forwarded-For: 203.0.113.99\r\n\
                      Referer: https://shop.test/?q=secret-referer\r\n";

/// Requests that are in order, that are not, and that break off.
const REQUESTS: [&str; 11] = [
    "GET /page?email=secret-query HTTP/1.1\r\nHost: shop.test\r\nF\r\n",
    "GET /page;jsessionid=secret-session?x=secret-query HTTP/1.1\r\nHost: shop.test\r\nF\r\n",
    "GET /closed/a;jsessionid=secret-session/b HTTP/1.1\r\nHost: shop.test\r\nF\r\n",
    "POST /checkout?email=secret-query HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 11\r\nF\r\nsecret-body",
    "POST /graphql HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 31\r\nF\r\n{\"operationName\":\"secret-body\"}\n",
    "POST /cart?x=secret-query HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 99\r\nF\r\nsecret-body",
    "GET /a?secret-query HTTP/1.1\r\nHost: secret-target\u{1}\r\nF\r\n",
    "GET /a?secret-query HTTP/1.1\r\nHost: shop.test\r\nX: secret-field\u{1}\r\nF\r\n",
    "GET /a?secret-query HTTP/1.1\r\nsecret-field\r\nF\r\n",
    "GET http://secret-target/?secret-query HTTP/1.1\r\nHost: shop.test\r\nF\r\n",
    "TRACE /?secret-query HTTP/1.1\r\nHost: shop.test\r\nF\r\n",
];

/// The same fields over HTTP/2, where cookies come in pieces.
const FIELDS_HTTP2: &[(&str, &str)] = &[
    ("cookie", "session=secret-cookie"),
    ("+cookie", "cart_token=secret-cookie"),
    ("authorization", "Bearer secret-token"),
    ("x-forwarded-for", "203.0.113.99"),
    ("referer", "https://shop.test/?q=secret-referer"),
];

/// What becomes of a GET of `/` there, and its body: in order, not in order, and broken.
const REQUESTS_HTTP2: &[(&[(&str, &str)], &str)] = &[
    (&[(":path", "/over-http2?email=secret-query")], ""),
    (&[(":path", "/page;jsessionid=secret-session?x=secret-query")], ""),
    (&[(":path", "/closed/a;jsessionid=secret-session/b")], ""),
    (&[(":method", "POST"), (":path", "/checkout?email=secret-query")], "secret-body"),
    (&[(":method", "POST"), (":path", "/cart?secret-query"), ("content-length", "99")], "secret-body"),
    (&[(":method", "TRACE"), (":path", "/?secret-query")], ""),
    (&[(":method", "secret-field /")], ""),
    (&[(":path", "/?secret-query␀")], ""),
    (&[(":path", "http://secret-target/?secret-query")], ""),
    (&[(":authority", "secret-target␊")], ""),
    (&[("host", "secret-target")], ""),
    (&[("x", "secret-field␊")], ""),
    (&[("X-secret-field", "1")], ""),
    (&[("connection", "secret-field")], ""),
];

async fn ask_everything_over_http2(proxy: &Process) {
    for (changes, body) in REQUESTS_HTTP2 {
        let mut stream = begin(proxy).await;
        // It may be refused before it has said everything.
        let _ = stream.write_all(&message(&[*changes, FIELDS_HTTP2].concat(), body)).await;
        bounded("an end", until_over(&mut stream)).await;
    }
    proxy.until_idle().await;
}

async fn ask_everything(proxy: &Process) {
    for request in REQUESTS {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(request.replace("F\r\n", &format!("{FIELDS}\r\n")).as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        Wire::over(stream).rest().await;
    }
    proxy.until_idle().await;
}

/// Every file below a directory, by its path.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap_or_default()));
        }
    }
    found
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// What a process shows while it runs; the id of a request that it refused.
async fn shown(proxy: &Process) -> (Vec<(String, Vec<u8>)>, String) {
    let mut seen = Vec::new();
    let places = [
        "/metrics",
        "/v1/state",
        "/v1/refusals",
        "/v1/classes",
        "/v1/breakers",
        "/v1/generations",
        "/v1/canary",
    ];
    for place in places {
        seen.push((place.to_owned(), proxy.admin(&format!("GET {place}")).await.body));
    }
    assert!(holds(&seen[2].1, b"/closed/"), "{:?}", String::from_utf8_lossy(&seen[2].1));
    let refused = proxy.ask("GET /closed/a;jsessionid=secret-session?secret-query", FIELDS).await;
    assert_eq!(refused.status(), 503);
    let decision = refused.header("x-plimsoll-decision").unwrap();
    (seen, decision.split_once("id=").unwrap().1.to_owned())
}

/// What the commands that read a journal make of it.
async fn read_again(journal: &Path, id: &str) -> Vec<u8> {
    let journal = journal.to_str().unwrap();
    let mut told = Vec::new();
    for command in [&["explain", "--journal", journal, "--id", id][..], &["replay", journal]] {
        let output = bounded("a command", plimsoll(command).output()).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        told.extend([output.stdout, output.stderr].concat());
    }
    told
}

/// Lets all be logged that the admin API can let be, and asks it with secrets as well.
async fn ask_admin(proxy: &Process) {
    assert_eq!(proxy.order("PUT /v1/log", "", r#"{"level":"trace"}"#).await.status(), 200);
    let order = r#"{"class":"closed","state":"open"}"#;
    assert_eq!(proxy.order("PUT /v1/breakers?x=secret-query", FIELDS, order).await.status(), 200);
    proxy.order("PUT /v1/mode?x=secret-query", FIELDS, "secret-body").await;
}

#[tokio::test]
async fn no_secret_of_a_client_is_logged_counted_shown_or_kept() {
    let (_refusing, closed) = refusing();
    let unreadable = answering("HTTP/1.1 banana\r\nSet-Cookie: session=secret-cookie\r\n\r\n").await;
    for shop in [echo().await, resetting().await, unreadable, closed] {
        let directory = tempfile::tempdir().unwrap();
        let (state, journal) = (directory.path().join("state"), directory.path().join("journal"));
        let settings = "trusted_hops: [127.0.0.1]\naccess_log: { sample: 100% }\n";
        let setup = Setup::before(&[shop]).policy(POLICY).config(settings);
        let mut proxy = setup.flag("--state-dir", &state).flag("--journal", &journal).start().await;
        ask_admin(&proxy).await;
        ask_everything(&proxy).await;
        ask_everything_over_http2(&proxy).await;
        let (mut seen, refused) = shown(&proxy).await;
        for written in ["/checkout", "/over-http2"] {
            until("the access log", async || proxy.output.text().contains(written)).await;
        }
        let is_sampled = || files(&journal).iter().any(|(_, bytes)| holds(bytes, b"\"propensity\""));
        until("a sample", async || is_sampled()).await;
        proxy.signal("TERM").await;
        assert!(proxy.end().await.success());
        let (log, access_log) = (proxy.log.text(), proxy.output.text());
        assert!(access_log.contains("\"session\""), "there is something to look at: {access_log}");
        seen.extend([("log".into(), log.into_bytes()), ("access log".into(), access_log.into_bytes())]);
        seen.push(("commands".into(), read_again(&journal, &refused).await));
        seen.extend(files(directory.path()));
        assert!(seen.iter().any(|(place, _)| place.ends_with("learned.json")), "nothing was saved");
        assert_secret(&seen);
    }
}

fn assert_secret(seen: &[(String, Vec<u8>)]) {
    for (place, bytes) in seen {
        let text = String::from_utf8_lossy(bytes);
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} is in {place}:\n{text}");
        }
        assert!(!holds(bytes, &ADDRESS), "the address is in {place}");
    }
}

/// What stands before a request and tells of its client, as it should be and otherwise, and what comes then.
const BEFORE_REQUESTS: [&str; 5] = [
    "PROXY TCP4 203.0.113.99 192.0.2.1 4242 80\r\nGET /seen?x=secret-query HTTP/1.1\r\nHost: shop.test\r\nF\r\n",
    "PROXY TCP4 203.0.113.99 192.0.2.1 4242 80\r\nGET /a HTTP/1.1\r\nsecret-field\r\n\r\n",
    "PROXY TCP4 203.0.113.99 secret-field 4242 80\r\n",
    "PROXY secret-field\r\n",
    "secret-field secret-query\r\n",
];

#[tokio::test]
async fn nor_is_what_a_hop_tells_of_its_client_before_the_first_request() {
    let settings = "listen: [{ address: 127.0.0.1:0, proxy_protocol: on }]\ntrusted_hops: [127.0.0.1]\n\
                    access_log: { sample: 100% }\n";
    let mut proxy = Setup::listening(&[echo().await]).policy(POLICY).config(settings).start().await;
    ask_admin(&proxy).await;
    for text in BEFORE_REQUESTS {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(text.replace("F\r\n", &format!("{FIELDS}\r\n")).as_bytes()).await.unwrap();
        // It may be closed by then.
        let _ = stream.shutdown().await;
        Wire::over(stream).rest().await;
    }
    proxy.until_idle().await;
    until("the access log", async || proxy.output.text().contains("/seen")).await;
    let metrics = proxy.admin("GET /metrics").await.body;
    proxy.signal("TERM").await;
    assert!(proxy.end().await.success());
    let [log, access_log] = [&proxy.log, &proxy.output].map(|lines| lines.text().into_bytes());
    assert_secret(&[("metrics".into(), metrics), ("log".into(), log), ("access log".into(), access_log)]);
}
