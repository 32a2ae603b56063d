//! Tries a bundle in a process of its own before this one loads it.
//!
//! Every check runs in this process too. What they cannot promise is that the runtime survives any
//! file they let through: a process that hangs, runs out of memory or is killed while it tries a
//! bundle is not the one that serves a shop. The child loads it as we would, answers its golden
//! vectors, and tells the seal of what it read; only the files of that seal are then loaded here.
//!
//! It does not make our own load unnecessary, nor a bundle good: see `check`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rlimit::Resource;

use super::bundle::Bundle;
use super::error::ModelError;
use super::scorer::Scorer;

/// How long a trial may take: a hundred times what the shipped bundle does on a slow machine.
pub const TRIAL_TIME_MAX: Duration = Duration::from_secs(10);

/// Processor seconds of a trial, enforced by the kernel: a trial whose parent is gone ends as well.
const CPU_SECONDS_MAX: u64 = 10;

/// Address space of a trial. The process takes about 100 MiB of it before it reads a file, nearly
/// all of it reserved and never touched; the largest model that passes the size bound takes 50 MiB.
pub const TRIAL_BYTES_MAX: u64 = 1 << 30;

/// How much address space the allocator of a trial reserves at once. By itself it takes a gibibyte to begin with, which
/// is all that a trial has, and one trial in twenty then failed for whatever did not fit into that.
const RESERVED_AT_ONCE: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "64MiB");

/// A trial that goes well says this, and the seal.
const VERDICT: &str = "seal ";

/// More than a verdict takes.
const VERDICT_LEN_MAX: u64 = 256;

/// Who tries bundles, and how long it may take.
#[derive(Clone, Debug)]
pub struct Canary {
    program: PathBuf,
    time_max: Duration,
}

impl Canary {
    /// A canary that is `program`, a `plimsoll` of this version.
    pub fn new(program: PathBuf) -> Canary {
        Canary { program, time_max: TRIAL_TIME_MAX }
    }

    /// The canary with another time limit.
    #[must_use]
    pub fn within(self, time_max: Duration) -> Canary {
        Canary { time_max, ..self }
    }

    /// Loads the bundle of a directory if a child survives doing so.
    ///
    /// # Errors
    /// Why the bundle may not be used: what the child died of, or what a check found.
    pub fn load(&self, directory: &Path) -> Result<Scorer, ModelError> {
        let bundle = Bundle::read(directory)?;
        // Once more, whatever it was: a machine that is short of something for a moment must not cost the
        // model, and a bundle that is bad is bad again.
        let seal = self.try_out(directory).or_else(|error| {
            log::warn!("{error}: tried once more");
            self.try_out(directory)
        })?;
        if seal != bundle.seal {
            return Err(ModelError::refused(&bundle.names.manifest, "seal", bundle.seal, seal));
        }
        Scorer::of(bundle)
    }

    /// The seal of the bundle that a child could load.
    fn try_out(&self, directory: &Path) -> Result<String, ModelError> {
        let died = |reason: String| ModelError::Untried { directory: directory.to_owned(), reason };
        let mut child = self.spawn(directory).map_err(|error| died(error.to_string()))?;
        let verdict = self.verdict(&mut child);
        if verdict.is_err() {
            // It may have ended by itself; then there is nothing to kill.
            let _ = child.kill();
        }
        let status = child.wait().map_err(|error| died(error.to_string()))?;
        let verdict = verdict.map_err(died)?;
        match verdict.trim_end().strip_prefix(VERDICT) {
            Some(seal) if status.success() => Ok(seal.to_owned()),
            _ if verdict.is_empty() => Err(died(format!("the trial ended with {status}"))),
            _ => Err(died(verdict.trim_end().to_owned())),
        }
    }

    fn spawn(&self, directory: &Path) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        let (name, size) = RESERVED_AT_ONCE;
        command.args(["model", "try"]).arg(directory).env(name, size).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
    }

    /// What the child says until it ends, or that it took too long.
    fn verdict(&self, child: &mut Child) -> Result<String, String> {
        let output = child.stdout.take().ok_or("the trial has no output")?;
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut text = String::new();
            let read = output.take(VERDICT_LEN_MAX).read_to_string(&mut text);
            // Nobody listens any more once the time is up.
            let _ = sender.send(read.map(|_| text).map_err(|error| error.to_string()));
        });
        receiver.recv_timeout(self.time_max).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => Err(format!("the trial took over {:?}", self.time_max)),
            RecvTimeoutError::Disconnected => Err("the trial was not heard".to_owned()),
        })
    }
}

/// What the child does: limits itself, loads the bundle, and returns what to print.
///
/// # Errors
/// Why the bundle may not be used, or the limits not be set.
pub fn try_out(directory: &Path) -> Result<String, ModelError> {
    let limits = [(Resource::AS, TRIAL_BYTES_MAX), (Resource::CPU, CPU_SECONDS_MAX)];
    let limited = limits.iter().try_for_each(|(resource, max)| resource.set(*max, *max));
    limited.map_err(|error| ModelError::Untried {
        directory: directory.to_owned(),
        reason: format!("the trial cannot be limited: {error}"),
    })?;
    let bundle = Bundle::read(directory)?;
    let seal = bundle.seal.clone();
    Scorer::of(bundle)?;
    Ok(format!("{VERDICT}{seal}"))
}
