//! What the admin API shows: one JSON object each.
//!
//! Everything is read off what runs; nothing here changes it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use plimsoll_core::breaker::Forced;
use plimsoll_core::controller::ClassSnapshot;
use plimsoll_core::decision::BreakerState;
use plimsoll_core::policy::{Class, Share};
use serde_json::{Value, json};

use super::Admin;
use crate::policy::settings::ClassSettings;
use crate::serving::PoolGate;
use crate::telemetry::meters::ClassMeters;

/// What to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    State,
    Classes,
    Breakers,
    Generations,
    Canary,
    Mode,
    Drain,
    Refusals,
    Log,
}

impl Admin {
    pub(super) fn show(&self, shown: Shown) -> Value {
        match shown {
            Shown::State => self.state(),
            Shown::Classes => self.classes(),
            Shown::Breakers => self.breakers(),
            Shown::Generations => self.generations(),
            Shown::Canary => self.canary(),
            Shown::Mode => self.mode(),
            Shown::Drain => json!({ "draining": self.draining.load(Ordering::Relaxed) }),
            Shown::Refusals => json!({ "refusals": self.serving.refusals.recent() }),
            Shown::Log => json!({ "level": log::max_level().as_str().to_ascii_lowercase() }),
        }
    }

    fn state(&self) -> Value {
        let running = self.serving.running();
        let generation = &running.generation;
        let classes: Vec<&str> =
            generation.policy.core.classes().iter().map(|class| class.name.as_str()).collect();
        json!({
            "generation": generation.number,
            "policy": generation.policy.source,
            "contents": generation.contents(),
            "schedule": generation.policy.schedule().map(|schedule| &schedule.name),
            "model": generation.model.as_ref().map(|model| json!({
                "name": model.manifest().name,
                "usable": generation.is_model_usable(),
            })),
            "sessions": self.serving.sessions.len(),
            "ready": self.is_ready(),
            "pools": self.serving.pools.iter().map(|pool| pool_state(pool, &classes)).collect::<Vec<_>>(),
        })
    }

    fn classes(&self) -> Value {
        let running = self.serving.running();
        let policy = &running.generation.policy;
        let all = policy.core.classes().iter().zip(&policy.classes).zip(&running.meters);
        let classes = all.map(|((class, settings), meters)| class_state(class, settings, meters));
        json!({ "generation": running.generation.number, "classes": classes.collect::<Vec<_>>() })
    }

    pub(super) fn breakers(&self) -> Value {
        let running = self.serving.running();
        let policy = &running.generation.policy.core;
        let of_pool = |pool: &PoolGate| {
            let states = policy.classes().iter().zip(pool.gate.snapshot().classes);
            let breaker = |(class, state): (&Class, ClassSnapshot)| {
                json!({
                    "pool": pool.pool.name,
                    "class": class.name,
                    "state": state.breaker.map(BreakerState::name),
                    "forced": state.forced.map(forced_name),
                })
            };
            states.map(breaker).collect::<Vec<_>>()
        };
        json!({ "breakers": self.serving.pools.iter().flat_map(of_pool).collect::<Vec<_>>() })
    }

    pub(super) fn generations(&self) -> Value {
        let running = self.serving.running().generation.number;
        json!({ "running": running, "generations": self.serving.generations() })
    }

    fn canary(&self) -> Value {
        let running = self.serving.running_for_long();
        let Some(canary) = &running.canary else { return json!({ "canary": null }) };
        let generation = &canary.running.generation;
        let names = generation.policy.core.classes().iter().map(|class| &class.name);
        let arms = names.zip(canary.running.meters.iter().zip(&running.meters));
        let class = |(name, (of_canary, of_rest)): (&String, (&ClassMeters, &ClassMeters))| json!({ "class": name, "canary": arm_state(of_canary), "rest": arm_state(of_rest) });
        json!({ "canary": {
            "generation": generation.number,
            "running": running.generation.number,
            "policy": generation.policy.source,
            "share": part(canary.share),
            "began": canary.began,
            "classes": arms.map(class).collect::<Vec<_>>(),
        } })
    }

    pub(super) fn mode(&self) -> Value {
        let running = self.serving.running();
        json!({
            "mode": running.generation.policy.core.mode().name(),
            "overridden": running.generation.contents().observes.is_some(),
            "generation": running.generation.number,
        })
    }
}

fn class_state(class: &Class, settings: &ClassSettings, meters: &ClassMeters) -> Value {
    json!({
        "class": class.name,
        "rank": class.rank,
        "slo": { "latency_ms": millis(class.slo_latency), "objective": part(settings.objective) },
        "patience_ms": millis(class.patience),
        "floor": part(class.floor),
        "ceiling": part(class.ceiling),
        "queue": { "length_max": class.queue.length_max, "wait_max_ms": millis(class.queue.wait_max) },
        "admitted": meters.admitted.get(),
        "observed": meters.observed.get(),
        "shed": meters.shed.iter().map(|counter| counter.get()).sum::<u64>(),
        "slo_kept": meters.slo_kept.get(),
        "slo_missed": meters.slo_missed.get(),
    })
}

fn arm_state(meters: &ClassMeters) -> Value {
    meters.arm.as_ref().map_or(Value::Null, |arm| {
        json!({
            "admitted": arm.admitted.get(),
            "shed": arm.shed.get(),
            "slo_kept": arm.slo_kept.get(),
            "slo_missed": arm.slo_missed.get(),
        })
    })
}

fn pool_state(pool: &PoolGate, classes: &[&str]) -> Value {
    let snapshot = pool.gate.snapshot();
    let classes = classes.iter().zip(&snapshot.classes).map(|(name, class)| {
        json!({
            "class": name,
            "inflight": class.inflight,
            "queued": class.queued,
            "open": class.open,
            "breaker": class.breaker.map(BreakerState::name),
            "baseline_ms": class.baseline.as_secs_f64() * 1e3,
        })
    });
    json!({
        "pool": pool.pool.name,
        "endpoints": pool.pool.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "limit": snapshot.limit,
        "inflight": snapshot.inflight,
        "queued": snapshot.classes.iter().map(|class| class.queued).sum::<u32>(),
        "classes": classes.collect::<Vec<_>>(),
    })
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn part(share: Share) -> f64 {
    f64::from(share.millionths()) / 1e6
}

fn forced_name(forced: Forced) -> &'static str {
    match forced {
        Forced::Open => "open",
        Forced::Closed => "closed",
    }
}
