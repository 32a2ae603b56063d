//! Who may stand at the door, and one run with one of them.
//!
//! A contestant is one word on the command line; those that need a number are told
//! it after a colon: `haproxy:20`.

use super::door::Door;
use super::judge::Judge;
use super::ledger::Ledger;
use super::opponents::codel::Codel;
use super::opponents::dagor::Dagor;
use super::opponents::envoy::Envoy;
use super::opponents::failsafe::Failsafe;
use super::opponents::gradient2::Gradient2;
use super::opponents::haproxy::Haproxy;
use super::opponents::static_limit::StaticLimit;
use super::ours::Plimsoll;
use super::world::World;
use crate::scenario::Scenario;
use crate::units::Positive;
use plimsoll_core::policy::ClassSet;
use std::fmt;
use std::str::FromStr;

/// The queue timeout of the hand-tuned HAProxy, as a share of the SLO: 700 ms of a second.
const QUEUE_TIMEOUT: f64 = 0.7;

/// Who stands at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contestant {
    /// This project.
    Plimsoll,
    /// Nobody: everything reaches the shop.
    NoControl,
    /// A limit that somebody has chosen.
    StaticLimit(u32),
    /// The same with a queue by class and a queue timeout.
    Haproxy(u32),
    /// Adaptive concurrency.
    Envoy,
    /// The same, with what brings money taken out of it, as a good operator would.
    EnvoySparing,
    /// Netflix's limit, in partitions.
    Gradient2,
    /// failsafe-go's adaptive limiter with priorities.
    Failsafe,
    /// CoDel before so many slots.
    Codel(u32),
    /// WeChat's overload control before so many slots.
    Dagor(u32),
}

impl Contestant {
    fn door<'a>(self, scenario: &Scenario, judge: &'a Judge, seed: u64) -> Box<dyn Door + 'a> {
        let classes = judge.policy.core.classes().len();
        match self {
            Contestant::Plimsoll => Box::new(Plimsoll::new(judge)),
            Contestant::NoControl => Box::new(StaticLimit::new(u32::MAX)),
            Contestant::StaticLimit(limit) => Box::new(StaticLimit::new(limit)),
            Contestant::Haproxy(maxconn) => {
                Box::new(Haproxy::new(maxconn, scenario.slo.mul_f64(QUEUE_TIMEOUT), classes))
            }
            Contestant::Envoy => Box::new(Envoy::new(seed)),
            Contestant::EnvoySparing => Box::new(Envoy::sparing(earners(judge), seed)),
            Contestant::Gradient2 => Box::new(Gradient2::new(classes)),
            Contestant::Failsafe => Box::new(Failsafe::new(classes, seed)),
            Contestant::Codel(slots) => Box::new(Codel::new(slots)),
            Contestant::Dagor(slots) => Box::new(Dagor::new(slots, classes)),
        }
    }

    /// All of them; those that need a number get the best static limit of the shop.
    pub(crate) fn all(best: u32) -> Vec<Contestant> {
        vec![
            Contestant::Plimsoll,
            Contestant::NoControl,
            Contestant::StaticLimit(best),
            Contestant::StaticLimit(best.div_ceil(2)),
            Contestant::StaticLimit(best * 2),
            Contestant::Haproxy(best),
            Contestant::Haproxy(best * 10),
            Contestant::Envoy,
            Contestant::EnvoySparing,
            Contestant::Gradient2,
            Contestant::Failsafe,
            Contestant::Codel(best),
            Contestant::Dagor(best),
        ]
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Contestant::Plimsoll => f.write_str("plimsoll"),
            Contestant::NoControl => f.write_str("none"),
            Contestant::StaticLimit(limit) => write!(f, "static:{limit}"),
            Contestant::Haproxy(maxconn) => write!(f, "haproxy:{maxconn}"),
            Contestant::Envoy => f.write_str("envoy"),
            Contestant::EnvoySparing => f.write_str("envoy-sparing"),
            Contestant::Gradient2 => f.write_str("gradient2"),
            Contestant::Failsafe => f.write_str("failsafe"),
            Contestant::Codel(slots) => write!(f, "codel:{slots}"),
            Contestant::Dagor(slots) => write!(f, "dagor:{slots}"),
        }
    }
}

/// The classes whose routes the configuration of the real Envoy takes out of its filter.
fn earners(judge: &Judge) -> ClassSet {
    let classes = ["checkout", "account", "cart"].map(|name| judge.policy.core.class_named(name));
    classes.into_iter().flatten().collect()
}

/// Why a word names nobody.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no contestant: write plimsoll, none, static:20, haproxy:20, envoy, envoy-sparing, gradient2, \
     failsafe, codel:20, dagor:20, or all"
)]
pub(crate) struct NoContestant(String);

impl FromStr for Contestant {
    type Err = NoContestant;

    fn from_str(text: &str) -> Result<Contestant, NoContestant> {
        let number = |number: &str| number.parse::<u32>().ok().filter(|number| *number > 0);
        let read = match text.split_once(':') {
            None => match text {
                "plimsoll" => Some(Contestant::Plimsoll),
                "none" => Some(Contestant::NoControl),
                "envoy" => Some(Contestant::Envoy),
                "envoy-sparing" => Some(Contestant::EnvoySparing),
                "gradient2" => Some(Contestant::Gradient2),
                "failsafe" => Some(Contestant::Failsafe),
                _ => None,
            },
            Some(("static", limit)) => number(limit).map(Contestant::StaticLimit),
            Some(("haproxy", limit)) => number(limit).map(Contestant::Haproxy),
            Some(("codel", slots)) => number(slots).map(Contestant::Codel),
            Some(("dagor", slots)) => number(slots).map(Contestant::Dagor),
            Some(_) => None,
        };
        read.ok_or_else(|| NoContestant(text.into()))
    }
}

/// Runs `scenario` once, with `contestant` at the door.
pub(crate) fn run(scenario: &Scenario, judge: &Judge, contestant: Contestant, seed: u64) -> Ledger {
    let shares = if scenario.proxies.is_empty() { &[Positive(1.0)] } else { scenario.proxies.as_slice() };
    let door = |(index, share): (usize, &Positive)| {
        (contestant.door(scenario, judge, seed.wrapping_add(index as u64)), share.0)
    };
    World::new(scenario, judge, shares.iter().enumerate().map(door).collect(), seed).run()
}

/// Runs `scenario` once per seed, and pools the counts; the course is the first run's.
pub(crate) fn pooled(scenario: &Scenario, judge: &Judge, contestant: Contestant, seeds: &[u64]) -> Ledger {
    let runs = seeds.iter().map(|seed| run(scenario, judge, contestant, *seed));
    let add = |mut pooled: Ledger, run: Ledger| {
        pooled.add(&run);
        pooled
    };
    runs.reduce(add).expect("there is at least one seed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_names_the_contestant_that_is_shown_by_it() {
        for contestant in Contestant::all(20) {
            assert_eq!(contestant.to_string().parse::<Contestant>().unwrap(), contestant);
        }
        for word in ["", "haproxy", "haproxy:0", "envoy:3", "nginx"] {
            let error = word.parse::<Contestant>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{word}` is no contestant")), "{error}");
        }
    }
}
