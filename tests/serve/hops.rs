//! Whom a connection is for: the PROXY protocol, from those who may say it.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::process::{Process, Setup};
use crate::harness::until;
use crate::harness::upstream::echo;
use crate::harness::wire::{Message, Wire};

const VERSION_1: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 4242 80\r\n";
/// The same in version 2.
const VERSION_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc0\0\x02\x01\x10\x92\0\x50";
const REFUSED: &str = "plimsoll_connections_refused_total{kind=\"proxy_header\"}";

async fn start(trusted: &str, more: &str) -> Process {
    let settings =
        format!("listen: [{{ address: 127.0.0.1:0, proxy_protocol: on }}]\ntrusted_hops: {trusted}\n{more}");
    Setup::listening(&[echo().await]).config(&settings).start().await
}

async fn ask_after(proxy: &Process, header: &[u8], fields: &str) -> std::io::Result<Message> {
    let mut stream = TcpStream::connect(proxy.address).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: shop.test\r\n{fields}\r\n");
    stream.write_all(&[header, request.as_bytes()].concat()).await?;
    Wire::over(stream).message().await
}

#[tokio::test]
async fn a_trusted_hop_says_for_whom_it_connects() {
    let proxy = start("[127.0.0.1]", "").await;
    for header in [VERSION_1, VERSION_2] {
        // The client it names is no hop, and cannot name another.
        let answer = ask_after(&proxy, header, "X-Forwarded-For: 198.51.100.1\r\n").await.unwrap();
        assert_eq!(answer.status(), 200);
        let asked = answer.text().to_lowercase();
        assert!(asked.contains("\nx-forwarded-for: 203.0.113.7\n"), "{asked}");
    }
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let answer = ask_after(&proxy, header, "X-Forwarded-For: 198.51.100.1\r\n").await.unwrap();
        let asked = answer.text().to_lowercase();
        assert!(asked.contains("\nx-forwarded-for: 198.51.100.1, 127.0.0.1\n"), "{asked}");
    }
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_route_takes_the_address_that_a_trusted_hop_tells_and_no_other() {
    let policy = "version: 1\nclasses: { staff: {}, rest: {} }\nheaders: { decision: on }\n\
                  routes: [{ addresses: 203.0.113.0/24, class: staff }, { class: rest }]\n";
    for (trusted, class) in [("[127.0.0.1]", "staff; "), ("[192.0.2.1]", "rest; ")] {
        let settings = format!("trusted_hops: {trusted}\n");
        let setup = Setup::before(&[echo().await]).policy(policy).config(&settings);
        let proxy = setup.start().await;
        let answer = proxy.ask("GET /", "X-Forwarded-For: 203.0.113.7\r\n").await;
        let told = answer.header("x-plimsoll-decision").unwrap();
        assert!(told.starts_with(class), "{trusted}: {told}");
    }
}

#[tokio::test]
async fn a_trusted_hop_that_does_not_say_is_not_served() {
    let proxy = start("[127.0.0.1]", "").await;
    for (count, header) in [(1.0, &b""[..]), (2.0, b"PROXY TCP4 nonsense\r\n")] {
        assert!(ask_after(&proxy, header, "").await.is_err());
        until("the count", async || proxy.metric(REFUSED).await == count).await;
    }
}

#[tokio::test]
async fn nobody_else_may_say_it() {
    let proxy = start("[192.0.2.0/24]", "").await;
    assert_eq!(ask_after(&proxy, VERSION_1, "").await.unwrap().status(), 400);
    let answer = ask_after(&proxy, b"", "").await.unwrap();
    assert!(answer.text().to_lowercase().contains("\nx-forwarded-for: 127.0.0.1\n"), "{}", answer.text());
}

#[tokio::test]
async fn connections_are_counted_for_the_client_that_was_told() {
    let proxy = start("[127.0.0.1]", "connections: { per_address_max: 1 }\n").await;
    let mut kept = TcpStream::connect(proxy.address).await.unwrap();
    kept.write_all(&[VERSION_1, b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"].concat()).await.unwrap();
    let mut kept = Wire::over(kept);
    assert_eq!(kept.message().await.unwrap().status(), 200);
    assert!(ask_after(&proxy, VERSION_2, "").await.is_err(), "a second one of the same client");
    let other = b"PROXY TCP4 203.0.113.8 192.0.2.1 4242 80\r\n";
    assert_eq!(ask_after(&proxy, other, "").await.unwrap().status(), 200);
}
