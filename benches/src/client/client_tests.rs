//! What the open loop may rely on, over HTTP/1.1, HTTP/2 and TLS.

use super::tls::Trust;
use super::*;
use http_body_util::Full;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// More than any first connection here takes.
const LONG: Duration = Duration::from_secs(60);

async fn server() -> (TcpListener, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap());
    (listener, client)
}

async fn read_request(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}

#[tokio::test]
async fn connection_is_kept_and_used_again_and_counts_once() {
    let (listener, client) = server().await;
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        }
    };
    let ask = async {
        assert_eq!(client.get("/1").await.unwrap().body, "ok");
        assert_eq!(client.get("/2").await.unwrap().body, "ok");
        assert_eq!(client.accepted(), 1);
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn server_that_closes_after_each_answer_gets_new_connections() {
    let (listener, client) = server().await;
    let serve = async {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nok").await.unwrap();
        }
    };
    let ask = async {
        assert_eq!(client.get("/1").await.unwrap().body, "ok");
        assert_eq!(client.get("/2").await.unwrap().body, "ok");
        assert_eq!(client.accepted(), 2);
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn client_who_gives_up_closes_the_socket() {
    let (listener, client) = server().await;
    let mut request = Box::pin(client.get("/slow"));
    let (mut stream, _) = tokio::select! {
        accepted = listener.accept() => accepted.unwrap(),
        _ = &mut request => unreachable!("nobody answers"),
    };
    tokio::select! {
        () = read_request(&mut stream) => {}
        _ = &mut request => unreachable!("nobody answers"),
    }
    drop(request);
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn broken_answer_is_an_error() {
    let (listener, client) = server().await;
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok").await.unwrap();
    };
    let (_, answer) = tokio::join!(serve, client.get("/"));
    assert!(matches!(answer, Err(ClientError::Exchange { .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn slow_line_takes_its_time_both_ways() {
    let (listener, client) = server().await;
    let begin = clock::now();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.read_exact(&mut [0; 4_000]).await.unwrap();
        let taken = clock::now();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n").await.unwrap();
        stream.write_all(&[b'.'; 3_000]).await.unwrap();
        taken
    };
    let ask = async {
        let body = Delivery::default().padded_to(4_000);
        let request = Request::post("/").header(header::HOST, "shop").body(body).unwrap();
        let line = Line { up: Some(1_000.0), down: Some(500.0) };
        (client.exchange_over(line, request).await.unwrap().status, clock::now())
    };
    let (taken, (status, read)) = tokio::join!(serve, ask);
    assert_eq!((status, (taken - begin).as_secs(), (read - taken).as_secs()), (StatusCode::OK, 4, 6));
}

/// A server that answers every request with its version and path, over HTTP/2 if `is_http2`.
async fn answer_all<S>(stream: S, is_http2: bool)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
        let text = format!("{:?} {}", request.version(), request.uri().path());
        Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(text))))
    });
    let io = hyper_util::rt::TokioIo::new(stream);
    if is_http2 {
        let executor = hyper_util::rt::TokioExecutor::new();
        _ = hyper::server::conn::http2::Builder::new(executor).serve_connection(io, service).await;
    } else {
        _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
    }
}

/// A client of a server that does `serve` with each connection, and how many of them there were.
async fn http2_server<S>(serve: impl Fn(TcpStream) -> S + Send + 'static) -> (Client, Arc<AtomicUsize>)
where
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let accepted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            accepted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve(stream));
        }
    });
    let client =
        Client::connect(address, None, &address.to_string(), Some(Version::Http2), LONG).await.unwrap();
    (client, connections)
}

#[tokio::test]
async fn http2_requests_share_a_connection_and_open_another_when_it_is_full() {
    let (client, connections) = http2_server(|stream| answer_all(stream, true)).await;
    for number in 0..300 {
        assert_eq!(client.get(&format!("/{number}")).await.unwrap().body, format!("HTTP/2.0 /{number}"));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    let together = futures_of(&client, 150);
    assert!(together.await.iter().all(|answer| answer.status.is_success()));
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

/// A server that retires a connection, which takes nothing new then, once `/slow` is asked for on it. That is never
/// answered.
async fn retiring(stream: TcpStream) {
    let asked = Arc::new(tokio::sync::Notify::new());
    let seen = Arc::clone(&asked);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            if request.uri().path() == "/slow" {
                seen.notify_one();
                std::future::pending::<()>().await;
            }
            Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::new())))
        }
    });
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let connection = hyper::server::conn::http2::Builder::new(executor).serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = asked.notified() => connection.as_mut().graceful_shutdown(),
    }
    _ = connection.await;
}

#[tokio::test]
async fn http2_connection_that_the_server_retires_costs_nobody_an_answer() {
    let (client, connections) = http2_server(retiring).await;
    let ask_until_another_is_open = async {
        while connections.load(Ordering::Relaxed) < 2 {
            client.get("/").await.unwrap();
        }
    };
    tokio::select! {
        answer = client.get("/slow") => unreachable!("nobody answers: {answer:?}"),
        () = ask_until_another_is_open => {}
        () = tokio::time::sleep(std::time::Duration::from_secs(60)) => panic!("the connection was not retired"),
    }
}

/// The answers to so many requests at once.
async fn futures_of(client: &Client, number: usize) -> Vec<Answer> {
    let mut asks: Vec<_> = (0..number).map(|_| Box::pin(client.get("/"))).collect();
    let mut answers = Vec::new();
    std::future::poll_fn(|cx| {
        asks.retain_mut(|ask| match ask.as_mut().poll(cx) {
            std::task::Poll::Ready(answer) => {
                answers.push(answer.unwrap());
                false
            }
            std::task::Poll::Pending => true,
        });
        if asks.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    answers
}

/// A TLS server that speaks these versions, and its certificate.
async fn tls_server(versions: &[&str]) -> (SocketAddr, String) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())
        .unwrap();
    config.alpn_protocols = versions.iter().map(|version| version.as_bytes().to_vec()).collect();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            tokio::spawn(answer_all(stream, is_http2));
        }
    });
    (address, certified.cert.pem())
}

#[tokio::test]
async fn over_tls_the_server_chooses_the_version_unless_one_is_asked_for() {
    for (versions, wanted, chosen) in [
        (&["h2", "http/1.1"][..], None, "HTTP/2.0 /a"),
        (&["h2", "http/1.1"], Some(Version::Http1), "HTTP/1.1 /a"),
        (&["http/1.1"], None, "HTTP/1.1 /a"),
    ] {
        let (address, _) = tls_server(versions).await;
        let tls = Tls::new("localhost", &Trust::Anybody, wanted).unwrap();
        let client = Client::connect(address, Some(tls), "localhost", wanted, LONG).await.unwrap();
        assert_eq!(client.get("/a").await.unwrap().body, chosen, "{versions:?}");
    }
}

#[tokio::test]
async fn server_of_another_name_or_of_no_known_authority_is_not_believed() {
    let (address, certificate) = tls_server(&["http/1.1"]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate).unwrap();
    let trust = Trust::File(file.path().to_owned());
    let connect = async |name: &str, trust: &Trust| {
        let tls = Tls::new(name, trust, None).unwrap();
        Client::connect(address, Some(tls), name, None, LONG).await
    };
    assert!(connect("localhost", &trust).await.is_ok());
    let error = connect("other.example", &trust).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Tls, "{error}");
    std::fs::write(file.path(), "no certificate").unwrap();
    assert!(Tls::new("localhost", &trust, None).unwrap_err().to_string().contains("there is none in it"));
}

#[tokio::test]
async fn first_connection_that_comes_to_nothing_in_time_says_what_is_missing() {
    const SOON: Duration = Duration::from_millis(500);
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    // The system takes two connections, and nobody accepts them.
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let tls = Tls::new("localhost", &Trust::Anybody, None).unwrap();
    let error = Client::connect(address, Some(tls), "localhost", None, SOON).await.unwrap_err();
    assert!(
        error.to_string().contains("took a connection, and there was no TLS handshake within 500ms"),
        "{error}"
    );
    let mut kept = Vec::new();
    let error = loop {
        assert!(kept.len() < 10, "there is no room for so many");
        match Client::connect(address, None, "localhost", None, SOON).await {
            Ok(client) => kept.push(client),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("did not take a connection within 500ms"), "{error}");
}
