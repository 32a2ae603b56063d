//! How a generation comes into force: by a file, by going back, or by a word on its mode; whole or not
//! at all.
//!
//! Everything that can fail is over before the swap. Reloads wait for each other from their first file on, and
//! nobody else waits for them: the history is locked for comparing and for the swap alone, so that whoever goes
//! back need not wait for a bundle that is being tried. Whoever brings another generation into force meanwhile
//! (goes back, sets the mode, promotes a canary) has the last word: the reload is given up and says so, and the
//! next one applies what the files hold then. The swap itself is one store, after which each gate
//! is told; requests that were judged before and ask after are judged anew. What was applied is noted in
//! the history last: a full disk must not keep an operator from applying what the shop needs, so that is
//! an error in the log, and no more.
//!
//! What does not differ from what is in force is not applied: watchers call once too often, and a
//! history of equal generations would be no help.

use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};

use plimsoll_core::policy::Mode;

use super::loading::{
    ReloadError, bundle_directory, check_pools, check_tests, load_model, log_warnings, read_policy,
};
use super::{Running, Serving};
use crate::clock::Clock;
use crate::config::Config;
use crate::generation::Generation;
use crate::history::{Applied, Cause, Entry, History};
use crate::journal::entry::Stamp;
use crate::policy::compiled::CompiledPolicy;

/// Whether what was rolled back from is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applying {
    /// Only if it has changed.
    Changed,
    /// Whatever it is.
    Again,
}

/// What became of a reload that was not rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A generation of this number is in force from now on.
    Applied(u64),
    /// The files say what is in force already, as this generation.
    Unchanged(u64),
    /// A generation of this number decides for a share of the sessions from now on.
    Canary(u64),
}

/// What a reload has read.
struct Read {
    generation: Generation,
    /// Where its bundle lies.
    bundle: Option<PathBuf>,
    /// The number of the generation that was in force when it began.
    began_under: u64,
}

impl Serving {
    /// Reads policy and model anew and applies both or neither.
    ///
    /// # Errors
    /// Why everything stays as it is.
    pub fn reload(&self, applying: Applying) -> Result<Outcome, ReloadError> {
        let result = self.apply_files(applying);
        match &result {
            Ok(Outcome::Applied(_) | Outcome::Canary(_)) => self.metrics.reloaded(true),
            Ok(Outcome::Unchanged(number)) => log::info!("nothing has changed: generation {number} stays"),
            // A watcher may ask any number of times, and nothing is wrong.
            Err(error @ (ReloadError::Held { .. } | ReloadError::Overtaken { .. })) => {
                log::warn!("nothing is applied: {error}");
            }
            Err(error) => {
                self.metrics.reloaded(false);
                log::error!("reload rejected, the running policy stays:\n{error}");
            }
        }
        result
    }

    fn apply_files(&self, applying: Applying) -> Result<Outcome, ReloadError> {
        // Of two reloads the later one has read the later files. What it guards is their order, nothing else.
        let _reloading = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let read = self.read_files()?;
        self.apply_read(read, applying)
    }

    fn read_files(&self) -> Result<Read, ReloadError> {
        let began_under = self.running().generation.number;
        let (policy, bundle) = from_files(&self.config)?;
        let model = load_model(&policy, &self.config)?;
        // Its number is that under which it comes into force.
        Ok(Read { generation: Generation::new(0, policy, Some(model)), bundle, began_under })
    }

    fn apply_read(&self, read: Read, applying: Applying) -> Result<Outcome, ReloadError> {
        let Read { generation, bundle, began_under } = read;
        let generation = generation.keeping_mode_of(&self.running().generation.contents());
        if let Some(outcome) = self.unchanged(&self.history(), &generation, applying)? {
            return Ok(outcome);
        }
        check_tests(&generation, &self.clock)?;
        let mut history = self.history();
        let number = self.running().generation.number;
        if number != began_under {
            return Err(ReloadError::Overtaken { number });
        }
        // A canary may have ended while the tests ran.
        if let Some(outcome) = self.unchanged(&history, &generation, applying)? {
            return Ok(outcome);
        }
        if let Some(share) = generation.policy.canary {
            return self.begin_canary(&mut history, generation, bundle, share);
        }
        let number = self.put(&mut history, generation, bundle.as_deref(), (Cause::Reload, None));
        Ok(Outcome::Applied(number))
    }

    /// What becomes of a reload that brings nothing new. Called by whoever holds the history.
    fn unchanged(
        &self,
        history: &History,
        generation: &Generation,
        applying: Applying,
    ) -> Result<Option<Outcome>, ReloadError> {
        let contents = generation.contents();
        let running = self.running_for_long();
        if contents == running.generation.contents() && running.generation.is_model_usable() {
            self.end_canary("the files say again what is in force");
            return Ok(Some(Outcome::Unchanged(running.generation.number)));
        }
        let mut canary = running.canary.iter().map(|canary| &canary.running.generation);
        if let Some(canary) = canary.find(|canary| canary.contents() == contents) {
            return Ok(Some(Outcome::Unchanged(canary.number)));
        }
        if applying == Applying::Changed && history.is_held(&contents) {
            return Err(ReloadError::Held { files: generation.policy.source.clone() });
        }
        Ok(None)
    }

    /// Brings generation `number` back, or the one before what is in force. Returns the number it has
    /// now.
    ///
    /// # Errors
    /// Why everything stays as it is.
    pub fn roll_back(&self, number: Option<u64>, cause: Cause) -> Result<u64, ReloadError> {
        let mut history = self.history();
        let number = number.or_else(|| history.previous()).ok_or(ReloadError::NothingBefore)?;
        self.bring_back(&mut history, number, cause)
    }

    /// Goes back from generation `number` to the one `before`, unless another has come into force since.
    ///
    /// # Errors
    /// Why everything stays as it is.
    pub fn roll_back_from(&self, number: u64, before: u64) -> Result<Option<u64>, ReloadError> {
        let mut history = self.history();
        if self.running().generation.number != number {
            return Ok(None);
        }
        self.bring_back(&mut history, before, Cause::AutomaticRollback).map(Some)
    }

    fn bring_back(&self, history: &mut History, number: u64, cause: Cause) -> Result<u64, ReloadError> {
        let generation = history.restore(number)?;
        check_pools(&generation.policy, &self.config)?;
        let number = self.put(history, generation, None, (cause, Some(number)));
        self.metrics.rolled_back(cause);
        Ok(number)
    }

    /// Observes or enforces from now on, whatever the policy says, until another one is applied: files that
    /// are touched and say the same are not another one, and neither is a restart that finds the state
    /// directory. Returns the number of the generation in force.
    pub fn set_mode(&self, mode: Mode) -> u64 {
        let mut history = self.history();
        let running = self.running();
        if running.generation.policy.core.mode() == mode {
            return running.generation.number;
        }
        let generation = running.generation.clone().in_mode(mode);
        self.put(&mut history, generation, None, (Cause::Mode, None))
    }

    /// The generations applied last, the latest last.
    pub fn generations(&self) -> Vec<Entry> {
        self.history().entries().cloned().collect()
    }

    /// Keeps generation `number` for an automatic rollback, however many are applied, until told of another.
    pub fn pin(&self, number: u64) {
        self.history().pin(number);
    }

    /// What was applied last, and why.
    pub fn latest_cause(&self) -> Option<Cause> {
        self.history().latest().map(|entry| entry.cause)
    }

    /// Puts `generation` into force under the next number.
    pub(super) fn put(
        &self,
        history: &mut History,
        generation: Generation,
        bundle: Option<&Path>,
        (cause, restores): (Cause, Option<u64>),
    ) -> u64 {
        if !matches!(cause, Cause::Reload | Cause::Promotion) {
            self.hold_canary(history);
        }
        let generation = generation.numbered(history.next_number()).at(Clock::wall());
        let number = generation.number;
        if cause != Cause::Mode {
            log_end_of_mode(&self.running().generation, &generation);
        }
        let sessions_max = generation.policy.sessions.sessions_max;
        if !self.sessions.is_made_for(sessions_max) {
            let capacity = self.sessions.capacity();
            log::warn!(
                "sessions.max: {sessions_max} from the next start on: there is room for {capacity} until then"
            );
        }
        let running = Running::new(generation.clone(), &self.metrics).sharing_limits_with(&self.running());
        self.swap(running, &stamp_of(&generation));
        log::info!("generation {number} is in force ({}): {}", cause.name(), generation.policy.source);
        note(history, &Applied { generation: &generation, bundle, cause, restores, wall: Clock::wall() });
        number
    }

    /// Lets requests be judged by `running` from now on, and every gate decide under it. Called by whoever
    /// holds the history.
    pub(super) fn swap(&self, running: Running, stamp: &Arc<Stamp>) {
        let swap = self.running().swap + 1;
        let core = running.generation.policy.core.clone();
        self.running.store(Arc::new(Running { swap, ..running }));
        for pool in &self.pools {
            pool.gate.change_policy(core.clone(), stamp);
        }
        self.applied.send_replace(swap);
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        // An entry is pushed whole, so a lock that a panic left poisoned guards a whole history.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the journal says of a generation.
pub(super) fn stamp_of(generation: &Generation) -> Arc<Stamp> {
    let contents = generation.contents();
    let text = serde_json::to_string(&*generation.policy.text).expect("a source is plain data");
    let bundle = contents.bundle.unwrap_or_default();
    Arc::new(Stamp { generation: generation.number, policy: contents.policy, bundle, text })
}

/// The policy of the files, and where its bundle lies.
pub(super) fn from_files(config: &Config) -> Result<(CompiledPolicy, Option<PathBuf>), ReloadError> {
    let policy = read_policy(config)?;
    check_pools(&policy, config)?;
    log_warnings(&policy);
    let bundle = bundle_directory(&policy, config).map(Path::to_owned);
    Ok((policy, bundle))
}

/// Says that a mode set by hand holds no longer, where that is so: nobody should find out from the refusals.
fn log_end_of_mode(old: &Generation, new: &Generation) {
    let (was, is) = (old.policy.base.mode(), new.policy.base.mode());
    if old.contents().observes.is_some() && was != is {
        log::warn!("generation {} begins to {}: the mode set by hand held until now", new.number, is.name());
    }
}

pub(super) fn note(history: &mut History, applied: &Applied<'_>) {
    if let Err(error) = history.record(applied) {
        log::error!("generation {} is not kept on disk: {error}", applied.generation.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    /// Bounds a wait that ends at once.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn policy(class: &str) -> String {
        format!("version: 1\nclasses: {{ {class}: {{}} }}\n")
    }

    /// A process under the second of two policies, whose file holds a third.
    fn serving(directory: &Path) -> Arc<Serving> {
        let path = directory.join("policy.yaml");
        let write = |class: &str| std::fs::write(&path, policy(class)).unwrap();
        write("one");
        let serving = Serving::start(Config { policy: Some(path.clone()), ..Config::default() }).unwrap();
        write("two");
        assert_eq!(serving.reload(Applying::Changed).unwrap(), Outcome::Applied(2));
        write("three");
        serving
    }

    #[test]
    fn a_rollback_while_a_reload_reads_has_the_last_word() {
        let directory = tempfile::tempdir().unwrap();
        let serving = serving(directory.path());
        let read = serving.read_files().unwrap();
        assert_eq!(serving.roll_back(None, Cause::Rollback).unwrap(), 3);
        let given_up = serving.apply_read(read, Applying::Changed).unwrap_err();
        assert!(matches!(given_up, ReloadError::Overtaken { number: 3 }), "{given_up}");
        assert_eq!(serving.running().generation.policy.core.classes()[0].name, "one");
        assert_eq!(serving.reload(Applying::Changed).unwrap(), Outcome::Applied(4), "the next one applies");
    }

    #[test]
    fn nobody_waits_for_a_reload_that_reads() {
        let directory = tempfile::tempdir().unwrap();
        let serving = serving(directory.path());
        let reloading = serving.reloading.lock().unwrap();
        let history = serving.history();
        let (sender, read) = mpsc::channel();
        let reader = serving.clone();
        std::thread::spawn(move || sender.send(reader.read_files().map(|read| read.began_under)));
        assert_eq!(read.recv_timeout(PATIENCE).expect("it reads without the history").unwrap(), 2);
        drop(history);
        let (sender, gone_back) = mpsc::channel();
        let rolling = serving.clone();
        std::thread::spawn(move || sender.send(rolling.roll_back(None, Cause::Rollback)));
        assert_eq!(gone_back.recv_timeout(PATIENCE).expect("it does not wait for a reload").unwrap(), 3);
        drop(reloading);
    }
}
