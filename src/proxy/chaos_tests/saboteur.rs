//! The proxy with a filter that panics in the phase that a request names: what a mistake in any of them does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};

use super::super::context::Context;
use super::super::service::Plimsoll;

/// Names the phase to panic in.
pub(super) const PANIC: &str = "x-panic";
/// What such a panic says.
pub(super) const INJECTED: &str = "injected";
/// Before and after the request has its seat, and when it has given it back.
pub(super) const PHASES: [&str; 8] = [
    "request_filter",
    "upstream_peer",
    "upstream_request_filter",
    "request_body_filter",
    "upstream_response_filter",
    "upstream_response_body_filter",
    "response_filter",
    "logging",
];

/// The proxy, sabotaged.
pub(super) struct Saboteur {
    pub(super) proxy: Plimsoll,
    pub(super) injected: Arc<AtomicU64>,
}

impl Saboteur {
    fn pass(&self, session: &Session, phase: &str) {
        let named = session.req_header().headers.get(PANIC);
        if named.is_some_and(|named| named == phase) {
            self.injected.fetch_add(1, Ordering::Relaxed);
            panic!("{INJECTED} in {phase}");
        }
    }
}

#[async_trait]
impl ProxyHttp for Saboteur {
    type CTX = Box<Context>;

    fn new_ctx(&self) -> Box<Context> {
        self.proxy.new_ctx()
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Box<Context>) -> Result<bool> {
        let answered = self.proxy.request_filter(session, ctx).await;
        self.pass(session, "request_filter");
        answered
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Box<Context>) -> Result<Box<HttpPeer>> {
        self.pass(session, "upstream_peer");
        self.proxy.upstream_peer(session, ctx).await
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Box<Context>,
    ) -> Result<()> {
        self.pass(session, "upstream_request_filter");
        self.proxy.upstream_request_filter(session, request, ctx).await
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Box<Context>,
    ) -> Result<()> {
        self.pass(session, "request_body_filter");
        self.proxy.request_body_filter(session, body, end_of_stream, ctx).await
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Box<Context>,
    ) -> Result<()> {
        self.pass(session, "upstream_response_filter");
        self.proxy.upstream_response_filter(session, response, ctx).await
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Box<Context>,
    ) -> Result<Option<Duration>> {
        self.pass(session, "upstream_response_body_filter");
        self.proxy.upstream_response_body_filter(session, body, end_of_stream, ctx)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Box<Context>,
    ) -> Result<()> {
        self.pass(session, "response_filter");
        self.proxy.response_filter(session, response, ctx).await
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        peer: &HttpPeer,
        ctx: &mut Box<Context>,
        error: Box<Error>,
    ) -> Box<Error> {
        self.proxy.fail_to_connect(session, peer, ctx, error)
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Box<Context>,
        was_kept: bool,
    ) -> Box<Error> {
        self.proxy.error_while_proxy(peer, session, error, ctx, was_kept)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Box<Context>,
    ) -> FailToProxy {
        self.proxy.fail_to_proxy(session, error, ctx).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Box<Context>) {
        self.pass(session, "logging");
        self.proxy.logging(session, error, ctx).await;
    }

    fn request_summary(&self, session: &Session, ctx: &Box<Context>) -> String {
        self.proxy.request_summary(session, ctx)
    }

    fn suppress_error_log(&self, session: &Session, ctx: &Box<Context>, error: &Error) -> bool {
        self.proxy.suppress_error_log(session, ctx, error)
    }
}
