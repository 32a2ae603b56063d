//! `plimsoll-bench overhead`: what plimsoll costs on top of bare Pingora.
//!
//! CPU time per request of two proxies that do the same work, one thread each,
//! in the same run: rounds alternate between them, so that whatever else the
//! machine does falls on both, and what counts is the ratio. Refusals are
//! measured against the bare proxy answering 503 itself; plimsoll is brought to
//! refuse by a policy that the user gives.

use crate::closed_loop::{self, Drill};
use crate::cpu_time;
use crate::stage::{ProxyArgs, ProxyStage};
use crate::terminal;
use anyhow::Context;
use clap::Args;
use http::StatusCode;
use http::uri::PathAndQuery;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Keep-alive connections: enough to keep one thread busy.
const CONNECTIONS: usize = 64;
/// Before the first round, so that pools, caches and branch predictors are warm.
const WARM_UP: Duration = Duration::from_secs(2);
/// Answers that are refusals.
const REFUSALS: [StatusCode; 2] = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
/// The path the bare proxy refuses.
const BARE_REFUSAL: &str = "/refuse";

/// Compares the CPU cost of plimsoll with bare Pingora's.
#[derive(Debug, Args)]
pub(crate) struct OverheadArgs {
    #[command(flatten)]
    proxy: ProxyArgs,
    /// The bare-pingora binary
    #[arg(long, value_name = "BINARY")]
    bare: PathBuf,
    /// The path of the proxied requests
    #[arg(long, default_value = "/product/7", value_parser = path)]
    path: PathAndQuery,
    /// A policy under which plimsoll refuses `--refuse-path`; without it only proxied requests are measured
    #[arg(long, value_name = "FILE")]
    refuse_policy: Option<PathBuf>,
    /// The path of the refused requests
    #[arg(long, default_value = "/refuse", value_parser = path)]
    refuse_path: PathAndQuery,
    /// The length of a round
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How often each proxy has its turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// Runs the command.
pub(crate) async fn overhead(args: OverheadArgs) -> anyhow::Result<ExitCode> {
    let backend = closed_loop::start_backend().await?;
    let proxied = Drill { path: args.path.to_string(), expected: &[StatusCode::OK] };
    let plimsoll = ProxyStage::start(&args.proxy, backend, Some(1)).await?;
    let bare = ProxyStage::start_bare(&args.bare, backend, 1).await?;
    let ours = Contender { stage: plimsoll, drill: proxied.clone() };
    let theirs = Contender { stage: bare, drill: proxied };
    compare("proxied request", &ours, &theirs, &args).await?;
    if args.refuse_policy.is_some() {
        let proxy = ProxyArgs { policy: args.refuse_policy.clone(), ..args.proxy.clone() };
        let refused = |path: &str| Drill { path: path.into(), expected: &REFUSALS };
        let ours = Contender {
            stage: ProxyStage::start(&proxy, backend, Some(1)).await?,
            drill: refused(args.refuse_path.as_str()),
        };
        let theirs = Contender { drill: refused(BARE_REFUSAL), ..theirs };
        compare("refusal", &ours, &theirs, &args).await?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Contender {
    stage: ProxyStage,
    drill: Drill,
}

impl Contender {
    /// Microseconds of CPU time per request over a round of `length`.
    async fn round(&self, length: Duration) -> anyhow::Result<f64> {
        let id = self.stage.id().context("the proxy has ended")?;
        let before = cpu_time::of_process(id)?;
        let requests = closed_loop::run(self.stage.address, &self.drill, CONNECTIONS, length).await?;
        let spent = cpu_time::of_process(id)?.saturating_sub(before);
        Ok(spent.as_secs_f64() * 1e6 / requests.max(1) as f64)
    }
}

async fn compare(
    what: &str,
    ours: &Contender,
    theirs: &Contender,
    args: &OverheadArgs,
) -> anyhow::Result<()> {
    ours.round(WARM_UP).await?;
    theirs.round(WARM_UP).await?;
    let (mut our_rounds, mut their_rounds) = (Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        our_rounds.push(ours.round(Duration::from_secs(args.seconds)).await?);
        their_rounds.push(theirs.round(Duration::from_secs(args.seconds)).await?);
        terminal::progress(&format!("{what}: round {round} of {}", args.rounds));
    }
    let (ours, theirs) = (Spread::of(our_rounds), Spread::of(their_rounds));
    terminal::line(&format!("CPU per {what}, plimsoll:     {ours}"));
    terminal::line(&format!("CPU per {what}, bare Pingora: {theirs}"));
    terminal::line(&format!("ratio of the medians: {:.3}", ours.median / theirs.median));
    Ok(())
}

/// The middle and the ends of some measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        Spread { min: values[0], median: values[values.len() / 2], max: values[values.len() - 1] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} us (median; {:.2} to {:.2})", self.median, self.min, self.max)
    }
}

fn path(text: &str) -> Result<PathAndQuery, String> {
    let path: PathAndQuery = text.parse().map_err(|error| format!("{error}"))?;
    if path.as_str().starts_with('/') { Ok(path) } else { Err("a path starts with `/`".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_does_not_depend_on_order() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Spread { min: 1.0, median: 2.0, max: 3.0 });
    }
}
