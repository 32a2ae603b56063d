//! The admin API: what runs, and orders to it. Never on the public listener.
//!
//! No gate is before it: what tells whether the shop is overloaded must answer when it is. Its document is
//! `openapi.json`, which `/v1/openapi.json` answers and the tests walk. Where it listens and who may ask is
//! `access`; what answers is one short function each in `shown` and `orders`.

pub mod access;
mod orders;
mod routes;
mod shown;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::serving::Serving;
use access::{Access, Denied, Listener};
use routes::{Action, Found, find};

const TEXT: &str = "text/plain; charset=utf-8";
/// What Prometheus asks for: its text format in the flavour the encoder writes.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The document of this API.
const OPENAPI: &str = include_str!("openapi.json");
/// The longest order is a request to explain, with its header fields.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long it may take to come: an order is a packet or two, and who sends it slower holds a place for nothing.
const BODY_TIME_MAX: Duration = Duration::from_secs(5);
/// Connections of a listener at once: probes, dashboards and people have a handful, and the descriptors of any more are shoppers'.
const CONNECTIONS_MAX: usize = 64;
/// Out of descriptors, most likely; to spin on it would make it worse.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The admin API of one process.
pub struct Admin {
    serving: Arc<Serving>,
    /// Reads certificates anew; what is wrong with them is logged and counted there.
    read_certificates: Box<dyn Fn() + Send + Sync>,
    ready: AtomicBool,
    draining: AtomicBool,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Admin { serving, read_certificates: _, ready, draining } = self;
        f.debug_struct("Admin")
            .field("serving", serving)
            .field("ready", ready)
            .field("draining", draining)
            .finish_non_exhaustive()
    }
}

/// An answer.
type Answer = Response<Full<Bytes>>;

/// An order that is not carried out: what is wrong with it.
#[derive(Debug)]
struct Refused(StatusCode, String);

impl Refused {
    fn unprocessable(message: impl ToString) -> Refused {
        Refused(StatusCode::UNPROCESSABLE_ENTITY, message.to_string())
    }
}

impl Admin {
    /// An admin API that is not ready yet, and which is told how to read certificates anew.
    pub fn new(serving: Arc<Serving>, read_certificates: impl Fn() + Send + Sync + 'static) -> Arc<Admin> {
        let (ready, draining) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Admin { serving, read_certificates: Box::new(read_certificates), ready, draining })
    }

    /// Says on `/readyz` whether new requests should come.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Answers on `listener` until it is dropped.
    pub async fn serve(self: Arc<Admin>, listener: Listener, access: Access) {
        let access = Arc::new(access);
        // Of this listener alone: whoever takes all that an address has must not shut its owner's socket.
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = match &listener {
                Listener::Tcp(listener) => {
                    listener.accept().await.map(|(stream, _)| self.welcome(stream, &access, &places))
                }
                Listener::Unix(listener) => {
                    listener.accept().await.map(|(stream, _)| self.welcome(stream, &access, &places))
                }
            };
            if let Err(error) = accepted {
                log::warn!("admin: cannot accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    /// Serves a connection beside all others, if there is a place for it; else it is closed.
    fn welcome<S>(self: &Arc<Admin>, stream: S, access: &Arc<Access>, places: &Arc<Semaphore>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Ok(place) = places.clone().try_acquire_owned() else { return };
        tokio::spawn(self.clone().serve_connection(stream, access.clone(), place));
    }

    async fn serve_connection<S>(
        self: Arc<Admin>,
        stream: S,
        access: Arc<Access>,
        _place: OwnedSemaphorePermit,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request| {
            let (admin, access) = (self.clone(), access.clone());
            async move { Ok::<_, Infallible>(admin.answer(request, &access).await) }
        });
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new());
        if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
            log::debug!("admin: {error}");
        }
    }

    async fn answer(self: Arc<Admin>, request: Request<Incoming>, access: &Access) -> Answer {
        let (parts, body) = request.into_parts();
        let action = match find(&parts.method, parts.uri.path()) {
            Found::Action(action) => action,
            Found::OtherMethod(methods) => return refuse(StatusCode::METHOD_NOT_ALLOWED, methods),
            Found::Nothing => {
                return refuse(StatusCode::NOT_FOUND, "GET /v1/openapi.json tells what there is");
            }
        };
        // Load balancers look at these, and they tell nothing else.
        if !matches!(action, Action::Alive | Action::Ready)
            && let Err(denied) = access.check(&parts.headers)
        {
            return deny(denied);
        }
        if parts.method != Method::GET {
            log::info!("admin: {} {}", parts.method, parts.uri.path());
        }
        let Ok(body) = timeout(BODY_TIME_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await else {
            return refuse(StatusCode::REQUEST_TIMEOUT, "within five seconds");
        };
        let Ok(body) = body else { return refuse(StatusCode::PAYLOAD_TOO_LARGE, "at most 64 KiB") };
        let query = parts.uri.query().unwrap_or_default().to_owned();
        // Files are read, models loaded, forecasts made: nothing for a thread that serves requests.
        let acted = tokio::task::spawn_blocking(move || self.act(action, &query, &body.to_bytes())).await;
        acted.unwrap_or_else(|error| refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))
    }

    fn act(&self, action: Action, query: &str, body: &[u8]) -> Answer {
        match action {
            Action::Alive => reply(StatusCode::OK, TEXT, "alive\n"),
            Action::Ready if self.is_ready() => reply(StatusCode::OK, TEXT, "ready\n"),
            Action::Ready => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready\n"),
            Action::Metrics => {
                self.serving.refresh_gauges();
                reply(StatusCode::OK, METRICS, self.serving.metrics.encode())
            }
            Action::Document => reply(StatusCode::OK, "application/json", OPENAPI),
            Action::Show(shown) => reply_json(StatusCode::OK, &self.show(shown)),
            Action::Order(order) => match self.obey(order, query, body) {
                Ok(done) => reply_json(StatusCode::OK, &done),
                Err(Refused(status, message)) => refuse(status, &message),
            },
        }
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed) && !self.draining.load(Ordering::Relaxed)
    }
}

fn deny(denied: Denied) -> Answer {
    match denied {
        Denied::Token => {
            let mut answer = refuse(StatusCode::UNAUTHORIZED, "a token is needed: Authorization: Bearer ...");
            answer.headers_mut().insert(WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
            answer
        }
        Denied::Browser => refuse(StatusCode::FORBIDDEN, "pages in a browser may not ask"),
        Denied::Name => refuse(
            StatusCode::FORBIDDEN,
            "ask by an address, by localhost, or by a name of `admin: { names: [...] }`",
        ),
    }
}

fn refuse(status: StatusCode, message: &str) -> Answer {
    reply_json(status, &json!({ "error": message }))
}

fn reply_json(status: StatusCode, value: &Value) -> Answer {
    reply(status, "application/json", format!("{value:#}\n"))
}

fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .header(CACHE_CONTROL, "no-store")
        .body(Full::new(body.into()))
        .expect("a status and two constant header fields make a response")
}
