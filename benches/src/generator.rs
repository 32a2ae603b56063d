//! `plimsoll-bench generator`: how fast the load generator is, before it is believed about anything else.
//!
//! A steady load from one core, to a server on another that answers at once, from
//! memory. What cannot be sent on time there cannot be sent on time anywhere: a load
//! test near that rate would measure its own generator, and says that it is invalid.
//!
//! Gaps are equal: of a chance draw of 20,000 a second, every other one is less, and would
//! miss a target of 20,000 that the generator keeps.

use crate::affinity::{self, Cores};
use crate::closed_loop;
use crate::cpu_time;
use crate::findings::INVALID_RUN;
use crate::gauges::Gauges;
use crate::latencies::quantile;
use crate::load;
use crate::report::machine::Machine;
use crate::report::millis;
use crate::results;
use crate::scenario::Scenario;
use crate::target::Target;
use crate::terminal;
use anyhow::Context;
use clap::Args;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;

/// Measures the load generator itself: one core, a server that does nothing, a steady load.
#[derive(Debug, Args)]
pub(crate) struct GeneratorArgs {
    /// Requests per second
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// How long they are sent, after two seconds that do not count
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Writes the results here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What the generator could do.
#[derive(Debug, Serialize)]
struct Performance {
    machine: Machine,
    /// Requests per second that were asked for.
    rate: u32,
    seconds: u32,
    /// Requests that were sent, after the warm-up.
    sent: u64,
    /// Those that were answered in time.
    answered: u64,
    /// How much later than intended they were sent, at the 99th percentile.
    send_lag_p99_ms: f64,
    latency_p50_ms: f64,
    latency_p99_ms: f64,
    /// What the generator's thread spent on a request.
    cpu_per_request_us: f64,
    /// Whether the load was sent on time.
    valid: bool,
}

/// Runs the command.
pub(crate) async fn generator(args: GeneratorArgs) -> anyhow::Result<ExitCode> {
    results::check_places([&args.json])?;
    // Bound to one core, this thread would see no other.
    let machine = Machine::here();
    let cores = Cores::part();
    let scenario = Scenario::parse(Path::new("generator.yaml"), &scenario(&args))?;
    let target = Target::local(start_server(cores)?);
    let before = cpu_time::of_this_thread()?;
    let (gauges, never) = (Gauges::default(), std::future::pending());
    let harvest = load::conduct(&scenario, scenario.seed, &target, None, &gauges, never).await?;
    let spent = cpu_time::of_this_thread()?.saturating_sub(before);
    let (warm_up, page) = (harvest.tally.cell(0, 0), harvest.tally.cell(1, 0));
    let lag = harvest.tally.worst_lag(scenario.told_phases());
    let latency_ms = |at| quantile(&page.served_us, at).map(millis).unwrap_or_default();
    let performance = Performance {
        machine,
        rate: args.rate,
        seconds: args.seconds,
        sent: page.offered,
        answered: page.good,
        send_lag_p99_ms: lag.map(|lag| millis(lag.p99)).unwrap_or_default(),
        latency_p50_ms: latency_ms(0.5),
        latency_p99_ms: latency_ms(0.99),
        cpu_per_request_us: spent.as_secs_f64() * 1e6 / (warm_up.offered + page.offered).max(1) as f64,
        valid: harvest.tally.is_valid(scenario.told_phases()),
    };
    terminal::line(&performance.text());
    if let Some(path) = &args.json {
        results::write_json(path, &performance)?;
    }
    Ok(if performance.valid { ExitCode::SUCCESS } else { ExitCode::from(INVALID_RUN) })
}

/// One page, and nothing of a shop: no capacity is asked after, so any will do.
fn scenario(GeneratorArgs { rate, seconds, .. }: &GeneratorArgs) -> String {
    format!(
        "name: generator
description: A steady load on a server that does nothing.
origin: {{ workers: 1, service: {{ mean: 1ms }} }}
slo: 1s
patience: 2s
arrivals: constant
mix: [{{ name: page, class: page, paths: [\"/product/{{500}}\"], weight: 1 }}]
phases:
  - {{ name: warm-up, duration: 2s, load: {rate}/s, warm_up: true }}
  - {{ name: measured, duration: {seconds}s, load: {rate}/s }}
"
    )
}

/// Starts the server on a thread of its own, on the other core if there is one; it lives as long as the process.
fn start_server(cores: Option<Cores>) -> anyhow::Result<SocketAddr> {
    let (started, address) = mpsc::channel();
    std::thread::spawn(move || {
        affinity::move_to_other(cores);
        let serve = async {
            let address = closed_loop::start_backend().await;
            // Who waits for it is there until it is sent.
            let _ = started.send(address);
            std::future::pending::<()>().await;
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(serve);
        }
    });
    let address = address.recv().context("the server has no runtime")?;
    Ok(address?)
}

impl Performance {
    fn text(&self) -> String {
        let Performance { rate, seconds, sent, answered, machine, .. } = self;
        let valid = if self.valid { "" } else { "\nINVALID: this machine could not send the load on time" };
        format!(
            "\n{rate} requests per second for {seconds} s on {machine}\n{sent} sent, {answered} answered in time, \
             {:.2} ms late (p99)\nlatency p50 {:.2} ms, p99 {:.2} ms; {:.1} us of CPU a request{valid}",
            self.send_lag_p99_ms, self.latency_p50_ms, self.latency_p99_ms, self.cpu_per_request_us
        )
    }
}
