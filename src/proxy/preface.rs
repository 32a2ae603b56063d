//! Tells HTTP/2 from HTTP/1.1: by what TLS has agreed on, or by the first bytes in the clear.
//!
//! Pingora's own look waits for all 24 bytes of the HTTP/2 preface, so that a
//! shorter HTTP/1 request (`GET / HTTP/1.1` without any field, the probes of
//! load balancers) is never answered. This one stops at the first byte that is
//! not the preface's: at once, for every method but those in `P`.
//!
//! Either way, the connection is under a deadline from here on.

use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;

use super::deadline::{Deadline, within};
use super::frames::PREFACE;
use super::guard::Guarded;
use super::http2::Http2;
use super::places;
use super::strain::Strain;
use crate::serving::Serving;

/// Streams that a client may make us reset on one connection: a client that is merely broken makes a few,
/// an attacker has no other use for them (CVE-2025-8671, "MadeYouReset"). They are never forgotten, so that those
/// of a trusted hop's many clients would end its connection one day; it may have as many for each client.
const PROVOKED_RESETS_MAX: usize = 32;
/// What waits in a stream for its client to take it: two buffers of nginx's (`output_buffers`, 2 x 32k). The h2 crate
/// would keep 400 KiB, in each of a hundred streams, of answers that we believe to be over by then.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// What a field takes in a header list besides its bytes (RFC 9113, section 6.5.2).
const FIELD_BYTES: usize = 32;

/// An application for both protocols on one port.
pub struct EitherHttp<A> {
    http1: Arc<OneHttp<A>>,
    http2: Arc<OneHttp<A>>,
    serving: Arc<Serving>,
    strain: Strain,
}

/// The same application, told of which protocol its connections are.
struct OneHttp<A> {
    app: Arc<A>,
    options: HttpServerOptions,
    serving: Arc<Serving>,
}

impl<A> EitherHttp<A> {
    /// Serves both with `app`, which is left at Pingora's defaults.
    pub fn new(app: A, serving: Arc<Serving>, strain: Strain) -> EitherHttp<A> {
        let limits = serving.config.connections;
        let mut http1 = HttpServerOptions::default();
        http1.keepalive_request_limit = limits.requests_max;
        let mut http2 = HttpServerOptions::default();
        http2.h2c = true;
        http2.h2_idle_timeout = Some(limits.idle);
        let app = Arc::new(app);
        let one = |options| Arc::new(OneHttp { app: app.clone(), options, serving: serving.clone() });
        let (http1, http2) = (one(http1), one(http2));
        EitherHttp { http1, http2, serving, strain }
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for EitherHttp<A> {
    async fn process_new(self: &Arc<Self>, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let (clock, limits) = (self.serving.clock, self.serving.config.connections);
        let speaks_http2 = match stream.selected_alpn_proto() {
            Some(ALPN::H2) => true,
            _ if stream.get_ssl_digest().is_some() => false,
            _ => tokio::time::timeout(limits.first(), is_http2(&mut stream)).await.ok()??,
        };
        let deadline = Deadline::of_connection(clock, &limits);
        if speaks_http2 {
            let guarded = Box::new(Guarded::http2(stream, deadline.clone(), self.serving.clone()));
            let connection =
                Http2::new(self.http2.clone(), self.strain.clone(), self.serving.clone(), &deadline);
            within(deadline, connection.serve(guarded, shutdown)).await?
        } else {
            let guarded = Box::new(Guarded::http1(stream, deadline.clone(), self.serving.clone()));
            within(deadline, self.http1.process_new(guarded, shutdown)).await?
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
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for OneHttp<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.app.process_new_http(session, shutdown).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        let (connections, requests) = (&self.serving.config.connections, &self.serving.config.requests);
        // Asked by the task that serves the connection.
        let told = places::share();
        let streams_max = told.map_or(connections.streams_max, |share| share.streams_max);
        let provoked_max = PROVOKED_RESETS_MAX * told.map_or(1, |share| share.clients) as usize;
        // More than hygiene lets pass, so that it is hygiene that says why.
        let list = 2 * requests.head_bytes_max + requests.fields_max * FIELD_BYTES;
        let mut options = H2Options::default();
        options
            .max_concurrent_streams(streams_max)
            .max_send_buffer_size(SEND_BUFFER_BYTES)
            .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX))
            .max_local_error_reset_streams(Some(provoked_max));
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    async fn http_cleanup(&self) {
        self.app.http_cleanup().await;
    }
}
