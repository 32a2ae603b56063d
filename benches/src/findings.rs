//! What a run over sockets found, beyond its counts: thresholds, failures, sessions, orders.
//!
//! It says what to do about what went wrong, and with which code to exit: a number
//! that means nothing must not pass for one that does.

use crate::client::failure::Failure;
use crate::crowd::Survival;
use crate::interruption::PARTIAL;
use crate::load::Harvest;
use crate::open_files;
use crate::origin::Stats;
use crate::report::{Report, ratio};
use crate::terminal;
use crate::verdict::{self, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// Exit code of a run whose numbers mean nothing.
pub(crate) const INVALID_RUN: u8 = 2;
/// A target that is silent for so long before the end has stopped, and is not just slow: no patience is longer.
const SILENCE: Duration = Duration::from_secs(5);

/// What to do where there is no port left for another connection.
const PORTS_ADVICE: &str = "this machine ran out of ports: let the target keep connections alive, or widen \
                            net.ipv4.ip_local_port_range";

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
    /// The scenario's thresholds.
    thresholds: Vec<Verdict>,
    /// Sessions of funnels that began in what is no warm-up.
    sessions: Survival,
    /// What the origin has counted, if it was asked.
    origin: Option<Stats>,
    #[serde(skip)]
    length: Duration,
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
        Findings {
            report,
            partial: harvest.cut_at.is_some(),
            cut_at_s: harvest.cut_at.map(|at| at.as_secs_f64()),
            under_way: tally.under_way(),
            withheld: tally.withheld(),
            failures: tally.failures().clone(),
            answered_last_s: tally.answered_last().as_secs_f64(),
            thresholds,
            sessions,
            origin: harvest.origin.clone(),
            length: harvest.cut_at.unwrap_or(length),
        }
    }

    /// Prints them.
    pub(crate) fn print(&self) {
        terminal::line(&self.report.table());
        for line in self.remarks() {
            terminal::line(&line);
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

    /// How a command exits that has found this.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.partial {
            ExitCode::from(PARTIAL)
        } else if !self.report.valid {
            ExitCode::from(INVALID_RUN)
        } else {
            verdict::exit_code(&self.thresholds)
        }
    }

    fn remarks(&self) -> Vec<String> {
        let sections = [
            self.sessions_line(),
            self.origin.as_ref().map(|stats| {
                format!("\nthe origin completed {} orders, worth {}", stats.orders, stats.order_value)
            }),
            self.failure_lines(),
            self.silence(),
            self.own_limits(),
            Some(verdict::table(&self.thresholds)).filter(|table| !table.is_empty()),
            self.cut_at_s.map(|at| {
                format!("\nPARTIAL: ended after {at:.1} s, with {} requests under way", self.under_way)
            }),
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

    /// A target that has stopped is not told from a slow one by its counts.
    fn silence(&self) -> Option<String> {
        let last = Duration::from_secs_f64(self.answered_last_s);
        (self.failures.keys().any(|failure| !failure.is_ours()) && last + SILENCE < self.length)
            .then(|| format!("\nthe target stopped: nothing was answered after {:.1} s", last.as_secs_f64()))
    }

    fn own_limits(&self) -> Option<String> {
        let advice = |failure: &Failure| match failure {
            Failure::OpenFiles => Some(open_files::advice()),
            Failure::Ports => Some(PORTS_ADVICE.to_owned()),
            _ => None,
        };
        let mut lines: Vec<String> = self.failures.keys().filter_map(advice).collect();
        if self.withheld > 0 {
            lines.push(format!("{} requests were withheld: they were more than --rate-max", self.withheld));
        }
        (!lines.is_empty()).then(|| format!("\nINVALID: {}", lines.join("\nINVALID: ")))
    }
}
