//! The admin API: metrics, health, state, reload. Loopback by default, never on the public listener.
//!
//! No gate is before it: what tells whether the shop is overloaded must answer
//! when it is.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use plimsoll_core::breaker::BreakerState;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::serving::{PoolGate, Serving};

const TEXT: &str = "text/plain; charset=utf-8";
/// What Prometheus asks for: its text format in the flavour the encoder writes.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The admin API of one process.
#[derive(Debug)]
pub struct Admin {
    serving: Arc<Serving>,
    ready: AtomicBool,
}

impl Admin {
    /// An admin API that is not ready yet.
    pub fn new(serving: Arc<Serving>) -> Arc<Admin> {
        Arc::new(Admin { serving, ready: AtomicBool::new(false) })
    }

    /// Says on `/readyz` whether new requests should come.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Answers on `listener` until it is dropped.
    pub async fn serve(self: Arc<Admin>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let admin = self.clone();
                    tokio::spawn(async move { admin.serve_connection(stream, peer).await });
                }
                // Out of descriptors, most likely; to spin on it would make it worse.
                Err(error) => {
                    log::warn!("admin: cannot accept: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn serve_connection(self: Arc<Admin>, stream: tokio::net::TcpStream, peer: SocketAddr) {
        let service = service_fn(|request| {
            let admin = self.clone();
            async move { Ok::<_, Infallible>(admin.answer(request).await) }
        });
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new());
        if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
            log::debug!("admin: {peer}: {error}");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::GET, "/healthz") => reply(StatusCode::OK, TEXT, "alive\n"),
            (&Method::GET, "/readyz") => self.readiness(),
            (&Method::GET, "/metrics") => {
                self.serving.refresh_gauges();
                reply(StatusCode::OK, METRICS, self.serving.metrics.encode())
            }
            (&Method::GET, "/v1/state") => reply_json(StatusCode::OK, &self.state()),
            (&Method::POST, "/v1/reload") => self.reload().await,
            (_, "/healthz" | "/readyz" | "/metrics" | "/v1/state" | "/v1/reload") => {
                reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "wrong method\n")
            }
            _ => reply(
                StatusCode::NOT_FOUND,
                TEXT,
                "GET /metrics /healthz /readyz /v1/state, POST /v1/reload\n",
            ),
        }
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        if self.ready.load(Ordering::Relaxed) {
            reply(StatusCode::OK, TEXT, "ready\n")
        } else {
            reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready\n")
        }
    }

    async fn reload(&self) -> Response<Full<Bytes>> {
        let serving = self.serving.clone();
        // Files are read and a model is loaded: nothing for a thread that serves requests.
        let result = tokio::task::spawn_blocking(move || serving.reload()).await;
        match result {
            Ok(Ok(generation)) => reply_json(StatusCode::OK, &json!({ "generation": generation })),
            Ok(Err(error)) => reply(StatusCode::UNPROCESSABLE_ENTITY, TEXT, format!("{error}\n")),
            Err(error) => reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        }
    }

    fn state(&self) -> Value {
        let running = self.serving.running();
        let generation = &running.generation;
        let classes: Vec<&str> =
            generation.policy.core.classes().iter().map(|class| class.name.as_str()).collect();
        json!({
            "generation": generation.number,
            "policy": generation.policy.source,
            "model": generation.model.as_ref().map(|model| json!({
                "name": model.manifest().name,
                "usable": generation.is_model_usable(),
            })),
            "sessions": self.serving.sessions.len(),
            "ready": self.ready.load(Ordering::Relaxed),
            "pools": self.serving.pools.iter().map(|pool| pool_state(pool, &classes)).collect::<Vec<_>>(),
        })
    }
}

fn pool_state(pool: &PoolGate, classes: &[&str]) -> Value {
    let snapshot = pool.gate.snapshot();
    let classes = classes.iter().zip(&snapshot.classes).map(|(name, class)| {
        json!({
            "class": name,
            "inflight": class.inflight,
            "queued": class.queued,
            "breaker": class.breaker.map(breaker_name),
            "baseline_ms": class.baseline.as_secs_f64() * 1e3,
        })
    });
    json!({
        "pool": pool.pool.name,
        "endpoints": pool.pool.endpoints,
        "limit": snapshot.limit,
        "inflight": snapshot.inflight,
        "queued": snapshot.classes.iter().map(|class| class.queued).sum::<u32>(),
        "classes": classes.collect::<Vec<_>>(),
    })
}

fn breaker_name(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::HalfOpen => "half_open",
        BreakerState::Open => "open",
    }
}

fn reply_json(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    reply(status, "application/json", format!("{value:#}\n"))
}

fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .header(CACHE_CONTROL, "no-store")
        .body(Full::new(body.into()))
        .expect("a status and two constant header fields make a response")
}
