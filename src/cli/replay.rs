//! `plimsoll replay JOURNAL`: every decision of a journal made again by the core of this binary.
//!
//! Files are read in the order in which they were begun, each pool by itself. What is the same is counted; the
//! first decision that differs is named. After an upgrade a journal holds files of two versions: those that this
//! one does not read are passed over, counted and named. With `--policy` the same requests are asked again under
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

/// What came of a journal.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// The replays of its pools, by name.
    pub(super) pools: BTreeMap<String, Replay>,
    /// The files of other versions and formats.
    pub(super) skipped: Vec<JournalError>,
}

impl Replayed {
    /// How many files were passed over, and which; empty if none was.
    pub(super) fn skipped_text(&self) -> String {
        if self.skipped.is_empty() {
            return String::new();
        }
        let names: String = self.skipped.iter().map(|error| format!("  {error}\n")).collect();
        format!("passed over, for this version does not read them: {} files\n{names}", self.skipped.len())
    }

    /// The same for JSON.
    fn skipped_names(&self) -> Vec<String> {
        self.skipped.iter().map(ToString::to_string).collect()
    }
}

/// Replays it.
///
/// # Errors
/// The journal cannot be read, or the policy has mistakes.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let Some(policy) = &arguments.policy {
        return what_if::run(&arguments.journal, policy, arguments.json);
    }
    let mut replayed = replay(&arguments.journal, |_, _, _| Flow::More)?;
    replayed.pools.values_mut().for_each(Replay::end);
    if arguments.json {
        let pools: Vec<Value> = replayed.pools.iter().map(report).collect();
        println!("{:#}", json!({ "pools": pools, "skipped": replayed.skipped_names() }));
    } else {
        replayed.pools.iter().for_each(|(pool, replay)| print!("{}", text(pool, replay)));
        print!("{}", replayed.skipped_text());
    }
    let differs = replayed.pools.values().any(|replay| replay.difference().is_some());
    Ok(if differs { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Replays the journal at `path`, showing each record of a pool to `look` before the core is told. A pool that
/// differs is not replayed further; `look` may end all. Files of other versions are passed over, unless there are
/// no others.
pub(super) fn replay(
    path: &Path,
    mut look: impl FnMut(&str, &Entry, &Replay) -> Flow,
) -> Result<Replayed, JournalError> {
    let mut replayed = Replayed::default();
    let mut is_over = false;
    for path in files_at(path)? {
        let file = match JournalFile::read(&path) {
            Err(foreign @ JournalError::Foreign { .. }) => {
                replayed.skipped.push(foreign);
                continue;
            }
            file => file?,
        };
        let replay = replayed.pools.entry(file.header.pool.clone()).or_default();
        if is_over || replay.difference().is_some() {
            continue;
        }
        replay.begin(&file.header);
        file.each(|entry| {
            is_over = look(&file.header.pool, &entry, replay) == Flow::Stop;
            if is_over { Flow::Stop } else { replay.take(&entry) }
        })?;
    }
    match replayed.skipped.pop_if(|_| replayed.pools.is_empty()) {
        Some(foreign) => Err(foreign),
        None => Ok(replayed),
    }
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
