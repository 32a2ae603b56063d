//! `plimsoll-bench load`: puts a target under the load of a scenario.
//!
//! Exit code 0 means that the scenario's thresholds are held, 1 that one is missed or
//! the command failed, 2 that requests could not be sent on time, so that the numbers
//! mean nothing, and 105 that Ctrl-C made the result partial. A target that answers
//! nothing at all is a failure, too. It starts no servers: see `demo` and `measure`.

use crate::crowd::Survival;
use crate::director::Director;
use crate::ending::{Cut, before_its_time};
use crate::findings::Findings;
use crate::funnels::{self, FunnelReport};
use crate::gauges::Gauges;
use crate::interruption::interruptions;
use crate::open_loop::Run;
use crate::origin::Stats;
use crate::progress::{self, Watched};
use crate::report::record::{Course, Remains, timestamp};
use crate::report::recording::Recording;
use crate::report::{PhaseReport, PhaseTitle, Report, millis};
use crate::results;
use crate::scenario::Scenario;
use crate::shoppers::Shoppers;
use crate::tally::{Expectation, Tally};
use crate::target::{Target, TargetArgs};
use crate::terminal;
use crate::timeline::Timeline;
use crate::verdict::{self, Measured};
use clap::Args;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Puts a target under the load of a scenario.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// The scenario file
    scenario: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    /// The control port of the origin behind the target, for scenarios that change the shop
    #[arg(long, value_name = "ADDRESS")]
    origin_control: Option<SocketAddr>,
    /// Overrides the scenario's seed
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    recording: Recording,
}

/// What a run has brought.
pub(crate) struct Harvest {
    /// The counts of requests.
    pub(crate) tally: Tally,
    /// The sessions of funnels that began in each phase.
    pub(crate) survival: Vec<Survival>,
    /// How far they came.
    pub(crate) funnels: Vec<FunnelReport>,
    /// What the origin says it has done in the run, if it was asked.
    pub(crate) origin: Option<Stats>,
    /// When and why the run was cut short.
    pub(crate) cut: Option<Cut>,
    /// Connections that the target has accepted.
    pub(crate) connections: u64,
    /// The counts of each second.
    pub(crate) timeline: Timeline,
}

/// Runs the command.
pub(crate) async fn load(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let scenario = Scenario::read_for_sockets(&args.scenario)?;
    anyhow::ensure!(
        !scenario.compares_with_direct(),
        "{}: a threshold is of a run without a proxy: use `plimsoll-bench prove`, which has one",
        args.scenario.display()
    );
    let target = Target::of(&args.target)?;
    let director = Director::of(&scenario, args.origin_control)?;
    args.recording.check()?;
    terminal::line(&scenario.description);
    let seed = args.seed.unwrap_or(scenario.seed);
    let (started, gauges) = (timestamp(), args.recording.gauges());
    let conduct = conduct(&scenario, seed, &target, director.as_ref(), &gauges, interruptions(1));
    let harvest = conduct.await?;
    let findings = findings(&scenario, target.to_string(), seed, &harvest, None);
    findings.print();
    let course = Course::new(Remains {
        started,
        scenario: std::fs::read_to_string(&args.scenario).ok(),
        classes: &scenario.classes(),
        phases: scenario.phases.iter().map(|phase| phase.name.as_str()).zip(scenario.spans()).collect(),
        told: (0..scenario.phases.len()).filter(|phase| !scenario.phases[*phase].warm_up).collect(),
        tally: &harvest.tally,
        timeline: &harvest.timeline,
        gauges: &gauges,
    });
    args.recording.keep(&findings, &course)?;
    Ok(findings.exit_code())
}

/// Runs `scenario` against `target` until its end, that of `stop` or that of all hope for an answer, while `director`
/// changes the shop.
pub(crate) async fn conduct(
    scenario: &Scenario,
    seed: u64,
    target: &Target,
    director: Option<&Director>,
    gauges: &Gauges,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Harvest> {
    let client = target.connect().await?;
    let before = match director {
        Some(director) => {
            director.prepare(scenario).await?;
            Some((director, director.stats().await?))
        }
        None => None,
    };
    let classes = scenario.classes();
    let tally = Tally::new(scenario.spans(), classes.len(), Expectation::Success);
    let run = Arc::new(Run::new(client, tally).capped(target.rate_max));
    let mut shoppers = Shoppers::new(scenario, seed, target, Arc::clone(&run.cookies));
    let fire = async {
        tokio::select! {
            () = run.fire(&mut shoppers) => Ok(None),
            cut = before_its_time(&run, stop) => Ok(Some(cut)),
            Err(error) = direct(director, scenario, &run) => Err(error),
        }
    };
    let watched = Watched { title: &scenario.name, classes: &classes, gauges };
    let cut = progress::while_showing(&run, &watched, |time| phase_label(scenario, time), fire).await?;
    // An origin that is there for several runs counts on.
    let origin = match before {
        Some((director, before)) => done_since(director, &before).await,
        None => None,
    };
    let (mut tally, timeline) = (run.tally(), run.whole_timeline());
    if let Some(cut) = cut {
        tally.cut(cut.at);
    }
    let connections = run.connections();
    let funnels = funnels::reports(scenario, shoppers.passages());
    Ok(Harvest { tally, survival: shoppers.survival(), funnels, origin, cut, connections, timeline })
}

/// What the shop has done since `before`. One that is gone or hangs when the run is over takes no report with it.
async fn done_since(director: &Director, before: &Stats) -> Option<Stats> {
    if let Ok(now) = director.stats().await {
        return Some(now.since(before));
    }
    terminal::error("the origin's control port does not tell what the shop has done");
    None
}

/// Ends only with an error: a shop that is not what the scenario says makes the run worthless.
async fn direct(director: Option<&Director>, scenario: &Scenario, run: &Run) -> anyhow::Result<()> {
    if let Some(director) = director {
        director.direct(scenario, run.clock).await?;
    }
    std::future::pending().await
}

/// What a run of `scenario` against `target` found, and what lies between it and the same without a proxy.
pub(crate) fn findings(
    scenario: &Scenario,
    target: String,
    seed: u64,
    harvest: &Harvest,
    direct: Option<&Tally>,
) -> Findings {
    let mut report = report(scenario, target, vec![seed], &harvest.tally);
    report.valid &= direct.is_none_or(|direct| direct.is_valid(scenario.told_phases()));
    let measured = Measured { tally: &harvest.tally, survival: &harvest.survival, direct };
    let verdicts = verdict::verdicts(scenario, &measured);
    let length = scenario.phases.iter().map(|phase| phase.duration).sum();
    let began = harvest.survival.iter().zip(&scenario.phases).filter(|(_, phase)| !phase.warm_up);
    let sessions = began.map(|(sessions, _)| *sessions).sum();
    Findings::new(report, harvest, sessions, verdicts, length)
}

/// The results of one or several pooled runs of `scenario`, its warm-up left out.
pub(crate) fn report(scenario: &Scenario, target: String, seeds: Vec<u64>, tally: &Tally) -> Report {
    let classes = scenario.classes();
    let phases = scenario.phases.iter().enumerate().filter(|(_, phase)| !phase.warm_up);
    let phases = phases.map(|(index, phase)| {
        let title = PhaseTitle { name: phase.name.clone(), load: phase.load_label() };
        PhaseReport::new(tally, index, title, &classes, Some(scenario.origin.capacity_in(phase)))
    });
    let lag = tally.worst_lag(scenario.told_phases());
    Report {
        source: scenario.name.clone(),
        target,
        seeds,
        valid: tally.is_valid(scenario.told_phases()),
        send_lag_p99_ms: lag.map(|lag| millis(lag.p99)),
        send_lag_phase: lag.map(|lag| scenario.phases[lag.phase].name.clone()),
        phases: phases.collect(),
    }
}

/// Prints a report, writes it to `json` if wanted, and says how to exit.
pub(crate) fn publish(report: &Report, json: Option<&Path>) -> anyhow::Result<ExitCode> {
    terminal::line(&report.table());
    if let Some(path) = json {
        results::write_json(path, report)?;
    }
    Ok(if report.valid { ExitCode::SUCCESS } else { ExitCode::from(crate::findings::INVALID_RUN) })
}

fn phase_label(scenario: &Scenario, time: Duration) -> String {
    let current = scenario.spans().iter().position(|span| time <= span.end);
    current.map_or("last answers".into(), |index| {
        let phase = &scenario.phases[index];
        format!("{} ({})", phase.name, phase.load_label())
    })
}
