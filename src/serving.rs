//! What is running: the generation in force, the pools' gates, sessions, clients, metrics.
//!
//! The proxy reads it on every request; what is applied swaps the generation whole (`applying`), after
//! everything about it was checked (`loading`). Gates learn of a new policy a moment after the swap; a
//! request caught between the two is judged anew.
//!
//! It speaks no HTTP.

mod applying;
mod first;
pub mod canary;
mod loading;
pub mod timetable;
pub mod vigil;

use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwap, Guard};
use plimsoll_core::time::Time;
use tokio::sync::watch;

use crate::classify::sessions::SessionTable;
use crate::clients::{Limits, TrustedHops, Usage};
use crate::clock::Clock;
use crate::config::{Config, DEFAULT_POOL, Pool};
use crate::gate::Gate;
use crate::generation::Generation;
use crate::history::History;
use crate::journal::writer::{Journal, JournalSettings, Tapped};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::meters::{Arm, ClassMeters};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::refusals::Refusals;
use crate::telemetry::samples::Samples;
use applying::stamp_of;
pub use applying::{Applying, Outcome};
use canary::Canary;
use first::{First, first_generation};
pub use loading::ReloadError;
pub(crate) use loading::{load_model, read_policy};

/// A generation with what is resolved for it.
#[derive(Debug)]
pub struct Running {
    /// Policy and model.
    pub generation: Generation,
    /// Its hard limits.
    pub limits: Arc<Limits>,
    /// The counters of its classes, in their order.
    pub meters: Vec<ClassMeters>,
    /// The generation beside it.
    pub canary: Option<Arc<Canary>>,
    /// Which of two it is, if there are two.
    arm: Option<Arm>,
    /// Counts up with every change of what the gates decide under.
    swap: u64,
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
    /// The refusals of late.
    pub refusals: Refusals,
    /// The access log, if it is on.
    pub access_log: Option<AccessLog>,
    /// The pools; the first one is the default.
    pub pools: Vec<PoolGate>,
    /// Where samples to learn from go, if there is a journal.
    pub samples: Option<Samples>,
    journal: Option<Journal>,
    running: ArcSwap<Running>,
    /// Each unfinished request holds one more of it.
    unfinished: Arc<()>,
    /// The latest [`Running::swap`] that all gates decide under.
    applied: watch::Sender<u64>,
    /// What was applied. Locked while something comes into force, so that two do not in the wrong order.
    history: Mutex<History>,
    /// Held by whoever reads files and applies them, from the first to the last; taken before `history`.
    reloading: Mutex<()>,
}

impl Serving {
    /// Starts with the policy and model that `config` names, or with the generation that was in force last if
    /// somebody went back to it from those, or if those cannot be applied. A model that cannot be used is logged
    /// and done without; a shop must open on the day its bundle is corrupt.
    ///
    /// # Errors
    /// Every mistake in the policy where no generation is kept, or a state directory that cannot be used.
    pub fn start(mut config: Config) -> Result<Arc<Serving>, ReloadError> {
        config.pools.sort_by_key(|pool| pool.name != DEFAULT_POOL);
        let clock = Clock::start();
        let mut history = History::open(config.state_dir.as_deref())?;
        let First { generation, has_canary, is_resumed } = first_generation(&config, &mut history, &clock)?;
        let generation = generation.at(Clock::wall());
        let metrics = Metrics::default();
        if is_resumed {
            metrics.reloaded(false);
        }
        let policy = &generation.policy;
        let gate = |pool: &Pool| PoolGate { pool: pool.clone(), gate: Gate::new(policy.core.clone(), clock) };
        let pools: Vec<PoolGate> = config.pools.iter().map(gate).collect();
        let journal = config.journal.clone();
        let journal = journal.map(|settings| start_journal(settings, &pools, &generation, &metrics, clock));
        let journal = journal.transpose()?;
        // Its directory was made when the journal was begun.
        let directory = config.journal.as_ref().map(|settings| &settings.directory);
        let lost = || metrics.journal.lost.clone();
        let serving = Arc::new(Serving {
            samples: directory.and_then(|path| Samples::start(path, Clock::wall().as_secs(), lost())),
            journal,
            clock,
            hops: TrustedHops::new(config.trusted_hops.clone()),
            sessions: SessionTable::new(policy.sessions.sessions_max),
            usage: Usage::default(),
            refusals: Refusals::default(),
            access_log: AccessLog::start(config.access_log_millionths, metrics.access_log_dropped.clone()),
            pools,
            applied: watch::Sender::new(0),
            running: ArcSwap::from_pointee(Running::new(generation, &metrics)),
            metrics,
            config,
            unfinished: Arc::new(()),
            history: Mutex::new(history),
            reloading: Mutex::new(()),
        });
        if has_canary {
            // What is wrong with it is logged, and is no reason not to serve.
            _ = serving.reload(Applying::Changed);
        }
        Ok(serving)
    }

    /// Writes the rest of the journal. What happens afterwards is not in it.
    pub fn finish_journal(&self) {
        if let Some(journal) = &self.journal {
            journal.finish();
        }
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
        let is_applied = |swap: &u64| *swap >= self.running().swap;
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

fn start_journal(
    settings: JournalSettings,
    pools: &[PoolGate],
    generation: &Generation,
    metrics: &Metrics,
    clock: Clock,
) -> Result<Journal, ReloadError> {
    let stamp = stamp_of(generation);
    let tapped = |pool: &PoolGate| -> (String, Arc<dyn Tapped>) {
        pool.gate.journal(stamp.clone());
        (pool.pool.name.clone(), pool.gate.clone())
    };
    let pools = pools.iter().map(tapped).collect();
    let started = Clock::wall().saturating_sub(clock.now().since(Time::ZERO));
    let started = u64::try_from(started.as_nanos()).unwrap_or(u64::MAX);
    let directory = settings.directory.clone();
    let journal = Journal::start(settings, started, pools, metrics.journal.clone());
    journal.map_err(|source| ReloadError::Journal { directory, source })
}

impl Running {
    fn new(generation: Generation, metrics: &Metrics) -> Running {
        Running {
            limits: Arc::new(Limits::new(&generation.policy.clients.limits)),
            meters: metrics.class_meters(&generation.policy.core, None),
            generation: generation.timed_by(metrics.inference.time.clone()),
            canary: None,
            arm: None,
            swap: 0,
        }
    }

    /// The same with the limits of `other`, if the rules are the same: a client's bucket is not filled up by an
    /// edit of something else, and has room once where two generations decide.
    fn sharing_limits_with(self, other: &Running) -> Running {
        let rules = |running: &Running| running.generation.policy.clients.limits.clone();
        if rules(&self) != rules(other) {
            return self;
        }
        Running { limits: other.limits.clone(), ..self }
    }

    /// The same as one arm of two, which are counted apart.
    fn in_arm(self, arm: Arm, metrics: &Metrics) -> Running {
        let meters = metrics.class_meters(&self.generation.policy.core, Some(arm));
        Running { meters, arm: Some(arm), ..self }
    }

    /// The same with this canary beside it, or without one.
    fn beside(&self, canary: Option<Arc<Canary>>, metrics: &Metrics) -> Running {
        let arm = canary.is_some().then_some(Arm::Rest);
        Running {
            generation: self.generation.clone(),
            limits: self.limits.clone(),
            meters: metrics.class_meters(&self.generation.policy.core, arm),
            canary,
            arm,
            swap: self.swap,
        }
    }
}
