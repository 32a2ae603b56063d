//! The live view of a run on a terminal: rates, latency, limit, and who is shed.
//!
//! It takes a few lines below the cursor and leaves them there, so that what was
//! seen last stays above the results. There is nothing to press: Ctrl-C is the
//! command's business, and the terminal keeps its usual mode.

use crate::gauges::Gauge;
use crate::progress::Watched;
use crate::terminal::{self, Screen};
use crate::timeline::{Series, Timeline};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, LegendPosition, Paragraph, Row, Table};

/// The seconds that the charts show.
const SHOWN: usize = 60;
/// A chart's height: a frame, an axis with its labels, and eight lines of four dots.
const CHART_HEIGHT: u16 = 12;
/// The title, the heading of the table, and an empty line, where what is printed next begins.
const OTHER_LINES: u16 = 3;

/// The columns of the table behind the class.
const HEADINGS: [&str; 7] = ["offered", "in time", "late", "refused", "failed", "p50 ms", "p99 ms"];
/// Room for the names of most classes.
const CLASS_WIDTH: u16 = 12;
/// Room for a count of millions.
const COUNT_WIDTH: u16 = 8;

const OFFERED: Color = Color::Gray;
const IN_TIME: Color = Color::Green;
const REFUSED: Color = Color::Yellow;
const SLOW: Color = Color::Red;
const LIMIT: Color = Color::Cyan;

type Points = Vec<(f64, f64)>;

/// A part of the terminal that shows a run.
pub(crate) struct Dashboard {
    screen: Screen,
}

/// One line of a chart.
struct Curve {
    name: &'static str,
    colour: Color,
    points: Points,
}

impl Dashboard {
    /// Takes its place on the terminal, if there is one.
    pub(crate) fn open(watched: &Watched<'_>) -> Option<Dashboard> {
        let classes = u16::try_from(watched.classes.len()).ok()?;
        let screen = terminal::screen(CHART_HEIGHT + OTHER_LINES + classes)?;
        Some(Dashboard { screen })
    }

    /// Shows the seconds that are over, while `label` is on.
    pub(crate) fn draw(&mut self, watched: &Watched<'_>, timeline: &Timeline, label: &str) {
        let gauges = watched.gauges.samples();
        // A terminal that cannot be drawn on is no reason to end a run.
        let _ = self.screen.draw(|frame| view(frame, watched, timeline, &gauges, label));
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        // What is printed next belongs below what was seen last.
        let below = self.screen.get_frame().area().bottom().saturating_sub(1);
        let _ = self.screen.set_cursor_position((0, below));
    }
}

fn view(frame: &mut Frame<'_>, watched: &Watched<'_>, timeline: &Timeline, gauges: &[Gauge], label: &str) {
    let parts = [Constraint::Length(1), Constraint::Length(CHART_HEIGHT), Constraint::Min(0)];
    let [title, charts, table] = Layout::vertical(parts).areas(frame.area());
    let [rates, seats] = Layout::horizontal([Constraint::Fill(1); 2]).areas(charts);
    frame.render_widget(heading(watched.title, label, timeline.total()), title);
    draw_chart(frame, rates, " requests per second ", &rate_curves(timeline.total()));
    match gauges {
        [] => draw_chart(frame, seats, " latency p99, ms ", &latency_curves(timeline.total())),
        gauges => {
            draw_chart(frame, seats, " seats of the proxy ", &seat_curves(gauges, timeline.total().len()))
        }
    }
    frame.render_widget(scores(watched.classes, timeline, table.width), table);
}

fn heading(title: &str, label: &str, total: &Series) -> Paragraph<'static> {
    Paragraph::new(Line::from(vec![
        Span::from(title.to_owned()).bold(),
        format!("  {label}  {} s  ", total.len()).into(),
        Span::from(total.last_line()).dim(),
    ]))
}

fn rate_curves(total: &Series) -> Vec<Curve> {
    let curve = |name, colour, counts: &[u32]| {
        let values: Vec<Option<f64>> = counts.iter().map(|count| Some(f64::from(*count))).collect();
        Curve { name, colour, points: recent(&values) }
    };
    vec![
        curve("offered", OFFERED, &total.offered),
        curve("refused", REFUSED, &total.refused),
        curve("in time", IN_TIME, &total.good),
    ]
}

fn latency_curves(total: &Series) -> Vec<Curve> {
    vec![Curve { name: "p99", colour: SLOW, points: recent(&total.p99_ms) }]
}

fn seat_curves(gauges: &[Gauge], seconds: usize) -> Vec<Curve> {
    let from = seconds.saturating_sub(SHOWN) as f64;
    let curve = |name, colour, value: fn(&Gauge) -> f64| {
        let shown = gauges.iter().filter(|gauge| gauge.at_s >= from);
        Curve { name, colour, points: shown.map(|gauge| (gauge.at_s, value(gauge))).collect() }
    };
    vec![
        curve("queued", REFUSED, |gauge| gauge.queued),
        curve("inflight", IN_TIME, |gauge| gauge.inflight),
        curve("limit", LIMIT, |gauge| gauge.limit),
    ]
}

/// The values of the last seconds that have one, at the time at which each second is over.
fn recent(values: &[Option<f64>]) -> Points {
    let from = values.len().saturating_sub(SHOWN);
    let timed = values.iter().enumerate().skip(from);
    timed.filter_map(|(index, value)| Some(((index + 1) as f64, (*value)?))).collect()
}

fn draw_chart(frame: &mut Frame<'_>, area: Rect, title: &'static str, curves: &[Curve]) {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let end = points().map(|(time, _)| *time).fold(1.0, f64::max);
    let start = (end - SHOWN as f64).max(0.0);
    let top = points().map(|(_, value)| *value).fold(1.0, f64::max) * 1.05;
    let datasets = curves.iter().map(|curve| {
        let style = Style::new().fg(curve.colour);
        let dataset = Dataset::default().name(curve.name).style(style).data(&curve.points);
        dataset.marker(Marker::Braille).graph_type(GraphType::Line)
    });
    let chart = Chart::new(datasets.collect())
        .block(Block::bordered().title(title))
        .x_axis(axis([start, end], format!("{start:.0} s"), format!("{end:.0} s")))
        .y_axis(axis([0.0, top], "0".into(), format!("{top:.0}")))
        // The newest values are on the right.
        .legend_position(Some(LegendPosition::TopLeft))
        .hidden_legend_constraints((Constraint::Min(0), Constraint::Min(0)));
    frame.render_widget(chart, area);
}

fn axis(bounds: [f64; 2], first: String, last: String) -> Axis<'static> {
    Axis::default().bounds(bounds).labels([first, last]).style(Style::new().dim())
}

/// What the last second was for each class; those who are shed stand out. A number that is cut off is a wrong
/// number: columns for which `width` has no room are left out.
fn scores(classes: &[&str], timeline: &Timeline, width: u16) -> Table<'static> {
    let columns = usize::from(width.saturating_sub(CLASS_WIDTH) / (COUNT_WIDTH + 1)).min(HEADINGS.len());
    let last = |counts: &[u32]| counts.last().copied().unwrap_or_default();
    let quantile = |values: &[Option<f64>]| values.last().copied().flatten();
    let row = |(class, series): (&&str, &Series)| {
        let shown = |count: u32, colour| {
            let style = if count == 0 { Style::new().dim() } else { Style::new().fg(colour) };
            Span::styled(format!("{count:>8}"), style)
        };
        let ms =
            |value: Option<f64>| Span::from(value.map_or(format!("{:>8}", "-"), |ms| format!("{ms:>8.0}")));
        let cells = [
            Span::from((*class).to_owned()).bold(),
            shown(last(&series.offered), Color::Reset),
            shown(last(&series.good), IN_TIME),
            shown(last(&series.late), SLOW),
            shown(last(&series.refused), REFUSED),
            shown(last(&series.failed), SLOW),
            ms(quantile(&series.p50_ms)),
            ms(quantile(&series.p99_ms)),
        ];
        Row::new(cells.into_iter().take(columns + 1))
    };
    let headings = HEADINGS.iter().take(columns).map(|name| format!("{name:>8}"));
    let heading = std::iter::once("class".to_owned()).chain(headings);
    let widths = vec![Constraint::Length(COUNT_WIDTH); columns];
    let widths = std::iter::once(Constraint::Length(CLASS_WIDTH)).chain(widths);
    Table::new(classes.iter().zip(timeline.classes()).map(row), widths).header(Row::new(heading).dim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gauges::Gauges;
    use crate::tally::Verdict;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use std::time::Duration;

    #[test]
    fn view_shows_who_is_served_and_who_is_shed() {
        let mut timeline = Timeline::new(2);
        for second in 0..3 {
            let time = Duration::from_millis(second * 1_000 + 500);
            for (class, verdict) in [(0, Verdict::Good), (1, Verdict::Refused)] {
                timeline.offer(class, time);
                timeline.settle(class, verdict, Duration::from_millis(42), time);
            }
        }
        timeline.close_before(Duration::from_secs(3));
        let gauges = Gauges::default();
        let watched = Watched { title: "spike", classes: &["checkout", "browse"], gauges: &gauges };
        let gauge = Gauge { at_s: 1.0, limit: 20.0, inflight: 18.0, queued: 0.0 };
        let mut terminal = Terminal::new(TestBackend::new(80, 16)).unwrap();
        terminal.draw(|frame| view(frame, &watched, &timeline, &[gauge], "calm (0.8x)")).unwrap();
        let screen = terminal.backend().to_string();
        for shown in ["spike  calm (0.8x)  3 s", "seats of the proxy", "limit", "checkout", "browse"] {
            assert!(screen.contains(shown), "{shown} is not in\n{screen}");
        }
        let row = |class: &str| screen.lines().find(|line| line.contains(class)).unwrap().to_owned();
        assert!(row("checkout").contains("1        1        0        0        0       42"), "{screen}");
        assert!(row("browse").contains("1        0        0        1        0        -"), "{screen}");
        let mut narrow = Terminal::new(TestBackend::new(40, 16)).unwrap();
        narrow.draw(|frame| view(frame, &watched, &timeline, &[gauge], "calm (0.8x)")).unwrap();
        let screen = narrow.backend().to_string();
        assert!(screen.contains("class         offered  in time     late \"\n"), "{screen}");
    }
}
