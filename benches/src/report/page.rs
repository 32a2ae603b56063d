//! A run as one HTML file: opens offline, on a telephone and on paper.
//!
//! Whoever gets it has neither this program nor a network, so style and charts are
//! in it, and there is no script. Every text is escaped by the templates; charts
//! are made from numbers alone.

use super::chart::{Axis, BACKDROP, COLOURS, Chart, Line, Stroke};
use super::record::{ClassLatency, ClassSeconds, Course, Outcome, Record};
use super::{ClassReport, PhaseReport, Report, optional_ms, percent, ratio};
use crate::client::failure::Failure;
use crate::crowd::Survival;
use crate::funnels::FunnelReport;
use crate::gauges::Gauge;
use crate::origin::Stats;
use crate::timeline::Series;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::style::RGBColor;

const STYLE: &str = include_str!("page.css");

/// The page of a run.
pub(crate) fn html(record: &Record) -> String {
    let Record { report, outcome, course } = record;
    document(
        &report.source,
        &html! {
            header {
                h1 { (report.source) }
                p.quiet { "on " (report.target) }
                (verdict(record))
            }
            @if !outcome.thresholds.is_empty() {
                h2 { "Thresholds" }
                (thresholds(outcome))
            }
            h2 { "In time, by class" }
            div.tiles { @for (index, class) in class_totals(report).iter().enumerate() { (tile(index, class)) } }
            (business(outcome))
            @for funnel in &outcome.funnels { (steps(funnel)) }
            @if !course.seconds.is_empty() {
                h2 { "Course" }
                (beginnings(course))
                div.charts { (charts(course)) }
            }
            h2 { "Scoreboard" }
            @for phase in &report.phases { (scoreboard(phase)) }
            h2 { "How it was made" }
            (provenance(record))
        },
    )
}

/// A whole page with this body.
pub(crate) fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " - plimsoll-bench" }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// Whether the numbers mean anything, and the thresholds are held.
pub(super) fn verdict(record: &Record) -> Markup {
    let Record { report, outcome, .. } = record;
    let missed = outcome.thresholds.iter().filter(|threshold| !threshold.held).count();
    html! {
        p {
            @if report.valid { span.badge.good { "valid" } } @else { span.badge.bad { "invalid" } }
            @if let Some(at) = outcome.cut_at_s { span.badge.bad { "partial: ended after " (format!("{at:.0}")) " s" } }
            @if missed > 0 { span.badge.bad { (missed) " of " (outcome.thresholds.len()) " thresholds missed" } }
            @else if !outcome.thresholds.is_empty() { span.badge.good { "thresholds held" } }
            @if let Some(punctuality) = report.punctuality() { span.quiet { (punctuality) } }
        }
        @for (kind, number) in &outcome.failures { p.bad { (number) " requests failed: " (meaning(kind)) } }
        @for remark in &outcome.remarks { p.bad { (remark) } }
    }
}

/// What a kind of failure means; one that only a newer plimsoll-bench knows stands as it is.
fn meaning(kind: &str) -> String {
    let known = serde_json::from_value::<Failure>(kind.into());
    known.map_or(kind.into(), |failure| failure.means().into())
}

fn thresholds(outcome: &Outcome) -> Markup {
    html! {
        div.scroll {
            table.narrow {
                tr { th { "threshold" } th { "measured" } th {} }
                @for threshold in &outcome.thresholds {
                    tr {
                        td { (threshold.threshold) }
                        td { (threshold.value()) }
                        @if threshold.held { td.good { "held" } } @else { td.bad { "missed" } }
                    }
                }
            }
        }
    }
}

/// What became of each class over all phases.
pub(super) struct ClassTotal<'a> {
    pub(super) class: &'a str,
    pub(super) offered: u64,
    pub(super) good: u64,
    pub(super) refused: u64,
}

/// The classes of a report, with the counts of all phases.
pub(super) fn class_totals(report: &Report) -> Vec<ClassTotal<'_>> {
    let mut totals: Vec<ClassTotal<'_>> = Vec::new();
    for class in report.phases.iter().flat_map(|phase| &phase.classes) {
        let refused = class.refused.values().sum();
        let total = ClassTotal { class: &class.class, offered: class.offered, good: class.good, refused };
        match totals.iter_mut().find(|known| known.class == total.class) {
            Some(known) => {
                known.offered += total.offered;
                known.good += total.good;
                known.refused += total.refused;
            }
            None => totals.push(total),
        }
    }
    totals
}

fn tile(index: usize, total: &ClassTotal<'_>) -> Markup {
    html! {
        div.tile style={ "border-color:" (css(colour(index))) } {
            span { (total.class) }
            b { (ratio(total.good, total.offered)) }
            span { (total.good) " of " (total.offered) ", " (total.refused) " refused" }
        }
    }
}

/// What the owner of the shop asks first: orders, and shoppers who got to the end.
fn business(outcome: &Outcome) -> Markup {
    let Survival { begun, admitted, completed, lost } = outcome.sessions;
    html! {
        @if let Some(Stats { orders, order_value, .. }) = outcome.origin {
            p { "The shop completed " b { (orders) " orders" } ", worth " (order_value) "." }
        }
        @if begun > 0 {
            p {
                "Of " (begun) " sessions, " (admitted) " were let in; of those, "
                b { (completed) " got to the end" } " and " (lost) " were lost."
            }
        }
    }
}

/// Where the sessions of a funnel were lost.
fn steps(funnel: &FunnelReport) -> Markup {
    html! {
        h3 { "Funnel " (funnel.name) }
        div.scroll {
            table.narrow {
                tr { th { "step" } th { "served" } th { "" } th { "lost" } }
                @for step in &funnel.steps {
                    tr {
                        td { (step.step) }
                        td { (step.served) }
                        td { (ratio(step.served, step.served + step.lost)) }
                        td { (step.lost) }
                    }
                }
            }
        }
    }
}

/// The colour of class number `index`.
fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

fn css(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// A chart with its caption and legend.
pub(crate) fn figure(title: &str, unit: &str, legend: &[(&str, RGBColor)], chart: &Chart) -> Markup {
    html! {
        figure {
            figcaption {
                (title)
                small {
                    (unit)
                    @for (name, colour) in legend {
                        " " span.key { i style={ "background:" (css(*colour)) } {} (name) }
                    }
                }
            }
            (PreEscaped(chart.svg()))
        }
    }
}

fn charts(course: &Course) -> Markup {
    let names = course.seconds.iter().enumerate();
    let legend: Vec<_> = names.map(|(index, class)| (class.class.as_str(), colour(index))).collect();
    let by_class = |title: &str, unit: &str, values: fn(&Series) -> Vec<Option<f64>>| {
        let line = |(index, class): (usize, &ClassSeconds)| Line {
            colour: colour(index),
            stroke: Stroke::Solid,
            points: timed(&values(&class.series)),
        };
        let lines = course.seconds.iter().enumerate().map(line).collect();
        figure(title, unit, &legend, &course_chart(course, lines))
    };
    let rate = "requests per second, over the seconds of the run";
    html! {
        (by_class("Offered", rate, |series| counts(&series.offered)))
        (by_class("Served in time", rate, |series| counts(&series.good)))
        (by_class("Refused", rate, |series| counts(&series.refused)))
        (by_class("Latency of what was served, p99", "ms, over the seconds of the run", |series| series.p99_ms.clone()))
        @if !course.gauges.is_empty() { (limit_figure(course)) }
        (figure("Latency distribution", "share served within so many ms", &legend, &distribution(&course.latency)))
    }
}

/// What the marks of charts over time are.
pub(super) fn beginnings(course: &Course) -> Markup {
    let later = course.spans.iter().skip(1);
    let told = later.map(|span| format!("{} ({} s)", span.name, span.start_s.round()));
    let told = told.collect::<Vec<_>>().join(", ");
    html! {
        @if !told.is_empty() { p.quiet { "A line from bottom to top is where a phase begins: " (told) "." } }
    }
}

/// A chart over the time of a run, with its phases marked.
pub(super) fn course_chart(course: &Course, lines: Vec<Line>) -> Chart {
    // The first phase begins at the axis.
    let marks = course.spans.iter().skip(1).map(|span| span.start_s).collect();
    Chart { across: Axis::Linear, up: Axis::Linear, marks, lines }
}

/// The limit before the load that it was given, drawn to the same height: what matters is how they move.
fn limit_figure(course: &Course) -> Markup {
    let seats = |value: fn(&Gauge) -> f64| {
        course.gauges.iter().map(|gauge| (gauge.at_s, value(gauge))).collect::<Vec<_>>()
    };
    let top = |points: &[(f64, f64)]| points.iter().map(|point| point.1).fold(1.0, f64::max);
    let offered = course.total_seconds.as_ref().map_or(Vec::new(), |total| timed(&counts(&total.offered)));
    let (limit, inflight) = (seats(|gauge| gauge.limit), seats(|gauge| gauge.inflight));
    let (highest, most) = (top(&limit).max(top(&inflight)), top(&offered));
    let scaled = offered.into_iter().map(|(time, rate)| (time, rate * highest / most)).collect();
    let lines = vec![
        Line { colour: BACKDROP, stroke: Stroke::Filled, points: scaled },
        Line { colour: COLOURS[5], stroke: Stroke::Solid, points: inflight },
        Line { colour: COLOURS[0], stroke: Stroke::Solid, points: limit },
    ];
    let offered = format!("offered (at most {most:.0}/s)");
    let legend = [("limit", COLOURS[0]), ("in flight", COLOURS[5]), (offered.as_str(), BACKDROP)];
    figure("Limit against offered load", "seats", &legend, &course_chart(course, lines))
}

fn distribution(classes: &[ClassLatency]) -> Chart {
    let line = |(index, class): (usize, &ClassLatency)| Line {
        colour: colour(index),
        stroke: Stroke::Solid,
        points: class.served.clone(),
    };
    let lines = classes.iter().enumerate().map(line).collect();
    Chart { across: Axis::Logarithmic, up: Axis::Percent, marks: Vec::new(), lines }
}

/// Counts as values of a chart.
pub(super) fn counts(counts: &[u32]) -> Vec<Option<f64>> {
    counts.iter().map(|count| Some(f64::from(*count))).collect()
}

/// The values of seconds that have one, at the middle of each second.
pub(super) fn timed(values: &[Option<f64>]) -> Vec<(f64, f64)> {
    let timed = values.iter().enumerate();
    timed.filter_map(|(second, value)| Some((second as f64 + 0.5, (*value)?))).collect()
}

fn scoreboard(phase: &PhaseReport) -> Markup {
    let useful = phase.useful_work.map(|useful| format!(", useful work {}", percent(useful)));
    html! {
        h3 { (phase.name) " " small { (phase.load) (useful.unwrap_or_default()) } }
        div.scroll {
            table {
                tr {
                    th { "class" }
                    @for name in ["offered", "in time", "", "late", "refused", "of them late", "failed",
                        "timed out", "p50 ms", "p99 ms", "refusal p99 ms", "other answers"] {
                        th { (name) }
                    }
                }
                @for class in &phase.classes { (score(class)) }
            }
        }
    }
}

fn score(class: &ClassReport) -> Markup {
    let others = class.errors.iter().map(|(status, number)| format!("{number} x {status}"));
    html! {
        tr {
            td { (class.class) }
            td { (class.offered) }
            td { (class.good) }
            td { (ratio(class.good, class.offered)) }
            @for count in [class.late, class.refused.values().sum(), class.refused_late, class.failed, class.timed_out] {
                @if count == 0 { td.quiet { "0" } } @else { td { (count) } }
            }
            @for quantile in [class.served_p50_ms, class.served_p99_ms, class.refused_p99_ms] {
                td { (optional_ms(quantile)) }
            }
            td { (others.collect::<Vec<_>>().join(", ")) }
        }
    }
}

/// Where a run comes from.
pub(super) fn provenance(record: &Record) -> Markup {
    let Record { report, course, .. } = record;
    let seeds = report.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let machine = course.machine.as_ref().map(ToString::to_string);
    let version = course.version.as_ref().map(|version| format!("plimsoll-bench {version}"));
    let facts = [
        ("seed", (!seeds.is_empty()).then_some(seeds)),
        ("began", course.started.clone()),
        ("machine", machine),
        ("made by", version),
        ("command", course.command.clone()),
    ];
    html! {
        dl { @for (name, fact) in facts { @if let Some(fact) = fact { dt { (name) } dd { (fact) } } } }
        @if let Some(scenario) = &course.scenario { pre { (scenario) } }
    }
}
