//! What the stories have been through: a sweep that never met a full queue proves nothing about one.

use plimsoll_core::decision::{Decision, Reason};
use std::collections::BTreeSet;

/// Names of what happened at least once.
#[derive(Debug, Default)]
pub(crate) struct Seen(BTreeSet<&'static str>);

impl Seen {
    pub(crate) fn note(&mut self, what: &'static str) {
        self.0.insert(what);
    }

    pub(crate) fn decision(&mut self, decision: Decision) {
        self.note(match decision {
            Decision::Admit => "admitted",
            Decision::AdmitObserved(_) => "observed",
            Decision::Queue => "queued",
            Decision::Shed(reason) => reason.name(),
        });
    }

    pub(crate) fn include(&mut self, other: &Seen) {
        self.0.extend(&other.0);
    }

    /// What a sweep should have seen and has not.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let others = [
            "admitted",
            "observed",
            "queued",
            "floor reclaimed",
            "below the line",
            "late",
            "breaker forced open",
            "probe",
        ];
        let reasons = Reason::ALL.map(Reason::name);
        reasons.into_iter().chain(others).filter(|what| !self.0.contains(what)).collect()
    }
}
