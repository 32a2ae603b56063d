//! What was learned of the pools, kept in a file from one process to the next.
//!
//! A limit that has to be found anew costs refusals on a busy day. So it is saved
//! twice a minute and at the end, and begun with if it is of today. A file that
//! cannot be read, or that is old, is done without: it only saves a start.
//!
//! The file holds names of pools and classes and numbers, nothing of anybody's.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll_core::controller::memory::Learned;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::serving::Serving;

/// Its name in the state directory.
const FILE: &str = "learned.json";
/// How often it is saved: little is learned in between.
pub const INTERVAL: Duration = Duration::from_secs(30);
/// A shop of yesterday may have been deployed anew since.
const AGE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Pools and classes fit into some KB; more is not a file of ours.
const BYTES_MAX: u64 = 1 << 20;

/// The file.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct State {
    version: u32,
    saved_unix_s: u64,
    pools: BTreeMap<String, Pool>,
}

#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Pool {
    limit: u32,
    baselines_us: BTreeMap<String, u64>,
}

const VERSION: u32 = 1;

impl Pool {
    fn of(learned: Learned) -> Pool {
        let micros = |(class, baseline): (String, Duration)| {
            (class, u64::try_from(baseline.as_micros()).unwrap_or(u64::MAX))
        };
        Pool { limit: learned.limit, baselines_us: learned.baselines.into_iter().map(micros).collect() }
    }

    fn learned(self) -> Learned {
        let baseline = |(class, micros)| (class, Duration::from_micros(micros));
        Learned { limit: self.limit, baselines: self.baselines_us.into_iter().map(baseline).collect() }
    }
}

fn path(serving: &Serving) -> Option<PathBuf> {
    serving.config.state_dir.as_ref().map(|directory| directory.join(FILE))
}

/// Begins with what the file says, if it says anything of today.
pub fn recall(serving: &Serving) {
    let Some(path) = path(serving) else { return };
    match read(&path, Clock::wall()) {
        Ok(mut state) => {
            for one in &serving.pools {
                if let Some(pool) = state.pools.remove(&one.pool.name) {
                    log::info!(
                        "pool {}: begins with the limit learned before, {}",
                        one.pool.name,
                        pool.limit
                    );
                    one.gate.resume(&pool.learned());
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => log::warn!("{}: nothing to begin with: {error}", path.display()),
    }
}

/// Writes what is known now. Pools of which too little is known keep what the file says of them.
pub fn save(serving: &Serving) {
    let Some(path) = path(serving) else { return };
    let now = Clock::wall();
    let mut pools = read(&path, now).map(|state| state.pools).unwrap_or_default();
    pools.retain(|name, _| serving.pools.iter().any(|one| one.pool.name == *name));
    for one in &serving.pools {
        if let Some(learned) = one.gate.learned() {
            pools.insert(one.pool.name.clone(), Pool::of(learned));
        }
    }
    let state = State { version: VERSION, saved_unix_s: now.as_secs(), pools };
    if let Err(error) = write(&path, &state) {
        log::warn!("{}: what was learned is not saved: {error}", path.display());
    }
}

fn read(path: &Path, now: Duration) -> io::Result<State> {
    if fs::metadata(path)?.len() > BYTES_MAX {
        return Err(io::Error::other("too large to be ours"));
    }
    let state: State = serde_json::from_slice(&fs::read(path)?)?;
    if state.version != VERSION {
        return Err(io::Error::other(format!("version {}, not {VERSION}", state.version)));
    }
    let age = now.as_secs().abs_diff(state.saved_unix_s);
    if age > AGE_MAX.as_secs() {
        return Err(io::Error::other(format!("it is {} hours old", age / 3_600)));
    }
    Ok(state)
}

/// Whole or not at all: a reader never sees half of it.
fn write(path: &Path, state: &State) -> io::Result<()> {
    // Another process may write at the same time, during an upgrade.
    let new = path.with_extension(format!("{}.new", std::process::id()));
    fs::write(&new, serde_json::to_vec_pretty(state)?)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(saved_unix_s: u64) -> State {
        let baselines_us = BTreeMap::from([("checkout".to_owned(), 40_000)]);
        let pools = BTreeMap::from([("default".to_owned(), Pool { limit: 19, baselines_us })]);
        State { version: VERSION, saved_unix_s, pools }
    }

    #[test]
    fn what_was_written_is_read_for_a_day() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        write(&path, &state(1_000_000)).unwrap();
        let day = AGE_MAX.as_secs();
        for (now, is_read) in
            [(1_000_000, true), (1_000_000 + day, true), (1_000_001 + day, false), (1, false)]
        {
            let read = read(&path, Duration::from_secs(now));
            assert_eq!(read.is_ok(), is_read, "{now}: {read:?}");
            assert!(read.is_err() || read.unwrap() == state(1_000_000));
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_not_ours_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        let other = serde_json::to_string(&State { version: 2, ..state(0) }).unwrap();
        let huge = " ".repeat(1 + BYTES_MAX as usize);
        for text in ["", "{}", "nonsense", &other, &huge] {
            fs::write(&path, text).unwrap();
            assert!(read(&path, Duration::ZERO).is_err(), "{:.20}", text);
        }
    }
}
