//! What a run must hold to be called good: `checkout.good >= 99.9%`, `shed.p99 < 5ms`.
//!
//! A threshold stands in the scenario, beside the load it is about, so that a
//! continuous integration needs no more than an exit code. It is one line of text,
//! `SUBJECT.MEASURE COMPARISON BOUND`, and ` in PHASE` if it is about one phase. A latency may
//! also be held against that of a run without a proxy: `all.p99 <= 1.05x direct`.
//!
//! It holds no measurements against anything: see `verdict`.

use super::Scenario;
use crate::units;
use plimsoll::yaml::diagnostic::Mistake;
use std::time::Duration;

/// A condition on what was measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Threshold {
    /// As it was written.
    pub(crate) text: String,
    /// About whom.
    pub(crate) subject: Subject,
    /// About what.
    pub(crate) measure: Measure,
    /// How what was measured compares with the bound.
    pub(crate) comparison: Comparison,
    /// A share from 0 to 1, milliseconds, or a multiple of what it is without a proxy.
    pub(crate) bound: f64,
    /// Whether it is such a multiple.
    pub(crate) is_of_direct: bool,
    /// The one phase it is about; all that are no warm-up otherwise.
    pub(crate) phase: Option<usize>,
}

/// Whose requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Everybody's.
    All,
    /// One class's, by its place among the scenario's.
    Class(usize),
    /// Those that were refused.
    Shed,
    /// Sessions of funnels, and not requests.
    Sessions,
}

/// What is measured of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Measure {
    /// The share that ended so.
    Share(Ending),
    /// The latency below which this part of them is, in milliseconds.
    Quantile(f64),
    /// The share of the origin's capacity that became answers in time.
    UsefulWork,
    /// The share of sessions that took every step.
    Survived,
}

/// How a request may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Good,
    Late,
    Shed,
    Failed,
    TimedOut,
    Errors,
}

/// A comparison of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    AtLeast,
    AtMost,
    Above,
    Below,
}

/// What a bound ends with that is a multiple of a latency without a proxy.
const DIRECT: &str = " direct";

/// Longer ones first: `>=` begins with `>`.
const COMPARISONS: [(&str, Comparison); 4] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    (">", Comparison::Above),
    ("<", Comparison::Below),
];

const MEASURES: [(&str, Measure); 14] = [
    ("good", Measure::Share(Ending::Good)),
    ("late", Measure::Share(Ending::Late)),
    ("shed", Measure::Share(Ending::Shed)),
    ("failed", Measure::Share(Ending::Failed)),
    ("timed_out", Measure::Share(Ending::TimedOut)),
    ("errors", Measure::Share(Ending::Errors)),
    ("p50", Measure::Quantile(0.5)),
    ("p90", Measure::Quantile(0.9)),
    ("p95", Measure::Quantile(0.95)),
    ("p99", Measure::Quantile(0.99)),
    ("p99.9", Measure::Quantile(0.999)),
    ("max", Measure::Quantile(1.0)),
    ("useful_work", Measure::UsefulWork),
    ("survived", Measure::Survived),
];

impl Comparison {
    /// As it is written.
    pub(crate) fn sign(self) -> &'static str {
        let written = COMPARISONS.iter().find(|(_, comparison)| *comparison == self);
        written.expect("every comparison can be written").0
    }

    /// Whether `measured` compares so with `bound`.
    pub(crate) fn holds(self, measured: f64, bound: f64) -> bool {
        match self {
            Comparison::AtLeast => measured >= bound,
            Comparison::AtMost => measured <= bound,
            Comparison::Above => measured > bound,
            Comparison::Below => measured < bound,
        }
    }
}

impl Measure {
    /// Whether it is told in milliseconds, and not as a share.
    fn is_time(self) -> bool {
        matches!(self, Measure::Quantile(_))
    }

    fn named(name: &str) -> Result<Measure, Mistake> {
        let found = MEASURES.iter().find(|(word, _)| *word == name).map(|(_, measure)| *measure);
        found.ok_or_else(|| Mistake::unknown("measure", name, MEASURES.iter().map(|(word, _)| *word)))
    }

    fn suits(self, subject: Subject, has_phase: bool) -> Result<(), Mistake> {
        let hint = match (subject, self) {
            (Subject::Shed, Measure::Quantile(_)) | (Subject::Sessions, Measure::Survived) => return Ok(()),
            (Subject::Shed, _) => "of refusals, the latency is known: shed.p99 < 5ms",
            (Subject::Sessions, _) => "of sessions, it is known who survived: sessions.survived >= 90%",
            (_, Measure::Survived) => "it is of sessions: sessions.survived >= 90%",
            (Subject::All, Measure::UsefulWork) if has_phase => return Ok(()),
            (_, Measure::UsefulWork) => "it is of all, in one phase: all.useful_work >= 90% in spike",
            _ => return Ok(()),
        };
        Err(Mistake::new("nothing of this kind is measured").hint(hint))
    }
}

impl Threshold {
    /// The threshold in `text`, whose names are those of `scenario`.
    pub(super) fn parse(text: &str, scenario: &Scenario) -> Result<Threshold, Mistake> {
        let (condition, phase) = match text.split_once(" in ") {
            Some((condition, name)) => (condition, Some(phase_named(name.trim(), scenario)?)),
            None => (text, None),
        };
        let split = |(sign, comparison): &(&str, Comparison)| {
            let (left, right) = condition.split_once(sign)?;
            Some((left.trim(), *comparison, right.trim()))
        };
        let hint = "write it like `checkout.good >= 99.9%` or `shed.p99 < 5ms in spike`";
        let not_one = || Mistake::new(format!("`{text}` is not a threshold")).hint(hint);
        let (left, comparison, right) = COMPARISONS.iter().find_map(split).ok_or_else(not_one)?;
        let (subject, measure) = left.split_once('.').ok_or_else(not_one)?;
        let (subject, measure) = (subject_named(subject, scenario)?, Measure::named(measure)?);
        measure.suits(subject, phase.is_some())?;
        let of_direct = right.strip_suffix(DIRECT).filter(|_| measure.is_time());
        let bound = match of_direct {
            Some(multiple) => (units::TIMES.read)(multiple.trim_end())?.0,
            None if measure.is_time() => units::duration(right)?.as_secs_f64() * 1_000.0,
            None => exact(units::fraction(right)?),
        };
        let (text, is_of_direct) = (text.to_owned(), of_direct.is_some());
        let threshold = Threshold { text, subject, measure, comparison, bound, is_of_direct, phase };
        threshold.can_be_missed(scenario)?;
        Ok(threshold)
    }

    /// Whether its bound is in milliseconds, and neither a share nor a multiple.
    pub(crate) fn is_time(&self) -> bool {
        self.measure.is_time() && !self.is_of_direct
    }

    /// Who has waited for as long as the patience leaves, so that latencies above it do not occur.
    fn can_be_missed(&self, scenario: &Scenario) -> Result<(), Mistake> {
        let is_below = matches!(self.comparison, Comparison::AtMost | Comparison::Below);
        let patience = self.patience(scenario).filter(|_| is_below && self.is_time());
        match patience {
            Some(patience) if patience.as_secs_f64() * 1_000.0 < self.bound => {
                let patience = humantime::format_duration(patience);
                let mistake =
                    Mistake::new(format!("it cannot be missed: nobody waits longer than {patience}"));
                Err(mistake.hint("a bound of latency is at most the patience"))
            }
            _ => Ok(()),
        }
    }

    /// That of the most patient of whom it is about; `None` where it is not known.
    fn patience(&self, scenario: &Scenario) -> Option<Duration> {
        let is_meant = |class: usize| match self.subject {
            Subject::Class(meant) => class == meant,
            Subject::All | Subject::Shed | Subject::Sessions => true,
        };
        let meant = scenario.mix.iter().zip(scenario.class_of_each()).filter(|(_, class)| is_meant(*class));
        let patience = meant.map(|(template, _)| template.patience.unwrap_or(scenario.patience)).max();
        patience.filter(|patience| !patience.is_zero())
    }
}

/// 99.9 / 100 is a little more than 999 / 1000, and 999 of 1000 hold a bound of 99.9 %.
fn exact(share: f64) -> f64 {
    (share * 1e9).round() / 1e9
}

fn subject_named(name: &str, scenario: &Scenario) -> Result<Subject, Mistake> {
    let classes = scenario.classes();
    let class = || classes.iter().position(|class| *class == name).map(Subject::Class);
    let found = match name {
        "all" => Some(Subject::All),
        "shed" => Some(Subject::Shed),
        "sessions" => Some(Subject::Sessions),
        _ => class(),
    };
    let known = ["all", "shed", "sessions"].into_iter().chain(classes.iter().copied());
    found.ok_or_else(|| Mistake::unknown("subject", name, known))
}

fn phase_named(name: &str, scenario: &Scenario) -> Result<usize, Mistake> {
    let names = scenario.phases.iter().map(|phase| phase.name.as_str());
    if names.clone().filter(|phase| *phase == name).count() > 1 {
        let mistake = Mistake::new(format!("more than one phase is called `{name}`"));
        return Err(mistake.hint("give each a name of its own, and a threshold"));
    }
    let found = names.clone().position(|phase| phase == name);
    found.ok_or_else(|| Mistake::unknown("phase", name, names))
}
