//! `plimsoll-bench replay`: sends the requests of a real access log again.
//!
//! Order and burstiness are the log's: a line keeps its second, and the lines of
//! one second are spread evenly over it, since logs know nothing finer. Time
//! is then compressed by `--speed`, and `--scale` multiplies the visitors. Sent are
//! method, path, referer and user agent, with the cookie that the target has given
//! the visitor; bodies are not in a log, so a POST has an empty body.
//! `X-Forwarded-For` names a made-up address of the visitor if that is wanted; a proxy
//! believes it only from hops it trusts.
//!
//! An answer of any kind but 429 and 5xx counts as served, since logs ask for
//! much that does not exist.

use crate::classes::Classifier;
use crate::client::Line;
use crate::cookies::CookieJar;
use crate::copies::{Scaling, Sending, sendings};
use crate::crowd::Survival;
use crate::delivery::Delivery;
use crate::ending::before_its_time;
use crate::findings::Findings;
use crate::gauges::Gauges;
use crate::interruption::interruptions;
use crate::load::Harvest;
use crate::open_loop::Run;
use crate::plan::{Deaf, Shot};
use crate::progress::{self, Watched};
use crate::report::record::{Course, Remains, timestamp};
use crate::report::recording::Recording;
use crate::report::{PhaseReport, PhaseTitle, Report, millis};
use crate::tally::span::Span;
use crate::tally::{Account, Expectation, Tally};
use crate::target::{Target, TargetArgs};
use crate::terminal;
use anyhow::Context;
use clap::Args;
use http::{Request, header};
use plimsoll::access_log::{AccessLog, BadLines};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Sends the requests of an access log again.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The log, in common or combined format or in JSON, plain or gzip
    access_log: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    /// By how much time is compressed
    #[arg(long, default_value_t = 20.0, value_parser = factor)]
    speed: f64,
    /// By how much sessions are multiplied: 3 sends each for three visitors, 0.5 every second one
    #[arg(long, default_value_t = 1.0, value_parser = factor)]
    scale: f64,
    /// By how much of the log's time a copy of a session is shifted at most
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    shift: Duration,
    /// Makes copies and their shifts repeatable
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stops sending after this long, such as 60s
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    length: Option<Duration>,
    /// An answer that takes longer came late
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    slo: Duration,
    /// A client who waits longer leaves
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    patience: Duration,
    #[command(flatten)]
    recording: Recording,
}

/// Runs the command.
pub(crate) async fn replay(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let target = Target::of(&args.target)?;
    let log = AccessLog::read(&args.access_log)?;
    args.recording.check()?;
    let scaling = Scaling { scale: args.scale, shift: args.shift.as_secs_f64(), seed: args.seed };
    let sendings = sendings(&log.entries, scaling);
    anyhow::ensure!(!sendings.is_empty(), "--scale {} leaves out every session of the log", args.scale);
    terminal::line(&format!("{} requests to replay{}", sendings.len(), complaint(&log.bad_lines)));
    let classifier = Classifier::shipped().context("the shipped model cannot be used")?;
    let (started, gauges) = (timestamp(), args.recording.gauges());
    let harvest = run(&args, &target, &sendings, &classifier, &gauges).await?;
    let tally = &harvest.tally;
    let report = report(&args, &target, tally, &classifier);
    let last = sendings.last().map_or(0.0, |sending| sending.time / args.speed);
    let length = Duration::from_secs_f64(last).min(args.length());
    let findings = Findings::new(report, &harvest, Survival::default(), Vec::new(), length);
    findings.print();
    let course = Course::new(Remains {
        started,
        scenario: None,
        classes: &classifier.names(),
        phases: vec![("replay", Span { start: Duration::ZERO, end: length })],
        told: vec![0],
        tally,
        timeline: &harvest.timeline,
        gauges: &gauges,
    });
    args.recording.keep(&findings, &course)?;
    Ok(findings.exit_code())
}

impl ReplayArgs {
    fn length(&self) -> Duration {
        self.length.unwrap_or(Duration::MAX)
    }
}

fn report(args: &ReplayArgs, target: &Target, tally: &Tally, classifier: &Classifier) -> Report {
    let load = match args.scale {
        1.0 => format!("{} times as fast", args.speed),
        scale => format!("{} times as fast, {scale} times the visitors", args.speed),
    };
    let title = PhaseTitle { name: "replay".into(), load };
    Report {
        source: args.access_log.display().to_string(),
        target: target.to_string(),
        seeds: if args.scale == 1.0 { Vec::new() } else { vec![args.seed] },
        valid: tally.is_valid([0]),
        send_lag_p99_ms: tally.worst_lag([0]).map(|lag| millis(lag.p99)),
        send_lag_phase: None,
        phases: vec![PhaseReport::new(tally, 0, title, &classifier.names(), None)],
    }
}

async fn run(
    args: &ReplayArgs,
    target: &Target,
    sendings: &[Sending<'_>],
    classifier: &Classifier,
    gauges: &Gauges,
) -> anyhow::Result<Harvest> {
    let asked_to_end = interruptions(1);
    let client = target.connect().await?;
    let span = Span { start: Duration::ZERO, end: args.length() };
    let classes = classifier.names();
    let tally = Tally::new(vec![span], classes.len(), Expectation::AnyAnswer);
    let run = Arc::new(Run::new(client, tally).capped(target.rate_max));
    let timed = sendings
        .iter()
        .map(|sending| (Duration::from_secs_f64(sending.time / args.speed), sending))
        .take_while(|(at, _)| *at < args.length());
    let mut plan = Deaf::new(timed, |at, sending| {
        let request = request(target, sending, &run.cookies);
        let class = classifier.class_of(&request);
        shot(args, at, request, class, sending)
    });
    let label = |time: Duration| format!("{:.0} s of the log", time.as_secs_f64() * args.speed);
    let fire = async {
        tokio::select! {
            () = run.fire(&mut plan) => None,
            cut = before_its_time(&run, asked_to_end) => Some(cut),
        }
    };
    let watched = Watched { title: "replay", classes: &classes, gauges };
    let cut = progress::while_showing(&run, &watched, label, fire).await;
    let timeline = run.whole_timeline();
    let connections = run.connections();
    Ok(Harvest {
        tally: run.tally(),
        survival: Vec::new(),
        funnels: Vec::new(),
        origin: None,
        cut,
        connections,
        timeline,
    })
}

fn shot(
    args: &ReplayArgs,
    at: Duration,
    request: Request<Delivery>,
    class: usize,
    sending: &Sending<'_>,
) -> Shot {
    Shot {
        at,
        account: Account { phase: 0, class, cost: 1.0, slo: args.slo },
        patience: args.patience,
        request,
        line: Line::default(),
        shopper: Some(sending.shopper),
        wish: None,
    }
}

/// What is sent for a line of the log.
fn request(target: &Target, sending: &Sending<'_>, cookies: &CookieJar) -> Request<Delivery> {
    let entry = sending.entry;
    let mut request = Request::builder()
        .method(entry.method.clone())
        .uri(entry.target.as_str())
        .header(header::HOST, &target.host);
    for (name, value) in [(header::REFERER, &entry.referer), (header::USER_AGENT, &entry.user_agent)] {
        // What was logged of a header may not be a valid one: browsers send many things.
        if let Some(value) = value.as_ref().and_then(|text| http::HeaderValue::from_str(text).ok()) {
            request = request.header(name, value);
        }
    }
    if let Some(cookie) = cookies.of(sending.shopper) {
        request = request.header(header::COOKIE, cookie);
    }
    if let Some(client) = target.client_of(sending.shopper) {
        request = request.header("x-forwarded-for", client);
    }
    request.body(Delivery::default()).expect("the parts of a log entry are valid")
}

fn complaint(bad: &BadLines) -> String {
    if bad.count == 0 {
        return String::new();
    }
    let mut text = format!("; {} lines are none and left out:", bad.count);
    for (line, flaw) in &bad.first {
        text.push_str(&format!("\n  line {line}: {flaw}"));
    }
    if bad.count > bad.first.len() {
        text.push_str(&format!("\n  and {} more", bad.count - bad.first.len()));
    }
    text
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if (0.01..=1e6).contains(&factor) => Ok(factor),
        _ => Err("a number from 0.01 to 1000000 is needed".into()),
    }
}
