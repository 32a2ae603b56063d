//! What must hold before a generation may serve: policy and bundle are read, checked and tried.
//!
//! All of it happens before anything is swapped, so that what fails leaves everything as it was.
//!
//! It puts nothing into force.

use std::io;
use std::path::{Path, PathBuf};

use crate::clock::Clock;
use crate::config::Config;
use crate::generation::Generation;
use crate::history::HistoryError;
use crate::model::{Canary, ModelError, Scorer};
use crate::policy::compiled::CompiledPolicy;
use crate::policy::settings::BundleSource;
use crate::policy::{check, storefront};
use crate::trial::{self, Failure};
use crate::yaml::diagnostic::Diagnostics;

/// Why a generation was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The policy has mistakes.
    #[error(transparent)]
    Policy(#[from] Diagnostics),
    /// A route names a pool that the process settings lack.
    #[error("{defined_at}: pool: no pool is called `{pool}` (pools are process settings: {known})")]
    UnknownPool {
        /// Where the route is.
        defined_at: String,
        /// What it names.
        pool: String,
        /// What there is.
        known: String,
    },
    /// The bundle is not usable.
    #[error("model: {0}")]
    Model(ModelError),
    /// The files hold what somebody went back from.
    #[error(
        "{files} was rolled back from and has not changed since; change it, or apply it all the same with \
         POST /v1/reload?again=true"
    )]
    Held {
        /// The file or directory.
        files: String,
    },
    /// Somebody else brought another generation into force while the files were read and tried.
    #[error("generation {number} came into force while the files were read: reload again to apply them")]
    Overtaken {
        /// What is in force.
        number: u64,
    },
    /// The policy cannot be a canary.
    #[error(
        "no canary beside generation {number}, with which it shares its seats and queues: {}; a canary may change \
         routes, model, values, refusals and limits (`plimsoll replay JOURNAL --policy FILE` tells what the rest \
         would do)",
        obstacles.join("; ")
    )]
    Canary {
        /// What is in force.
        number: u64,
        /// What differs.
        obstacles: Vec<String>,
    },
    /// There is none to promote or abort.
    #[error("there is no canary")]
    NoCanary,
    /// The journal cannot be begun.
    #[error("journal: {}: {source}", directory.display())]
    Journal {
        /// Where it should go.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing to go back to.
    #[error("no generation before the one in force is kept")]
    NothingBefore,
    /// A generation that was applied earlier cannot be brought back.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The policy does not keep what it promises.
    #[error(
        "{}\nthe policy breaks its own tests (an overlay's `tests:` take the place of those below it)",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    )]
    Tests(Vec<Failure>),
}

/// The message holds what the bundle's says, which is not told again as its source.
impl From<ModelError> for ReloadError {
    fn from(error: ModelError) -> ReloadError {
        ReloadError::Model(error)
    }
}

/// The policy that `config` names, or the built-in one.
pub(crate) fn read_policy(config: &Config) -> Result<CompiledPolicy, Diagnostics> {
    config.policy.as_deref().map_or_else(|| Ok(storefront()), check)
}

/// The bundle that `config` names, or else the policy; tried in a process of its own first if
/// `config` has a canary. The embedded one needs no trial.
pub(crate) fn load_model(policy: &CompiledPolicy, config: &Config) -> Result<Scorer, ModelError> {
    match (bundle_directory(policy, config), &config.canary) {
        (None, _) => Scorer::embedded(),
        (Some(directory), Some(program)) => Canary::new(program.clone()).load(directory),
        (Some(directory), None) => Scorer::load(directory),
    }
}

/// Where the bundle lies that `config` names, or else the policy; `None` for the embedded one.
pub(super) fn bundle_directory<'p>(policy: &'p CompiledPolicy, config: &'p Config) -> Option<&'p Path> {
    let by_policy: Option<&Path> = match &policy.model.bundle {
        BundleSource::Embedded => None,
        BundleSource::Directory(directory) => Some(directory),
    };
    config.model.as_deref().or(by_policy)
}

/// Holds a generation against its policy's own tests. Without a model what they say of values and
/// of unrouted requests cannot hold, and a shop must open nevertheless.
pub(super) fn check_tests(generation: &Generation, clock: &Clock) -> Result<(), ReloadError> {
    if generation.model.is_none() {
        return Ok(());
    }
    let failures = trial::run(generation, clock).failures;
    if failures.is_empty() { Ok(()) } else { Err(ReloadError::Tests(failures)) }
}

pub(super) fn log_warnings(policy: &CompiledPolicy) {
    for warning in &policy.warnings.0 {
        log::warn!("{warning}");
    }
}

pub(super) fn check_pools(policy: &CompiledPolicy, config: &Config) -> Result<(), ReloadError> {
    let known = |name: &str| config.pools.iter().any(|pool| pool.name == name);
    for route in policy.routes.routes() {
        if let Some(pool) = route.pool.as_deref().filter(|pool| !known(pool)) {
            let names: Vec<&str> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
            return Err(ReloadError::UnknownPool {
                defined_at: route.defined_at.to_string(),
                pool: pool.to_owned(),
                known: names.join(", "),
            });
        }
    }
    Ok(())
}
