//! One table of a comparison: as text, as Markdown and as JSON.
//!
//! Useful work and latencies are means over the repeats with their 95 % confidence
//! interval; shares near all are pooled and printed with their counts.

use super::estimate::Estimate;
use super::sweep::Sweep;
use super::told_seeds;
use crate::contestant::Contestant;
use crate::latencies::quantile;
use crate::report::machine::Machine;
use crate::report::{millis, ratio};
use crate::scenario::Scenario;
use crate::tally::Tally;
use hdrhistogram::Histogram;
use serde::Serialize;

/// Who was put through a scenario, and what came of it each time.
pub(crate) struct Entry {
    pub(crate) contestant: Contestant,
    pub(crate) runs: Vec<Tally>,
}

/// The results of a comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    scenario: String,
    machine: Machine,
    /// Of other people's proxies.
    versions: Vec<String>,
    /// One for each repeat.
    seeds: Vec<u64>,
    /// How HAProxy's best `maxconn` was found, if it was.
    sweep: Option<Sweep>,
    /// The most important class: the first of the mix.
    first_class: String,
    /// The class that shows what those wait who are let in: the one with the most requests.
    largest_class: String,
    rows: Vec<Row>,
    /// Whose load could not be sent on time, so that their figures mean nothing.
    invalid: Vec<String>,
}

/// One contestant in one phase.
#[derive(Debug, Serialize)]
struct Row {
    phase: String,
    load: String,
    contestant: String,
    /// Whether all runs of the contestant were sent on time.
    valid: bool,
    /// The cost of what was served in time, in percent of what the shop can do.
    useful_work: Option<Estimate>,
    first_class: Share,
    all: Share,
    refused: Share,
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

impl Entry {
    /// Somebody who has not run yet.
    pub(crate) fn new(contestant: Contestant) -> Entry {
        Entry { contestant, runs: Vec::new() }
    }

    fn pooled(&self) -> Tally {
        Tally::pooled(&self.runs).expect("everybody has had a turn")
    }

    fn estimate(&self, figure: impl Fn(&Tally) -> Option<f64>) -> Option<Estimate> {
        Estimate::of(&self.runs.iter().filter_map(figure).collect::<Vec<_>>())
    }

    fn is_valid(&self, scenario: &Scenario) -> bool {
        self.runs.iter().all(|run| run.is_valid(scenario.told_phases()))
    }
}

impl Comparison {
    /// The results of `entries` in `scenario`, whose runs had these seeds after this sweep.
    pub(crate) fn of(
        scenario: &Scenario,
        seeds: Vec<u64>,
        sweep: Option<Sweep>,
        entries: &[Entry],
    ) -> Comparison {
        let classes = scenario.classes();
        let share = |class: &&str| {
            let same = scenario.mix.iter().filter(|template| template.class == **class);
            same.map(|template| template.weight).sum::<f64>()
        };
        let largest = (0..classes.len()).max_by(|a, b| share(&classes[*a]).total_cmp(&share(&classes[*b])));
        let largest = largest.expect("a mix has a class");
        let phases = (0..scenario.phases.len()).filter(|phase| !scenario.phases[*phase].warm_up);
        let rows = phases
            .flat_map(|phase| entries.iter().map(move |entry| Row::of(scenario, phase, largest, entry)));
        Comparison {
            scenario: scenario.name.clone(),
            machine: Machine::here(),
            versions: versions(entries),
            seeds,
            sweep,
            first_class: classes[0].into(),
            largest_class: classes[largest].into(),
            rows: rows.collect(),
            invalid: entries
                .iter()
                .filter(|entry| !entry.is_valid(scenario))
                .map(|entry| entry.contestant.to_string())
                .collect(),
        }
    }

    /// Whether every run was sent on time.
    pub(crate) fn is_valid(&self) -> bool {
        self.invalid.is_empty()
    }

    /// The table for a terminal.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("\n{}\n", self.title());
        let cells = self.cells();
        let width =
            |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: Vec<usize> = (0..self.headings().len()).map(width).collect();
        for row in &cells {
            let padded = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 | 1 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text.push_str(&self.notes());
        text
    }

    /// The table for a document.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let cells = self.cells();
        let (heading, rows) = cells.split_first().expect("a table has a heading");
        let rule: Vec<String> =
            (0..heading.len()).map(|column| if column < 2 { "---" } else { "---:" }.into()).collect();
        let mut text = format!("{}\n\n{}{}", self.title(), line(heading), line(&rule));
        rows.iter().for_each(|row| text.push_str(&line(row)));
        text + &self.notes()
    }

    /// What was run, how often, and where.
    fn title(&self) -> String {
        let seeds = told_seeds(&self.seeds);
        let versions: String = self.versions.iter().map(|version| format!("; {version}")).collect();
        format!("{}, {seeds}, on {}{versions}", self.scenario, self.machine)
    }

    fn headings(&self) -> [String; 8] {
        [
            "phase".into(),
            "who".into(),
            "useful work, %".into(),
            format!("{} in time", self.first_class),
            "all in time".into(),
            "refused".into(),
            format!("{} p50, ms", self.largest_class),
            "refusal p99, ms".into(),
        ]
    }

    fn cells(&self) -> Vec<[String; 8]> {
        std::iter::once(self.headings()).chain(self.rows.iter().map(Row::cells)).collect()
    }

    /// What is to be known of the table: what was tried before it, and what of it means nothing.
    fn notes(&self) -> String {
        let sweep = self.sweep.as_ref().map(|sweep| format!("\n{}\n", sweep.note()));
        let warning = (!self.is_valid()).then(|| {
            let names = self.invalid.join("; ");
            format!("\nINVALID, this machine was too busy to send the load on time: {names}\n")
        });
        sweep.into_iter().chain(warning).collect()
    }
}

/// The versions of those who have one, each once.
fn versions(entries: &[Entry]) -> Vec<String> {
    let mut versions: Vec<String> = entries.iter().filter_map(|entry| entry.contestant.version()).collect();
    versions.sort();
    versions.dedup();
    versions
}

impl Row {
    fn of(scenario: &Scenario, phase: usize, largest: usize, entry: &Entry) -> Row {
        let pooled = entry.pooled();
        let (first, all) = (pooled.cell(phase, 0), pooled.phase_total(phase));
        let described = &scenario.phases[phase];
        let quantile_ms = |histogram: &Histogram<u64>, at| quantile(histogram, at).map(millis);
        Row {
            phase: described.name.clone(),
            load: described.load_label(),
            contestant: entry.contestant.to_string(),
            valid: entry.is_valid(scenario),
            useful_work: entry.estimate(|run| {
                run.useful_work(phase, scenario.origin.capacity_in(described)).map(|useful| useful * 100.0)
            }),
            first_class: Share { part: first.good, whole: first.offered },
            all: Share { part: all.good, whole: all.offered },
            refused: Share { part: all.refusals(), whole: all.offered },
            p50_ms: entry.estimate(|run| quantile_ms(&run.cell(phase, largest).served_us, 0.5)),
            refusal_p99_ms: entry.estimate(|run| quantile_ms(&run.phase_total(phase).refused_us, 0.99)),
        }
    }

    fn cells(&self) -> [String; 8] {
        let estimate =
            |estimate: Option<Estimate>| estimate.map_or("-".into(), |estimate| estimate.to_string());
        let mark = if self.valid { "" } else { ": INVALID" };
        [
            format!("{} ({})", self.phase, self.load),
            format!("{}{mark}", self.contestant),
            estimate(self.useful_work),
            self.first_class.counted(),
            ratio(self.all.part, self.all.whole),
            ratio(self.refused.part, self.refused.whole),
            estimate(self.p50_ms),
            estimate(self.refusal_p99_ms),
        ]
    }
}

impl Share {
    fn counted(self) -> String {
        format!("{} ({}/{})", ratio(self.part, self.whole), self.part, self.whole)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sweep;
    use super::*;
    use crate::tally::lag::{Departure, LAG_P99_MAX};
    use crate::tally::{Account, Expectation};
    use std::path::Path;
    use std::time::Duration;

    const SCENARIO: &str = "\
name: small
description: a minute
origin: { workers: 1, service: { mean: 100ms } }
slo: 1s
patience: 2s
mix: [{ name: page, class: browse, paths: [/], weight: 1 }]
phases:
  - { name: calm, duration: 60s, load: 1x }
  - { name: hot, duration: 60s, load: 2x }
";

    /// A comparison of nobody but no proxy, of two runs, with this lag in the second phase of the second.
    fn comparison(lag: Duration) -> Comparison {
        let scenario = Scenario::parse(Path::new("s.yaml"), SCENARIO).unwrap();
        let run = |lag| {
            let mut tally = Tally::new(scenario.spans(), 1, Expectation::Success);
            for (phase, lag) in [(0, Duration::ZERO), (1, lag)] {
                let account = Account { phase, class: 0, cost: 1.0, slo: scenario.slo };
                tally.offer(account, Departure { due: scenario.spans()[phase].start, lag });
            }
            tally
        };
        let runs = vec![run(Duration::ZERO), run(lag)];
        let sweep = sweep::example(&[(16, 0.96, true), (20, 0.98, true)]);
        Comparison::of(&scenario, vec![1, 2], Some(sweep), &[Entry { contestant: Contestant::Direct, runs }])
    }

    #[test]
    fn rows_of_one_who_was_not_sent_the_load_on_time_say_so() {
        let (late, on_time) = (comparison(LAG_P99_MAX * 2), comparison(LAG_P99_MAX / 2));
        for phase in ["calm (1x)", "hot (2x)"] {
            let row = |who: &str| format!("| {phase} | {who} | ");
            assert!(late.markdown().contains(&row("no proxy: INVALID")), "{}", late.markdown());
            assert!(on_time.markdown().contains(&row("no proxy")), "{}", on_time.markdown());
        }
        assert_eq!(late.text().lines().filter(|line| line.contains("no proxy: INVALID")).count(), 2);
        assert_eq!(serde_json::to_value(&late).unwrap()["rows"][0]["valid"], false);
        assert!(on_time.is_valid() && !late.is_valid());
    }

    #[test]
    fn notes_say_which_maxconns_were_tried_for_haproxy() {
        let comparison = comparison(LAG_P99_MAX / 2);
        for text in [comparison.text(), comparison.markdown()] {
            assert!(text.contains("16 96.0 %, 20 98.0 %. Taken: 20"), "{text}");
        }
        assert_eq!(serde_json::to_value(&comparison).unwrap()["sweep"]["tried"][1]["maxconn"], 20);
    }
}
