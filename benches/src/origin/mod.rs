//! `plimsoll-bench origin`: a storefront whose capacity is known.
//!
//! To say how much of a shop's capacity a proxy wastes, one must know the
//! capacity. This shop has it by construction: `workers` simulated workers
//! (see `workers`) and a cost per page (see `pages`). When a client closes its
//! connection, hyper drops the response future, and with it the work.
//! Statistics are answered past the workers, so that they can be read while
//! the shop is overloaded; capacity, dependencies and faults can be changed
//! over a control port meanwhile.
//!
//! It has no limits of its own: everybody may wait in line. That is the point.

pub(crate) mod pages;
pub(crate) mod settings;
mod workers;
mod control;
mod shop;

use crate::client::failure::Failure;
use crate::delivery::Delivery;
use crate::open_files;
use crate::service_time::Distribution;
use crate::terminal;
use clap::Args;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use settings::{Service, Settings, SettingsError};
use shop::{Break, Shop};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

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
    /// Where settings can be changed and statistics read: GET and PATCH /settings, GET /stats
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) control: Option<SocketAddr>,
    /// Settings in JSON, as the control port has them, laid over those of the options
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
}

/// Why the origin cannot work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OriginError {
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("--{option} {value} is out of range: {expected}")]
    OutOfRange { option: &'static str, value: f64, expected: &'static str },
    #[error("cannot read the settings {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Settings { path: PathBuf, source: SettingsError },
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

impl Stats {
    /// What was done after `before`. Who waits and who is busy is told as it is now.
    pub(crate) fn since(&self, before: &Stats) -> Stats {
        let more = |(route, number): (&String, &u64)| {
            let known = before.served.get(route).copied().unwrap_or_default();
            (route.clone(), number.saturating_sub(known))
        };
        Stats {
            orders: self.orders.saturating_sub(before.orders),
            order_value: self.order_value.saturating_sub(before.order_value),
            served: self.served.iter().map(more).collect(),
            cost_served: (self.cost_served - before.cost_served).max(0.0),
            waiting: self.waiting,
            busy: self.busy,
        }
    }
}

/// Runs the origin until it is stopped.
pub(crate) async fn origin(args: OriginArgs) -> Result<ExitCode, OriginError> {
    let settings = args.settings()?;
    let capacity = settings.workers as f64 * 1_000.0 / settings.service.mean_ms;
    let summary = format!(
        "{} workers, {} ms a page, {capacity:.0} pages per second",
        settings.workers, settings.service.mean_ms,
    );
    let shop = Shop::new(settings, args.seed);
    let listener = listening(args.listen)?;
    if let Some(address) = args.control {
        tokio::spawn(serve(listening(address)?, Arc::clone(&shop), Door::Control));
    }
    terminal::line(&format!("origin on http://{}: {summary}", args.listen));
    serve(listener, shop, Door::Shop).await
}

impl OriginArgs {
    /// What the options and the file of settings say.
    fn settings(&self) -> Result<Settings, OriginError> {
        in_range("service-ms", self.service_ms, 0.001..=3_600_000.0, "a number above zero")?;
        in_range("speed-spread", self.speed_spread.unwrap_or_default(), 0.0..=1.0, "from 0 to 1")?;
        in_range("thrash", self.thrash, 0.0..=1.0, "from 0 to 1")?;
        let uniform = self.speed_spread.map(|spread| Distribution::Uniform { spread });
        let distribution = uniform.unwrap_or(self.distribution);
        let settings = Settings {
            workers: self.workers,
            service: Service { mean_ms: self.service_ms, distribution, slow: 1.0 },
            thrash: self.thrash,
            routes: BTreeMap::new(),
            dependencies: BTreeMap::new(),
            faults: Vec::new(),
        };
        let Some(path) = &self.settings else { return Ok(settings) };
        let read = std::fs::read(path).map_err(|source| OriginError::Read { path: path.clone(), source })?;
        settings.patched(&read).map_err(|source| OriginError::Settings { path: path.clone(), source })
    }
}

/// Through which door a connection came.
#[derive(Clone, Copy, Debug)]
enum Door {
    Shop,
    Control,
}

async fn serve(listener: TcpListener, shop: Arc<Shop>, door: Door) -> ! {
    let mut has_complained = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve_connection(stream, Arc::clone(&shop), door));
            }
            // Without file descriptors this is no shop of known capacity, even if others are closed soon.
            Err(error) => {
                if !has_complained && Failure::of_io(&error) == Failure::OpenFiles {
                    terminal::error(&format!("clients have to wait outside: {}", open_files::advice()));
                    has_complained = true;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

fn listening(address: SocketAddr) -> Result<TcpListener, OriginError> {
    listen(address).map_err(|source| OriginError::Listen { address, source })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn serve_connection(stream: TcpStream, shop: Arc<Shop>, door: Door) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut broken = None;
    let service = service_fn(|request| answer(Arc::clone(&shop), door, request));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An error is a client who left, the shop's daily business, or a fault that was asked for.
    if let Err(error) = Pin::new(&mut connection).await {
        broken = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Break>()).copied();
    }
    if broken == Some(Break::Reset) {
        // Without a time to linger, closing is a reset.
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

async fn answer(
    shop: Arc<Shop>,
    door: Door,
    request: Request<Incoming>,
) -> Result<Response<Delivery>, Break> {
    match door {
        Door::Shop => shop.answer(request).await,
        Door::Control => Ok(control::answer(&shop, request).await),
    }
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
