//! One contestant in one phase: its figures, and the columns in which they stand.
//!
//! Useful work and latencies are means over the repeats with their 95 % confidence
//! interval; shares near all are pooled and printed with their counts. Three classes are
//! told of by name: the two that a shop can least do without, and the largest, which
//! shows what those wait who are let in.

use super::entry::Entry;
use super::estimate::Estimate;
use crate::latencies::quantile;
use crate::report::{millis, ratio};
use crate::scenario::Scenario;
use crate::tally::Tally;
use serde::Serialize;

/// The classes that are told of by name.
#[derive(Debug, Serialize)]
pub(super) struct Classes {
    /// The most important class: the first of the mix.
    first_class: String,
    /// The next one: the second of the mix, if it has two.
    second_class: Option<String>,
    /// The one with the most requests.
    largest_class: String,
    /// Its place in the mix.
    #[serde(skip)]
    largest: usize,
}

/// One contestant in one phase.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    phase: String,
    load: String,
    contestant: String,
    /// Whether all runs of the contestant were sent on time.
    valid: bool,
    /// The cost of what was served in time, in percent of what the shop can do.
    useful_work: Option<Estimate>,
    first_class: Share,
    second_class: Option<Share>,
    all: Share,
    refused: Share,
    first_class_p50_ms: Option<Estimate>,
    first_class_p99_ms: Option<Estimate>,
    /// The median latency of the largest class.
    p50_ms: Option<Estimate>,
    refusal_p99_ms: Option<Estimate>,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, Serialize)]
struct Share {
    part: u64,
    whole: u64,
}

/// One figure of every row.
pub(super) struct Column {
    /// Its heading, which a terminal breaks in two: figures are narrower than what they are called.
    pub(super) heading: [String; 2],
    pub(super) cell: fn(&Row) -> String,
}

impl Classes {
    /// Those of `scenario`.
    pub(super) fn of(scenario: &Scenario) -> Classes {
        let classes = scenario.classes();
        let share = |class: &str| {
            let same = scenario.mix.iter().filter(|template| template.class == class);
            same.map(|template| template.weight).sum::<f64>()
        };
        let largest = (0..classes.len()).max_by(|a, b| share(classes[*a]).total_cmp(&share(classes[*b])));
        let largest = largest.expect("a mix has a class");
        Classes {
            first_class: classes[0].into(),
            second_class: classes.get(1).map(|class| (*class).into()),
            largest_class: classes[largest].into(),
            largest,
        }
    }
}

impl Row {
    /// What came of `entry` in phase number `phase`.
    pub(super) fn of(scenario: &Scenario, phase: usize, classes: &Classes, entry: &Entry) -> Row {
        let (pooled, described) = (entry.pooled(), &scenario.phases[phase]);
        let in_time = |class| {
            let cell = pooled.cell(phase, class);
            Share { part: cell.good, whole: cell.offered }
        };
        let all = pooled.phase_total(phase);
        let served_ms = |class, at| {
            entry.estimate(|run: &Tally| quantile(&run.cell(phase, class).served_us, at).map(millis))
        };
        let useful = |run: &Tally| run.useful_work(phase, scenario.origin.capacity_in(described));
        Row {
            phase: described.name.clone(),
            load: described.load_label(),
            contestant: entry.contestant.to_string(),
            valid: entry.is_valid(scenario),
            useful_work: entry.estimate(|run| useful(run).map(|useful| useful * 100.0)),
            first_class: in_time(0),
            second_class: classes.second_class.is_some().then(|| in_time(1)),
            all: Share { part: all.good, whole: all.offered },
            refused: Share { part: all.refusals(), whole: all.offered },
            first_class_p50_ms: served_ms(0, 0.5),
            first_class_p99_ms: served_ms(0, 0.99),
            p50_ms: served_ms(classes.largest, 0.5),
            refusal_p99_ms: entry
                .estimate(|run| quantile(&run.phase_total(phase).refused_us, 0.99).map(millis)),
        }
    }

    /// Its figures.
    pub(super) fn cells(&self, columns: &[Column]) -> Vec<String> {
        columns.iter().map(|column| (column.cell)(self)).collect()
    }

    /// The phase, with its load.
    pub(super) fn phase(&self) -> String {
        format!("{} ({})", self.phase, self.load)
    }

    /// The contestant, marked if its figures mean nothing.
    pub(super) fn who(&self) -> String {
        let mark = if self.valid { "" } else { ": INVALID" };
        format!("{}{mark}", self.contestant)
    }
}

/// What is told of each row.
pub(super) fn columns(classes: &Classes) -> Vec<Column> {
    let Classes { first_class: first, second_class: second, largest_class: largest, .. } = classes;
    let second = second
        .as_ref()
        .map(|second| column(second, "in time", |row| row.second_class.map_or("-".into(), Share::counted)));
    // Its median stands there already if it is the first.
    let largest = (largest != first).then(|| column(largest, "p50, ms", |row| told(row.p50_ms)));
    let columns = [
        Some(column("useful", "work, %", |row| told(row.useful_work))),
        Some(column(first, "in time", |row| row.first_class.counted())),
        second,
        Some(column("all", "in time", |row| row.all.told())),
        Some(column("", "refused", |row| row.refused.told())),
        Some(column(first, "p50, ms", |row| told(row.first_class_p50_ms))),
        Some(column(first, "p99, ms", |row| told(row.first_class_p99_ms))),
        largest,
        Some(column("refusal", "p99, ms", |row| told(row.refusal_p99_ms))),
    ];
    columns.into_iter().flatten().collect()
}

fn column(top: &str, bottom: &str, cell: fn(&Row) -> String) -> Column {
    Column { heading: [top.into(), bottom.into()], cell }
}

fn told(estimate: Option<Estimate>) -> String {
    estimate.map_or("-".into(), |estimate| estimate.to_string())
}

impl Share {
    fn told(self) -> String {
        ratio(self.part, self.whole)
    }

    fn counted(self) -> String {
        format!("{} ({}/{})", self.told(), self.part, self.whole)
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::entries;
    use super::*;
    use std::time::Duration;

    fn headings(classes: &Classes) -> Vec<String> {
        columns(classes).into_iter().map(|column| column.heading.join(" ").trim().to_owned()).collect()
    }

    #[test]
    fn two_most_important_classes_are_told_of_and_the_largest() {
        let (scenario, _) = entries(&[[Duration::ZERO]]);
        let told = headings(&Classes::of(&scenario));
        assert_eq!(told[1..3], ["checkout in time", "cart in time"]);
        assert_eq!(told[5..8], ["checkout p50, ms", "checkout p99, ms", "browse p50, ms"]);
    }

    #[test]
    fn only_class_there_is_has_one_column_of_each_kind() {
        let (mut scenario, _) = entries(&[[Duration::ZERO]]);
        scenario.mix.truncate(1);
        let told = headings(&Classes::of(&scenario));
        let of_class: Vec<&String> = told.iter().filter(|heading| heading.starts_with("checkout")).collect();
        assert_eq!(of_class, ["checkout in time", "checkout p50, ms", "checkout p99, ms"]);
        assert_eq!(told.len(), 7, "{told:?}");
    }
}
