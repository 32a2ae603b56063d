//! TLS on either side: certificates by name, renewal, resumption, certificates of clients, verified upstreams.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, ServerConfig};

use crate::harness::authority::{Authority, Signed, connect};
use crate::harness::process::{Process, Setup, complaint};
use crate::harness::upstream::echo;
use crate::harness::{bounded, until};

const REJECTED: &str = "plimsoll_certificate_reloads_total{kind=\"rejected\"}";
const APPLIED: &str = "plimsoll_certificate_reloads_total{kind=\"applied\"}";
const HANDSHAKES: &str = "plimsoll_connections_refused_total{kind=\"handshake\"}";

/// A proxy that shows these certificates, in `directory`, with more settings of its listener's TLS.
async fn start(directory: &tempfile::TempDir, certificates: &[(&str, &Signed)], more: &str) -> Process {
    let files = certificates.iter().map(|(name, signed)| {
        let (certificate, key) = signed.write(directory.path(), name);
        format!("{{ certificate: \"{}\", key: \"{}\" }}", certificate.display(), key.display())
    });
    let certificates = files.collect::<Vec<_>>().join(", ");
    let settings =
        format!("listen: [{{ address: 127.0.0.1:0, tls: {{ certificates: [{certificates}], {more} }} }}]\n");
    Setup::listening(&[echo().await]).config(&settings).start().await
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// What the shop was asked over a connection.
async fn ask(stream: TlsStream<TcpStream>) -> String {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let request = Request::get(if is_http2 { "https://shop.test/" } else { "/" }).header("host", "shop.test");
    let io = TokioIo::new(stream);
    let answer = if is_http2 {
        let request = request.version(Version::HTTP_2).body(Empty::<Bytes>::new()).unwrap();
        let (mut client, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        bounded("an answer", client.send_request(request)).await.unwrap()
    } else {
        let (mut client, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        bounded("an answer", client.send_request(request.body(Empty::<Bytes>::new()).unwrap())).await.unwrap()
    };
    assert_eq!(answer.status(), 200);
    String::from_utf8(bounded("a body", answer.into_body().collect()).await.unwrap().to_bytes().into())
        .unwrap()
}

#[tokio::test]
async fn a_client_gets_the_certificate_of_the_name_it_asks_for() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let [shop, img] = ["shop.test", "*.img.test"].map(|name| authority.sign(name));
    let proxy = start(&directory, &[("shop", &shop), ("img", &img)], "").await;
    let client = authority.client(&[&TLS13], &[], None);
    for (name, expected) in [("shop.test", &shop), ("a.img.test", &img)] {
        let stream = connect(proxy.address, name, client.clone()).await.unwrap();
        assert_eq!(shown(&stream), expected.der().to_vec(), "{name}");
    }
    // The first is shown to whoever asks for another, who does not like it.
    assert!(connect(proxy.address, "unknown.test", client).await.is_err());
    until("the failed handshake", async || proxy.metric(HANDSHAKES).await == 1.0).await;
    proxy.until_idle().await;
}

#[tokio::test]
async fn every_version_and_protocol_is_served_and_the_shop_knows() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let shop = authority.sign("shop.test");
    let proxy = start(&directory, &[("shop", &shop)], "").await;
    for version in [&TLS12, &TLS13] {
        for (protocols, agreed) in
            [(&["h2", "http/1.1"][..], Some(&b"h2"[..])), (&["http/1.1"], Some(b"http/1.1")), (&[], None)]
        {
            let client = authority.client(&[version], protocols, None);
            let stream = connect(proxy.address, "shop.test", client).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
            let asked = ask(stream).await.to_lowercase();
            assert!(asked.contains("\nx-forwarded-proto: https\n"), "{protocols:?}: {asked}");
            assert!(asked.contains("\nhost: shop.test\n"), "{protocols:?}: {asked}");
        }
    }
    proxy.until_idle().await;
    let proxy = start(&directory, &[("shop", &shop)], "versions: 1.3").await;
    assert!(connect(proxy.address, "shop.test", authority.client(&[&TLS12], &[], None)).await.is_err());
    assert!(connect(proxy.address, "shop.test", authority.client(&[&TLS13], &[], None)).await.is_ok());
}

async fn is_shown(proxy: &Process, client: &Arc<ClientConfig>, expected: &Signed) -> bool {
    let stream = connect(proxy.address, "shop.test", client.clone()).await;
    shown(&stream.unwrap()) == expected.der().to_vec()
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_nobody_is_cut_off() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let [old, new] = ["shop.test", "shop.test"].map(|name| authority.sign(name));
    let proxy = start(&directory, &[("shop", &old)], "").await;
    let client = authority.client(&[&TLS13], &[], None);
    let before = connect(proxy.address, "shop.test", client.clone()).await.unwrap();
    // Half of a renewal, and nonsense: what is in use stays.
    fs::write(directory.path().join("shop.pem"), &new.certificate).unwrap();
    until("the rejection", async || proxy.metric(REJECTED).await > 0.0).await;
    fs::write(directory.path().join("shop.key"), "nonsense").unwrap();
    proxy.signal("HUP").await;
    until("the rejections", async || proxy.metric(REJECTED).await > 1.0).await;
    let fresh = authority.client(&[&TLS13], &[], None);
    assert!(is_shown(&proxy, &fresh, &old).await);
    proxy.log.contain("shop.key").await;
    new.write(directory.path(), "shop");
    until("the new certificate", async || {
        is_shown(&proxy, &authority.client(&[&TLS13], &[], None), &new).await
    })
    .await;
    // A call reads them as well, and has by the time it answers.
    let read = proxy.metric(APPLIED).await;
    assert_eq!(proxy.admin("POST /v1/reload").await.status(), 200);
    assert!(proxy.metric(APPLIED).await > read);
    assert!(ask(before).await.contains("x-forwarded-proto"));
    proxy.until_idle().await;
}

#[tokio::test]
async fn of_two_certificates_one_is_renewed_and_beside_a_bad_one_neither_is() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let [shop, old, new] = ["shop.test", "img.test", "img.test"].map(|name| authority.sign(name));
    let proxy = start(&directory, &[("shop", &shop), ("img", &old)], "").await;
    let shows = async |name: &'static str| {
        let client = authority.client(&[&TLS13], &[], None);
        shown(&connect(proxy.address, name, client).await.unwrap())
    };
    fs::write(directory.path().join("shop.pem"), "nonsense").unwrap();
    new.write(directory.path(), "img");
    proxy.signal("HUP").await;
    until("the rejection", async || proxy.metric(REJECTED).await > 0.0).await;
    for (name, expected) in [("shop.test", &shop), ("img.test", &old)] {
        assert_eq!(shows(name).await, expected.der().to_vec(), "{name}");
    }
    shop.write(directory.path(), "shop");
    until("the new certificate", async || shows("img.test").await == new.der().to_vec()).await;
    assert_eq!(shows("shop.test").await, shop.der().to_vec());
    proxy.until_idle().await;
}

async fn handshake_kind(proxy: &Process, client: &Arc<ClientConfig>) -> HandshakeKind {
    let mut stream = connect(proxy.address, "shop.test", client.clone()).await.unwrap();
    // A ticket comes with the answer.
    stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = bounded("the end", stream.read_to_end(&mut answer)).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer));
    stream.get_ref().1.handshake_kind().unwrap()
}

#[tokio::test]
async fn a_client_that_returns_resumes_its_session_even_after_a_renewal() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let [old, new] = ["shop.test", "shop.test"].map(|name| authority.sign(name));
    let proxy = start(&directory, &[("shop", &old)], "").await;
    let clients = [&TLS12, &TLS13].map(|version| authority.client(&[version], &[], None));
    for client in &clients {
        assert_eq!(handshake_kind(&proxy, client).await, HandshakeKind::Full);
        assert_eq!(handshake_kind(&proxy, client).await, HandshakeKind::Resumed);
    }
    new.write(directory.path(), "shop");
    until("the new certificate", async || {
        is_shown(&proxy, &authority.client(&[&TLS13], &[], None), &new).await
    })
    .await;
    for client in &clients {
        assert_eq!(handshake_kind(&proxy, client).await, HandshakeKind::Resumed);
    }
}

/// Whether a client with this certificate is served.
async fn is_served(proxy: &Process, authority: &Authority, shows: Option<&Signed>) -> bool {
    is_answered(proxy, authority.client(&[&TLS13], &["http/1.1"], shows)).await
}

async fn is_answered(proxy: &Process, client: Arc<ClientConfig>) -> bool {
    let Ok(mut stream) = connect(proxy.address, "shop.test", client).await else { return false };
    let request = b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";
    // With TLS 1.3 a client learns after its own part whether its certificate was taken.
    if stream.write_all(request).await.is_err() {
        return false;
    }
    let mut answer = Vec::new();
    let _ = bounded("the end", stream.read_to_end(&mut answer)).await;
    answer.starts_with(b"HTTP/1.1 200 OK")
}

#[tokio::test]
async fn clients_show_certificates_where_they_are_asked() {
    let (authority, partners) = (Authority::new(), Authority::new());
    let shop = authority.sign("shop.test");
    let (partner, stranger) = (partners.sign("partner.test"), authority.sign("stranger.test"));
    for (choice, without, by_stranger) in [("required", false, false), ("requested", true, false)] {
        let directory = tempfile::tempdir().unwrap();
        let authorities = directory.path().join("partners.pem");
        fs::write(&authorities, partners.pem()).unwrap();
        let clients =
            format!("clients: {{ authorities: \"{}\", certificate: {choice} }}", authorities.display());
        let proxy = start(&directory, &[("shop", &shop)], &clients).await;
        assert!(is_served(&proxy, &authority, Some(&partner)).await, "{choice}");
        assert_eq!(is_served(&proxy, &authority, None).await, without, "{choice}");
        assert_eq!(is_served(&proxy, &authority, Some(&stranger)).await, by_stranger, "{choice}");
        proxy.until_idle().await;
    }
}

#[tokio::test]
async fn who_is_believed_no_more_does_not_come_in_by_a_ticket_either() {
    let (authority, partners, others) = (Authority::new(), Authority::new(), Authority::new());
    let (shop, partner) = (authority.sign("shop.test"), partners.sign("partner.test"));
    let directory = tempfile::tempdir().unwrap();
    let authorities = directory.path().join("partners.pem");
    fs::write(&authorities, partners.pem()).unwrap();
    let clients = format!("clients: {{ authorities: \"{}\" }}", authorities.display());
    let proxy = start(&directory, &[("shop", &shop)], &clients).await;
    let client = authority.client(&[&TLS13], &["http/1.1"], Some(&partner));
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        assert_eq!(handshake_kind(&proxy, &client).await, expected);
    }
    fs::write(&authorities, others.pem()).unwrap();
    until("the other authority", async || !is_served(&proxy, &authority, Some(&partner)).await).await;
    assert!(!is_answered(&proxy, client).await);
    proxy.until_idle().await;
}

/// A shop that speaks TLS, and answers who it talks to.
async fn secret_shop(config: Arc<ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = TlsAcceptor::from(config.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let shown = stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
                let name = stream.get_ref().1.server_name().unwrap_or("nobody").to_owned();
                let body = format!("{name} {shown}");
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                // Keeps the connection.
                loop {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn an_upstream_must_be_who_it_is_asked_to_be() {
    let (authority, stranger, directory) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let at = |name: &str| directory.path().join(name);
    fs::write(at("authority.pem"), authority.pem()).unwrap();
    let (us, us_key) = authority.sign("us.test").write(directory.path(), "us");
    let identity = format!("certificate: \"{}\", key: \"{}\"", us.display(), us_key.display());
    let trust = format!("authorities: \"{}\"", at("authority.pem").display());
    let shop = authority.sign("shop.internal");
    let open = secret_shop(authority.server(&shop, false)).await;
    let closed = secret_shop(authority.server(&shop, true)).await;
    let forged = secret_shop(stranger.server(&stranger.sign("shop.internal"), false)).await;
    for (endpoint, name, more, expected) in [
        (open, "shop.internal", trust.clone(), Ok("shop.internal 0")),
        (open, "other.internal", trust.clone(), Err(502)),
        (open, "shop.internal", String::new(), Err(502)),
        (forged, "shop.internal", trust.clone(), Err(502)),
        (closed, "shop.internal", format!("{trust}, {identity}"), Ok("shop.internal 1")),
        (closed, "shop.internal", trust.clone(), Err(502)),
    ] {
        let tls = format!("{{ server_name: {name}, {more} }}");
        let pool = format!("pools: {{ default: {{ endpoints: [\"{endpoint}\"], tls: {tls} }} }}\n");
        let proxy = Setup::before(&[]).config(&pool).start().await;
        let answer = proxy.ask("GET /", "").await;
        match expected {
            Ok(body) => assert_eq!((answer.status(), answer.text()), (200, body), "{tls}"),
            Err(status) => assert_eq!(answer.status(), status, "{tls}: {answer:?}"),
        }
        proxy.until_idle().await;
    }
}

#[tokio::test]
async fn files_towards_a_shop_are_read_anew_and_bad_ones_change_nothing() {
    let (authority, next, directory) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let trusted = directory.path().join("authority.pem");
    fs::write(&trusted, authority.pem()).unwrap();
    let (us, us_key) = authority.sign("us.test").write(directory.path(), "us");
    let shop = secret_shop(authority.server(&authority.sign("shop.internal"), true)).await;
    let tls = format!(
        "server_name: shop.internal, authorities: \"{}\", certificate: \"{}\", key: \"{}\"",
        trusted.display(),
        us.display(),
        us_key.display()
    );
    let pool = format!("pools: {{ default: {{ endpoints: [\"{shop}\"], tls: {{ {tls} }} }} }}\n");
    let proxy = Setup::before(&[]).config(&pool).start().await;
    let status = async || proxy.ask("GET /", "").await.status();
    assert_eq!(status().await, 200);
    fs::write(&trusted, "nonsense").unwrap();
    until("the rejection", async || proxy.metric(REJECTED).await > 0.0).await;
    assert_eq!(status().await, 200, "those in use stay");
    // Neither is the shop believed any more, nor a connection to it that is kept.
    fs::write(&trusted, next.pem()).unwrap();
    until("the other authority", async || status().await == 502).await;
    let read = proxy.metric(APPLIED).await;
    fs::write(&trusted, authority.pem()).unwrap();
    // Without asking meanwhile: each failure is one for the breaker.
    until("the first authority again", async || proxy.metric(APPLIED).await > read).await;
    until("the shop", async || status().await == 200).await;
    // It is the shop now that does not believe what it is shown.
    next.sign("us.test").write(directory.path(), "us");
    until("our other certificate", async || status().await != 200).await;
    proxy.until_idle().await;
}

#[tokio::test]
async fn files_that_do_not_fit_are_told_at_the_start() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let (certificate, _) = authority.sign("shop.test").write(directory.path(), "shop");
    let (_, other_key) = authority.sign("shop.test").write(directory.path(), "other");
    let settings = directory.path().join("plimsoll.yaml");
    for (certificate, key, says) in [
        (&certificate, &other_key, "other.key"),
        (&other_key, &other_key, "no certificate"),
        (&certificate, &directory.path().join("absent.key"), "absent.key"),
    ] {
        let pair = format!("{{ certificate: \"{}\", key: \"{}\" }}", certificate.display(), key.display());
        let text = format!("listen: [{{ address: 127.0.0.1:0, tls: {{ certificates: [{pair}] }} }}]\n");
        fs::write(&settings, text).unwrap();
        let flags = ["serve", "--upstream", "127.0.0.1:1", "--config", settings.to_str().unwrap()];
        let message = complaint(&flags).await;
        assert!(message.contains(says), "{says}: {message}");
    }
}

#[tokio::test]
async fn an_address_that_begins_too_many_handshakes_is_turned_away_and_may_come_back() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let (certificate, key) = authority.sign("shop.test").write(directory.path(), "shop");
    let pair = format!("{{ certificate: \"{}\", key: \"{}\" }}", certificate.display(), key.display());
    let settings = format!(
        "listen: [{{ address: 127.0.0.1:0, tls: {{ certificates: [{pair}] }} }}]\nconnections: {{ handshakes_per_s_max: 1 }}\n"
    );
    let proxy = Setup::listening(&[echo().await]).config(&settings).start().await;
    let client = authority.client(&[&TLS13], &["http/1.1"], None);
    let shake = async || connect(proxy.address, "shop.test", client.clone()).await;
    let mut kept = Vec::new();
    for _ in 0..5 {
        kept.push(shake().await.unwrap());
    }
    until("one too many", async || shake().await.is_err()).await;
    let refused = "plimsoll_connections_refused_total{kind=\"handshake_rate\"}";
    until("the count", async || proxy.metric(refused).await >= 1.0).await;
    assert!(ask(kept.pop().unwrap()).await.contains("x-forwarded-proto"), "who is in stays");
    until("the next second", async || shake().await.is_ok()).await;
    proxy.until_idle().await;
}

#[tokio::test]
async fn whoever_begins_and_says_no_more_is_left() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let (certificate, key) = authority.sign("shop.test").write(directory.path(), "shop");
    let pair = format!("{{ certificate: \"{}\", key: \"{}\" }}", certificate.display(), key.display());
    let settings = format!(
        "listen: [{{ address: 127.0.0.1:0, tls: {{ certificates: [{pair}] }} }}]\nconnections: {{ head: 300ms, idle: 600ms }}\n"
    );
    let proxy = Setup::listening(&[echo().await]).config(&settings).start().await;
    let mut silent = TcpStream::connect(proxy.address).await.unwrap();
    let mut rest = Vec::new();
    let _ = bounded("the end of the handshake", silent.read_to_end(&mut rest)).await;
    for protocol in ["h2", "http/1.1"] {
        let client = authority.client(&[&TLS13], &[protocol], None);
        let mut stream = connect(proxy.address, "shop.test", client).await.unwrap();
        let _ = bounded(protocol, stream.read_to_end(&mut rest)).await;
    }
    until("no connection", async || proxy.metric("plimsoll_connections").await == 0.0).await;
}
