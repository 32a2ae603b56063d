//! `plimsoll-bench compare`: one scenario through plimsoll and everybody else.
//!
//! Every run has a fresh shop and a fresh proxy. Repeats are interleaved, each with
//! a seed of its own that all contestants share, so that whatever else the machine
//! does falls on all of them, and every figure has an interval.
//!
//! HAProxy and nginx are told how much the shop can carry, which nobody knows of a
//! real one: the best `maxconn` is found by trying (see `sweep`), and HAProxy comes once
//! more with one that is guessed wrong. A peer that is not installed is named and left
//! out, and so is whoever the user does not ask for. It judges nobody: it prints what
//! came out.
//!
//! A run whose load was late says nothing of the contestant. A few such are a machine that
//! was busy for a moment: each is run again, once, with its seed, and the second stands
//! whatever it shows. Whoever is late again takes so much of the machine, and is marked.
//!
//! Ctrl-C ends it with the table of the runs that are over.

mod estimate;
mod sweep;
mod field;
mod entry;
mod row;
mod table;
#[cfg(test)]
mod example;

use crate::findings::INVALID_RUN;
use crate::interruption::{PARTIAL, interruptions};
use crate::peers::{OwnProxy, Places};
use crate::play::play;
use crate::results;
use crate::scenario::Scenario;
use crate::terminal;
use clap::Args;
use entry::Entry;
use field::{Name, field};
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use table::{Comparison, Partial};

/// Runs that are tried again: two of the spike take less than a minute of the twenty that `make bench` has. Where more
/// are late, the machine is too busy for all of them, and nobody gets another chance.
const SECOND_TRIES: usize = 2;

/// Puts plimsoll, HAProxy, Envoy, nginx, bare Pingora and no proxy through one scenario.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The scenario file
    scenario: PathBuf,
    #[command(flatten)]
    proxy: OwnProxy,
    /// A policy for it instead of its own
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
    /// Puts these to the test, and nobody else
    #[arg(long, value_name = "NAME", value_enum, value_delimiter = ',')]
    only: Vec<Name>,
    /// How often each has its turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    repeats: u64,
    /// HAProxy's maxconn; the best is found by trying if absent
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    maxconn: Option<u32>,
    /// Another maxconn for it, a wrong guess
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    guess: u32,
    /// Divides the length of every phase
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    shorten: u32,
    /// Writes the results here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the table here as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Runs the command.
pub(crate) async fn compare(args: CompareArgs) -> anyhow::Result<ExitCode> {
    let mut scenario = Scenario::read_for_sockets(&args.scenario)?;
    scenario.shorten(args.shorten);
    results::check_places([&args.json, &args.markdown])?;
    let mut asked_to_end = pin!(interruptions(1));
    let field = tokio::select! {
        field = field(&args, &scenario) => field?,
        () = &mut asked_to_end => return nobody_yet(),
    };
    let mut entries: Vec<Entry> = field.contestants.into_iter().map(Entry::new).collect();
    let seeds: Vec<u64> = (scenario.seed..).take(args.repeats as usize).collect();
    tokio::select! {
        played = play_all(&scenario, &seeds, &mut entries) => played?,
        () = asked_to_end => {}
    }
    let runs = entries.iter().map(|entry| entry.runs.len()).sum::<usize>();
    let of = entries.len() * seeds.len();
    entries.retain(|entry| !entry.runs.is_empty());
    if entries.is_empty() {
        return nobody_yet();
    }
    let partial = (runs < of).then_some(Partial { runs, of });
    let comparison = Comparison::of(&scenario, seeds, field.sweep, &entries, partial);
    terminal::line(&comparison.text());
    if let Some(path) = &args.json {
        results::write_json(path, &comparison)?;
    }
    if let Some(path) = &args.markdown {
        results::write(path, &comparison.markdown())?;
    }
    Ok(match (partial, comparison.is_valid()) {
        (Some(_), _) => ExitCode::from(PARTIAL),
        (None, true) => ExitCode::SUCCESS,
        (None, false) => ExitCode::from(INVALID_RUN),
    })
}

/// The user did not wait for the first run to end.
fn nobody_yet() -> anyhow::Result<ExitCode> {
    terminal::line("\nPARTIAL: ended before the first run was over");
    Ok(ExitCode::from(PARTIAL))
}

/// Runs everybody with every seed; what is over stands in the entries even if this is not awaited to its end.
async fn play_all(scenario: &Scenario, seeds: &[u64], entries: &mut [Entry]) -> anyhow::Result<()> {
    for (repeat, seed) in seeds.iter().enumerate() {
        // Whoever always came first would always meet the machine in the same mood.
        let first = repeat % entries.len();
        let (later, earlier) = entries.split_at_mut(first);
        for entry in earlier.iter_mut().chain(later) {
            terminal::line(&format!("repeat {} of {}: {}", repeat + 1, seeds.len(), entry.contestant));
            entry.runs.push(play(scenario, *seed, &entry.contestant).await?.tally);
        }
    }
    try_again(scenario, seeds, entries).await
}

/// Runs what was late once more, if that is little.
async fn try_again(scenario: &Scenario, seeds: &[u64], entries: &mut [Entry]) -> anyhow::Result<()> {
    for (place, repeat) in second_tries(scenario, entries) {
        let (entry, seed) = (&mut entries[place], seeds[repeat]);
        terminal::line(&format!("again, for the load was late: {}, seed {seed}", entry.contestant));
        entry.runs[repeat] = play(scenario, seed, &entry.contestant).await?.tally;
        entry.repeated.push(seed);
    }
    Ok(())
}

/// The runs that have a second try, by the places of entry and run.
fn second_tries(scenario: &Scenario, entries: &[Entry]) -> Vec<(usize, usize)> {
    let mut late = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let runs = entry.runs.iter().enumerate();
        let late_runs = runs.filter(|(_, run)| !run.is_valid(scenario.told_phases()));
        late.extend(late_runs.map(|(repeat, _)| (place, repeat)));
    }
    if late.len() > SECOND_TRIES { Vec::new() } else { late }
}

/// The seeds of some runs, for people: `seed 1`, `seeds 1, 2 and 3`.
fn told_seeds(seeds: &[u64]) -> String {
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    match seeds.as_slice() {
        [others @ .., last] if !others.is_empty() => format!("seeds {} and {last}", others.join(", ")),
        _ => format!("seed {}", seeds.concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::example::entries;
    use super::*;
    use std::path::Path;
    use std::time::Duration;

    /// Load, proxy and shop share two cores; the table's columns are about checkouts and carts.
    #[test]
    fn scenarios_of_make_compare_are_fit_for_sockets_and_begin_with_checkouts_and_carts() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        for name in ["spike.yaml", "contest.yaml", "failure-modes/05-capacity-changes.yaml"] {
            let scenario = Scenario::read_for_sockets(&directory.join(name)).unwrap();
            let most = scenario.phases.iter().map(|phase| scenario.rate(phase)).fold(0.0, f64::max);
            assert!(most <= 4_000.0, "{name}: {most} requests/s");
            assert_eq!(scenario.classes()[..2], ["checkout", "cart"], "{name}");
        }
    }

    #[test]
    fn late_runs_have_a_second_try_unless_they_are_many() {
        let (on_time, late) = (Duration::ZERO, Duration::from_secs(1));
        let tries = |lags: [[Duration; 2]; 2]| {
            let (scenario, entries) = entries(&lags);
            second_tries(&scenario, &entries)
        };
        assert!(tries([[on_time; 2]; 2]).is_empty());
        assert_eq!(tries([[on_time, late], [late, on_time]]), [(0, 1), (1, 0)]);
        assert!(tries([[on_time, late], [late, late]]).is_empty(), "three are a busy machine");
    }
}
