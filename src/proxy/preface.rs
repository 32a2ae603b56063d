//! Tells HTTP/2 from HTTP/1.1 on a cleartext connection, by its first bytes.
//!
//! Pingora's own look waits for all 24 bytes of the HTTP/2 preface, so that a
//! shorter HTTP/1 request (`GET / HTTP/1.1` without any field, the probes of
//! load balancers) is never answered. This one stops at the first byte that is
//! not the preface's: at once, for every method but those in `P`.
//!
//! It knows no TLS, where ALPN has told already.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;

/// What an HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// As long as Pingora waits for a first request.
const FIRST_BYTES_MAX: Duration = Duration::from_secs(60);

/// An application for both protocols on one port.
pub struct EitherHttp<A> {
    http1: Arc<A>,
    http2: Arc<Http2<A>>,
}

/// The same application, told that its connections are HTTP/2.
struct Http2<A> {
    app: Arc<A>,
    options: HttpServerOptions,
}

impl<A> EitherHttp<A> {
    /// Serves both with `app`, which is left at Pingora's defaults. An HTTP/2 connection without
    /// a stream is closed after `http2_idle`.
    pub fn new(app: A, http2_idle: Duration) -> EitherHttp<A> {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(http2_idle);
        let http1 = Arc::new(app);
        EitherHttp { http2: Arc::new(Http2 { app: http1.clone(), options }), http1 }
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for EitherHttp<A> {
    async fn process_new(self: &Arc<Self>, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        match tokio::time::timeout(FIRST_BYTES_MAX, is_http2(&mut stream)).await.ok()?? {
            true => self.http2.process_new(stream, shutdown).await,
            false => self.http1.process_new(stream, shutdown).await,
        }
    }

    async fn cleanup(&self) {
        self.http1.http_cleanup().await;
    }
}

/// Looks no further than the first byte that tells. `None` if the client left before it.
async fn is_http2(stream: &mut Stream) -> Option<bool> {
    let mut bytes = [0; PREFACE.len()];
    for length in 1..=PREFACE.len() {
        stream.try_peek(&mut bytes[..length]).await.ok()?;
        if !PREFACE.starts_with(&bytes[..length]) {
            return Some(false);
        }
    }
    Some(true)
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Http2<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.app.process_new_http(session, shutdown).await
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}
