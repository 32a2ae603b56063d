//! One table of a comparison: as text, as Markdown and as JSON.
//!
//! A document has a line for each row. A terminal is too narrow for that: phases stand above
//! their rows there, and headings in two lines.

use super::entry::Entry;
use super::row::{Classes, Row, columns};
use super::sweep::Sweep;
use super::told_seeds;
use crate::report::machine::Machine;
use crate::report::millis;
use crate::scenario::Scenario;
use serde::Serialize;

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
    #[serde(flatten)]
    classes: Classes,
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

impl Repeated {
    /// The second tries of `entry`, if it has any.
    fn of(entry: &Entry) -> Option<Repeated> {
        let (contestant, seeds) = (entry.contestant.to_string(), entry.repeated.clone());
        (!seeds.is_empty()).then_some(Repeated { contestant, seeds })
    }

    fn told(&self) -> String {
        format!("{} ({})", self.contestant, told_seeds(&self.seeds))
    }
}

impl Late {
    /// How late the load of `entry` was, if it was.
    fn of(scenario: &Scenario, entry: &Entry) -> Option<Late> {
        if entry.is_valid(scenario) {
            return None;
        }
        let lag = entry.pooled().worst_lag(scenario.told_phases());
        Some(Late {
            contestant: entry.contestant.to_string(),
            phase: lag.map(|lag| scenario.phases[lag.phase].name.clone()).unwrap_or_default(),
            send_lag_p99_ms: lag.map(|lag| millis(lag.p99)).unwrap_or_default(),
        })
    }

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
        let classes = Classes::of(scenario);
        let phases = (0..scenario.phases.len()).filter(|phase| !scenario.phases[*phase].warm_up);
        let told = &classes;
        let rows =
            phases.flat_map(|phase| entries.iter().map(move |entry| Row::of(scenario, phase, told, entry)));
        let rows: Vec<Row> = rows.collect();
        Comparison {
            scenario: scenario.name.clone(),
            machine: Machine::here(),
            versions: versions(entries),
            seeds,
            sweep,
            classes,
            rows,
            partial,
            repeated: entries.iter().filter_map(Repeated::of).collect(),
            invalid: entries.iter().filter_map(|entry| Late::of(scenario, entry)).collect(),
        }
    }

    /// Whether every run was sent on time.
    pub(crate) fn is_valid(&self) -> bool {
        self.invalid.is_empty()
    }

    /// The table for a terminal.
    pub(crate) fn text(&self) -> String {
        let columns = columns(&self.classes);
        let heading = |who: &str, part: usize| -> Vec<String> {
            let parts = columns.iter().map(|column| column.heading[part].clone());
            std::iter::once(who.to_owned()).chain(parts).collect()
        };
        let mut lines = vec![heading("", 0), heading("who", 1)];
        for row in &self.rows {
            let who = std::iter::once(format!("  {}", row.who()));
            lines.push(who.chain(row.cells(&columns)).collect());
        }
        let width = |place: usize| lines.iter().map(|line| line[place].chars().count()).max();
        let widths: Vec<usize> = (0..=columns.len()).filter_map(width).collect();
        let (headings, rows) = lines.split_at(2);
        let mut text = format!("\n{}\n\n", self.title());
        headings.iter().for_each(|line| text.push_str(&padded(line, &widths)));
        let mut phase = String::new();
        for (row, line) in self.rows.iter().zip(rows) {
            if phase != row.phase() {
                phase = row.phase();
                text.push_str(&format!("{phase}\n"));
            }
            text.push_str(&padded(line, &widths));
        }
        text + &self.notes()
    }

    /// The table for a document.
    pub(crate) fn markdown(&self) -> String {
        let columns = columns(&self.classes);
        let line = |phase: &str, who: &str, cells: &[String]| {
            format!("| {phase} | {who} | {} |\n", cells.join(" | "))
        };
        let headings = columns.iter().map(|column| column.heading.join(" ").trim().to_owned());
        let headings: Vec<String> = headings.collect();
        let mut text = format!("{}\n\n", self.title());
        text.push_str(&line("phase", "who", &headings));
        text.push_str(&line("---", "---", &vec!["---:".to_owned(); columns.len()]));
        for row in &self.rows {
            text.push_str(&line(&row.phase(), &row.who(), &row.cells(&columns)));
        }
        text + &self.notes()
    }

    /// What was run, how often, and where.
    fn title(&self) -> String {
        let seeds = told_seeds(&self.seeds);
        let versions: String = self.versions.iter().map(|version| format!("; {version}")).collect();
        format!("{}, {seeds}, on {}{versions}", self.scenario, self.machine)
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

/// A line of a terminal's table: names to the left, figures to the right.
fn padded(cells: &[String], widths: &[usize]) -> String {
    let cells = cells.iter().zip(widths).enumerate().map(|(place, (cell, width))| match place {
        0 => format!("{cell:<width$}"),
        _ => format!("{cell:>width$}"),
    });
    let line = cells.collect::<Vec<_>>().join("  ");
    format!("{}\n", line.trim_end())
}

/// The versions of those who have one, each once.
fn versions(entries: &[Entry]) -> Vec<String> {
    let mut versions: Vec<String> = entries.iter().filter_map(|entry| entry.contestant.version()).collect();
    versions.sort();
    versions.dedup();
    versions
}

#[cfg(test)]
mod tests {
    use super::super::example::entries;
    use super::super::sweep;
    use super::*;
    use crate::tally::lag::{Departure, LAG_P99_MAX};
    use crate::tally::{Account, Outcome};
    use http::StatusCode;
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
    fn phases_stand_above_their_rows_and_figures_under_the_names_of_classes() {
        let (scenario, mut entries) = entries(&[[Duration::ZERO; 2]]);
        let account = |class| Account { phase: 1, class, cost: 1.0, slo: scenario.slo };
        for run in &mut entries[0].runs {
            run.offer(account(1), Departure::default());
            for (class, latency_ms) in [(0, 50), (1, 1_500)] {
                let (answer, latency) =
                    (Outcome::Answered(StatusCode::OK), Duration::from_millis(latency_ms));
                run.settle(account(class), answer, latency, Duration::from_secs(90));
            }
        }
        let comparison = Comparison::of(&scenario, vec![1, 2], None, &entries, None);
        let row = "| hot (2x) | no proxy | 0.2 +- 0.0 | 100.00 % (2/2) | 0.00 % (0/2) | 50.00 % | 0.00 % | \
                   50.0 +- 0.0 | 50.0 +- 0.0 | - | - |\n";
        assert!(comparison.markdown().contains(row), "{}", comparison.markdown());
        let text = comparison.text();
        let lines: Vec<&str> = text.lines().collect();
        let who = lines.iter().position(|line| line.starts_with("who ")).unwrap();
        let above = lines[who - 1].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(above, "useful checkout cart all checkout checkout browse refusal", "{text}");
        assert_eq!(lines[who + 1], "calm (1x)", "{text}");
        assert!(text.contains("\nhot (2x)\n  no proxy "), "{text}");
        let json = serde_json::to_value(&comparison).unwrap();
        let hot = &json["rows"][1];
        assert!(json["second_class"] == "cart" && hot["second_class"]["whole"] == 2, "{json}");
        assert!(hot["first_class_p99_ms"]["mean"].is_number() && hot["p50_ms"].is_null(), "{json}");
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
