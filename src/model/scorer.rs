//! One loaded model, ready to be asked by every thread.
//!
//! A scorer never changes its model: a reload makes a new one and swaps it in, with the policy, as
//! one generation. Its memo and its budget therefore belong to exactly one model, and go with it.
//!
//! It does not decide what a guess is worth against a route; that is the policy's.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::budget::{Budget, Status};
use super::bundle::{Bundle, Manifest};
use super::check;
use super::class::{ClassScores, Guess};
use super::drift::DriftWatch;
use super::error::ModelError;
use super::memo::Memo;
use super::runtime::Heads;
use crate::classify::features::{REQUEST_LEN, RequestFeatures, SessionFeatures};

/// A model with its memo, its budget and its watch.
pub struct Scorer {
    seal: String,
    manifest: Manifest,
    heads: Heads,
    memo: Memo,
    budget: Budget,
    drift: DriftWatch,
    recalled: AtomicU64,
    bots: AtomicU64,
    runs: AtomicU64,
    failures: AtomicU64,
}

/// What a scorer has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Class guesses the memo gave.
    pub recalled: u64,
    /// Requests whose agent calls itself a bot.
    pub bots: u64,
    /// Runs of a head.
    pub runs: u64,
    /// Runs without an answer in [0, 1].
    pub failures: u64,
    /// Runs over budget.
    pub overruns: u64,
}

impl Scorer {
    /// Loads the bundle of a directory. All checks of `plimsoll model check` are these.
    ///
    /// # Errors
    /// What of it cannot be read, or is refused.
    pub fn load(directory: &Path) -> Result<Scorer, ModelError> {
        Scorer::of(Bundle::read(directory)?)
    }

    /// Loads the storefront bundle that is part of this binary.
    ///
    /// # Errors
    /// As those of any other; a test holds it to none.
    pub fn embedded() -> Result<Scorer, ModelError> {
        Scorer::of(Bundle::embedded()?)
    }

    pub(super) fn of(bundle: Bundle) -> Result<Scorer, ModelError> {
        Ok(Scorer {
            heads: check::admit(&bundle)?,
            drift: DriftWatch::new(&bundle.manifest.histograms),
            seal: bundle.seal,
            manifest: bundle.manifest,
            memo: Memo::new(),
            budget: Budget::default(),
            recalled: AtomicU64::new(0),
            bots: AtomicU64::new(0),
            runs: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        })
    }

    /// A request is judged: counts the bots and watches for drift, once for each judgement.
    pub fn watch(&self, features: &RequestFeatures) {
        if self.ready().is_none() {
            return;
        }
        self.drift.observe_request(features);
        if features.is_bot() {
            self.bots.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The class of a request of this template, if it was scored before: some nanoseconds, no run.
    pub fn recall(&self, features: &RequestFeatures) -> Option<Guess> {
        let guess = self.ready()?.memo.get(features.template())?;
        self.recalled.fetch_add(1, Ordering::Relaxed);
        Some(guess)
    }

    /// Runs the class head and remembers its guess. `None` if it is disabled or has no answer in [0, 1].
    pub fn class(&self, features: &RequestFeatures) -> Option<Guess> {
        let guess = self.scores(features)?.guess();
        self.memo.put(features.template(), guess);
        self.drift.observe_confidence(guess.confidence);
        Some(guess)
    }

    /// Runs the class head, for those who want every class's probability.
    pub fn scores(&self, features: &RequestFeatures) -> Option<ClassScores> {
        let mut vector = [0.0; REQUEST_LEN];
        features.write(&mut vector);
        self.counted(self.ready()?.heads.class.run(&vector)).map(ClassScores)
    }

    /// Runs the value head: what the session is worth, in [0, 1].
    pub fn value(&self, features: &SessionFeatures) -> Option<f32> {
        let [value] = self.counted(self.ready()?.heads.value.run(features))?;
        self.drift.observe(features);
        Some(value)
    }

    /// What the class head says of a vector of whoever tries it out: nothing is counted or remembered.
    pub fn try_class(&self, vector: &[f32; REQUEST_LEN]) -> Option<ClassScores> {
        self.ready()?.heads.class.run(vector).map(ClassScores)
    }

    /// The same of the value head: no session was valued, so nothing is watched.
    pub fn try_value(&self, features: &SessionFeatures) -> Option<f32> {
        let [value] = self.ready()?.heads.value.run(features)?;
        Some(value)
    }

    /// The population stability index of what is watched of sessions, of requests and of the confidence,
    /// against training; above [`DRIFT_MAX`](super::DRIFT_MAX) it has drifted. Without those of which too few
    /// were seen.
    pub fn drift(&self) -> Vec<(String, f64)> {
        self.drift.indices()
    }

    /// Tells how long a run took, and how long it may. `true` once: when the model is given up for
    /// being too slow.
    pub fn observe(&self, elapsed: Duration, run_max: Duration) -> bool {
        self.budget.observe(elapsed, run_max)
    }

    /// Whether the model is still asked.
    pub fn status(&self) -> Status {
        self.budget.status()
    }

    /// What the scorer has done so far.
    pub fn counters(&self) -> Counters {
        Counters {
            recalled: self.recalled.load(Ordering::Relaxed),
            bots: self.bots.load(Ordering::Relaxed),
            runs: self.runs.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            overruns: self.budget.overruns(),
        }
    }

    /// The digest of its bundle: equal seals are equal bundles.
    pub fn seal(&self) -> &str {
        &self.seal
    }

    /// What the bundle says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn ready(&self) -> Option<&Scorer> {
        (self.status() == Status::Ready).then_some(self)
    }

    fn counted<T>(&self, answer: Option<T>) -> Option<T> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        if answer.is_none() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}

impl std::fmt::Debug for Scorer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scorer").field("bundle", &self.manifest.name).finish_non_exhaustive()
    }
}
