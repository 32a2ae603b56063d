//! `plimsoll-bench replay`: sends the requests of a real access log again.
//!
//! Order and burstiness are the log's: a line keeps its second, and the lines of
//! one second are spread evenly over it, since the log knows nothing finer. Time
//! is then compressed by `--speed`. Sent are method, path, referer and user
//! agent; bodies and cookies are not in a log, so a POST has an empty body.
//! No `X-Forwarded-For` is made up: a proxy must not believe it anyway.
//!
//! An answer of any kind but 429 and 5xx counts as served, since logs ask for
//! much that does not exist.

use crate::classes::Classifier;
use crate::client::Client;
use crate::gauges::Gauges;
use crate::load::publish;
use crate::open_loop::{LAG_P99_MAX, Run, Shot};
use crate::progress::{self, Watched};
use crate::report::{PhaseReport, PhaseTitle, Report, millis};
use crate::tally::{Account, Expectation, Span, Tally};
use crate::target::Target;
use crate::terminal;
use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use http::{Request, header};
use http_body_util::Full;
use plimsoll::access_log::{AccessLog, BadLines, Entry};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Sends the requests of an access log again.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The log, in common or combined format, plain or gzip
    access_log: PathBuf,
    /// Where to send the requests, such as http://127.0.0.1:8080
    #[arg(long)]
    target: String,
    /// Repeats a target on another machine, to confirm that it is yours
    #[arg(long, value_name = "TARGET")]
    i_own: Option<String>,
    /// By how much time is compressed
    #[arg(long, default_value_t = 20.0, value_parser = speed)]
    speed: f64,
    /// Stops sending after this long, such as 60s
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    length: Option<Duration>,
    /// An answer that takes longer came late
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    slo: Duration,
    /// A client who waits longer leaves
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// Writes the results here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the command.
pub(crate) async fn replay(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let target = Target::parse(&args.target, args.i_own.as_deref())?;
    let log = AccessLog::read(&args.access_log)?;
    terminal::line(&format!("{} requests to replay{}", log.entries.len(), complaint(&log.bad_lines)));
    let classifier = Classifier::shipped().context("the shipped model cannot be used")?;
    let tally = run(&args, &target, &log.entries, &classifier).await?;
    let title = PhaseTitle { name: "replay".into(), load: format!("{} times as fast", args.speed) };
    let report = Report {
        source: args.access_log.display().to_string(),
        target: target.to_string(),
        seeds: Vec::new(),
        valid: tally.lag_p99() <= LAG_P99_MAX,
        send_lag_p99_ms: Some(millis(tally.lag_p99())),
        phases: vec![PhaseReport::new(&tally, 0, title, &classifier.names(), None)],
    };
    publish(&report, args.json.as_deref())
}

async fn run(
    args: &ReplayArgs,
    target: &Target,
    entries: &[Entry],
    classifier: &Classifier,
) -> anyhow::Result<Tally> {
    let client = Client::new(target.address);
    client.connect_ahead().await?;
    let length = args.length.unwrap_or(Duration::MAX);
    let span = Span { start: Duration::ZERO, end: length };
    let classes = classifier.names().len();
    let run = Arc::new(Run::new(client, Tally::new(vec![span], classes, Expectation::AnyAnswer)));
    let shots = timed(entries)
        .map(|(second, entry)| (Duration::from_secs_f64(second / args.speed), entry))
        .take_while(|(at, _)| *at < length)
        .map(|(at, entry)| {
            let request = request(target, entry);
            let class = classifier.class_of(&request);
            shot(args, at, request, class)
        });
    let label = |time: Duration| format!("{:.0} s of the log", time.as_secs_f64() * args.speed);
    let gauges = Gauges::default();
    let watched = Watched { title: "replay", classes: &classifier.names(), gauges: &gauges };
    progress::while_showing(&run, &watched, label, run.fire(shots)).await;
    Ok(run.tally())
}

/// Entries with their time in seconds from the start of the log, those of one second spread over it.
fn timed(entries: &[Entry]) -> impl Iterator<Item = (f64, &Entry)> {
    let first = entries.first().map_or(0, |entry| entry.second);
    entries.chunk_by(|a, b| a.second == b.second).flat_map(move |second| {
        let start = (second[0].second - first) as f64;
        let gap = 1.0 / second.len() as f64;
        second.iter().enumerate().map(move |(place, entry)| (start + place as f64 * gap, entry))
    })
}

fn shot(args: &ReplayArgs, at: Duration, request: Request<Full<Bytes>>, class: usize) -> Shot {
    Shot {
        at,
        account: Account { phase: 0, class, cost: 1.0, slo: args.slo },
        patience: args.patience,
        request,
        shopper: None,
    }
}

/// What is sent for a line of the log.
fn request(target: &Target, entry: &Entry) -> Request<Full<Bytes>> {
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
    request.body(Full::default()).expect("the parts of a log entry are valid")
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

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.01..=1e6).contains(&speed) => Ok(speed),
        _ => Err("a number from 0.01 to 1000000 is needed".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn lines_of_one_second_are_spread_over_it_in_order() {
        let entry = |second| Entry {
            second,
            client: "c1".into(),
            method: Method::GET,
            target: "/".parse().unwrap(),
            referer: None,
            user_agent: None,
        };
        let entries = [entry(100), entry(100), entry(103), entry(103), entry(103), entry(103)];
        let times: Vec<f64> = timed(&entries).map(|(time, _)| time).collect();
        assert_eq!(times, [0.0, 0.5, 3.0, 3.25, 3.5, 3.75]);
    }
}
