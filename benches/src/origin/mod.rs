//! `plimsoll-bench origin`: a storefront whose capacity is known.
//!
//! To say how much of a shop's capacity a proxy wastes, one must know the
//! capacity. This shop has it by construction: `workers` simulated workers
//! (see `workers`) and a cost per page (see `pages`). When a client closes its
//! connection, hyper drops the response future, and with it the work.
//! Statistics are answered past the workers, so that they can be read while
//! the shop is overloaded.
//!
//! It has no limits of its own: everybody may wait in line. That is the point.

pub(crate) mod pages;
pub(crate) mod workers;

use crate::service_time::Distribution;
use crate::terminal;
use bytes::Bytes;
use clap::Args;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pages::Route;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use workers::{Pace, Workers};

/// Where the statistics are.
pub(crate) const STATS_PATH: &str = "/__origin/stats";
/// Connections the kernel holds while the origin is busy accepting others: room
/// for a second of the steepest load the project measures.
const BACKLOG: u32 = 8_192;

/// A storefront of known capacity.
#[derive(Clone, Debug, Args)]
pub(crate) struct OriginArgs {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:3000")]
    pub(crate) listen: SocketAddr,
    /// How many requests are worked on at once
    #[arg(long, default_value_t = 16, value_parser = at_least_one)]
    pub(crate) workers: usize,
    /// The mean service time of a page, in milliseconds
    #[arg(long, default_value_t = 40.0)]
    pub(crate) service_ms: f64,
    /// How service times spread around their mean: deterministic, uniform:0.5, exponential,
    /// lognormal:1.5 (coefficient of variation) or pareto:1.3:1000 (tail, longest over shortest)
    #[arg(long, default_value_t)]
    pub(crate) distribution: Distribution,
    /// Short for --distribution uniform:THIS
    #[arg(long, conflicts_with = "distribution")]
    pub(crate) speed_spread: Option<f64>,
    /// By how much each waiting request prolongs the service of others
    #[arg(long, default_value_t = 0.002)]
    pub(crate) thrash: f64,
    /// Makes service times repeatable
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Why the origin cannot work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OriginError {
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("--{option} {value} is out of range: {expected}")]
    OutOfRange { option: &'static str, value: f64, expected: &'static str },
}

/// What the origin has done so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stats {
    /// Orders confirmed.
    pub(crate) orders: u64,
    /// Their total worth.
    pub(crate) order_value: u64,
    /// Requests served, by route.
    pub(crate) served: BTreeMap<String, u64>,
    /// The work done for them, in units.
    pub(crate) cost_served: f64,
    /// Requests in line.
    pub(crate) waiting: usize,
    /// Requests being worked on.
    pub(crate) busy: usize,
}

/// Runs the origin until it is stopped.
pub(crate) async fn origin(args: OriginArgs) -> Result<ExitCode, OriginError> {
    let shop = Shop::new(&args)?;
    let listener =
        listen(args.listen).map_err(|source| OriginError::Listen { address: args.listen, source })?;
    terminal::line(&format!(
        "origin on http://{}: {} workers, {} ms a page, {:.0} pages per second",
        args.listen,
        args.workers,
        args.service_ms,
        args.workers as f64 * 1_000.0 / args.service_ms,
    ));
    serve(listener, shop).await
}

async fn serve(listener: TcpListener, shop: Arc<Shop>) -> ! {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve_connection(stream, Arc::clone(&shop)));
            }
            // Out of file descriptors, most likely: others will be closed soon.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn serve_connection(stream: TcpStream, shop: Arc<Shop>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request| {
        let shop = Arc::clone(&shop);
        async move { Ok::<_, Infallible>(shop.answer(request).await) }
    });
    // An error is a client who left: the shop's daily business.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The shop's state.
#[derive(Debug)]
struct Shop {
    workers: Arc<Workers>,
    /// Held for the few instructions of one count.
    ledger: Mutex<Ledger>,
}

#[derive(Debug)]
struct Ledger {
    stats: Stats,
    rng: SmallRng,
}

impl Shop {
    fn new(args: &OriginArgs) -> Result<Arc<Shop>, OriginError> {
        let positive = "a number above zero";
        in_range("service-ms", args.service_ms, 0.001..=3_600_000.0, positive)?;
        in_range("speed-spread", args.speed_spread.unwrap_or_default(), 0.0..=1.0, "from 0 to 1")?;
        in_range("thrash", args.thrash, 0.0..=1.0, "from 0 to 1")?;
        let pace = Pace {
            workers: args.workers,
            service: Duration::from_secs_f64(args.service_ms / 1_000.0),
            distribution: args
                .speed_spread
                .map_or(args.distribution, |spread| Distribution::Uniform { spread }),
            thrash: args.thrash,
            seed: args.seed,
        };
        let ledger = Ledger { stats: Stats::default(), rng: SmallRng::seed_from_u64(args.seed) };
        Ok(Arc::new(Shop { workers: Workers::new(pace), ledger: Mutex::new(ledger) }))
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if path == STATS_PATH {
            return self.stats_page();
        }
        // A client who leaves is noticed only while nothing of the request is unread.
        if body.collect().await.is_err() {
            return status(StatusCode::BAD_REQUEST);
        }
        let route = Route::of(&head.method, path);
        self.workers.work(route.cost()).await;
        let mut response = page(route, path);
        if !pages::has_session(&head.headers) {
            response.headers_mut().insert(header::SET_COOKIE, self.new_session());
        }
        self.count(route, &mut response);
        response
    }

    fn count(&self, route: Route, response: &mut Response<Full<Bytes>>) {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        *ledger.stats.served.entry(route.name().into()).or_default() += 1;
        ledger.stats.cost_served += route.cost();
        if route == Route::Order {
            let value = ledger.rng.random_range(20..=200_u64);
            ledger.stats.orders += 1;
            ledger.stats.order_value += value;
            response.headers_mut().insert("x-order-value", HeaderValue::from(value));
        }
    }

    fn new_session(&self) -> HeaderValue {
        let id: u128 = self.ledger.lock().unwrap_or_else(PoisonError::into_inner).rng.random();
        let cookie = format!("{}{id:032x}; Path=/; HttpOnly; SameSite=Lax", pages::SESSION_COOKIE);
        HeaderValue::try_from(cookie).expect("hexadecimal digits are valid in a header")
    }

    fn stats_page(&self) -> Response<Full<Bytes>> {
        let mut stats = self.ledger.lock().unwrap_or_else(PoisonError::into_inner).stats.clone();
        stats.waiting = self.workers.waiting();
        stats.busy = self.workers.busy();
        let json = serde_json::to_vec(&stats).expect("counts are valid JSON");
        typed("application/json", json.into())
    }
}

fn page(route: Route, path: &str) -> Response<Full<Bytes>> {
    match route {
        Route::Collect => status(StatusCode::NO_CONTENT),
        Route::Static => typed("text/plain", Bytes::from_static(b"a picture of a lamp\n")),
        _ => typed("text/html; charset=utf-8", pages::html(route, path).into()),
    }
}

fn typed(content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

fn in_range(
    option: &'static str,
    value: f64,
    range: std::ops::RangeInclusive<f64>,
    expected: &'static str,
) -> Result<(), OriginError> {
    if range.contains(&value) { Ok(()) } else { Err(OriginError::OutOfRange { option, value, expected }) }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least one worker is needed".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}
