//! `plimsoll explain --id`: a decision of the past, found in a journal and made again.
//!
//! The journal is replayed up to it, so that what is told is not only what was written then but what the
//! core decides now, bit for bit, on the same state.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use plimsoll_core::controller::{Arrival, Effect, Event};
use plimsoll_core::decision::{BreakerState, Decision};
use serde_json::json;

use crate::cli::replay::replay;
use crate::journal::entry::{Entry, Grounds, Stamp};
use crate::journal::files::Flow;
use crate::journal::replay::Replay;
use crate::policy::compile::compile;
use crate::policy::compiled::CompiledPolicy;
use crate::yaml::source::Source;

/// Digits of a decision's id; the id of a request that we made begins with them.
const ID_DIGITS: usize = 16;
const DECIDERS: [&str; 3] = ["route", "model", "fallback"];

/// A request of the past and what was decided about it.
struct Past {
    arrival: Arrival,
    grounds: Grounds,
    /// The generation that judged it; of a canary that the journal does not tell of, its number.
    stamp: Stamp,
    /// The generation in force, if a canary judged it.
    beside: Option<u64>,
    class: String,
    /// The answers it had: one, or `Queue` and another.
    effects: Vec<Effect>,
}

/// Explains the request of that id.
pub(super) fn explain(id: &str, journal: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let digits = id.get(..ID_DIGITS).filter(|_| matches!(id.len(), ID_DIGITS | 32));
    let trace = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let trace =
        trace.with_context(|| format!("`{id}` is no id: 16 hexadecimal digits, or 32 of a request's"))?;
    let mut past: Option<Past> = None;
    let replayed = replay(journal, |_, entry, replay| look(entry, replay, trace, &mut past))?;
    // Who is looked for may be in one of them.
    eprint!("{}", replayed.skipped_text());
    let Some(past) = past else { bail!("no request {id} in {}", journal.display()) };
    let difference = replayed.pools.values().find_map(Replay::difference);
    if as_json {
        println!("{:#}", report(&past, difference.is_none()));
    } else {
        print!("{}", text(&past, difference.is_none()));
    }
    if let Some(difference) = difference {
        bail!("the core of this binary decides otherwise: {}", difference.message);
    }
    Ok(ExitCode::SUCCESS)
}

/// Notes the request and its answers; ends behind the last one.
fn look(entry: &Entry, replay: &Replay, trace: u64, past: &mut Option<Past>) -> Flow {
    match (entry, past) {
        (Entry::Event { event: Event::Arrived(arrival), grounds: Some(grounds), .. }, past @ None)
            if grounds.trace == trace =>
        {
            *past = Some(Past::of(arrival, grounds, replay));
            Flow::More
        }
        // The record behind the last answer: that one has been compared by now.
        (_, Some(past)) if past.is_answered() => Flow::Stop,
        (Entry::Decided(effect), Some(past)) if effect.request == past.arrival.request => {
            past.effects.push(*effect);
            Flow::More
        }
        _ => Flow::More,
    }
}

impl Past {
    /// A request that has just asked, and has no answer yet.
    fn of(arrival: &Arrival, grounds: &Grounds, replay: &Replay) -> Past {
        let class =
            replay.controller().map(|controller| controller.policy().class(arrival.class).name.clone());
        let in_force = replay.stamp();
        let of_canary = |generation: u64| {
            let told = replay.canary(generation).cloned();
            told.unwrap_or_else(|| Stamp { generation, ..Stamp::default() })
        };
        Past {
            arrival: *arrival,
            grounds: *grounds,
            stamp: grounds.canary.map_or_else(|| in_force.clone(), of_canary),
            beside: grounds.canary.map(|_| in_force.generation),
            class: class.unwrap_or_default(),
            effects: Vec::new(),
        }
    }

    fn is_answered(&self) -> bool {
        self.effects.last().is_some_and(|effect| effect.decision != Decision::Queue)
    }

    /// The line of the route that took it, as the policy that judged it has it.
    fn route(&self) -> Option<String> {
        let policy = self.policy()?;
        let route = policy.routes.routes().get(self.grounds.route? as usize)?;
        Some(route.defined_at.to_string())
    }

    fn policy(&self) -> Option<CompiledPolicy> {
        let source: Source = serde_json::from_str(&self.stamp.text).ok()?;
        compile(&source).ok()
    }

    fn class_by(&self) -> &'static str {
        DECIDERS.get(usize::from(self.grounds.class_by)).copied().unwrap_or("unknown")
    }
}

fn report(past: &Past, is_same: bool) -> serde_json::Value {
    let answer = |effect: &Effect| {
        json!({
            "sentence": effect.evidence.sentence(effect.decision),
            "standing": effect.evidence.standing.0,
            "threshold": effect.evidence.threshold.map(|standing| standing.0),
            "breaker": effect.evidence.breaker.map(BreakerState::name),
            "is_probe": effect.evidence.is_probe,
            "limit": effect.evidence.limit,
            "inflight": effect.evidence.inflight,
            "queued_ahead": effect.evidence.queued_ahead,
            "wait_ms": effect.evidence.wait.as_secs_f64() * 1e3,
            "wait_allowed_ms": effect.evidence.wait_allowed.as_secs_f64() * 1e3,
        })
    };
    json!({
        "generation": past.stamp.generation,
        "canary_beside": past.beside,
        "policy": past.stamp.policy,
        "bundle": past.stamp.bundle,
        "class": past.class,
        "class_by": past.class_by(),
        "confidence": past.grounds.confidence,
        "route": past.route(),
        "value": past.arrival.value.get(),
        "usage_penalty": past.arrival.usage_penalty,
        "decisions": past.effects.iter().map(answer).collect::<Vec<_>>(),
        "reproduced": is_same,
    })
}

fn text(past: &Past, is_same: bool) -> String {
    let route = past.route().unwrap_or_else(|| "none".to_owned());
    let mut text = format!(
        "generation {}{} (policy {})\nroute      {route}\nclass      {} (by {})\nvalue      {:.3}\n",
        past.stamp.generation,
        past.beside.map(|number| format!(", a canary beside {number}")).unwrap_or_default(),
        past.stamp.policy.get(..12).unwrap_or_default(),
        past.class,
        past.class_by(),
        past.arrival.value.get(),
    );
    for effect in &past.effects {
        text.push_str(&format!("decision   {}\n", effect.evidence.sentence(effect.decision)));
    }
    if is_same {
        text.push_str("reproduced by this binary, bit for bit\n");
    }
    text
}
