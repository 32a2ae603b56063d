//! Two runs side by side: what the second did otherwise.
//!
//! Phases and classes are matched by name, and one that only one run has is left
//! out. A share that differs by less than a point is not called better or worse:
//! two runs of one seed differ by as much.

use super::chart::{Axis, COLOURS, Chart, Line, Stroke};
use super::page::{counts, course_chart, document, figure, provenance, timed, verdict};
use super::record::{ClassLatency, Course, Record};
use super::{ClassReport, PhaseReport, optional_ms, percent, ratio};
use crate::timeline::Series;
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

/// The difference as text.
pub(super) fn table(before: &Record, after: &Record) -> String {
    let mut table = format!("A: {} on {}\n", before.report.source, before.report.target);
    let _ = write!(table, "B: {} on {}", after.report.source, after.report.target);
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
            @for phase in phases(before, after) { (scores(&phase)) }
            h2 { "Course" }
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
