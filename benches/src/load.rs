//! `plimsoll-bench load`: puts a target under the load of a scenario.
//!
//! Exit code 0 means that the run is valid, 2 that requests could not be sent on
//! time, so that its numbers mean nothing. It starts no servers: see `demo` and
//! `measure`.

use crate::arrivals::{Arrival, Schedule};
use crate::client::Client;
use crate::cookies::CookieJar;
use crate::gauges::Gauges;
use crate::open_loop::{LAG_P99_MAX, Run, Shot};
use crate::progress::{self, Watched};
use crate::report::record::{self, Course, Record, Remains};
use crate::report::{self, PhaseReport, PhaseTitle, Report, millis, page};
use crate::scenario::Scenario;
use crate::tally::{Account, Expectation, Tally};
use crate::target::{Target, TargetError};
use crate::terminal;
use crate::timeline::Timeline;
use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use http::{Request, header};
use http_body_util::Full;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Exit code of a run whose numbers mean nothing.
const INVALID_RUN: u8 = 2;

/// Puts a target under the load of a scenario.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// The scenario file
    scenario: PathBuf,
    /// Where to send the load, such as http://127.0.0.1:8080
    #[arg(long)]
    target: String,
    /// Repeats a target on another machine, to confirm that it is yours
    #[arg(long, value_name = "TARGET")]
    i_own: Option<String>,
    /// Overrides the scenario's seed
    #[arg(long)]
    seed: Option<u64>,
    /// Plimsoll's admin address, such as http://127.0.0.1:8081, to watch its limit
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// Writes the results here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the results here as a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Runs the command.
pub(crate) async fn load(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let scenario = Scenario::read_for_sockets(&args.scenario)?;
    let target = Target::parse(&args.target, args.i_own.as_deref())?;
    let gauges = args.admin.as_deref().map(gauges_at).transpose()?.unwrap_or_default();
    terminal::line(&scenario.description);
    let seed = args.seed.unwrap_or(scenario.seed);
    let started = record::timestamp();
    let observed = observe(&scenario, seed, &target, &gauges).await?;
    let report = report(&scenario, target.to_string(), vec![seed], &observed.tally);
    let exit = publish(&report, None)?;
    if gauges.is_silent() {
        terminal::line("the admin address told no state: nothing is known of the limit");
    }
    let course = Course::new(Remains {
        started,
        scenario: std::fs::read_to_string(&args.scenario).ok(),
        classes: &scenario.classes(),
        phases: scenario.phases.iter().map(|phase| phase.name.as_str()).zip(scenario.spans()).collect(),
        tally: &observed.tally,
        timeline: &observed.timeline,
        gauges: gauges.samples().clone(),
    });
    let record = Record { report, course };
    if let Some(path) = &args.json {
        write_json(path, &record)?;
    }
    if let Some(path) = &args.html {
        report::command::write(path, &page::html(&record))?;
    }
    Ok(exit)
}

/// A run as it was seen.
pub(crate) struct Observed {
    /// The counts.
    pub(crate) tally: Tally,
    /// The counts of each second.
    pub(crate) timeline: Timeline,
}

/// Runs `scenario` against `target`, showing progress, and returns its counts.
pub(crate) async fn run(scenario: &Scenario, seed: u64, target: &Target) -> anyhow::Result<Tally> {
    Ok(observe(scenario, seed, target, &Gauges::default()).await?.tally)
}

async fn observe(
    scenario: &Scenario,
    seed: u64,
    target: &Target,
    gauges: &Gauges,
) -> anyhow::Result<Observed> {
    let client = Client::new(target.address);
    client.connect_ahead().await?;
    let classes = scenario.classes();
    let run = Arc::new(Run::new(client, Tally::new(scenario.spans(), classes.len(), Expectation::Success)));
    let mix: Vec<usize> =
        scenario.mix.iter().map(|template| class_index(&classes, &template.class)).collect();
    let shots = Schedule::new(scenario, seed)
        .map(|arrival| shot(scenario, mix[arrival.template], &target.host, &run.cookies, arrival));
    let watched = Watched { title: &scenario.name, classes: &classes, gauges };
    progress::while_showing(&run, &watched, |time| phase_label(scenario, time), run.fire(shots)).await;
    Ok(Observed { tally: run.tally(), timeline: run.whole_timeline() })
}

/// The gauges of a proxy whose admin API is at `url`; asking it is no load, wherever it is.
fn gauges_at(url: &str) -> Result<Gauges, TargetError> {
    Ok(Gauges::of(Client::new(Target::parse(url, Some(url))?.address)))
}

/// The results of one or several pooled runs of `scenario`.
pub(crate) fn report(scenario: &Scenario, target: String, seeds: Vec<u64>, tally: &Tally) -> Report {
    let classes = scenario.classes();
    let phases = scenario.phases.iter().enumerate().map(|(index, phase)| {
        let title = PhaseTitle { name: phase.name.clone(), load: phase.load.to_string() };
        PhaseReport::new(tally, index, title, &classes, Some(scenario.origin.capacity()))
    });
    Report {
        source: scenario.name.clone(),
        target,
        seeds,
        valid: tally.lag_p99() <= LAG_P99_MAX,
        send_lag_p99_ms: Some(millis(tally.lag_p99())),
        phases: phases.collect(),
    }
}

/// Prints a report, writes it to `json` if wanted, and says how to exit.
pub(crate) fn publish(report: &Report, json: Option<&Path>) -> anyhow::Result<ExitCode> {
    terminal::line(&report.table());
    if let Some(path) = json {
        write_json(path, report)?;
    }
    Ok(if report.valid { ExitCode::SUCCESS } else { ExitCode::from(INVALID_RUN) })
}

/// Writes results where the user wants them.
pub(crate) fn write_json(path: &Path, results: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(results).context("results are valid JSON")?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn shot(scenario: &Scenario, class: usize, host: &str, cookies: &CookieJar, arrival: Arrival) -> Shot {
    let template = &scenario.mix[arrival.template];
    let mut request = Request::builder()
        .method(template.method.clone())
        .uri(arrival.path(scenario))
        .header(header::HOST, host)
        .header(header::USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64) plimsoll-bench")
        .header(header::ACCEPT, "text/html,*/*;q=0.8");
    if let Some(cookie) = cookies.of(arrival.shopper) {
        request = request.header(header::COOKIE, cookie);
    }
    let body = Full::new(Bytes::copy_from_slice(template.body.as_bytes()));
    let slo = template.slo.unwrap_or(scenario.slo);
    Shot {
        at: arrival.at,
        account: Account { phase: arrival.phase, class, cost: template.cost, slo },
        patience: template.patience.unwrap_or(scenario.patience),
        request: request.body(body).expect("a scenario's paths and methods are checked when it is read"),
        shopper: Some(arrival.shopper),
    }
}

fn phase_label(scenario: &Scenario, time: Duration) -> String {
    let current = scenario.spans().iter().position(|span| time <= span.end);
    current.map_or("last answers".into(), |index| {
        let phase = &scenario.phases[index];
        format!("{} ({})", phase.name, phase.load)
    })
}

fn class_index(classes: &[&str], class: &str) -> usize {
    classes.iter().position(|name| *name == class).expect("the classes are those of the mix")
}
