//! Draws the course of a run as an SVG: what the door did, second by second.
//!
//! Four panels over one time axis: seats (limit and inflight), and what was
//! offered, served and refused, by class. Vertical lines part the phases. Rates are
//! averaged over a hundredth of the run, or chance would hide the course. The
//! picture is for people; programs read the JSON.

use super::ledger::{Course, Point};
use crate::report::chart::COLOURS;
use crate::scenario::Scenario;
use plotters::chart::{ChartBuilder, SeriesLabelPosition};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{PathElement, Text};
use plotters::prelude::SVGBackend;
use plotters::series::LineSeries;
use plotters::style::{BLACK, Color, IntoFont, RGBColor, ShapeStyle, WHITE};
use std::path::Path;

/// Wide enough for a thousand points, and for a screen.
const SIZE: (u32, u32) = (1_120, 1_000);
const TITLE_HEIGHT: u32 = 34;
/// How many points a line of rates has.
const RATES: usize = 100;
/// Room for the legend, to the right of the run.
const LEGEND_SHARE: f64 = 0.12;
const PHASE_LINE: RGBColor = RGBColor(170, 170, 170);

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Trouble = DrawingAreaErrorKind<std::io::Error>;

/// One line of a panel.
struct Line {
    name: String,
    colour: RGBColor,
    values: Vec<(f64, f64)>,
}

struct Panel<'a> {
    title: &'a str,
    lines: Vec<Line>,
}

/// Draws `course` into the file at `path`.
pub(crate) fn draw(path: &Path, scenario: &Scenario, course: &Course) -> Result<(), Trouble> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (title, panels) = root.split_vertically(TITLE_HEIGHT);
    let style = ("sans-serif", 20).into_font().color(&BLACK);
    title.draw_text(&scenario.name, &style, (16, 8))?;
    let contents = [
        Panel { title: "seats", lines: seats(course) },
        Panel { title: "offered per second", lines: by_class(scenario, course, |point| &point.offered) },
        Panel { title: "served per second", lines: by_class(scenario, course, |point| &point.served) },
        Panel { title: "refused per second", lines: by_class(scenario, course, |point| &point.shed) },
    ];
    for (area, panel) in panels.split_evenly((contents.len(), 1)).iter().zip(&contents) {
        draw_panel(area, panel, scenario)?;
    }
    root.present()
}

fn seats(course: &Course) -> Vec<Line> {
    let line = |name: &str, colour, value: fn(&Point) -> Option<f64>| {
        let points = timed(course).filter_map(|(time, point)| Some((time, value(point)?)));
        Line { name: name.into(), colour, values: points.collect() }
    };
    vec![
        line("inflight", COLOURS[5], |point| Some(f64::from(point.gauge.inflight))),
        line("limit", COLOURS[0], |point| point.gauge.limit),
    ]
}

fn by_class(scenario: &Scenario, course: &Course, counts: fn(&Point) -> &[u32]) -> Vec<Line> {
    let step = course.step.as_secs_f64();
    let together = course.points.len().div_ceil(RATES).max(1);
    let line = |(class, name): (usize, &&str)| {
        let mean = |(index, points): (usize, &[Point])| {
            let sum: u32 = points.iter().map(|point| counts(point)[class]).sum();
            let seconds = points.len() as f64 * step;
            ((index * together) as f64 * step + seconds / 2.0, f64::from(sum) / seconds)
        };
        let values = course.points.chunks(together).enumerate().map(mean).collect();
        Line { name: (*name).into(), colour: COLOURS[class % COLOURS.len()], values }
    };
    scenario.classes().iter().enumerate().map(line).collect()
}

/// The points with the seconds at which they end.
fn timed(course: &Course) -> impl Iterator<Item = (f64, &Point)> {
    let step = course.step.as_secs_f64();
    course.points.iter().enumerate().map(move |(index, point)| ((index + 1) as f64 * step, point))
}

fn draw_panel(area: &Canvas<'_>, panel: &Panel<'_>, scenario: &Scenario) -> Result<(), Trouble> {
    let spans = scenario.spans();
    let end = spans.last().map_or(1.0, |span| span.end.as_secs_f64());
    let values = panel.lines.iter().flat_map(|line| &line.values);
    let top = values.map(|(_, value)| *value).fold(1.0, f64::max) * 1.05;
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, ("sans-serif", 15))
        .margin_left(8)
        .margin_right(16)
        .x_label_area_size(24)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..end * (1.0 + LEGEND_SHARE), 0.0..top)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().light_line_style(WHITE).y_labels(5);
    mesh.x_label_formatter(&|time| format!("{time:.0} s")).y_label_formatter(&|value| format!("{value:.0}"));
    mesh.draw()?;
    // Names in two rows by turns: that of a short phase would run into the next.
    for ((span, phase), row) in spans.iter().zip(&scenario.phases).zip([1.0, 0.93].into_iter().cycle()) {
        let start = span.start.as_secs_f64();
        chart.draw_series([PathElement::new(vec![(start, 0.0), (start, top)], PHASE_LINE)])?;
        let label = format!("{} {}", phase.name, phase.load);
        chart.draw_series([Text::new(label, (start + end * 0.004, top * row), ("sans-serif", 11))])?;
    }
    for line in &panel.lines {
        let style = ShapeStyle { color: line.colour.to_rgba(), filled: false, stroke_width: 1 };
        let swatch = move |(x, y)| PathElement::new(vec![(x, y), (x + 14, y)], style);
        chart
            .draw_series(LineSeries::new(line.values.iter().copied(), style))?
            .label(line.name.as_str())
            .legend(swatch);
    }
    let mut legend = chart.configure_series_labels();
    legend
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(PHASE_LINE);
    legend.label_font(("sans-serif", 12)).draw()
}
