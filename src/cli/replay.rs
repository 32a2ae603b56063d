//! `plimsoll replay JOURNAL`: every decision of a journal made again by the core of this binary.
//!
//! Files are read in the order in which they were begun, each pool by itself. What is the same is
//! counted; the first decision that differs is named. With `--policy` the same requests are asked again under
//! another policy (`what_if`), once it is certain that the journal is what this core decides.

mod translation;
mod what_if;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::journal::entry::Entry;
use crate::journal::files::{Flow, JournalError, JournalFile, files_at};
use crate::journal::replay::Replay;

/// What to replay.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A journal: its directory, or one file of it
    journal: PathBuf,
    /// Tell what would have become of the same requests under this policy, a file or a directory
    #[arg(long, value_name = "FILE|DIR")]
    policy: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The replays of a journal's pools, by name.
pub(super) type Replays = BTreeMap<String, Replay>;

/// Replays it.
///
/// # Errors
/// The journal cannot be read, or the policy has mistakes.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let Some(policy) = &arguments.policy {
        return what_if::run(&arguments.journal, policy, arguments.json);
    }
    let mut replays = replay(&arguments.journal, |_, _, _| Flow::More)?;
    replays.values_mut().for_each(Replay::end);
    if arguments.json {
        println!("{:#}", json!({ "pools": replays.iter().map(report).collect::<Vec<_>>() }));
    } else {
        replays.iter().for_each(|(pool, replay)| print!("{}", text(pool, replay)));
    }
    let differs = replays.values().any(|replay| replay.difference().is_some());
    Ok(if differs { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Replays the journal at `path`, showing each record of a pool to `look` before the core is told. A pool that
/// differs is not replayed further; `look` may end all.
pub(super) fn replay(
    path: &Path,
    mut look: impl FnMut(&str, &Entry, &Replay) -> Flow,
) -> Result<Replays, JournalError> {
    let mut replays = Replays::new();
    let mut is_over = false;
    for path in files_at(path)? {
        let file = JournalFile::read(&path)?;
        let replay = replays.entry(file.header.pool.clone()).or_default();
        if is_over || replay.difference().is_some() {
            continue;
        }
        replay.begin(&file.header);
        file.each(|entry| {
            is_over = look(&file.header.pool, &entry, replay) == Flow::Stop;
            if is_over { Flow::Stop } else { replay.take(&entry) }
        })?;
    }
    Ok(replays)
}

fn report((pool, replay): (&String, &Replay)) -> Value {
    let seen = replay.seen();
    json!({
        "pool": pool,
        "events": seen.events,
        "decisions": seen.decisions,
        "states": seen.states,
        "missing": seen.missing,
        "difference": replay.difference().map(|one| json!({
            "event": one.event,
            "seconds": one.at.as_nanos() as f64 / 1e9,
            "message": one.message,
        })),
    })
}

fn text(pool: &str, replay: &Replay) -> String {
    let seen = replay.seen();
    let mut text = format!(
        "{pool}: {} decisions of {} events are the same, and {} states; {} events are missing\n",
        seen.decisions, seen.events, seen.states, seen.missing,
    );
    if let Some(one) = replay.difference() {
        let seconds = one.at.as_nanos() as f64 / 1e9;
        text.push_str(&format!(
            "{pool}: the first difference is at event {}, {seconds:.3} s after the start of the process\n  {}\n",
            one.event, one.message,
        ));
    }
    text
}
