//! `plimsoll-bench soak`: half an hour of a usual day, and whether the proxy grows by it.
//!
//! A leak of a few bytes a request shows in no test and ends a process in a week. So
//! the scenario's last phase is stretched, memory and descriptors of the proxy are
//! read every other second beside it, and a straight line is laid through what comes
//! after the warm-up: what it rises by in ten minutes is stated, and judged.
//!
//! Origin, proxy and load share the machine, as in `measure`; its latencies are those
//! of a machine that does all of it.

mod page;
mod slope;

use crate::clock::Clock;
use crate::director::Director;
use crate::gauges::Gauges;
use crate::load;
use crate::results::write_json;
use crate::scenario::Scenario;
use crate::stage::{OriginStage, ProxyArgs, ProxyStage};
use crate::target::Target;
use crate::terminal;
use crate::vitals::{Vitals, VitalsError};
use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use slope::slope_per_s;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How often the proxy is looked at: nine hundred points in half an hour.
const SAMPLE_EVERY: Duration = Duration::from_secs(2);
/// The share of the run until caches, tables and pools are as large as they get.
const WARM_UP_SHARE: f64 = 0.2;
/// What a slope is stated for.
const SLOPE_SPAN: Duration = Duration::from_secs(600);
/// A line through less says nothing of ten minutes.
const JUDGED_FROM: Duration = Duration::from_secs(600);
/// What memory and descriptors may rise by in that time.
const RISE_MAX: f64 = 0.01;

/// Runs a scenario for long, and tells whether the proxy grows.
#[derive(Debug, Args)]
pub(crate) struct SoakArgs {
    #[command(flatten)]
    proxy: ProxyArgs,
    /// The scenario, whose last phase is stretched
    #[arg(long, value_name = "FILE", default_value = "benches/scenarios/steady.yaml")]
    scenario: PathBuf,
    /// How long it runs
    #[arg(long = "for", value_name = "DURATION", default_value = "30m", value_parser = humantime::parse_duration)]
    length: Duration,
    /// Writes a page with the courses here
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Writes what was measured here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What a soak has shown.
#[derive(Debug, Serialize)]
struct Soaked {
    scenario: String,
    seconds: f64,
    /// When the warm-up was over.
    warm_from_s: f64,
    requests: u64,
    refused: u64,
    failed: u64,
    /// By how much memory rises in ten minutes, as a share of what it is.
    memory_rise: f64,
    descriptors_rise: f64,
    vitals: Vec<Vitals>,
    p99_ms: Vec<Option<f64>>,
}

/// Runs the command.
pub(crate) async fn soak(args: SoakArgs) -> anyhow::Result<ExitCode> {
    let mut scenario = Scenario::read_for_sockets(&args.scenario)?;
    stretch(&mut scenario, args.length)?;
    let origin = OriginStage::start(scenario.seed).await?;
    let director = Director::of(&scenario, Some(origin.control))?;
    let proxy = ProxyStage::start_behind_edge(&args.proxy, origin.address).await?;
    let id = proxy.id().context("the proxy has ended")?;
    let target = Target::local(proxy.address);
    let gauges = Gauges::default();
    let mut vitals = Vec::new();
    let never = std::future::pending();
    let harvest = tokio::select! {
        harvest = load::conduct(&scenario, scenario.seed, &target, director.as_ref(), &gauges, never) => harvest?,
        Err(error) = watch(id, &mut vitals) => return Err(error.into()),
    };
    anyhow::ensure!(harvest.cut.is_none(), "plimsoll takes connections and answers nothing");
    proxy.stop().await?;
    origin.stop().await?;
    let total = harvest.timeline.total();
    let sum = |counts: &[u32]| counts.iter().map(|count| u64::from(*count)).sum();
    let warm_from_s = args.length.as_secs_f64() * WARM_UP_SHARE;
    let soaked = Soaked {
        scenario: scenario.name.clone(),
        seconds: args.length.as_secs_f64(),
        warm_from_s,
        requests: sum(&total.offered),
        refused: sum(&total.refused),
        failed: sum(&total.failed),
        memory_rise: rise(&vitals, warm_from_s, |vitals| vitals.resident_kib),
        descriptors_rise: rise(&vitals, warm_from_s, |vitals| vitals.descriptors),
        vitals,
        p99_ms: total.p99_ms.clone(),
    };
    tell(&soaked, &args)
}

/// Makes the last phase so long that all phases together take `length`.
fn stretch(scenario: &mut Scenario, length: Duration) -> anyhow::Result<()> {
    let (last, others) = scenario.phases.split_last_mut().context("the scenario has no phase")?;
    let before = others.iter().map(|phase| phase.duration).sum::<Duration>();
    if length <= before {
        bail!("--for: the phases before the last one take {before:?} already");
    }
    last.duration = length - before;
    Ok(())
}

/// Ends only with an error.
async fn watch(id: u32, vitals: &mut Vec<Vitals>) -> Result<std::convert::Infallible, VitalsError> {
    let clock = Clock::start();
    loop {
        vitals.push(Vitals::of_process(id, clock.elapsed().as_secs_f64())?);
        tokio::time::sleep(SAMPLE_EVERY).await;
    }
}

/// By how much a value rises in ten minutes after the warm-up, as a share of its mean.
fn rise(vitals: &[Vitals], from_s: f64, value: fn(&Vitals) -> u64) -> f64 {
    let warm = vitals.iter().filter(|vitals| vitals.at_s >= from_s);
    let points: Vec<(f64, f64)> = warm.map(|vitals| (vitals.at_s, value(vitals) as f64)).collect();
    let mean = points.iter().map(|point| point.1).sum::<f64>() / points.len().max(1) as f64;
    if mean == 0.0 { 0.0 } else { slope_per_s(&points) * SLOPE_SPAN.as_secs_f64() / mean }
}

fn tell(soaked: &Soaked, args: &SoakArgs) -> anyhow::Result<ExitCode> {
    let is_long = args.length.mul_f64(1.0 - WARM_UP_SHARE) >= JUDGED_FROM;
    let holds = soaked.memory_rise < RISE_MAX && soaked.descriptors_rise < RISE_MAX && soaked.failed == 0;
    terminal::line(&summary(soaked));
    if !is_long {
        terminal::line("too short to judge a slope by: ten minutes are needed after the warm-up");
    }
    if let Some(path) = &args.json {
        write_json(path, soaked)?;
    }
    if let Some(path) = &args.html {
        let page = page::html(soaked, &summary(soaked));
        std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if holds || !is_long { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn summary(soaked: &Soaked) -> String {
    let warm = soaked.vitals.iter().filter(|vitals| vitals.at_s >= soaked.warm_from_s);
    let range = |value: fn(&Vitals) -> u64| {
        let values = warm.clone().map(value);
        (values.clone().min().unwrap_or_default(), values.max().unwrap_or_default())
    };
    let (memory, descriptors) = (range(|vitals| vitals.resident_kib), range(|vitals| vitals.descriptors));
    let mib = |kib: u64| kib as f64 / 1_024.0;
    format!(
        "{} requests in {:.0} s, {} refused, {} failed\n\
         memory       {:.1} to {:.1} MiB after the warm-up, {:+.2} % in ten minutes (to be below 1 %)\n\
         descriptors  {} to {}, {:+.2} % in ten minutes (to be below 1 %)\n\
         p99          {}",
        soaked.requests,
        soaked.seconds,
        soaked.refused,
        soaked.failed,
        mib(memory.0),
        mib(memory.1),
        soaked.memory_rise * 100.0,
        descriptors.0,
        descriptors.1,
        soaked.descriptors_rise * 100.0,
        p99(soaked),
    )
}

/// The median over seconds, in the first and in the last tenth of what follows the warm-up.
fn p99(soaked: &Soaked) -> String {
    let from = (soaked.warm_from_s as usize).min(soaked.p99_ms.len());
    let warm: Vec<f64> = soaked.p99_ms[from..].iter().flatten().copied().collect();
    let tenth = (warm.len() / 10).max(1).min(warm.len());
    let median = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).map_or("-".to_owned(), |value| format!("{value:.0} ms"))
    };
    format!("{} at first, {} at last", median(&warm[..tenth]), median(&warm[warm.len() - tenth..]))
}
