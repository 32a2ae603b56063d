//! Who may stand at the door, and one run with one of them.

use super::door::Door;
use super::judge::Judge;
use super::ledger::Ledger;
use super::opponents::static_limit::StaticLimit;
use super::ours::Plimsoll;
use super::world::World;
use crate::scenario::Scenario;
use std::fmt;

/// Who stands at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contestant {
    /// This project.
    Plimsoll,
    /// Nobody: everything reaches the shop.
    NoControl,
    /// A limit that somebody has chosen.
    StaticLimit(u32),
}

impl Contestant {
    fn door<'a>(self, judge: &'a Judge) -> Box<dyn Door + 'a> {
        match self {
            Contestant::Plimsoll => Box::new(Plimsoll::new(judge)),
            Contestant::NoControl => Box::new(StaticLimit::new(u32::MAX)),
            Contestant::StaticLimit(limit) => Box::new(StaticLimit::new(limit)),
        }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Contestant::Plimsoll => f.write_str("plimsoll"),
            Contestant::NoControl => f.write_str("no control"),
            Contestant::StaticLimit(limit) => write!(f, "static limit {limit}"),
        }
    }
}

/// Runs `scenario` once, with `contestant` at the door.
pub(crate) fn run(scenario: &Scenario, judge: &Judge, contestant: Contestant, seed: u64) -> Ledger {
    World::new(scenario, vec![contestant.door(judge)], seed).run()
}
