//! `plimsoll policy diff OLD NEW --replay access.log`: which real requests another policy would treat otherwise.
//!
//! The review comment every operator wants: how many requests change their class, from what to what, with
//! examples and the lines that decided; and what becomes of each class at a stated load. Each request comes at
//! the time that the log has of it, and under the schedule that either policy has then: how many came while each
//! schedule held is told, for a log of last week holds nothing of a sale tomorrow, unless it is taken for one of
//! that day. One request's fate hangs on many others, so fates are told as sums; examples of them are draws, and
//! say where to look.

mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::generation;
use crate::access_log::{AccessLog, Entry};
use crate::forecast::Fate;
use crate::generation::{ClassBy, Generation};
use crate::policy::check;
use crate::rehearsal::{Rehearsed, rehearse};

/// What to compare.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The policy that is, a file or a directory of overlays
    old: PathBuf,
    /// The policy to be, likewise
    new: PathBuf,
    /// An access log in the common or combined format or in JSON, plain or gzip; its lines are judged at their own
    /// times, under the schedules of then
    #[arg(long, value_name = "ACCESS_LOG")]
    replay: PathBuf,
    /// Take the first day of the log, in UTC, for this one, like 2026-11-27: the schedules of dates to come show up
    #[arg(long, value_name = "DATE")]
    day: Option<Date>,
    /// How many times its capacity the log offers the shop on average
    #[arg(long, default_value = "2", value_parser = super::load)]
    load: f64,
    /// How many examples of each change to show
    #[arg(long, default_value_t = 3)]
    examples: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The model bundle; each policy's choice if absent
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
}

/// Compares the policies; the exit code says nothing about the differences.
///
/// # Errors
/// Policies, a model or a log that cannot be used.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut log = AccessLog::read(&arguments.replay)?;
    if let Some(day) = arguments.day {
        move_to(&mut log.entries, day)?;
    }
    let side = |path: &Path| -> anyhow::Result<Side> {
        let policy = check(path).with_context(|| format!("{} cannot be applied", path.display()))?;
        let generation = generation(policy, arguments.model.as_deref())?;
        let rehearsed = rehearse(&generation, &log.entries, arguments.load);
        Ok(Side { generation, rehearsed })
    };
    let (old, new) = (side(&arguments.old)?, side(&arguments.new)?);
    let pair = Pair { entries: &log.entries, old, new, examples: arguments.examples };
    let difference = Difference {
        requests: log.entries.len(),
        bad_lines: log.bad_lines.count,
        load: arguments.load,
        class_changes: pair.class_changes(),
        schedules: pair.schedules(),
        classes: pair.classes(),
        served_no_more: pair.moved(|was, is| was == Fate::Served && is != Fate::Served),
        served_now: pair.moved(|was, is| was != Fate::Served && is == Fate::Served),
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&difference)?);
    } else {
        print!("{}", difference.text(&arguments.replay));
    }
    Ok(ExitCode::SUCCESS)
}

/// Moves a log by whole days, so that its first one is this.
fn move_to(entries: &mut [Entry], day: Date) -> anyhow::Result<()> {
    const DAY_SECONDS: i64 = 86_400;
    let of_log = entries.first().map_or(0, |entry| entry.second.div_euclid(DAY_SECONDS));
    let of_day = day.to_zoned(TimeZone::UTC)?.timestamp().as_second().div_euclid(DAY_SECONDS);
    for entry in entries {
        entry.second += (of_day - of_log) * DAY_SECONDS;
    }
    Ok(())
}

/// What differs. Tools depend on its keys.
#[derive(Serialize)]
struct Difference {
    requests: usize,
    /// Lines of the log that are none.
    bad_lines: usize,
    load: f64,
    /// The most frequent first.
    class_changes: Vec<ClassChange>,
    /// By name.
    schedules: Vec<Scheduled>,
    classes: Vec<ClassFates>,
    served_no_more: Moved,
    served_now: Moved,
}

/// Requests that go from one class to another.
#[derive(Serialize)]
struct ClassChange {
    from: String,
    to: String,
    count: usize,
    examples: Vec<Example>,
}

/// How many requests came while a schedule held; nothing where a policy has no such schedule.
#[derive(Serialize)]
struct Scheduled {
    schedule: String,
    was: Option<usize>,
    is: Option<usize>,
}

/// Requests that end otherwise.
#[derive(Serialize)]
struct Moved {
    count: usize,
    examples: Vec<Example>,
}

/// One request, under either policy.
#[derive(Serialize)]
struct Example {
    method: String,
    target: String,
    was: Judged,
    is: Judged,
}

#[derive(Serialize)]
struct Judged {
    class: String,
    /// The line of the route, with `(model)` where that moved it, or what decided without one.
    by: String,
    fate: &'static str,
}

/// What becomes of a class.
#[derive(Serialize)]
struct ClassFates {
    class: String,
    was: Served,
    is: Served,
}

/// Requests of a class that were made, and of these, served.
#[derive(Clone, Copy, Default, Serialize)]
struct Served {
    requests: usize,
    served: usize,
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

    fn judged(&self, request: usize) -> Judged {
        let Rehearsed { route, class_by, fate, .. } = &self.rehearsed[request];
        let by = match (route.as_deref(), class_by) {
            (Some(route), ClassBy::Model) => format!("{route} (model)"),
            (Some(route), _) => route.to_owned(),
            (None, by) => by.name().to_owned(),
        };
        Judged { class: self.class(request).to_owned(), by, fate: fate.name() }
    }
}

/// Both sides, and the log between them.
struct Pair<'e> {
    entries: &'e [Entry],
    old: Side,
    new: Side,
    /// Examples of each change.
    examples: usize,
}

impl Pair<'_> {
    fn class_changes(&self) -> Vec<ClassChange> {
        let mut changes: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for request in 0..self.entries.len() {
            let (from, to) = (self.old.class(request), self.new.class(request));
            if from != to {
                changes.entry((from, to)).or_default().push(request);
            }
        }
        let change = |((from, to), requests): ((&str, &str), Vec<usize>)| ClassChange {
            from: from.to_owned(),
            to: to.to_owned(),
            count: requests.len(),
            examples: self.examples_of(&requests),
        };
        let mut changes: Vec<ClassChange> = changes.into_iter().map(change).collect();
        changes.sort_by_key(|change| std::cmp::Reverse(change.count));
        changes
    }

    fn schedules(&self) -> Vec<Scheduled> {
        let mut rows: BTreeMap<&str, [Option<usize>; 2]> = BTreeMap::new();
        for (column, side) in [&self.old, &self.new].into_iter().enumerate() {
            for (place, schedule) in side.generation.policy.schedules.iter().enumerate() {
                let while_it_held = side.rehearsed.iter().filter(|one| one.scheduled == Some(place));
                rows.entry(&*schedule.name).or_default()[column] = Some(while_it_held.count());
            }
        }
        let row =
            |(name, [was, is]): (&str, [Option<usize>; 2])| Scheduled { schedule: name.to_owned(), was, is };
        rows.into_iter().map(row).collect()
    }

    /// What becomes of each class, the most important first.
    fn classes(&self) -> Vec<ClassFates> {
        let mut rows: BTreeMap<(u8, &str), [Served; 2]> = BTreeMap::new();
        for (column, side) in [&self.old, &self.new].into_iter().enumerate() {
            for one in &side.rehearsed {
                let class = side.generation.policy.core.class(one.class);
                let row = &mut rows.entry((class.rank, &class.name)).or_default()[column];
                row.requests += 1;
                row.served += usize::from(one.fate == Fate::Served);
            }
        }
        let fates = |((_, class), [was, is]): ((u8, &str), [Served; 2])| ClassFates {
            class: class.to_owned(),
            was,
            is,
        };
        rows.into_iter().map(fates).collect()
    }

    /// The requests whose fates under the two are so.
    fn moved(&self, is_so: impl Fn(Fate, Fate) -> bool) -> Moved {
        let fates =
            |request: &usize| is_so(self.old.rehearsed[*request].fate, self.new.rehearsed[*request].fate);
        let requests: Vec<usize> = (0..self.entries.len()).filter(fates).collect();
        Moved { count: requests.len(), examples: self.examples_of(&requests) }
    }

    /// The first of each path, in the order of the log.
    fn examples_of(&self, requests: &[usize]) -> Vec<Example> {
        let mut seen: Vec<&str> = Vec::new();
        let mut found = Vec::new();
        for request in requests {
            let Entry { method, target, .. } = &self.entries[*request];
            if found.len() < self.examples && !seen.contains(&target.path()) {
                seen.push(target.path());
                let (was, is) = (self.old.judged(*request), self.new.judged(*request));
                found.push(Example { method: method.to_string(), target: target.to_string(), was, is });
            }
        }
        found
    }
}
