//! `plimsoll-bench overhead`: what a proxy costs, plimsoll and others.
//!
//! CPU time per proxied request and per refusal, memory per idle connection, and
//! how much later an answer comes. All do the same work with one thread on a core of
//! its own, while the load and the shop share another. Rounds alternate between
//! them, so that whatever else the machine does falls on all, and what counts are
//! the ratios; medians are printed with their spread.
//!
//! A closed loop over many connections says what a busy proxy costs; latency is
//! measured apart, at a pace that no proxy here notices.

mod contender;
mod idle;
mod pace;
pub(crate) mod spread;
pub(crate) mod table;

use crate::affinity::{self, Cores};
use crate::closed_loop::{self, Drill};
use crate::peers::{OwnProxy, Places};
use crate::report::machine::Machine;
use crate::results;
use crate::terminal;
use clap::Args;
use contender::Contender;
use http::StatusCode;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use table::Costs;

/// Keep-alive connections: enough to keep one thread busy.
const CONNECTIONS: usize = 64;
/// Before the first round, so that pools, caches and branch predictors are warm.
const WARM_UP: Duration = Duration::from_secs(1);
/// An ordinary page.
const PAGE: &str = "/product/7";
/// What every proxy here refuses by itself.
const REFUSED: &str = "/refuse";

/// Compares what plimsoll, bare Pingora, HAProxy, nginx and Envoy cost.
#[derive(Debug, Args)]
pub(crate) struct OverheadArgs {
    #[command(flatten)]
    proxy: OwnProxy,
    #[command(flatten)]
    places: Places,
    /// The length of a round, in seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How often each has its turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How many idle connections memory is measured with
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=25_000))]
    idle: u32,
    /// Writes the results here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the command.
pub(crate) async fn overhead(args: OverheadArgs) -> anyhow::Result<ExitCode> {
    results::check_places([&args.json])?;
    let machine = Machine::here();
    let cores = Cores::part();
    match &cores {
        Some(cores) => terminal::line(&format!("proxies run on core {}, the load on another", cores.other())),
        None => terminal::line("there is one core only: nothing is pinned, and all share it"),
    }
    let backend = closed_loop::start_backend().await?;
    let field = Contender::installed(&args.proxy, &args.places)?;
    idle::tell(args.idle);
    let length = Duration::from_secs(args.seconds);
    let mut costs: Vec<Costs> = field.iter().map(|contender| Costs::of(contender.name())).collect();
    for round in 0..=args.rounds {
        for (contender, costs) in field.iter().zip(&mut costs) {
            terminal::progress(&format!("round {round} of {}: {}", args.rounds, contender.name()));
            let warm_up = round == 0;
            let length = if warm_up { WARM_UP } else { length };
            let measured = turn(contender, backend, length, &args, cores).await?;
            if !warm_up {
                costs.add(&measured);
            }
        }
    }
    let costs = table::Overhead::new(machine, args.rounds, idle::connections(args.idle), &costs);
    terminal::line(&costs.text());
    if let Some(path) = &args.json {
        results::write_json(path, &costs)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What one turn showed.
struct Turn {
    proxied_us: f64,
    refused_us: f64,
    idle_kib: f64,
    added: pace::Latency,
}

/// All measurements of one fresh process.
async fn turn(
    contender: &Contender,
    backend: SocketAddr,
    length: Duration,
    args: &OverheadArgs,
    cores: Option<Cores>,
) -> anyhow::Result<Turn> {
    let proxy = affinity::apart(cores, contender.start(backend)).await?;
    let page = Drill { path: PAGE.into(), expected: &[StatusCode::OK] };
    let refused = Drill { path: REFUSED.into(), expected: &[StatusCode::SERVICE_UNAVAILABLE] };
    let proxied_us = proxy.cpu_us(&page, CONNECTIONS, length).await?;
    let direct = pace::latency(backend, PAGE, length).await?;
    let proxied = pace::latency(proxy.address(), PAGE, length).await?;
    let idle_kib = proxy.idle_kib(PAGE, idle::connections(args.idle)).await?;
    let refused_us = proxy.cpu_us_refused(&refused, CONNECTIONS, length).await?;
    proxy.stop().await?;
    Ok(Turn { proxied_us, refused_us, idle_kib, added: proxied.above(direct) })
}
