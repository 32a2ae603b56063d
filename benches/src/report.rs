//! Turns a tally into what people and programs read: a table and JSON.
//!
//! Proportions are printed with their counts (`k/n`): "100 %" of seven requests
//! and of seven thousand are different claims. It judges nothing.

pub(crate) mod chart;
pub(crate) mod claims;
pub(crate) mod command;
mod difference;
pub(crate) mod machine;
pub(crate) mod page;
pub(crate) mod record;
pub(crate) mod recording;

use crate::latencies::quantile;
use crate::tally::Tally;
use crate::tally::cell::Cell;
use crate::tally::lag::LAG_P99_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// The results of a run, as written to a JSON file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The scenario's name, or the log's.
    pub(crate) source: String,
    /// What was measured.
    pub(crate) target: String,
    /// One seed per pooled run; none where nothing is drawn.
    pub(crate) seeds: Vec<u64>,
    /// False if requests were sent too late for the results to mean anything.
    pub(crate) valid: bool,
    /// How late requests were sent in the worst phase; absent where time is virtual and nobody can be late.
    pub(crate) send_lag_p99_ms: Option<f64>,
    /// That phase.
    pub(crate) send_lag_phase: Option<String>,
    /// The course of the load.
    pub(crate) phases: Vec<PhaseReport>,
}

/// The results of one phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PhaseReport {
    /// The phase's name.
    pub(crate) name: String,
    /// Its load, as the scenario says it.
    pub(crate) load: String,
    /// The cost of good responses over capacity; absent where capacity is unknown.
    pub(crate) useful_work: Option<f64>,
    /// How long after its start the last refusal for want of seats came; absent if none did, and in older files.
    pub(crate) refused_last_s: Option<f64>,
    /// The results of each class.
    pub(crate) classes: Vec<ClassReport>,
}

/// The results of one class in one phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClassReport {
    class: String,
    offered: u64,
    good: u64,
    late: u64,
    refused: BTreeMap<u16, u64>,
    refused_late: u64,
    errors: BTreeMap<u16, u64>,
    failed: u64,
    timed_out: u64,
    served_p50_ms: Option<f64>,
    served_p99_ms: Option<f64>,
    refused_p50_ms: Option<f64>,
    refused_p99_ms: Option<f64>,
}

/// What a report says of a phase beyond its counts.
pub(crate) struct PhaseTitle {
    /// The phase's name.
    pub(crate) name: String,
    /// Its load, as the scenario says it.
    pub(crate) load: String,
}

impl PhaseReport {
    /// The results of the class of that name.
    fn class(&self, name: &str) -> Option<&ClassReport> {
        self.classes.iter().find(|class| class.class == name)
    }

    /// The results of phase number `phase`; `capacity` is the origin's, where it is known.
    pub(crate) fn new(
        tally: &Tally,
        phase: usize,
        title: PhaseTitle,
        classes: &[&str],
        capacity: Option<f64>,
    ) -> PhaseReport {
        let classes = classes.iter().enumerate();
        PhaseReport {
            name: title.name,
            load: title.load,
            useful_work: capacity.and_then(|capacity| tally.useful_work(phase, capacity)),
            refused_last_s: tally.refused_last(phase).map(|last| last.as_secs_f64()),
            classes: classes.map(|(class, name)| ClassReport::new(name, tally.cell(phase, class))).collect(),
        }
    }

    fn table(&self) -> String {
        let useful =
            self.useful_work.map_or(String::new(), |useful| format!(", useful work {}", percent(useful)));
        let mut table = format!("\n{} ({}){useful}\n{HEADING}", self.name, self.load);
        for class in &self.classes {
            table.push('\n');
            table.push_str(&class.row());
        }
        table
    }
}

const HEADING: &str = "  class        offered            in time      late   refused (late)    failed  timed out    \
                       p50 ms    p99 ms  refusal p99";

impl ClassReport {
    fn new(class: &str, cell: &Cell) -> ClassReport {
        ClassReport {
            class: class.into(),
            offered: cell.offered,
            good: cell.good,
            late: cell.late,
            refused: cell.refused.clone(),
            refused_late: cell.refused_late,
            errors: cell.errors.clone(),
            failed: cell.failed,
            timed_out: cell.timed_out,
            served_p50_ms: quantile(&cell.served_us, 0.5).map(millis),
            served_p99_ms: quantile(&cell.served_us, 0.99).map(millis),
            refused_p50_ms: quantile(&cell.refused_us, 0.5).map(millis),
            refused_p99_ms: quantile(&cell.refused_us, 0.99).map(millis),
        }
    }

    fn row(&self) -> String {
        let mut row = format!(
            "  {:<10}{:>10}{:>10} {:>8}{:>10}{:>10}{:>7}{:>10}{:>11}{:>10}{:>10}{:>13}",
            self.class,
            self.offered,
            self.good,
            ratio(self.good, self.offered),
            self.late,
            self.refused.values().sum::<u64>(),
            format!("({})", self.refused_late),
            self.failed,
            self.timed_out,
            optional_ms(self.served_p50_ms),
            optional_ms(self.served_p99_ms),
            optional_ms(self.refused_p99_ms),
        );
        for (status, number) in &self.errors {
            let _ = write!(row, "  {number} x {status}");
        }
        row
    }
}

impl Report {
    /// The results as text.
    pub(crate) fn table(&self) -> String {
        let mut table = format!("{} on {}", self.source, self.target);
        if !self.seeds.is_empty() {
            let _ = write!(table, ", seeds {:?}", self.seeds);
        }
        for phase in &self.phases {
            table.push('\n');
            table.push_str(&phase.table());
        }
        if let Some(punctuality) = self.punctuality() {
            let _ = write!(table, "\n\n{punctuality}");
        }
        if !self.valid && self.send_lag_p99_ms.is_some_and(|lag| lag > millis(LAG_P99_MAX)) {
            table.push_str(": INVALID, this machine is too slow or too busy to send this load on time");
        }
        table
    }

    /// How late requests were sent, where they could be.
    pub(crate) fn punctuality(&self) -> Option<String> {
        let lag = self.send_lag_p99_ms?;
        let place = self.send_lag_phase.as_ref().map_or(String::new(), |phase| format!(", in {phase}"));
        Some(format!("sent at most {lag:.1} ms late (p99{place})"))
    }
}

/// `part` out of `whole` in percent, rounded down: 99.996 % is not all.
pub(crate) fn ratio(part: u64, whole: u64) -> String {
    match (part * 10_000).checked_div(whole) {
        Some(share) => format!("{}.{:02} %", share / 100, share % 100),
        None => "-".into(),
    }
}

/// A fraction in percent.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.1} %", fraction * 100.0)
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// A quantile in milliseconds, or a dash where nothing was measured.
pub(crate) fn optional_ms(millis: Option<f64>) -> String {
    millis.map_or(
        "-".into(),
        |millis| if millis < 10.0 { format!("{millis:.1}") } else { format!("{millis:.0}") },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_all_is_not_printed_as_all() {
        assert_eq!(ratio(99_999, 100_000), "99.99 %");
        assert_eq!(ratio(9_999, 10_000), "99.99 %");
        assert_eq!(ratio(7, 7), "100.00 %");
        assert_eq!(ratio(0, 0), "-");
    }
}
