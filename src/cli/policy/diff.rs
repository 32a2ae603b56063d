//! `plimsoll policy diff OLD NEW --replay access.log`: which real requests another policy would treat otherwise.
//!
//! The review comment every operator wants: how many requests change their class, from what to
//! what, with examples and the lines that decided; and what becomes of each class at a stated load.
//! One request's fate hangs on many others, so fates are told as sums, not one by one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::generation;
use crate::access_log::{AccessLog, Entry};
use crate::forecast::Fate;
use crate::generation::Generation;
use crate::policy::check;
use crate::rehearsal::{Rehearsed, rehearse};

/// What to compare.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The policy that is, a file or a directory of overlays
    old: PathBuf,
    /// The policy to be
    new: PathBuf,
    /// An access log in the common or combined format, plain or gzip
    #[arg(long, value_name = "ACCESS_LOG")]
    replay: PathBuf,
    /// How many times its capacity the log offers the shop on average
    #[arg(long, default_value = "2", value_parser = super::load)]
    load: f64,
    /// How many examples of each change to show
    #[arg(long, default_value_t = 3)]
    examples: usize,
    /// The model bundle; each policy's choice if absent
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
}

/// Compares the policies; the exit code says nothing about the differences.
///
/// # Errors
/// Policies, a model or a log that cannot be used.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let log = AccessLog::read(&arguments.replay)?;
    let side = |path: &Path| -> anyhow::Result<Side> {
        let policy = check(path).with_context(|| format!("{} cannot be applied", path.display()))?;
        let generation = generation(policy, arguments.model.as_deref())?;
        let rehearsed = rehearse(&generation, &log.entries, arguments.load);
        Ok(Side { generation, rehearsed })
    };
    let (old, new) = (side(&arguments.old)?, side(&arguments.new)?);
    let left_out = match log.bad_lines.count {
        0 => String::new(),
        count => format!(" ({count} more lines are no requests)"),
    };
    println!("{} requests of {}{left_out}\n", log.entries.len(), arguments.replay.display());
    print!("{}", class_changes(&log.entries, &old, &new, arguments.examples));
    print!("\n{}", fates(&old, &new, arguments.load));
    Ok(ExitCode::SUCCESS)
}

/// A policy, and what it made of the log.
struct Side {
    generation: Generation,
    rehearsed: Vec<Rehearsed>,
}

impl Side {
    fn class(&self, request: usize) -> &str {
        &self.generation.policy.core.class(self.rehearsed[request].class).name
    }

    fn decided_by(&self, request: usize) -> &str {
        let Rehearsed { route, class_by, .. } = &self.rehearsed[request];
        route.as_deref().unwrap_or(class_by.name())
    }
}

/// Requests that go from one class to another.
#[derive(Default)]
struct Change {
    count: usize,
    /// The first of each target, in the order of the log.
    examples: Vec<usize>,
}

fn class_changes(entries: &[Entry], old: &Side, new: &Side, examples: usize) -> String {
    let mut changes: BTreeMap<(&str, &str), Change> = BTreeMap::new();
    for request in (0..entries.len()).filter(|request| old.class(*request) != new.class(*request)) {
        let change = changes.entry((old.class(request), new.class(request))).or_default();
        change.count += 1;
        let path = entries[request].target.path();
        let is_new = !change.examples.iter().any(|seen| entries[*seen].target.path() == path);
        if is_new && change.examples.len() < examples {
            change.examples.push(request);
        }
    }
    let total: usize = changes.values().map(|change| change.count).sum();
    let mut text = format!("{total} change their class ({})\n", percent(total, entries.len()));
    let mut changes: Vec<_> = changes.into_iter().collect();
    changes.sort_by_key(|(_, change)| std::cmp::Reverse(change.count));
    for ((from, to), change) in changes {
        text.push_str(&format!("{:>9}  {from} -> {to}\n", change.count));
        for request in change.examples {
            let Entry { method, target, .. } = &entries[request];
            let (was, is) = (old.decided_by(request), new.decided_by(request));
            text.push_str(&format!("             {method} {target}   {was} -> {is}\n"));
        }
    }
    text
}

/// Requests of a class that were made, and of these, served.
#[derive(Clone, Copy, Default)]
struct Served {
    requests: usize,
    served: usize,
}

fn fates(old: &Side, new: &Side, load: f64) -> String {
    let mut rows: BTreeMap<(u8, &str), [Served; 2]> = BTreeMap::new();
    for (column, side) in [old, new].into_iter().enumerate() {
        for one in &side.rehearsed {
            let class = side.generation.policy.core.class(one.class);
            let row = &mut rows.entry((class.rank, &class.name)).or_default()[column];
            row.requests += 1;
            row.served += usize::from(one.fate == Fate::Served);
        }
    }
    let mut text = format!("at {load}x of what the shop can carry\n");
    text.push_str(&format!(
        "  {:<16}{:>10}{:>9}{:>14}{:>9}\n",
        "class", "requests", "served", "-> requests", "served"
    ));
    for ((_, class), [was, is]) in rows {
        text.push_str(&format!(
            "  {class:<16}{:>10}{:>9}{:>14}{:>9}\n",
            was.requests,
            percent(was.served, was.requests),
            is.requests,
            percent(is.served, is.requests),
        ));
    }
    text.push_str(&moved(old, new));
    text
}

/// How many requests end otherwise.
fn moved(old: &Side, new: &Side) -> String {
    let pairs = || old.rehearsed.iter().map(|one| one.fate).zip(new.rehearsed.iter().map(|one| one.fate));
    let lost = pairs().filter(|pair| pair.0 == Fate::Served && pair.1 != Fate::Served).count();
    let won = pairs().filter(|pair| pair.0 != Fate::Served && pair.1 == Fate::Served).count();
    format!("  {lost} that were served would not be, {won} that were not would be\n")
}

fn percent(part: usize, whole: usize) -> String {
    if whole == 0 {
        return "-".into();
    }
    format!("{:.1}%", part as f64 * 100.0 / whole as f64)
}
