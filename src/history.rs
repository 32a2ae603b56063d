//! The generations applied last, to list and to return to: the last ten, on disk if there is a place.
//!
//! In memory each keeps its policy and model, so returning to one reads no file and cannot fail half
//! way. On disk they are kept by content (`store`), and an index names them in order; the index is
//! replaced by a rename, so a process that dies while it writes leaves the one before.
//!
//! The one that an automatic rollback would return to is among the ten however many are applied after it: whoever
//! watches a window pins it until another takes its place.
//!
//! A rollback leaves the file that was rolled back from where it is. So that neither a restart nor a
//! watcher applies it again, its contents are *held* until another policy has been applied.
//!
//! It applies nothing; `serving` does.

mod store;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::generation::{Contents, Generation};
pub use store::HistoryError;
use store::Store;

/// Generations that are kept: a busy day's edits.
pub const GENERATIONS_MAX: usize = 10;
/// Contents that are held: more rollbacks in a row find no generation to go back to.
const HELD_MAX: usize = GENERATIONS_MAX;

/// Why a generation was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The process started with it.
    Start,
    /// A file changed, or somebody asked to look again.
    Reload,
    /// Somebody asked to go back.
    Rollback,
    /// A protected class kept its SLO less often.
    AutomaticRollback,
    /// Somebody set the mode.
    Mode,
    /// Somebody was content with it as a canary.
    Promotion,
}

impl Cause {
    /// The name in lists, metrics and the index.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Start => "start",
            Cause::Reload => "reload",
            Cause::Rollback => "rollback",
            Cause::AutomaticRollback => "automatic_rollback",
            Cause::Mode => "mode",
            Cause::Promotion => "promotion",
        }
    }
}

/// A generation as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// When it was applied, in seconds since 1970.
    pub applied_at: u64,
    /// Why.
    pub cause: Cause,
    /// The generation it brought back, if it did.
    pub restores: Option<u64>,
    /// The file or directory its policy came from.
    pub source: String,
    /// What it is made of.
    pub contents: Contents,
}

/// What is applied, and why.
#[derive(Clone, Debug)]
pub struct Applied<'g> {
    /// What.
    pub generation: &'g Generation,
    /// Where its bundle lies, if not in the binary.
    pub bundle: Option<&'g Path>,
    /// Why.
    pub cause: Cause,
    /// The generation it brings back.
    pub restores: Option<u64>,
    /// Now, since 1970.
    pub wall: Duration,
}

/// The index on disk.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Index {
    generations: Vec<Entry>,
    held: Vec<Contents>,
    /// The highest number that a canary has had.
    #[serde(default, skip_serializing_if = "is_none")]
    reserved: u64,
}

fn is_none(number: &u64) -> bool {
    *number == 0
}

#[derive(Debug)]
struct Kept {
    entry: Entry,
    /// In memory if this process has applied it.
    generation: Option<Generation>,
}

/// The generations applied last.
#[derive(Debug, Default)]
pub struct History {
    kept: VecDeque<Kept>,
    held: Vec<Contents>,
    reserved: u64,
    /// The generation that is not forgotten.
    pinned: Option<u64>,
    store: Option<Store>,
}

impl History {
    /// The history in `directory`, or one in memory.
    ///
    /// # Errors
    /// The directory cannot be used, or holds something else.
    pub fn open(directory: Option<&Path>) -> Result<History, HistoryError> {
        let Some(directory) = directory else { return Ok(History::default()) };
        let store = Store::open(directory)?;
        let index = store.read_index()?;
        let kept = index.generations.into_iter().map(|entry| Kept { entry, generation: None });
        let (held, reserved) = (index.held, index.reserved);
        Ok(History { kept: kept.collect(), held, reserved, pinned: None, store: Some(store) })
    }

    /// The entries, the latest last.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + Clone {
        self.kept.iter().map(|kept| &kept.entry)
    }

    /// The generation applied last.
    pub fn latest(&self) -> Option<&Entry> {
        self.entries().next_back()
    }

    /// The number of the next one.
    pub fn next_number(&self) -> u64 {
        self.latest().map_or(1, |entry| entry.number + 1).max(self.reserved + 1)
    }

    /// A number for a canary, which no other generation gets.
    pub fn reserve_number(&mut self) -> u64 {
        self.reserved = self.next_number();
        if let Err(error) = self.write_index() {
            log::error!("the number of the canary is not kept over a restart: {error}");
        }
        self.reserved
    }

    /// Holds off contents that were never in force as a whole: a canary's.
    ///
    /// # Errors
    /// That is kept in memory, but not on disk.
    pub fn hold_off(&mut self, contents: &Contents) -> Result<(), HistoryError> {
        self.hold(by_file(contents));
        self.write_index()
    }

    /// Whether a file may not bring these contents back by itself: somebody went back from them.
    pub fn is_held(&self, contents: &Contents) -> bool {
        self.held.contains(&by_file(contents))
    }

    /// The generation to go back to: the latest before the one in force, or before the one that it
    /// brought back, that is made of something else.
    pub fn previous(&self) -> Option<u64> {
        let latest = self.latest()?;
        let origin = self.origin(latest);
        let differs = |entry: &&Entry| entry.number < origin && entry.contents != latest.contents;
        self.entries().rev().find(differs).map(|entry| entry.number)
    }

    /// The number under which what `entry` brings back came first. What it brings back may itself have been brought
    /// back, from something that nobody wants to go back to.
    fn origin(&self, entry: &Entry) -> u64 {
        let restored_by = |number: u64| self.entries().find(|one| one.number == number)?.restores;
        let mut origin = entry.restores.unwrap_or(entry.number);
        // It ends: whatever is brought back has a lower number.
        while let Some(earlier) = restored_by(origin) {
            origin = earlier;
        }
        origin
    }

    /// The generation of that number, from memory or from disk.
    ///
    /// # Errors
    /// It is not among the last ones, or what the disk holds of it is not usable.
    pub fn restore(&self, number: u64) -> Result<Generation, HistoryError> {
        let kept = self.kept.iter().find(|kept| kept.entry.number == number);
        let kept = kept.ok_or(HistoryError::Unknown { number, known: self.known() })?;
        match (&kept.generation, &self.store) {
            (Some(generation), _) => Ok(generation.clone()),
            (None, Some(store)) => store.restore(&kept.entry),
            (None, None) => Err(HistoryError::Unknown { number, known: self.known() }),
        }
    }

    /// Notes what was applied. A file's contents that are applied end what is held; going back holds
    /// what was in force.
    ///
    /// # Errors
    /// It is kept in memory, but not on disk.
    pub fn record(&mut self, applied: &Applied<'_>) -> Result<(), HistoryError> {
        match (applied.cause, self.latest().map(|entry| by_file(&entry.contents))) {
            (Cause::Start | Cause::Reload | Cause::Promotion, _) => self.held.clear(),
            (Cause::Rollback | Cause::AutomaticRollback, Some(left))
                if left != by_file(&applied.generation.contents()) =>
            {
                self.hold(left);
            }
            (Cause::Mode | Cause::Rollback | Cause::AutomaticRollback, _) => {}
        }
        self.kept.push_back(Kept { entry: entry(applied), generation: Some(applied.generation.clone()) });
        while self.kept.len() > GENERATIONS_MAX {
            self.forget_oldest();
        }
        let Some(store) = &self.store else { return Ok(()) };
        store.keep(applied.generation, applied.bundle)?;
        self.write_index()?;
        store.forget_all_but(self.entries())
    }

    /// Keeps generation `number` among those that can be brought back, until another is pinned.
    pub fn pin(&mut self, number: u64) {
        self.pinned = Some(number);
    }

    /// Forgets the oldest that is not pinned, which is never the latest: more than one are kept.
    fn forget_oldest(&mut self) {
        let is_free = |kept: &Kept| Some(kept.entry.number) != self.pinned;
        let place = self.kept.iter().position(is_free).unwrap_or_default();
        self.kept.remove(place);
    }

    fn write_index(&self) -> Result<(), HistoryError> {
        let Some(store) = &self.store else { return Ok(()) };
        let (held, reserved) = (self.held.clone(), self.reserved);
        store.write_index(&Index { generations: self.entries().cloned().collect(), held, reserved })
    }

    /// Keeps in memory what the process started with, which the index names already.
    pub fn resume(&mut self, generation: &Generation) {
        let kept = self.kept.iter_mut().find(|kept| kept.entry.number == generation.number);
        if let Some(kept) = kept {
            kept.generation = Some(generation.clone());
        }
    }

    fn hold(&mut self, contents: Contents) {
        self.held.push(contents);
        if self.held.len() > HELD_MAX {
            self.held.remove(0);
        }
    }

    fn known(&self) -> String {
        let numbers: Vec<String> = self.entries().map(|entry| entry.number.to_string()).collect();
        numbers.join(", ")
    }
}

/// The contents as a file has them: it never says what an operator said of its mode.
fn by_file(contents: &Contents) -> Contents {
    Contents { observes: None, ..contents.clone() }
}

fn entry(applied: &Applied<'_>) -> Entry {
    Entry {
        number: applied.generation.number,
        applied_at: applied.wall.as_secs(),
        cause: applied.cause,
        restores: applied.restores,
        source: applied.generation.policy.source.clone(),
        contents: applied.generation.contents(),
    }
}

/// Where generations lie below a state directory.
pub(crate) fn directory(state: &Path) -> PathBuf {
    state.join("generations")
}

#[cfg(test)]
mod tests;
