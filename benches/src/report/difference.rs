//! Two runs side by side: what the second did otherwise.
//!
//! Phases and classes are matched by name, and one that only one run has is left
//! out. A share that differs by less than a point is not called better or worse:
//! two runs of one seed differ by as much.

use super::chart::{Axis, COLOURS, Chart, Line, Stroke};
use super::page::{beginnings, counts, course_chart, document, figure, provenance, timed, verdict};
use super::record::{ClassLatency, Course, Record};
use super::{ClassReport, PhaseReport, optional_ms, percent, ratio};
use crate::crowd::Survival;
use crate::timeline::Series;
use crate::verdict::Verdict;
use maud::{Markup, html};
use plotters::style::RGBColor;
use std::fmt::Write;

/// A difference of shares that is worth a colour: see above.
const WORTH_A_WORD: f64 = 0.01;
const BEFORE: RGBColor = COLOURS[1];
const AFTER: RGBColor = COLOURS[0];
const LEGEND: [(&str, RGBColor); 2] = [("A", BEFORE), ("B", AFTER)];

/// Something both runs have.
struct Pair<'a, T> {
    before: &'a T,
    after: &'a T,
}

/// Those of one list that have a namesake in the other, in its order.
fn pairs<'a, T>(before: &'a [T], after: &'a [T], name: impl Fn(&T) -> &str) -> Vec<Pair<'a, T>> {
    let namesake = |one: &'a T| {
        let other = after.iter().find(|other| name(other) == name(one));
        other.map(|after| Pair { before: one, after })
    };
    before.iter().filter_map(namesake).collect()
}

fn phases<'a>(before: &'a Record, after: &'a Record) -> Vec<Pair<'a, PhaseReport>> {
    pairs(&before.report.phases, &after.report.phases, |phase| &phase.name)
}

fn classes<'a>(phase: &Pair<'a, PhaseReport>) -> Vec<Pair<'a, ClassReport>> {
    pairs(&phase.before.classes, &phase.after.classes, |class| &class.class)
}

impl Pair<'_, ClassReport> {
    /// By how much more is in time in the second run, as a fraction.
    fn gain(&self) -> Option<f64> {
        let share =
            |class: &ClassReport| (class.offered > 0).then(|| class.good as f64 / class.offered as f64);
        Some(share(self.after)? - share(self.before)?)
    }
}

/// What a run as a whole came to, by one measure.
struct Found {
    text: String,
    /// How it is shown: as `good`, `bad`, or as neither.
    manner: &'static str,
}

impl Found {
    fn of(verdict: &Verdict) -> Found {
        let (word, manner) = if verdict.held { ("held", "good") } else { ("MISSED", "bad") };
        Found { text: format!("{} {word}", verdict.value()), manner }
    }

    fn orders(record: &Record) -> Option<Found> {
        let orders = record.outcome.origin.as_ref()?.orders;
        Some(Found { text: orders.to_string(), manner: "plain" })
    }

    fn sessions(record: &Record) -> Option<Found> {
        let Survival { begun, completed, lost, .. } = record.outcome.sessions;
        let text = ratio(completed, completed + lost);
        (begun > 0).then_some(Found { text, manner: "plain" })
    }
}

/// What both runs came to: thresholds that both have, orders, sessions.
fn founds(before: &Record, after: &Record) -> Vec<(String, Found, Found)> {
    let thresholds =
        pairs(&before.outcome.thresholds, &after.outcome.thresholds, |verdict| &verdict.threshold);
    let thresholds = thresholds
        .iter()
        .map(|pair| (pair.before.threshold.clone(), Found::of(pair.before), Found::of(pair.after)));
    let whole =
        |name: &str, of: fn(&Record) -> Option<Found>| Some((name.to_owned(), of(before)?, of(after)?));
    let orders = whole("orders that the shop completed", Found::orders);
    let sessions = whole("sessions that got to the end", Found::sessions);
    thresholds.chain(orders).chain(sessions).collect()
}

/// The difference as text.
pub(super) fn table(before: &Record, after: &Record) -> String {
    let mut table = format!("A: {} on {}\n", before.report.source, before.report.target);
    let _ = write!(table, "B: {} on {}", after.report.source, after.report.target);
    for (index, (name, a, b)) in founds(before, after).iter().enumerate() {
        let gap = if index == 0 { "\n\n" } else { "\n" };
        let _ = write!(table, "{gap}  {name:<50}{:>18}{:>18}", a.text, b.text);
    }
    for phase in phases(before, after) {
        let _ = write!(table, "\n\n{} ({})\n{HEADING}", phase.before.name, loads(&phase));
        for class in classes(&phase) {
            let (a, b) = (class.before, class.after);
            let _ = write!(
                table,
                "\n  {:<12}{:>10}{:>10}{:>11}{:>9}{:>9}{:>9}{:>9}{:>11}{:>11}",
                a.class,
                ratio(a.good, a.offered),
                ratio(b.good, b.offered),
                points(class.gain()),
                optional_ms(a.served_p50_ms),
                optional_ms(b.served_p50_ms),
                optional_ms(a.served_p99_ms),
                optional_ms(b.served_p99_ms),
                a.refused.values().sum::<u64>(),
                b.refused.values().sum::<u64>(),
            );
        }
    }
    table
}

const HEADING: &str = "  class        in time A         B     points    p50 A        B    p99 A        B  \
                       refused A          B";

/// The difference as a page.
pub(super) fn html(before: &Record, after: &Record) -> String {
    document(
        &format!("{} and {}", before.report.source, after.report.source),
        &html! {
            header { h1 { "Two runs" } }
            div.charts { (side("A", before)) (side("B", after)) }
            h2 { "What differs" }
            (whole(before, after))
            @for phase in phases(before, after) { (scores(&phase)) }
            h2 { "Course" }
            (beginnings(&before.course))
            div.charts { (charts(&before.course, &after.course)) }
            h2 { "How A was made" }
            (provenance(before))
            h2 { "How B was made" }
            (provenance(after))
        },
    )
}

fn side(name: &str, record: &Record) -> Markup {
    html! {
        div {
            h3 { (name) ": " (record.report.source) }
            p.quiet { "on " (record.report.target) }
            (verdict(record))
        }
    }
}

fn whole(before: &Record, after: &Record) -> Markup {
    let founds = founds(before, after);
    html! {
        @if !founds.is_empty() {
            div.scroll {
                table.narrow {
                    tr { th { "of the whole run" } th { "A" } th { "B" } }
                    @for (name, a, b) in &founds {
                        tr { td { (name) } td class=(a.manner) { (a.text) } td class=(b.manner) { (b.text) } }
                    }
                }
            }
        }
    }
}

fn loads(phase: &Pair<'_, PhaseReport>) -> String {
    let (a, b) = (phase.before, phase.after);
    if a.load == b.load { a.load.clone() } else { format!("{} and {}", a.load, b.load) }
}

fn scores(phase: &Pair<'_, PhaseReport>) -> Markup {
    let useful = phase.before.useful_work.zip(phase.after.useful_work);
    html! {
        h3 {
            (phase.before.name) " "
            small {
                (loads(phase))
                @if let Some((a, b)) = useful { ", useful work " (percent(a)) " and " (percent(b)) }
            }
        }
        div.scroll {
            table {
                tr {
                    th { "class" }
                    @for name in ["in time A", "B", "points", "p50 ms A", "B", "p99 ms A", "B", "refused A", "B",
                        "refusal p99 ms A", "B"] { th { (name) } }
                }
                @for class in classes(phase) { (score(&class)) }
            }
        }
    }
}

fn score(class: &Pair<'_, ClassReport>) -> Markup {
    let (a, b) = (class.before, class.after);
    let verdict = match class.gain() {
        Some(gain) if gain >= WORTH_A_WORD => "good",
        Some(gain) if gain <= -WORTH_A_WORD => "bad",
        _ => "quiet",
    };
    html! {
        tr {
            td { (a.class) }
            td { (ratio(a.good, a.offered)) }
            td { (ratio(b.good, b.offered)) }
            td class=(verdict) { (points(class.gain())) }
            @for quantile in [a.served_p50_ms, b.served_p50_ms, a.served_p99_ms, b.served_p99_ms] {
                td { (optional_ms(quantile)) }
            }
            td { (a.refused.values().sum::<u64>()) }
            td { (b.refused.values().sum::<u64>()) }
            td { (optional_ms(a.refused_p99_ms)) }
            td { (optional_ms(b.refused_p99_ms)) }
        }
    }
}

/// A difference of shares, in points of percent.
fn points(gain: Option<f64>) -> String {
    gain.map_or("-".into(), |gain| format!("{:+.2}", gain * 100.0))
}

fn charts(before: &Course, after: &Course) -> Markup {
    let totals = |values: fn(&Series) -> Vec<Option<f64>>| {
        let of =
            |course: &Course| course.total_seconds.as_ref().map_or(Vec::new(), |total| timed(&values(total)));
        course_chart(before, both(of(before), of(after)))
    };
    let limits = |course: &Course| course.gauges.iter().map(|gauge| (gauge.at_s, gauge.limit)).collect();
    html! {
        (figure("Offered", "requests per second", &LEGEND, &totals(|series| counts(&series.offered))))
        (figure("Served in time", "requests per second", &LEGEND, &totals(|series| counts(&series.good))))
        (figure("Refused", "requests per second", &LEGEND, &totals(|series| counts(&series.refused))))
        (figure("Latency of what was served, p99", "ms", &LEGEND, &totals(|series| series.p99_ms.clone())))
        @if !(before.gauges.is_empty() && after.gauges.is_empty()) {
            (figure("Limit", "seats", &LEGEND, &course_chart(before, both(limits(before), limits(after)))))
        }
        @for class in pairs(&before.latency, &after.latency, |class| &class.class) { (distribution(&class)) }
    }
}

fn distribution(class: &Pair<'_, ClassLatency>) -> Markup {
    let lines = both(class.before.served.clone(), class.after.served.clone());
    let chart = Chart { across: Axis::Logarithmic, up: Axis::Percent, marks: Vec::new(), lines };
    let title = format!("Latency distribution of {}", class.before.class);
    figure(&title, "share served within so many ms", &LEGEND, &chart)
}

fn both(before: Vec<(f64, f64)>, after: Vec<(f64, f64)>) -> Vec<Line> {
    let line = |colour, stroke, points| Line { colour, stroke, points };
    vec![line(BEFORE, Stroke::Dashed, before), line(AFTER, Stroke::Solid, after)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record(more: Value) -> Record {
        let mut value = json!({
            "source": "s", "target": "t", "seeds": [1], "valid": true, "send_lag_p99_ms": 1.5, "phases": [],
            "spans": [
                { "name": "calm", "start_s": 0.0, "end_s": 2.0 },
                { "name": "rush", "start_s": 2.0, "end_s": 5.0 },
            ],
            "seconds": [{
                "class": "cart", "offered": [1], "good": [1], "late": [0], "refused": [0], "failed": [0],
                "p50_ms": [1.0], "p99_ms": [1.0],
            }],
        });
        let (value_keys, more) = (value.as_object_mut().unwrap(), more.as_object().unwrap().clone());
        value_keys.extend(more);
        Record::of(value).unwrap()
    }

    fn outcome(threshold: &str, measured_ms: f64, held: bool, orders: u64) -> Record {
        record(json!({
            "thresholds": [{ "threshold": threshold, "measured": measured_ms, "held": held, "is_time": true }],
            "origin": {
                "orders": orders, "order_value": 0, "served": {}, "cost_served": 0.0, "waiting": 0, "busy": 0,
            },
            "sessions": { "begun": 10, "admitted": 9, "completed": 6, "lost": 2 },
        }))
    }

    #[test]
    fn difference_has_the_thresholds_the_orders_and_the_sessions_of_both() {
        let threshold = "all.p99 < 1s";
        let (before, after) = (outcome(threshold, 2.5, true, 7), outcome(threshold, 2_000.0, false, 5));
        let (text, page) = (table(&before, &after), html(&before, &after));
        let rows =
            [[threshold, "2.5 ms held", "2000 ms MISSED"], ["orders that the shop completed", "7", "5"]];
        for [name, a, b] in rows {
            let row = text.lines().find(|line| line.contains(name)).unwrap();
            assert!(row.contains(a) && row.ends_with(b), "{text}");
            let cell = |found: &str| page.contains(&format!(">{found}</td>"));
            assert!(cell(a) && cell(b), "{page}");
        }
        assert!(text.contains("sessions that got to the end") && page.contains(">75.00 %</td>"), "{text}");
    }

    #[test]
    fn what_only_one_run_has_is_left_out() {
        let (before, after) = (outcome("all.p99 < 1s", 2.5, true, 7), record(json!({})));
        assert!(founds(&before, &after).is_empty());
        let other = outcome("all.p50 < 1s", 2.5, true, 7);
        let names: Vec<String> = founds(&before, &other).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["orders that the shop completed", "sessions that got to the end"]);
    }

    #[test]
    fn beginnings_of_phases_are_named_where_the_course_is_drawn() {
        let before = record(json!({}));
        assert!(html(&before, &before).contains("is where a phase begins: rush (2 s)."));
        assert!(super::super::page::html(&before).contains("is where a phase begins: rush (2 s)."));
    }
}
