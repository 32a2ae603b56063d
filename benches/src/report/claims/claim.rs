//! A promise, what was measured of it, and whether it is held.
//!
//! A target is a number and not a text, so that nobody has to compare by eye: what misses
//! it says so in its row.

use crate::scenario::threshold::Comparison;
use std::borrow::Cow;
use std::fmt;

const NOT_MEASURED: &str = "not measured";

/// A promise, and what became of it.
pub(super) struct Claim {
    pub(super) promise: Cow<'static, str>,
    /// Some costs are told, and promised to nobody.
    pub(super) target: Option<Target>,
    pub(super) measured: Option<Figure>,
    /// Whether the run means anything.
    pub(super) is_valid: bool,
    pub(super) command: &'static str,
}

/// A bound on a figure.
#[derive(Clone, Copy)]
pub(super) struct Target {
    comparison: Comparison,
    bound: f64,
    unit: &'static str,
}

/// What was measured, and how it is told.
pub(super) struct Figure {
    /// In the target's unit.
    pub(super) value: f64,
    pub(super) text: String,
}

impl Target {
    pub(super) const fn at_least(bound: f64, unit: &'static str) -> Target {
        Target { comparison: Comparison::AtLeast, bound, unit }
    }

    pub(super) const fn at_most(bound: f64, unit: &'static str) -> Target {
        Target { comparison: Comparison::AtMost, bound, unit }
    }

    pub(super) const fn below(bound: f64, unit: &'static str) -> Target {
        Target { comparison: Comparison::Below, bound, unit }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.comparison.sign(), self.bound)?;
        if self.unit.is_empty() { Ok(()) } else { write!(f, " {}", self.unit) }
    }
}

impl Claim {
    /// One word on it; none where nothing was promised or measured.
    fn verdict(&self) -> &'static str {
        match (self.target, &self.measured) {
            (Some(target), Some(figure)) => {
                verdict(self.is_valid, target.comparison.holds(figure.value, target.bound))
            }
            _ => "",
        }
    }

    fn row(&self) -> String {
        let target = self.target.map(|target| target.to_string()).unwrap_or_default();
        let measured = self.measured.as_ref().map_or(NOT_MEASURED, |figure| &figure.text);
        let Claim { promise, command, .. } = self;
        format!("| {promise} | {target} | {measured} | {} | `{command}` |\n", self.verdict())
    }
}

/// What became of a target, in a word; an invalid run says nothing of it.
pub(super) fn verdict(is_valid: bool, is_held: bool) -> &'static str {
    match is_held {
        _ if !is_valid => "invalid run",
        true => "held",
        false => "**missed**",
    }
}

/// The claims, one to a row.
pub(super) fn table(claims: &[Claim]) -> String {
    let rows = claims.iter().map(Claim::row);
    format!("| claim | target | measured | | by |\n|---|---|---|---|---|\n{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(target: Target, value: f64, is_valid: bool) -> String {
        let measured = Some(Figure { value, text: format!("{value}") });
        Claim { promise: "p".into(), target: Some(target), measured, is_valid, command: "make m" }.row()
    }

    #[test]
    fn figure_at_its_bound_is_held_where_the_bound_is_included() {
        let at_most = Target::at_most(70.0, "ms");
        assert_eq!(row(at_most, 70.0, true), "| p | <= 70 ms | 70 | held | `make m` |\n");
        assert_eq!(row(at_most, 70.1, true), "| p | <= 70 ms | 70.1 | **missed** | `make m` |\n");
        assert_eq!(row(at_most, 1.0, false), "| p | <= 70 ms | 1 | invalid run | `make m` |\n");
        let verdict = |target, value| row(target, value, true).contains("| held |");
        let (at_least, below) = (Target::at_least(99.9, "%"), Target::below(0.01, "%"));
        assert_eq!([99.9, 99.89].map(|value| verdict(at_least, value)), [true, false]);
        assert_eq!([0.009, 0.01].map(|value| verdict(below, value)), [true, false]);
    }
}
