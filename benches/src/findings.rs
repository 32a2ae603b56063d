//! What a run over sockets found, beyond its counts: thresholds, failures, sessions, orders.
//!
//! It says what to do about what went wrong, and with which code to exit: a number
//! that means nothing must not pass for one that does.

use crate::client::failure::Failure;
use crate::crowd::Survival;
use crate::ending::{Cut, Reason};
use crate::funnels::{self, FunnelReport};
use crate::interruption::PARTIAL;
use crate::load::Harvest;
use crate::open_files;
use crate::origin::Stats;
use crate::report::{Report, ratio};
use crate::tally::Tally;
use crate::terminal;
use crate::verdict::{self, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// Exit code of a run whose numbers mean nothing.
pub(crate) const INVALID_RUN: u8 = 2;
/// What to do where there is no port left for another connection.
const PORTS_ADVICE: &str = "this machine ran out of ports: let the target keep connections alive, or widen \
                            net.ipv4.ip_local_port_range";

/// Where to look when a target takes connections and says nothing.
const SILENCE_ADVICE: &str = "it hangs (see its log), nobody accepts what the system has taken for it \
                              (`ss -ltn`: Recv-Q above 0), or this is no port for HTTP";

/// And when it takes them and breaks them.
const BROKEN_ADVICE: &str = "it speaks no HTTP there, or not this version (`--http`), or breaks every connection \
                             (see its log)";

/// The results of a run, as written to a JSON file.
#[derive(Debug, Serialize)]
pub(crate) struct Findings {
    #[serde(flatten)]
    report: Report,
    /// Whether the run was ended before its time.
    partial: bool,
    /// When, in seconds, it was.
    cut_at_s: Option<f64>,
    /// Requests that had no end by then.
    under_way: u64,
    /// Requests that were not sent, for they would have been more than `--rate-max`.
    withheld: u64,
    /// Why requests failed, and how many did.
    failures: BTreeMap<Failure, u64>,
    /// When the last answer came, in seconds.
    answered_last_s: f64,
    /// Connections that the target has accepted.
    connections: u64,
    /// What else is wrong with the run, in words.
    remarks: Vec<String>,
    /// The scenario's thresholds.
    thresholds: Vec<Verdict>,
    /// Sessions of funnels that began in what is no warm-up.
    sessions: Survival,
    /// How far these sessions came.
    funnels: Vec<FunnelReport>,
    /// What the origin has counted, if it was asked.
    origin: Option<Stats>,
    #[serde(skip)]
    cut: Option<Cut>,
    #[serde(skip)]
    is_unanswered: bool,
}

impl Findings {
    /// What `harvest` shows of a run that was to last for `length`, with the `sessions` that count.
    pub(crate) fn new(
        report: Report,
        harvest: &Harvest,
        sessions: Survival,
        thresholds: Vec<Verdict>,
        length: Duration,
    ) -> Findings {
        let tally = &harvest.tally;
        let cut = harvest.cut;
        let end = cut.map_or(length, |cut| cut.at);
        let silence = silence(tally, harvest.connections, end);
        Findings {
            report,
            partial: cut.is_some(),
            cut_at_s: cut.map(|cut| cut.at.as_secs_f64()),
            under_way: tally.under_way(),
            withheld: tally.withheld(),
            failures: tally.failures().clone(),
            answered_last_s: tally.answers().last().unwrap_or_default().as_secs_f64(),
            connections: harvest.connections,
            remarks: silence.into_iter().chain(own_limits(tally)).collect(),
            thresholds,
            sessions,
            funnels: harvest.funnels.clone(),
            origin: harvest.origin.clone(),
            cut,
            is_unanswered: tally.answers().is_none(),
        }
    }

    /// Prints them.
    pub(crate) fn print(&self) {
        terminal::line(&self.report.table());
        for section in self.sections() {
            terminal::line(&section);
        }
    }

    /// Whether the numbers mean anything.
    pub(crate) fn is_valid(&self) -> bool {
        self.report.valid
    }

    /// The scenario's thresholds.
    pub(crate) fn thresholds(&self) -> &[Verdict] {
        &self.thresholds
    }

    /// How a command exits that has found this. A target without a single answer is one that is down.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.cut.is_some_and(|cut| cut.reason == Reason::Asked) {
            ExitCode::from(PARTIAL)
        } else if !self.report.valid {
            ExitCode::from(INVALID_RUN)
        } else if self.is_unanswered {
            ExitCode::FAILURE
        } else {
            verdict::exit_code(&self.thresholds)
        }
    }

    fn sections(&self) -> Vec<String> {
        let sections = [
            self.sessions_line(),
            Some(funnels::table(&self.funnels)).filter(|table| !table.is_empty()),
            self.origin.as_ref().map(|stats| {
                format!("\nthe origin completed {} orders, worth {}", stats.orders, stats.order_value)
            }),
            self.failure_lines(),
            Some(self.remarks.join("\n"))
                .filter(|remarks| !remarks.is_empty())
                .map(|text| format!("\n{text}")),
            Some(verdict::table(&self.thresholds)).filter(|table| !table.is_empty()),
            self.cut_line(),
        ];
        sections.into_iter().flatten().collect()
    }

    fn sessions_line(&self) -> Option<String> {
        let Survival { begun, admitted, completed, lost } = self.sessions;
        let survived = ratio(completed, completed + lost);
        (begun > 0).then(|| {
            format!(
                "\nsessions: {begun} begun, {admitted} admitted, {completed} completed, {lost} lost, \
                 {survived} survived"
            )
        })
    }

    fn failure_lines(&self) -> Option<String> {
        let lines =
            self.failures.iter().map(|(failure, number)| format!("\n  {number:>9}  {}", failure.means()));
        (!self.failures.is_empty()).then(|| format!("\nfailed requests{}", lines.collect::<String>()))
    }

    fn cut_line(&self) -> Option<String> {
        let Cut { at, reason } = self.cut?;
        let why = if reason == Reason::Silence { ", for nothing was answered" } else { "" };
        let (at, under_way) = (at.as_secs_f64(), self.under_way);
        Some(format!("\nPARTIAL: ended after {at:.1} s{why}, with {under_way} requests under way"))
    }
}

/// A target that does not answer is not told from a slow one by its counts.
fn silence(tally: &Tally, connections: u64, end: Duration) -> Option<String> {
    let answers = tally.answers();
    let unanswered = answers.unanswered();
    if answers.is_none() {
        let plural = if connections == 1 { "" } else { "s" };
        let has_broken = tally.failures().keys().any(|failure| !failure.is_ours());
        let advice = if has_broken { BROKEN_ADVICE } else { SILENCE_ADVICE };
        return Some(format!(
            "the target accepted {connections} connection{plural} and answered none of {unanswered} requests: \
             {advice}"
        ));
    }
    let last = answers.last().filter(|_| answers.has_stopped_at(end))?;
    let last = last.as_secs_f64();
    Some(format!(
        "the target stopped: nothing was answered after {last:.1} s, and {unanswered} requests sent since then came \
         to nothing"
    ))
}

/// What this machine lacked, and was not allowed.
fn own_limits(tally: &Tally) -> Vec<String> {
    let advice = |failure: &Failure| match failure {
        Failure::OpenFiles => Some(open_files::advice()),
        Failure::Ports => Some(PORTS_ADVICE.to_owned()),
        _ => None,
    };
    let withheld = tally.withheld();
    let bound =
        (withheld > 0).then(|| format!("{withheld} requests were withheld: they were more than --rate-max"));
    let lacking = tally.failures().keys().filter_map(advice).chain(bound);
    lacking.map(|lacking| format!("INVALID: {lacking}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::lag::Departure;
    use crate::tally::span::Span;
    use crate::tally::{Account, Expectation, Outcome};
    use crate::timeline::Timeline;
    use http::StatusCode;

    const RUN: Duration = Duration::from_secs(60);
    const ACCOUNT: Account = Account { phase: 0, class: 0, cost: 1.0, slo: Duration::from_secs(1) };

    /// What is found where requests end like this, each sent a second after the one before it.
    fn found(outcomes: &[Outcome], cut: Option<Cut>) -> Findings {
        let span = Span { start: Duration::ZERO, end: RUN };
        let mut tally = Tally::new(vec![span], 1, Expectation::Success);
        for (second, outcome) in (0..).zip(outcomes) {
            let due = Duration::from_secs(second);
            tally.offer(ACCOUNT, Departure { due, lag: Duration::ZERO });
            tally.settle(ACCOUNT, *outcome, Duration::from_millis(500), due + Duration::from_millis(500));
        }
        let report = Report {
            source: "s".into(),
            target: "t".into(),
            seeds: Vec::new(),
            valid: true,
            send_lag_p99_ms: None,
            send_lag_phase: None,
            phases: Vec::new(),
        };
        let timeline = Timeline::new(1);
        let harvest = Harvest {
            tally,
            survival: Vec::new(),
            funnels: Vec::new(),
            origin: None,
            cut,
            connections: 2,
            timeline,
        };
        Findings::new(report, &harvest, Survival::default(), Vec::new(), RUN)
    }

    #[test]
    fn target_without_a_single_answer_has_failed_and_one_that_only_fails_has_not() {
        let deaf = found(&[Outcome::TimedOut; 3], None);
        assert_eq!(deaf.exit_code(), ExitCode::FAILURE);
        assert!(
            deaf.remarks[0]
                .starts_with("the target accepted 2 connections and answered none of 3 requests: ")
        );
        assert!(deaf.remarks[0].ends_with(SILENCE_ADVICE), "{:?}", deaf.remarks);
        let broken = found(&[Outcome::Failed(Failure::Protocol); 3], None);
        assert_eq!(broken.exit_code(), ExitCode::FAILURE);
        assert!(broken.remarks[0].ends_with(BROKEN_ADVICE), "{:?}", broken.remarks);
        let failing = found(&[Outcome::Answered(StatusCode::BAD_GATEWAY); 3], None);
        assert_eq!((failing.exit_code(), failing.remarks.len()), (ExitCode::SUCCESS, 0));
    }

    #[test]
    fn run_that_its_user_ends_is_partial_and_one_without_an_answer_has_failed() {
        let cut = |reason| Some(Cut { at: Duration::from_secs(12), reason });
        let (asked, silent) = (
            found(&[Outcome::TimedOut; 12], cut(Reason::Asked)),
            found(&[Outcome::TimedOut; 12], cut(Reason::Silence)),
        );
        assert_eq!([asked.exit_code(), silent.exit_code()], [ExitCode::from(PARTIAL), ExitCode::FAILURE]);
        assert!(asked.partial && silent.partial);
        let last = silent.sections().pop().unwrap();
        assert!(
            last.contains("PARTIAL: ended after 12.0 s, for nothing was answered, with 0 requests"),
            "{last}"
        );
    }

    #[test]
    fn target_that_leaves_everybody_waiting_from_some_time_on_is_named_as_stopped() {
        let mut outcomes = vec![Outcome::Answered(StatusCode::OK); 5];
        outcomes.extend([Outcome::TimedOut; 30]);
        let stopped = found(&outcomes, None);
        let told = "the target stopped: nothing was answered after 4.5 s, and 30 requests sent since then";
        assert!(stopped.remarks[0].starts_with(told), "{:?}", stopped.remarks);
        outcomes.push(Outcome::Answered(StatusCode::OK));
        outcomes.extend([Outcome::TimedOut; 9]);
        assert!(found(&outcomes, None).remarks.is_empty(), "nine are few");
    }
}
