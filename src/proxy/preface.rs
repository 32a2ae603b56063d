//! Tells HTTP/2 from HTTP/1.1 on a cleartext connection, by its first bytes.
//!
//! Pingora's own look waits for all 24 bytes of the HTTP/2 preface, so that a
//! shorter HTTP/1 request (`GET / HTTP/1.1` without any field, the probes of
//! load balancers) is never answered. This one stops at the first byte that is
//! not the preface's: at once, for every method but those in `P`.
//!
//! Either way, the connection is under a deadline from here on. It knows no TLS,
//! where ALPN has told already.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;

use super::deadline::{Deadline, within};
use super::guard::Guarded;
use crate::clock::Clock;

/// What an HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A connection may be idle for as long: what Pingora allows for a first request.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// A head must be whole this long after its first byte. Browsers send it at once; a minute is only for attackers.
const HEAD_MAX: Duration = Duration::from_secs(10);

/// An application for both protocols on one port.
pub struct EitherHttp<A> {
    http1: Arc<A>,
    http2: Arc<Http2<A>>,
    clock: Clock,
}

/// The same application, told that its connections are HTTP/2.
struct Http2<A> {
    app: Arc<A>,
    options: HttpServerOptions,
    clock: Clock,
}

impl<A> EitherHttp<A> {
    /// Serves both with `app`, which is left at Pingora's defaults.
    pub fn new(app: A, clock: Clock) -> EitherHttp<A> {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(IDLE_MAX);
        let http1 = Arc::new(app);
        EitherHttp { http2: Arc::new(Http2 { app: http1.clone(), options, clock }), http1, clock }
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for EitherHttp<A> {
    async fn process_new(self: &Arc<Self>, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        if tokio::time::timeout(IDLE_MAX, is_http2(&mut stream)).await.ok()?? {
            return self.http2.process_new(stream, shutdown).await;
        }
        let deadline = Deadline::of_connection(self.clock, IDLE_MAX);
        let guarded = Box::new(Guarded::new(stream, deadline.clone(), self.clock, HEAD_MAX));
        within(deadline, self.http1.process_new(guarded, shutdown)).await?
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
        within(Deadline::of_stream(self.clock), self.app.process_new_http(session, shutdown)).await?
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}
