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

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;

use super::deadline::{Deadline, within};
use super::guard::Guarded;
use super::places::{Place, Places};
use crate::clock::Clock;
use crate::serving::Serving;

/// What an HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An application for both protocols on one port.
pub struct EitherHttp<A> {
    http1: Arc<OneHttp<A>>,
    http2: Arc<OneHttp<A>>,
    serving: Arc<Serving>,
    places: Arc<Places>,
}

/// The same application, told of which protocol its connections are.
struct OneHttp<A> {
    app: Arc<A>,
    options: HttpServerOptions,
    clock: Clock,
}

impl<A> EitherHttp<A> {
    /// Serves both with `app`, which is left at Pingora's defaults.
    pub fn new(app: A, serving: Arc<Serving>) -> EitherHttp<A> {
        let limits = serving.config.connections;
        let mut http1 = HttpServerOptions::default();
        http1.keepalive_request_limit = limits.requests_max;
        let mut http2 = HttpServerOptions::default();
        http2.h2c = true;
        http2.h2_idle_timeout = Some(limits.idle);
        let (app, clock) = (Arc::new(app), serving.clock);
        let one = |options| Arc::new(OneHttp { app: app.clone(), options, clock });
        let (http1, http2) = (one(http1), one(http2));
        EitherHttp { http1, http2, places: Places::new(limits), serving }
    }

    /// A place for the connection, unless there are too many.
    fn place(&self, stream: &Stream) -> Option<Place> {
        let digest = stream.get_socket_digest()?;
        let address = digest.peer_addr()?.as_inet()?.ip();
        let is_hop = self.serving.hops.contains(address);
        let taken = self.places.take((!is_hop).then_some(address));
        taken.inspect_err(|crowded| self.serving.metrics.refuse_connection(*crowded)).ok()
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for EitherHttp<A> {
    async fn process_new(self: &Arc<Self>, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let _place = self.place(&stream)?;
        let (clock, limits) = (self.serving.clock, self.serving.config.connections);
        if tokio::time::timeout(limits.idle, is_http2(&mut stream)).await.ok()?? {
            return self.http2.process_new(stream, shutdown).await;
        }
        let deadline = Deadline::of_connection(clock, limits.idle);
        let guarded = Box::new(Guarded::new(stream, deadline.clone(), clock, limits.head));
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
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for OneHttp<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !session.is_http2() {
            // Under the deadline of its connection.
            return self.app.process_new_http(session, shutdown).await;
        }
        within(Deadline::of_stream(self.clock), self.app.process_new_http(session, shutdown)).await?
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    async fn http_cleanup(&self) {
        self.app.http_cleanup().await;
    }
}
