//! What is running: the generation in force, the pools' gates, sessions, clients, metrics.
//!
//! The proxy reads it on every request; reload swaps the generation whole. A
//! reload parses, checks, loads the model, runs the policy's tests and only then
//! swaps, so a bad file or bundle leaves everything as it was. Gates learn of a new policy a moment
//! after the swap; a request caught between the two is judged anew.
//!
//! It speaks no HTTP.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use crate::classify::sessions::SessionTable;
use crate::clients::{Limits, TrustedHops, Usage};
use crate::clock::Clock;
use crate::config::{Config, DEFAULT_POOL, Pool};
use crate::gate::Gate;
use crate::generation::Generation;
use crate::model::{Canary, ModelError, Scorer};
use crate::policy::compiled::CompiledPolicy;
use crate::policy::settings::BundleSource;
use crate::policy::{check, storefront};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::{ClassMeters, Metrics};
use crate::trial::{self, Failure};
use crate::yaml::diagnostic::Diagnostics;

/// The number of the generation that a process starts with.
const FIRST: u64 = 1;

/// A generation with what is resolved for it.
#[derive(Debug)]
pub struct Running {
    /// Policy and model.
    pub generation: Generation,
    /// Its hard limits.
    pub limits: Limits,
    /// The counters of its classes, in their order.
    pub meters: Vec<ClassMeters>,
}

/// Why a reload was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The policy has mistakes.
    #[error("{0}")]
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
    Model(#[from] ModelError),
    /// The policy does not keep what it promises.
    #[error(
        "{}\nthe policy breaks its own tests (an overlay's `tests:` take the place of those below it)",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    )]
    Tests(Vec<Failure>),
}

/// One pool and the gate before it.
#[derive(Debug)]
pub struct PoolGate {
    /// Its settings.
    pub pool: Pool,
    /// Its gate.
    pub gate: Arc<Gate>,
}

/// A request whose client does not have all of its answer yet. Over when it is dropped.
#[derive(Debug)]
pub struct Unfinished {
    _counted: Arc<()>,
}

/// Everything that runs.
#[derive(Debug)]
pub struct Serving {
    /// The clock everything goes by.
    pub clock: Clock,
    /// The process settings.
    pub config: Config,
    /// The trusted hops among them.
    pub hops: TrustedHops,
    /// What is known of sessions.
    pub sessions: SessionTable,
    /// What clients asked for lately.
    pub usage: Usage,
    /// The metrics.
    pub metrics: Metrics,
    /// The access log, if it is on.
    pub access_log: Option<AccessLog>,
    /// The pools; the first one is the default.
    pub pools: Vec<PoolGate>,
    running: ArcSwap<Running>,
    /// Each unfinished request holds one more of it.
    unfinished: Arc<()>,
    /// The number of the latest generation that all gates decide under.
    applied: watch::Sender<u64>,
    /// Held while a reload is made, so that two do not apply in the wrong order.
    reloading: Mutex<()>,
}

impl Serving {
    /// Starts with the policy and model that `config` names. A model that cannot be used is logged
    /// and done without; a shop must open on the day its bundle is corrupt.
    ///
    /// # Errors
    /// Every mistake in the policy.
    pub fn start(mut config: Config) -> Result<Arc<Serving>, ReloadError> {
        config.pools.sort_by_key(|pool| pool.name != DEFAULT_POOL);
        let policy = read_policy(&config)?;
        check_pools(&policy, &config)?;
        log_warnings(&policy);
        let model = load_model(&policy, &config);
        let model = model.inspect_err(|error| log::error!("no model, the policy's classes stand: {error}"));
        let clock = Clock::start();
        let metrics = Metrics::default();
        let generation = Generation::new(FIRST, policy, model.ok());
        check_tests(&generation, &clock)?;
        let policy = &generation.policy;
        let gate = |pool: &Pool| PoolGate { pool: pool.clone(), gate: Gate::new(policy.core.clone(), clock) };
        Ok(Arc::new(Serving {
            clock,
            hops: TrustedHops::new(config.trusted_hops.clone()),
            sessions: SessionTable::new(policy.sessions.sessions_max),
            usage: Usage::default(),
            access_log: AccessLog::start(config.access_log_millionths, metrics.access_log_dropped.clone()),
            pools: config.pools.iter().map(gate).collect(),
            running: ArcSwap::from_pointee(Running::new(generation, &metrics)),
            applied: watch::Sender::new(FIRST),
            metrics,
            config,
            unfinished: Arc::new(()),
            reloading: Mutex::new(()),
        }))
    }

    /// The generation in force.
    pub fn running(&self) -> Guard<Arc<Running>> {
        self.running.load()
    }

    /// The generation in force, to keep.
    pub fn running_for_long(&self) -> Arc<Running> {
        self.running.load_full()
    }

    /// Waits until all gates decide under the generation in force: for requests that a reload caught.
    pub async fn applied(&self) {
        let mut applied = self.applied.subscribe();
        let is_applied = |number: &u64| *number >= self.running().generation.number;
        applied.wait_for(is_applied).await.expect("the sender lives as long as this");
    }

    /// Counts a request as unfinished for as long as what is returned lives.
    pub fn begin(&self) -> Unfinished {
        Unfinished { _counted: self.unfinished.clone() }
    }

    /// Whether no request is unfinished.
    pub fn is_idle(&self) -> bool {
        Arc::strong_count(&self.unfinished) == 1
    }

    /// The pool of that name, or the default one.
    pub fn pool_index(&self, name: Option<&str>) -> usize {
        name.and_then(|name| self.pools.iter().position(|one| one.pool.name == name)).unwrap_or(0)
    }

    /// Reads policy and model anew and applies both or neither. Returns the new generation's number.
    ///
    /// # Errors
    /// Why everything stays as it is.
    pub fn reload(&self) -> Result<u64, ReloadError> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.apply();
        self.metrics.reloaded(result.is_ok());
        match &result {
            Ok(number) => log::info!("generation {number} is in force"),
            Err(error) => log::error!("reload rejected, the running policy stays:\n{error}"),
        }
        result
    }

    fn apply(&self) -> Result<u64, ReloadError> {
        let policy = read_policy(&self.config)?;
        check_pools(&policy, &self.config)?;
        log_warnings(&policy);
        let model = load_model(&policy, &self.config)?;
        let number = self.running().generation.number + 1;
        let core = policy.core.clone();
        let generation = Generation::new(number, policy, Some(model));
        check_tests(&generation, &self.clock)?;
        self.running.store(Arc::new(Running::new(generation, &self.metrics)));
        for pool in &self.pools {
            pool.gate.change_policy(core.clone());
        }
        self.applied.send_replace(number);
        Ok(number)
    }

    /// Sets every gauge to what is so now.
    pub fn refresh_gauges(&self) {
        let running = self.running();
        let core = &running.generation.policy.core;
        for pool in &self.pools {
            self.metrics.set_pool(&pool.pool.name, core, &pool.gate.snapshot());
        }
        self.metrics.set_generation(&running.generation, self.sessions.len());
    }
}

impl Running {
    fn new(generation: Generation, metrics: &Metrics) -> Running {
        Running {
            limits: Limits::new(&generation.policy.clients.limits),
            meters: metrics.class_meters(&generation.policy.core),
            generation: generation.timed_by(metrics.model_time.clone()),
        }
    }
}

/// The policy that `config` names, or the built-in one.
pub(crate) fn read_policy(config: &Config) -> Result<CompiledPolicy, Diagnostics> {
    config.policy.as_deref().map_or_else(|| Ok(storefront()), check)
}

/// The bundle that `config` names, or else the policy; tried in a process of its own first if
/// `config` has a canary. The embedded one needs no trial.
pub(crate) fn load_model(policy: &CompiledPolicy, config: &Config) -> Result<Scorer, ModelError> {
    let by_policy: Option<&Path> = match &policy.model.bundle {
        BundleSource::Embedded => None,
        BundleSource::Directory(directory) => Some(directory),
    };
    let directory = config.model.as_deref().or(by_policy);
    match (directory, &config.canary) {
        (None, _) => Scorer::embedded(),
        (Some(directory), Some(program)) => Canary::new(program.clone()).load(directory),
        (Some(directory), None) => Scorer::load(directory),
    }
}

/// Holds a generation against its policy's own tests. Without a model what they say of values and
/// of unrouted requests cannot hold, and a shop must open nevertheless.
fn check_tests(generation: &Generation, clock: &Clock) -> Result<(), ReloadError> {
    if generation.model.is_none() {
        return Ok(());
    }
    let failures = trial::run(generation, clock).failures;
    if failures.is_empty() { Ok(()) } else { Err(ReloadError::Tests(failures)) }
}

fn log_warnings(policy: &CompiledPolicy) {
    for warning in &policy.warnings.0 {
        log::warn!("{warning}");
    }
}

fn check_pools(policy: &CompiledPolicy, config: &Config) -> Result<(), ReloadError> {
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
