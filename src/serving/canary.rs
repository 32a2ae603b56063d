//! A canary: a generation that decides for a share of the sessions, beside the one in force.
//!
//! Who asks is in the canary or not by the keyed hash of the session, so a shopper stays in one arm while it
//! lasts, and a request is judged by one arm to its end. Both arms come to the same gates and the same core,
//! which holds one policy: who gets a seat is a matter of one order. So a canary judges otherwise (routes,
//! model, values, refusals, hard limits), and has the classes, the mode and the sessions of the generation in
//! force; a policy that changes those is refused as a canary, and says what differs.
//!
//! It ends by being promoted, by being aborted, and whenever anything else comes into force.

use std::path::PathBuf;
use std::sync::Arc;

use plimsoll_core::policy::{Class, Share};

use super::applying::stamp_of;
use super::{Outcome, ReloadError, Running, Serving};
use crate::classify::sessions::SessionKey;
use crate::clock::Clock;
use crate::generation::Generation;
use crate::history::{Cause, History};
use crate::policy::compiled::CompiledPolicy;
use crate::telemetry::meters::Arm;

/// A golden-ratio multiplier (Knuth, The Art of Computer Programming, 6.4): the sessions of one canary are
/// not those of the next.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A generation beside the one in force.
#[derive(Debug)]
pub struct Canary {
    /// It, as requests are judged by it.
    pub running: Arc<Running>,
    /// The share of the sessions it decides for.
    pub share: Share,
    /// When it began, in seconds since 1970.
    pub began: u64,
    pub(super) bundle: Option<PathBuf>,
}

impl Canary {
    /// Whether it decides for this session.
    pub fn takes(&self, session: &SessionKey) -> bool {
        takes(self.share, self.running.generation.number, session.sticky())
    }
}

fn takes(share: Share, salt: u64, session: u64) -> bool {
    let mixed = (session ^ salt.wrapping_mul(SPREAD)).wrapping_mul(SPREAD);
    // The upper half is the better mixed one; its part of all is compared, in millionths.
    (mixed >> 32) * 1_000_000 < u64::from(share.millionths()) << 32
}

/// What keeps `new` from being a canary beside `running`: empty if nothing does.
pub(super) fn obstacles(running: &CompiledPolicy, new: &CompiledPolicy) -> Vec<String> {
    let mut found = Vec::new();
    if running.base.mode() != new.base.mode() {
        found.push(format!(
            "mode is {}, and {} is in force",
            new.base.mode().name(),
            running.base.mode().name()
        ));
    }
    if running.sessions != new.sessions {
        found.push("sessions differ: they say who is in the canary".to_owned());
    }
    if running.base.observed() != new.base.observed() {
        found.push("`mode` of a class differs".to_owned());
    }
    if running.schedules != new.schedules {
        found.push("schedules differ".to_owned());
    }
    for class in new.base.classes() {
        match running.base.class_named(&class.name) {
            Some(id) => found.extend(differences(class, running.base.class(id))),
            None => found.push(format!("class `{}` is not in force", class.name)),
        }
    }
    for class in running.base.classes() {
        if new.base.class_named(&class.name).is_none() {
            found.push(format!("class `{}` is missing", class.name));
        }
    }
    found
}

/// The keys of a class in which it differs from what is in force.
fn differences(class: &Class, other: &Class) -> Vec<String> {
    let same = [
        ("rank", class.rank == other.rank),
        ("slo.latency", class.slo_latency == other.slo_latency),
        ("patience", class.patience == other.patience),
        ("floor", class.floor == other.floor),
        ("ceiling", class.ceiling == other.ceiling),
        ("queue", class.queue == other.queue),
        ("breaker", class.breaker == other.breaker),
    ];
    let differ = same.into_iter().filter(|(_, is_same)| !is_same);
    differ.map(|(key, _)| format!("`{key}` of class `{}` differs", class.name)).collect()
}

impl Serving {
    /// Lets `generation` decide for a share of the sessions.
    pub(super) fn begin_canary(
        &self,
        history: &mut History,
        generation: Generation,
        bundle: Option<PathBuf>,
        share: Share,
    ) -> Result<Outcome, ReloadError> {
        let running = self.running_for_long();
        let obstacles = obstacles(&running.generation.policy, &generation.policy);
        if !obstacles.is_empty() {
            return Err(ReloadError::Canary { number: running.generation.number, obstacles });
        }
        let number = history.reserve_number();
        let generation = generation.numbered(number).sharing_core_with(&running.generation);
        log::info!("generation {number} is the canary: {}", generation.policy.source);
        self.metrics.begin_canary();
        let stamp = stamp_of(&generation);
        self.pools.iter().for_each(|pool| pool.gate.begin_canary(&stamp));
        let of_canary = Running::new(generation, &self.metrics).in_arm(Arm::Canary, &self.metrics);
        let of_canary = of_canary.sharing_limits_with(&running);
        let running_canary = Arc::new(of_canary);
        let canary = Canary { running: running_canary, share, began: Clock::wall().as_secs(), bundle };
        self.running.store(Arc::new(running.beside(Some(Arc::new(canary)), &self.metrics)));
        Ok(Outcome::Canary(number))
    }

    /// Puts the canary into force. Returns the number it has from now on.
    ///
    /// # Errors
    /// There is none.
    pub fn promote_canary(&self) -> Result<u64, ReloadError> {
        let mut history = self.history();
        let canary = self.running().canary.clone().ok_or(ReloadError::NoCanary)?;
        let generation = canary.running.generation.clone();
        Ok(self.put(&mut history, generation, canary.bundle.as_deref(), (Cause::Promotion, None)))
    }

    /// Gives the canary up, and holds it off until its file changes. Returns the number it had.
    ///
    /// # Errors
    /// There is none.
    pub fn abort_canary(&self) -> Result<u64, ReloadError> {
        let mut history = self.history();
        let number = self.hold_canary(&mut history).ok_or(ReloadError::NoCanary)?;
        self.end_canary("aborted");
        Ok(number)
    }

    /// Holds off what the canary is made of, if there is one: whoever goes back does not want it either.
    pub(super) fn hold_canary(&self, history: &mut History) -> Option<u64> {
        let canary = self.running().canary.clone()?;
        let generation = &canary.running.generation;
        if let Err(error) = history.hold_off(&generation.contents()) {
            log::error!("the canary is not held off over a restart: {error}");
        }
        Some(generation.number)
    }

    /// Leaves all sessions to the generation in force.
    pub(super) fn end_canary(&self, why: &str) {
        let running = self.running_for_long();
        if let Some(canary) = &running.canary {
            log::info!("the canary, generation {}, is over: {why}", canary.running.generation.number);
            self.running.store(Arc::new(running.beside(None, &self.metrics)));
        }
    }
}

impl Running {
    /// What judges the requests of this session: the canary or the generation in force.
    pub fn for_session(self: &Arc<Running>, session: &SessionKey) -> Arc<Running> {
        match &self.canary {
            Some(canary) if canary.takes(session) => canary.running.clone(),
            _ => self.clone(),
        }
    }

    /// The longest body that any class on either side allows, where one states it.
    pub fn body_bytes_most(&self) -> Option<u64> {
        let of_canary = self.canary.as_ref().and_then(|one| one.running.generation.policy.body_bytes_most);
        self.generation.policy.body_bytes_most.max(of_canary)
    }

    /// Whether it is the canary.
    pub fn is_canary(&self) -> bool {
        self.arm == Some(Arm::Canary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::compile::compile;
    use crate::policy::storefront;
    use crate::yaml::source::Source;

    fn policy(text: &str) -> CompiledPolicy {
        compile(&Source::of("policy.yaml", &format!("version: 1\n{text}"))).unwrap()
    }

    #[test]
    fn a_share_of_the_sessions_is_taken_and_always_the_same_ones() {
        let five = Share::from_percent(5).unwrap();
        let taken = |salt: u64| {
            (0..100_000_u64)
                .filter(move |session| takes(five, salt, session.wrapping_mul(0x2545_f491_4f6c_dd1d)))
        };
        let count = taken(3).count();
        assert!((4_500..5_500).contains(&count), "{count}");
        assert!(taken(3).eq(taken(3)));
        assert!(taken(3).ne(taken(4)), "the next canary takes others");
        assert!(!takes(Share::NONE, 3, 0) && takes(Share::ALL, 3, u64::MAX));
    }

    #[test]
    fn what_both_arms_share_must_be_the_same() {
        let running = policy("classes: { a: {}, b: { floor: 10% } }");
        assert_eq!(obstacles(&storefront(), &storefront()), Vec::<String>::new());
        let same = policy(
            "classes: { a: { value: 0.9, refuse: { status: 429 } }, b: { floor: 10% } }\nroutes: [{ path: /x, class: a }]",
        );
        assert_eq!(obstacles(&running, &same), Vec::<String>::new());
        let other = policy(
            "mode: observe\nsessions: { max: 2048 }\nclasses: { c: { rank: 7 }, b: { rank: 2, floor: 20%, queue: { max_length: 1 } } }",
        );
        let found = obstacles(&running, &other);
        for text in [
            "mode is observe",
            "sessions differ",
            "`rank` of class `b`",
            "`floor` of class `b`",
            "`queue`",
            "class `c` is not in force",
            "class `a` is missing",
        ] {
            assert!(found.iter().any(|one| one.contains(text)), "{text}: {found:?}");
        }
    }
}
