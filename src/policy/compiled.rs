//! A policy ready to decide under: everything resolved, nothing left to fail.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::policy::{ClassId, Policy, Share};

use super::cases::PolicyTest;
use super::schedule::Schedule;
use super::settings::{ClassSettings, ClientRules, LearningRules, ModelRules, RollbackRules, SessionRules};
use crate::classify::routes::RouteTable;
use crate::classify::session::Stage;
use crate::yaml::diagnostic::Diagnostics;
use crate::yaml::source::Source;

/// A checked, immutable policy.
#[derive(Clone, Debug)]
pub struct CompiledPolicy {
    /// What the core decides under now.
    pub core: Arc<Policy>,
    /// What it decides under where no schedule holds.
    pub base: Arc<Policy>,
    /// Hours at which it decides under something else: the first that holds counts.
    pub schedules: Vec<Schedule>,
    /// The one that holds now, by its place.
    pub scheduled: Option<usize>,
    /// What the shell knows of each class, in the core's order.
    pub classes: Vec<ClassSettings>,
    /// The longest body that any class allows, where one states it.
    pub body_bytes_most: Option<u64>,
    /// The share of sessions it decides for, until somebody is content with it; `None` for all.
    pub canary: Option<Share>,
    /// The routes.
    pub routes: RouteTable,
    /// Which sessions there are.
    pub sessions: SessionRules,
    /// What the model may do.
    pub model: ModelRules,
    /// How clients are held to their share.
    pub clients: ClientRules,
    /// When it is taken back by itself.
    pub rollback: RollbackRules,
    /// What is written down for a model to learn from, if anything is.
    pub learning: Option<LearningRules>,
    /// The share of answers that carry `X-Plimsoll-Decision`.
    pub decision_header: Share,
    /// The file or directory it was read from, or that it is the built-in one.
    pub source: String,
    /// What it was compiled from.
    pub text: Arc<Source>,
    /// The digest of that: equal digests are equal policies.
    pub digest: String,
    /// What it promises.
    pub tests: Vec<PolicyTest>,
    /// What its author should look at, though it can be applied.
    pub warnings: Diagnostics,
    pub(super) carry: [Option<ClassId>; 4],
}

impl CompiledPolicy {
    /// The place of the schedule that holds at this time, since 1970 in UTC.
    pub fn scheduled_at(&self, wall: Duration) -> Option<usize> {
        self.schedules.iter().position(|schedule| schedule.hours.hold_at(wall))
    }

    /// What the core decides under at this time, since 1970 in UTC.
    pub fn core_at(&self, wall: Duration) -> &Arc<Policy> {
        self.core_under(self.scheduled_at(wall))
    }

    /// What the core decides under while the schedule of this place holds, or none.
    pub fn core_under(&self, scheduled: Option<usize>) -> &Arc<Policy> {
        let schedule = scheduled.and_then(|place| self.schedules.get(place));
        schedule.map_or(&self.base, |schedule| &schedule.core)
    }

    /// The schedule that holds now.
    pub fn schedule(&self) -> Option<&Schedule> {
        self.schedules.get(self.scheduled?)
    }

    /// The settings of a class; those of the least important one if there is no such class.
    pub fn settings(&self, class: ClassId) -> &ClassSettings {
        &self.classes[self.core.nearest(class).index()]
    }

    /// The class of a request whose route or model said `class` and whose session is
    /// at `stage`: a session well on its way carries its pages, scripts and API calls
    /// with it, or its checkout would hang on a script that was shed. Never a worse
    /// class than before, and never for classes with `carried: off`.
    pub fn carried(&self, class: ClassId, stage: Stage) -> ClassId {
        match self.carry[stage as usize] {
            Some(lift) if self.settings(class).carried => class.min(lift),
            _ => class,
        }
    }
}
