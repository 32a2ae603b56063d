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
    /// One for each seed.
    pub(crate) runs: Vec<Tally>,
    /// The seeds of those that are a second try, for the load of the first was late.
    pub(crate) repeated: Vec<u64>,
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
    /// Whether it was ended early, and then how early.
    partial: Option<Partial>,
    /// What was run a second time, for the load was late.
    repeated: Vec<Repeated>,
    /// Whose load could not be sent on time, so that their figures mean nothing.
    invalid: Vec<Late>,
}

/// A comparison that its user has ended: so many of its runs were over.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Partial {
    pub(crate) runs: usize,
    pub(crate) of: usize,
}

/// Runs of a contestant that are a second try.
#[derive(Debug, Serialize)]
struct Repeated {
    contestant: String,
    seeds: Vec<u64>,
}

/// A contestant whose load was late, and where most.
#[derive(Debug, Serialize)]
struct Late {
    contestant: String,
    phase: String,
    send_lag_p99_ms: f64,
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
        Entry { contestant, runs: Vec::new(), repeated: Vec::new() }
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

    fn repeated(&self) -> Option<Repeated> {
        let (contestant, seeds) = (self.contestant.to_string(), self.repeated.clone());
        (!seeds.is_empty()).then_some(Repeated { contestant, seeds })
    }

    fn late(&self, scenario: &Scenario) -> Option<Late> {
        if self.is_valid(scenario) {
            return None;
        }
        let lag = self.pooled().worst_lag(scenario.told_phases());
        Some(Late {
            contestant: self.contestant.to_string(),
            phase: lag.map(|lag| scenario.phases[lag.phase].name.clone()).unwrap_or_default(),
            send_lag_p99_ms: lag.map(|lag| millis(lag.p99)).unwrap_or_default(),
        })
    }
}

impl Repeated {
    fn told(&self) -> String {
        format!("{} ({})", self.contestant, told_seeds(&self.seeds))
    }
}

impl Late {
    fn told(&self) -> String {
        format!("{} (p99 {:.0} ms late, in {})", self.contestant, self.send_lag_p99_ms, self.phase)
    }
}

impl Comparison {
    /// The results of `entries` in `scenario`, whose runs had these seeds after this sweep.
    pub(crate) fn of(
        scenario: &Scenario,
        seeds: Vec<u64>,
        sweep: Option<Sweep>,
        entries: &[Entry],
        partial: Option<Partial>,
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
            partial,
            repeated: entries.iter().filter_map(Entry::repeated).collect(),
            invalid: entries.iter().filter_map(|entry| entry.late(scenario)).collect(),
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

    /// What is to be known of the table: what was tried before it, what was run twice, and what means nothing.
    fn notes(&self) -> String {
        let joined = |told: Vec<String>| (!told.is_empty()).then(|| told.join("; "));
        let sweep = self.sweep.as_ref().map(|sweep| format!("\n{}\n", sweep.note()));
        let repeated = joined(self.repeated.iter().map(Repeated::told).collect());
        let repeated = repeated.map(|told| format!("\nRun again, once, for the load was late: {told}\n"));
        let late = joined(self.invalid.iter().map(Late::told).collect());
        let warning = late
            .map(|told| format!("\nINVALID, this machine was too busy to send the load on time: {told}\n"));
        let partial =
            self.partial.map(|Partial { runs, of }| format!("\nPARTIAL: ended after {runs} of {of} runs\n"));
        sweep.into_iter().chain(repeated).chain(warning).chain(partial).collect()
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
    use super::super::example::entries;
    use super::super::sweep;
    use super::*;
    use crate::tally::lag::LAG_P99_MAX;
    use std::time::Duration;

    /// A comparison of nobody but no proxy, of two runs, with this lag in the second phase of the second, which is a
    /// second try.
    fn comparison(lag: Duration) -> Comparison {
        let (scenario, mut entries) = entries(&[[Duration::ZERO, lag]]);
        entries[0].repeated.push(2);
        let sweep = sweep::example(&[(16, 0.96, true), (20, 0.98, true)]);
        Comparison::of(&scenario, vec![1, 2], Some(sweep), &entries, Some(Partial { runs: 2, of: 6 }))
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
        assert!(late.text().contains("on time: no proxy (p99 40 ms late, in hot)\n"), "{}", late.text());
    }

    #[test]
    fn notes_say_what_is_a_second_try_and_what_was_not_run() {
        let comparison = comparison(LAG_P99_MAX / 2);
        let told = "Run again, once, for the load was late: no proxy (seed 2)\n";
        assert!(comparison.markdown().contains(told), "{}", comparison.markdown());
        assert!(!comparison.markdown().contains("INVALID"), "it was on time then");
        assert!(comparison.text().ends_with("PARTIAL: ended after 2 of 6 runs\n"), "{}", comparison.text());
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
