//! What a process starts with: what the files hold, or what was in force last where those may not be applied.
//!
//! A crash is no reason to apply what somebody went back from, to put a canary into force as a whole, or to keep
//! a shop shut for a mistake in a file: what was in force last is on disk for that, if there is a state directory.
//!
//! It begins no canary and starts no gate.

use super::applying::{from_files, note};
use super::loading::{ReloadError, check_pools, check_tests, load_model};
use crate::clock::Clock;
use crate::config::Config;
use crate::generation::Generation;
use crate::history::{Applied, Cause, History};

/// What a process starts with.
pub(super) struct First {
    /// Its generation.
    pub(super) generation: Generation,
    /// Whether the files hold a canary, to be begun beside it.
    pub(super) has_canary: bool,
    /// Whether the files cannot be applied, and it is what was in force last.
    pub(super) is_resumed: bool,
}

/// Why a process starts with what was in force last instead of what the files hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resumed {
    /// Somebody went back from that.
    RolledBack,
    /// They hold a canary, which needs something to stand beside.
    Canary,
    /// They cannot be applied: a shop does not stay shut for a slip of the pen.
    Mistaken,
}

impl Resumed {
    const fn reason(self) -> &'static str {
        match self {
            Resumed::RolledBack => "the files hold what was rolled back from",
            Resumed::Canary => "the files hold a canary",
            Resumed::Mistaken => "the files cannot be applied",
        }
    }

    /// What happens where that is lost.
    const fn otherwise(self) -> &'static str {
        match self {
            Resumed::RolledBack | Resumed::Canary => "what the files hold is in force",
            Resumed::Mistaken => "there is nothing to start with",
        }
    }
}

/// The generation that a process starts with: what the files hold, or what was in force last if they hold
/// what was rolled back from, or a canary, or mistakes.
pub(super) fn first_generation(
    config: &Config,
    history: &mut History,
    clock: &Clock,
) -> Result<First, ReloadError> {
    generation_of_files(config, history, clock).or_else(|error| {
        if history.latest().is_none() {
            return Err(error);
        }
        log::error!("the files cannot be applied:\n{error}");
        let generation = latest(config, history, Resumed::Mistaken).ok_or(error)?;
        Ok(First { generation, has_canary: false, is_resumed: true })
    })
}

fn generation_of_files(config: &Config, history: &mut History, clock: &Clock) -> Result<First, ReloadError> {
    let first = |generation, has_canary| Ok(First { generation, has_canary, is_resumed: false });
    let (policy, bundle) = from_files(config)?;
    let model = load_model(&policy, config);
    let model = model.inspect_err(|error| log::error!("no model, the policy's classes stand: {error}"));
    let mut generation = Generation::new(history.next_number(), policy, model.ok());
    if let Some(latest) = history.latest() {
        generation = generation.keeping_mode_of(&latest.contents);
    }
    let contents = generation.contents();
    if history.is_held(&contents)
        && let Some(generation) = latest(config, history, Resumed::RolledBack)
    {
        return first(generation, false);
    }
    check_tests(&generation, clock)?;
    if let Some(latest) = history.latest().filter(|latest| latest.contents == contents) {
        let generation = generation.numbered(latest.number);
        if contents.observes.is_some() {
            let mode = generation.policy.base.mode().name();
            log::warn!("generation {} goes on to {mode}, as was said by hand", generation.number);
        }
        history.resume(&generation);
        return first(generation, false);
    }
    if generation.policy.canary.is_some() {
        if let Some(generation) = latest(config, history, Resumed::Canary) {
            return first(generation, true);
        }
        log::warn!("the canary is in force as a whole: no generation is kept to compare it with");
    }
    let bundle = bundle.as_deref();
    let applied =
        Applied { generation: &generation, bundle, cause: Cause::Start, restores: None, wall: Clock::wall() };
    note(history, &applied);
    first(generation, false)
}

/// What was in force last, which is kept for a reason; `None` if there is nothing, or nothing usable.
fn latest(config: &Config, history: &mut History, resumed: Resumed) -> Option<Generation> {
    let number = history.latest()?.number;
    let restored = history.restore(number).map_err(ReloadError::from);
    let restored = restored.and_then(|generation| {
        check_pools(&generation.policy, config)?;
        Ok(generation)
    });
    match restored {
        Ok(generation) => {
            log::warn!("generation {number} stays in force: {}", resumed.reason());
            history.resume(&generation);
            Some(generation)
        }
        Err(error) => {
            log::error!("{}, for generation {number} is lost: {error}", resumed.otherwise());
            None
        }
    }
}
