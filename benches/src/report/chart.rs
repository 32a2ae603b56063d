//! Draws one chart as an SVG that a page takes in: lines over an axis.
//!
//! Ink and lines are drawn in a few fixed colours, which the page's style sheet
//! replaces by those of the reader's light or dark theme. So there is no ground,
//! and no legend: a page has one legend for all its charts.

use plotters::chart::ChartBuilder;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::IntoDrawingArea;
use plotters::element::PathElement;
use plotters::prelude::{Cartesian2d, ChartContext, SVGBackend};
use plotters::series::{AreaSeries, DashedLineSeries, LineSeries};
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle};

/// Colours that colour-blind people can tell apart: those of Okabe and Ito, where grey stands for their black and Tol's
/// olive for their yellow, which is too pale for a line.
pub(crate) const COLOURS: [RGBColor; 8] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
    RGBColor(153, 153, 51),
];
/// Text; the style sheet knows it as `#000000`.
const INK: RGBColor = RGBColor(0, 0, 0);
/// What helps the eye: grid and marks. The style sheet knows it as `#DDDDDD`.
const GRID: RGBColor = RGBColor(0xDD, 0xDD, 0xDD);
/// What lies behind the lines.
pub(crate) const BACKDROP: RGBColor = COLOURS[6];
/// Small enough for a telephone to show its labels in a readable size.
const SIZE: (u32, u32) = (480, 260);
const LABEL_SIZE: u32 = 15;
/// How many points a line has at most: one for each dot across.
const POINTS_MAX: usize = 480;

type Canvas<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stroke {
    Solid,
    Dashed,
    /// An area down to the axis.
    Filled,
}

/// A line of a chart.
pub(crate) struct Line {
    pub(crate) colour: RGBColor,
    pub(crate) stroke: Stroke,
    pub(crate) points: Vec<(f64, f64)>,
}

/// What the values of an axis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    /// Plain numbers, from zero.
    Linear,
    /// Numbers that are drawn by their logarithm.
    Logarithmic,
    /// Fractions, as percent.
    Percent,
}

/// A chart.
pub(crate) struct Chart {
    pub(crate) across: Axis,
    pub(crate) up: Axis,
    /// Lines from bottom to top, where something begins.
    pub(crate) marks: Vec<f64>,
    pub(crate) lines: Vec<Line>,
}

impl Axis {
    /// Where a value stands on the axis; a logarithm begins at a thousandth, a microsecond of milliseconds.
    fn place(self, value: f64) -> f64 {
        match self {
            Axis::Linear | Axis::Percent => value,
            Axis::Logarithmic => value.max(1e-3).log10(),
        }
    }

    fn label(self, place: f64) -> String {
        match self {
            Axis::Percent => format!("{:.0} %", place * 100.0),
            Axis::Linear => short(place),
            Axis::Logarithmic => short(10_f64.powf(place)),
        }
    }

    fn range(self, values: impl Iterator<Item = f64> + Clone) -> std::ops::Range<f64> {
        let top = values.clone().fold(f64::NEG_INFINITY, f64::max);
        match self {
            Axis::Percent => 0.0..1.0,
            Axis::Linear => 0.0..if top > 0.0 { top * 1.05 } else { 1.0 },
            Axis::Logarithmic if top.is_finite() => {
                let bottom = values.fold(f64::INFINITY, f64::min).floor();
                bottom..top.max(bottom + 1.0)
            }
            Axis::Logarithmic => 0.0..1.0,
        }
    }
}

impl Chart {
    /// The chart as the text of an `svg` element.
    pub(crate) fn svg(&self) -> String {
        let mut svg = String::new();
        self.draw(&mut svg).expect("a string takes all that is drawn on it");
        svg
    }

    fn draw(&self, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let places: Vec<(f64, f64)> =
            self.lines.iter().flat_map(|line| &line.points).map(|point| self.place(*point)).collect();
        let across = self.across.range(places.iter().map(|place| place.0));
        let up = self.up.range(places.iter().map(|place| place.1));
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        let mut canvas = ChartBuilder::on(&root)
            .margin(6)
            .margin_right(14)
            .x_label_area_size(24)
            .y_label_area_size(46)
            .build_cartesian_2d(across, up.clone())?;
        self.mesh(&mut canvas)?;
        let marks = self.marks.iter().map(|mark| PathElement::new(vec![(*mark, 0.0), (*mark, up.end)], GRID));
        canvas.draw_series(marks)?;
        for line in &self.lines {
            self.draw_line(&mut canvas, line)?;
        }
        root.present()?;
        Ok(())
    }

    fn mesh(&self, canvas: &mut Canvas<'_>) -> Result<(), Box<dyn std::error::Error>> {
        let label = ("sans-serif", LABEL_SIZE).into_font().color(&INK);
        let (across, up) = (self.across, self.up);
        canvas
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(GRID.mix(0.0))
            .axis_style(GRID)
            .label_style(label)
            .x_labels(6)
            .y_labels(5)
            .x_label_formatter(&|place| across.label(*place))
            .y_label_formatter(&|place| up.label(*place))
            .draw()?;
        Ok(())
    }

    fn draw_line(&self, canvas: &mut Canvas<'_>, line: &Line) -> Result<(), Box<dyn std::error::Error>> {
        let points = thinned(&line.points).into_iter().map(|point| self.place(point));
        let style = ShapeStyle { color: line.colour.to_rgba(), filled: false, stroke_width: 2 };
        match line.stroke {
            Stroke::Solid => canvas.draw_series(LineSeries::new(points, style)).map(drop)?,
            Stroke::Dashed => canvas.draw_series(DashedLineSeries::new(points, 5, 4, style)).map(drop)?,
            Stroke::Filled => {
                canvas.draw_series(AreaSeries::new(points, 0.0, line.colour.mix(0.25))).map(drop)?;
            }
        }
        Ok(())
    }

    fn place(&self, (across, up): (f64, f64)) -> (f64, f64) {
        (self.across.place(across), self.up.place(up))
    }
}

/// As many points as can be told apart, each the mean of its neighbours.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let together = points.len().div_ceil(POINTS_MAX).max(1);
    let mean = |points: &[(f64, f64)]| {
        let sum = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / points.len() as f64, sum.1 / points.len() as f64)
    };
    points.chunks(together).map(mean).collect()
}

/// A number in as little room as its size allows.
fn short(number: f64) -> String {
    match number.abs() {
        ..0.0005 => "0".into(),
        ..1.0 => format!("{number:.1}"),
        ..9_999.5 => format!("{number:.0}"),
        _ => format!("{:.0}k", number / 1_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        let line = Line { colour: COLOURS[0], stroke: Stroke::Solid, points };
        Chart { across: Axis::Linear, up: Axis::Linear, marks: vec![1.0], lines: vec![line] }
    }

    #[test]
    fn chart_is_drawn_in_the_colours_that_the_style_sheet_replaces() {
        let svg = chart(vec![(0.0, 0.0), (2.0, 30.0)]).svg();
        assert!(svg.starts_with("<svg") && svg.contains("#000000") && svg.contains("#DDDDDD"), "{svg}");
        assert!(svg.contains("#D55E00") && !svg.contains("#FFFFFF"), "{svg}");
    }

    #[test]
    fn each_class_of_the_shipped_policy_has_a_colour_of_its_own() {
        assert!(plimsoll::policy::storefront().core.classes().len() <= COLOURS.len());
    }

    #[test]
    fn chart_of_nothing_can_be_drawn() {
        for (across, up) in [(Axis::Linear, Axis::Linear), (Axis::Logarithmic, Axis::Percent)] {
            let chart = Chart { across, up, ..chart(Vec::new()) };
            assert!(chart.svg().starts_with("<svg"));
        }
    }

    #[test]
    fn long_line_is_thinned_by_means() {
        let points: Vec<(f64, f64)> =
            (0..960).map(|index| (f64::from(index), f64::from(index % 2))).collect();
        let thinned = thinned(&points);
        assert_eq!((thinned.len(), thinned[0], thinned[479]), (480, (0.5, 0.5), (958.5, 0.5)));
    }
}
