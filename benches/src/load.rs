//! `plimsoll-bench load`: puts a target under the load of a scenario.
//!
//! Exit code 0 means that the run is valid, 2 that requests could not be sent on
//! time, so that its numbers mean nothing. It starts no servers: see `demo` and
//! `measure`.

use crate::arrivals::{Arrival, Schedule};
use crate::client::Client;
use crate::cookies::CookieJar;
use crate::open_loop::{LAG_P99_MAX, Run, Shot};
use crate::progress;
use crate::report::{PhaseReport, PhaseTitle, Report, millis};
use crate::scenario::Scenario;
use crate::tally::{Account, Expectation, Tally};
use crate::target::Target;
use crate::terminal;
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
    /// Writes the results here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the command.
pub(crate) async fn load(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let scenario = Scenario::read_for_sockets(&args.scenario)?;
    let target = Target::parse(&args.target, args.i_own.as_deref())?;
    terminal::line(&scenario.description);
    let seed = args.seed.unwrap_or(scenario.seed);
    let tally = run(&scenario, seed, &target).await?;
    let report = report(&scenario, target.to_string(), vec![seed], &tally);
    publish(&report, args.json.as_deref())
}

/// Runs `scenario` against `target`, showing progress.
pub(crate) async fn run(scenario: &Scenario, seed: u64, target: &Target) -> anyhow::Result<Tally> {
    let client = Client::new(target.address);
    client.connect_ahead().await?;
    let classes = scenario.classes();
    let run = Arc::new(Run::new(client, Tally::new(scenario.spans(), classes.len(), Expectation::Success)));
    let mix: Vec<usize> =
        scenario.mix.iter().map(|template| class_index(&classes, &template.class)).collect();
    let shots = Schedule::new(scenario, seed)
        .map(|arrival| shot(scenario, mix[arrival.template], &target.host, &run.cookies, arrival));
    progress::while_showing(&run, |time| phase_label(scenario, time), run.fire(shots)).await;
    Ok(run.tally())
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
