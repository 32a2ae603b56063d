//! All that is known of one run: its report, its course, and where it comes from.
//!
//! This is the result file of `load --json`, which is documented in the harness's
//! README and stable: within one `format`, fields are added and never changed. A
//! file of a report alone, as other commands write it, is read too; it has no
//! course to draw.

use super::Report;
use super::machine::Machine;
use crate::clock;
use crate::crowd::Survival;
use crate::funnels::FunnelReport;
use crate::gauges::{Gauge, Gauges};
use crate::latencies::quantile;
use crate::origin::Stats;
use crate::report::millis;
use crate::tally::Tally;
use crate::tally::cell::Cell;
use crate::tally::span::Span;
use crate::timeline::{Series, Timeline};
use crate::verdict::Verdict;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The version of the file's meaning.
const FORMAT: u32 = 1;
/// The shares at which a distribution is told: each percent, and the tail.
const TAIL: [f64; 5] = [0.995, 0.999, 0.9995, 0.9999, 1.0];

/// One run.
#[derive(Debug)]
pub(crate) struct Record {
    /// The counts.
    pub(crate) report: Report,
    /// What else was found.
    pub(crate) outcome: Outcome,
    /// How it went, and where it comes from.
    pub(crate) course: Course,
}

/// What of a run's findings is shown beside its counts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Outcome {
    /// When, in seconds, the run was ended before its time.
    pub(crate) cut_at_s: Option<f64>,
    /// What became of the scenario's thresholds.
    pub(crate) thresholds: Vec<Verdict>,
    /// Why requests failed, and how many did.
    pub(crate) failures: BTreeMap<String, u64>,
    /// What else is wrong with it, in words.
    pub(crate) remarks: Vec<String>,
    /// Sessions of funnels.
    pub(crate) sessions: Survival,
    /// How far they came.
    pub(crate) funnels: Vec<FunnelReport>,
    /// What the origin has done, if it was asked.
    pub(crate) origin: Option<Stats>,
}

/// How a run went. A file without it is read as an empty one.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Course {
    format: u32,
    /// When it began, in UTC.
    pub(crate) started: Option<String>,
    /// The command line that made it.
    pub(crate) command: Option<String>,
    /// The version of plimsoll-bench.
    pub(crate) version: Option<String>,
    /// The machine it ran on.
    pub(crate) machine: Option<Machine>,
    /// The scenario file, to the letter.
    pub(crate) scenario: Option<String>,
    /// When each phase began and ended.
    pub(crate) spans: Vec<PhaseSpan>,
    /// What happened in each second, by class.
    pub(crate) seconds: Vec<ClassSeconds>,
    /// The same for all classes together.
    pub(crate) total_seconds: Option<Series>,
    /// What the proxy said of itself.
    pub(crate) gauges: Vec<Gauge>,
    /// How latencies are distributed, by class.
    pub(crate) latency: Vec<ClassLatency>,
}

/// When a phase began and ended, in seconds from the start of the run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PhaseSpan {
    pub(crate) name: String,
    pub(crate) start_s: f64,
    pub(crate) end_s: f64,
}

/// The seconds of one class.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ClassSeconds {
    pub(crate) class: String,
    #[serde(flatten)]
    pub(crate) series: Series,
}

/// The distribution of the latencies of one class: points of milliseconds, and the share that took no longer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ClassLatency {
    pub(crate) class: String,
    /// Of what was served.
    pub(crate) served: Vec<(f64, f64)>,
    /// Of refusals.
    pub(crate) refused: Vec<(f64, f64)>,
}

/// Why a file is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("cannot read the result {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a result of plimsoll-bench: {source}")]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("{path} is of format {format}, and this plimsoll-bench knows {FORMAT}: use a newer one")]
    Newer { path: PathBuf, format: u32 },
}

/// What a run leaves behind, for its course.
pub(crate) struct Remains<'a> {
    /// When it began, in UTC.
    pub(crate) started: String,
    /// The text of the scenario.
    pub(crate) scenario: Option<String>,
    /// The classes, in the order in which they were counted.
    pub(crate) classes: &'a [&'a str],
    /// The phases' names and when they were.
    pub(crate) phases: Vec<(&'a str, Span)>,
    /// The places of those that are no warm-up.
    pub(crate) told: Vec<usize>,
    /// The counts.
    pub(crate) tally: &'a Tally,
    /// The counts of each second.
    pub(crate) timeline: &'a Timeline,
    /// What the proxy said of itself.
    pub(crate) gauges: &'a Gauges,
}

impl Course {
    /// The course of a run that left `remains`.
    pub(crate) fn new(remains: Remains<'_>) -> Course {
        let classes = || remains.classes.iter().map(|class| (*class).to_owned());
        let spans = remains.phases.into_iter().map(|(name, span)| PhaseSpan {
            name: name.into(),
            start_s: span.start.as_secs_f64(),
            end_s: span.end.as_secs_f64(),
        });
        let seconds = classes().zip(remains.timeline.classes());
        let cell = |class| remains.tally.class_in(remains.told.iter().copied(), class);
        let latency = classes().enumerate().map(|(index, class)| ClassLatency::new(class, &cell(index)));
        Course {
            format: FORMAT,
            started: Some(remains.started),
            command: Some(command_line(
                std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()),
            )),
            version: Some(env!("CARGO_PKG_VERSION").into()),
            machine: Some(Machine::here()),
            scenario: remains.scenario,
            spans: spans.collect(),
            seconds: seconds.map(|(class, series)| ClassSeconds { class, series: series.clone() }).collect(),
            total_seconds: Some(remains.timeline.total().clone()),
            gauges: remains.gauges.samples().clone(),
            latency: latency.collect(),
        }
    }
}

impl Record {
    /// The result in the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Record, RecordError> {
        let text =
            std::fs::read(path).map_err(|source| RecordError::Read { path: path.to_owned(), source })?;
        let record = serde_json::from_slice(&text)
            .and_then(Record::of)
            .map_err(|source| RecordError::Parse { path: path.to_owned(), source })?;
        match record.course.format {
            ..=FORMAT => Ok(record),
            format => Err(RecordError::Newer { path: path.to_owned(), format }),
        }
    }

    /// The record in a file's `value`. Parts are read apart: statuses are keys, which a flattened part cannot have.
    pub(crate) fn of(value: Value) -> Result<Record, serde_json::Error> {
        Ok(Record {
            report: Report::deserialize(&value)?,
            outcome: Outcome::deserialize(&value)?,
            course: Course::deserialize(&value)?,
        })
    }
}

impl ClassLatency {
    fn new(class: String, cell: &Cell) -> ClassLatency {
        ClassLatency { class, served: distribution(&cell.served_us), refused: distribution(&cell.refused_us) }
    }
}

/// Points of a distribution, no finer than its number of values can tell.
fn distribution(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let shares = (1..100).map(|percent| f64::from(percent) / 100.0).chain(TAIL);
    let told = shares.filter(|share| *share == 1.0 || (1.0 - share) * histogram.len() as f64 >= 1.0);
    told.filter_map(|share| Some((millis(quantile(histogram, share)?), share))).collect()
}

/// These arguments as a shell takes them; the program goes by its name, wherever it lies.
fn command_line(arguments: impl Iterator<Item = String>) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_=./:,@%+".contains(letter);
    let quoted = |argument: String| match !argument.is_empty() && argument.chars().all(is_plain) {
        true => argument,
        false => format!("'{}'", argument.replace('\'', r"'\''")),
    };
    let own_name = std::iter::once("plimsoll-bench".to_owned());
    own_name.chain(arguments.skip(1).map(quoted)).collect::<Vec<_>>().join(" ")
}

/// The time now, as a result file has it.
pub(crate) fn timestamp() -> String {
    humantime::format_rfc3339_seconds(clock::wall()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latencies::latencies;

    fn read(text: &str) -> Result<Record, RecordError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.json");
        std::fs::write(&path, text).unwrap();
        Record::read(&path)
    }

    const REPORT: &str = r#""source": "s", "target": "t", "seeds": [1], "valid": true, "send_lag_p99_ms": 1.5,
        "phases": [{"name": "p", "load": "1x", "useful_work": null, "classes": [{"class": "cart", "offered": 3,
        "good": 1, "late": 0, "refused": {"503": 2}, "refused_late": 0, "errors": {}, "failed": 0, "timed_out": 0,
        "served_p50_ms": 2.0, "served_p99_ms": 2.0, "refused_p50_ms": null, "refused_p99_ms": null}]}]"#;

    #[test]
    fn report_alone_has_no_course() {
        let record = read(&format!("{{{REPORT}}}")).unwrap();
        assert!(record.course.seconds.is_empty() && record.outcome.thresholds.is_empty());
        assert_eq!(record.report.seeds, [1]);
    }

    #[test]
    fn result_has_its_thresholds() {
        let held = r#""thresholds": [{"threshold": "all.p99 < 1s", "measured": 2.5, "held": true, "is_time": true}]"#;
        let record = read(&format!("{{{REPORT}, {held}}}")).unwrap();
        assert_eq!(record.outcome.thresholds[0].value(), "2.5 ms");
    }

    #[test]
    fn what_is_no_result_is_told_from_a_newer_one() {
        for text in ["", "[]", "{\"source\": \"s\"}"] {
            assert!(matches!(read(text), Err(RecordError::Parse { .. })), "{text}");
        }
        let error = read(&format!("{{{REPORT}, \"format\": 2}}")).unwrap_err().to_string();
        assert!(error.contains("of format 2"), "{error}");
    }

    #[test]
    fn command_can_be_given_to_a_shell_again() {
        let arguments =
            ["/a/b/plimsoll-bench", "load", "my shop.yaml", "--target", "http://127.0.0.1:1", "it's", ""];
        let line = command_line(arguments.map(str::to_owned).into_iter());
        assert_eq!(line, r"plimsoll-bench load 'my shop.yaml' --target http://127.0.0.1:1 'it'\''s' ''");
    }

    #[test]
    fn tail_is_told_only_of_enough_values() {
        let mut histogram = latencies();
        assert!(distribution(&histogram).is_empty());
        for value in 1..=200 {
            histogram.record(value * 1_000).unwrap();
        }
        let points = distribution(&histogram);
        assert_eq!(points.len(), 101, "99 percents, 99.5 % and all");
        assert!((points[49].0 - 100.0).abs() < 0.2 && points[49].1 == 0.5, "{:?}", points[49]);
    }
}
