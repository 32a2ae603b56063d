//! `plimsoll-bench claims`: writes what the project claims, as it was measured, into RESULTS.md.
//!
//! A claim is a row: what is promised, what was measured, whether that is enough, and the
//! one command that measures it again. Figures come from the files those commands leave, the
//! bundle's manifest and criterion's results among them, and only from there; what was not
//! measured is said to be so. The rest of the document stays.

mod claim;
mod model;
mod micro;
mod proofs;

use super::machine::Machine;
use super::{PhaseReport, Report, ratio};
use crate::overhead::spread::Spread;
use crate::overhead::table::{Overhead, Row};
use crate::results;
use crate::terminal;
use anyhow::{Context, bail};
use claim::{Claim, Figure, Target, table};
use clap::Args;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const BEGIN: &str = "<!-- claims: begin -->\n";
const END: &str = "<!-- claims: end -->\n";

/// What `make compare` leaves of each scenario.
const COMPARISONS: [(&str, &str); 3] = [
    ("spike", "compare.md"),
    ("contest", "compare-contest.md"),
    ("05-capacity-changes", "compare-capacity.md"),
];

/// Writes the measured claims into a document.
#[derive(Debug, Args)]
pub(crate) struct ClaimsArgs {
    /// Where `make bench` leaves measure.json, generator.json, overhead.json and compare.md, `make compare` two more
    /// of these, and `make prove` prove/
    directory: PathBuf,
    /// The document, which marks where claims begin and end
    #[arg(default_value = "benches/RESULTS.md")]
    document: PathBuf,
    /// The model bundle whose manifest says how good it is
    #[arg(long, value_name = "DIR", default_value = "models/storefront")]
    bundle: PathBuf,
    /// Where criterion leaves what `make micro` measures
    #[arg(long, value_name = "DIR", default_value = "target/criterion")]
    criterion: PathBuf,
}

/// Runs the command.
pub(crate) fn claims(args: &ClaimsArgs) -> anyhow::Result<ExitCode> {
    let report: Option<Report> = result(&args.directory, "measure.json")?;
    let overhead: Option<Overhead> = result(&args.directory, "overhead.json")?;
    let generator: Option<Value> = result(&args.directory, "generator.json")?;
    let mut claims = overload(report.as_ref());
    claims.extend(cost(overhead.as_ref()));
    claims.push(pace(generator.as_ref()));
    let manifest: Option<Value> = result(&args.bundle, "manifest.json")?;
    claims.extend(model::claims(&args.bundle, manifest.as_ref()));
    let parts = micro::claims(&args.criterion);
    let is_micro_missing = parts.is_empty();
    claims.extend(parts);
    let mut text = table(&claims);
    if is_micro_missing {
        text.push_str("\nWhat parts of a decision cost (`make micro`): not measured.\n");
    }
    text.push_str(&conditions(report.as_ref(), overhead.as_ref(), generator.as_ref()));
    if let Some(overhead) = &overhead {
        text.push_str(&format!("\nWhat each costs, by `make overhead`:\n\n{}", overhead.markdown()));
    }
    match proofs::table(&args.directory.join("prove"))? {
        Some(proofs) => text.push_str(&format!("\nWays to fail, over sockets, by `make prove`:\n\n{proofs}")),
        None => text.push_str("\nWays to fail, over sockets (`make prove`): not measured.\n"),
    }
    text.push_str(&peers(&args.directory));
    write(&args.document, &text)?;
    terminal::line(&text);
    Ok(ExitCode::SUCCESS)
}

fn text_of(directory: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(directory.join(name)).ok()
}

/// What a command has left, if it was run.
fn result<T: DeserializeOwned>(directory: &Path, name: &str) -> anyhow::Result<Option<T>> {
    let parse = |text: String| serde_json::from_str(&text).with_context(|| format!("{name} is no result"));
    text_of(directory, name).map(parse).transpose()
}

/// What is promised of a shop in overload.
fn overload(report: Option<&Report>) -> Vec<Claim> {
    let is_valid = report.is_some_and(|report| report.valid);
    let claim = |promise, target, phase: &str, measure: fn(&PhaseReport) -> Option<Figure>| {
        let phase = report.and_then(|report| report.phases.iter().find(|one| one.name == phase));
        Claim {
            promise: Cow::Borrowed(promise),
            target,
            measured: phase.and_then(measure),
            is_valid,
            command: "make measure",
        }
    };
    let (nobody, all) = (Some(Target::below(0.01, "%")), Some(Target::at_least(99.9, "%")));
    let (work, door) = (Some(Target::at_least(97.0, "%")), Some(Target::at_most(5.0, "ms")));
    let late = Some(Target::below(1.0, "%"));
    let (checkouts, carts) = (|phase: &_| in_time(phase, "checkout"), |phase: &_| in_time(phase, "cart"));
    let (served, recovered) = (Some(Target::at_most(70.0, "ms")), Some(Target::below(1.0, "s")));
    vec![
        claim("At 0.8 of what the shop can do, nobody is refused", nobody, "calm", refused),
        claim("Checkouts in time at twice that", all, "double", checkouts),
        claim("Checkouts in time at five times", all, "fivefold", checkouts),
        claim("Carts in time at twice", all, "double", carts),
        claim("Carts in time at five times", all, "fivefold", carts),
        claim("Useful work at twice", work, "double", useful),
        claim("Useful work at five times", work, "fivefold", useful),
        claim("Browsing, p50 of who is let in at twice", served, "double", browsing),
        claim("A refusal, p99 at twice", door, "double", refusals),
        claim("A refusal, p99 at five times", door, "fivefold", refusals),
        claim("Refusals of who already waited, at twice", late, "double", late_refusals),
        claim("Refusals of who already waited, at five times", late, "fivefold", late_refusals),
        claim(
            "After 5x, at 0.8 again: the last refusal for want of seats",
            recovered,
            "calm again",
            last_refusal,
        ),
        claim("After 5x, at 0.8 again, refused", None, "calm again", refused),
    ]
}

fn refused(phase: &PhaseReport) -> Option<Figure> {
    share(all_refusals(phase), phase.classes.iter().map(|class| class.offered).sum())
}

fn all_refusals(phase: &PhaseReport) -> u64 {
    phase.classes.iter().flat_map(|class| class.refused.values()).sum()
}

/// Those of all refusals that came later than at the door.
fn late_refusals(phase: &PhaseReport) -> Option<Figure> {
    share(phase.classes.iter().map(|class| class.refused_late).sum(), all_refusals(phase))
}

fn in_time(phase: &PhaseReport, class: &str) -> Option<Figure> {
    let class = phase.class(class)?;
    share(class.good, class.offered)
}

fn useful(phase: &PhaseReport) -> Option<Figure> {
    let value = phase.useful_work? * 100.0;
    Some(Figure { value, text: format!("{value:.2} %") })
}

fn browsing(phase: &PhaseReport) -> Option<Figure> {
    phase.class("browse")?.served_p50_ms.map(ms)
}

/// The slowest class's.
fn refusals(phase: &PhaseReport) -> Option<Figure> {
    phase.classes.iter().filter_map(|class| class.refused_p99_ms).reduce(f64::max).map(ms)
}

/// When the last 503 came, from the start of the phase. A file that does not know it says nothing of who was refused.
fn last_refusal(phase: &PhaseReport) -> Option<Figure> {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE.as_u16();
    let is_any = phase.classes.iter().any(|class| class.refused.contains_key(&unavailable));
    match phase.refused_last_s {
        Some(value) => Some(Figure { value, text: format!("{value:.3} s") }),
        None => (!is_any).then(|| Figure { value: 0.0, text: "none".into() }),
    }
}

fn share(part: u64, whole: u64) -> Option<Figure> {
    let value = part as f64 * 100.0 / whole as f64;
    (whole > 0).then(|| Figure { value, text: format!("{} ({part}/{whole})", ratio(part, whole)) })
}

fn ms(value: f64) -> Figure {
    Figure { value, text: format!("{value:.2} ms") }
}

/// One of the costs of a proxy.
type Cost = fn(&Row) -> Option<Spread>;

/// What is promised of plimsoll's own cost.
fn cost(overhead: Option<&Overhead>) -> Vec<Claim> {
    let row = |name: &str| overhead.and_then(|overhead| overhead.row(name));
    let median = |name: &str, cost: Cost| Some(cost(row(name)?)?.median);
    let own = |cost: Cost, unit: &str| {
        let value = median("plimsoll", cost)?;
        Some(Figure { value, text: format!("{value:.2} {unit}") })
    };
    let beside = |cost: Cost| {
        let Figure { value, text } = own(cost, "us")?;
        let bare = median("bare-pingora", cost).map(|bare| format!(" (bare Pingora {bare:.1})"));
        Some(Figure { value, text: text + &bare.unwrap_or_default() })
    };
    let claim = |promise, target, measured| Claim {
        promise: Cow::Borrowed(promise),
        target,
        measured,
        is_valid: true,
        command: "make overhead",
    };
    let times = row("plimsoll").and_then(|row| row.times_bare_pingora);
    let times = times.map(|value| Figure { value, text: format!("{value:.2} times") });
    vec![
        claim("CPU per proxied request", None, beside(|row| row.cpu_per_request_us)),
        claim("over bare Pingora's", Some(Target::at_most(1.35, "times")), times),
        claim("CPU per refusal", None, beside(|row| row.cpu_per_refusal_us)),
        claim("Memory per idle connection", None, own(|row| row.memory_per_idle_connection_kib, "KiB")),
        claim("Added latency, p50", None, own(|row| row.added_p50_ms, "ms")),
        claim("Added latency, p99", None, own(|row| row.added_p99_ms, "ms")),
    ]
}

/// What is promised of the load generator.
fn pace(generator: Option<&Value>) -> Claim {
    let measured = generator.and_then(|generator| {
        // A request on the boundary of the measured time may be on either side of it.
        let rate = (generator["sent"].as_f64()? / generator["seconds"].as_f64()?).round();
        let (lag, cpu) = (generator["send_lag_p99_ms"].as_f64()?, generator["cpu_per_request_us"].as_f64()?);
        Some(Figure { value: rate, text: format!("{rate}, {lag:.1} ms late (p99), {cpu:.1} us of CPU each") })
    });
    Claim {
        promise: "Requests per second that the load generator sends on time from one core".into(),
        target: Some(Target::at_least(20_000.0, "")),
        measured,
        is_valid: generator.is_some_and(|generator| generator["valid"] == true),
        command: "make generator",
    }
}

/// Where and with which seeds it was measured, as far as the results tell.
fn conditions(report: Option<&Report>, overhead: Option<&Overhead>, generator: Option<&Value>) -> String {
    let of_generator = || serde_json::from_value::<Machine>(generator?.get("machine")?.clone()).ok();
    let machine = overhead.map(|overhead| overhead.machine.clone()).or_else(of_generator);
    let machine = machine.map(|machine| format!("Measured on {machine}."));
    let seeds = report.map(|report| report.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "));
    let seeds = seeds.map(|seeds| format!("The seeds of `make measure` are {seeds}."));
    let sentences: Vec<String> = machine.into_iter().chain(seeds).collect();
    if sentences.is_empty() { String::new() } else { format!("\n{}\n", sentences.join(" ")) }
}

/// What `make compare` has left, one scenario after the other.
fn peers(directory: &Path) -> String {
    // A run that came to nothing leaves its file empty.
    let left = |file: &str| text_of(directory, file).filter(|table| !table.trim().is_empty());
    let tables = COMPARISONS.map(|(scenario, file)| match left(file) {
        Some(table) => format!("\n{table}"),
        None => format!("\n{scenario} (`make compare`): not measured.\n"),
    });
    format!("\nThe peers, by `make compare`:\n{}", tables.concat())
}

fn write(document: &Path, claims: &str) -> anyhow::Result<()> {
    let text =
        std::fs::read_to_string(document).with_context(|| format!("cannot read {}", document.display()))?;
    let Some(text) = replaced(&text, claims) else {
        bail!("{} does not mark where claims begin and end", document.display());
    };
    results::write(document, &text)
}

/// The text with `claims` between its marks; `None` without marks.
fn replaced(text: &str, claims: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{claims}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_replace_what_stands_between_the_marks() {
        let text = format!("head\n{BEGIN}old\n{END}tail\n");
        assert_eq!(replaced(&text, "new\n").unwrap(), format!("head\n{BEGIN}new\n{END}tail\n"));
        assert_eq!(replaced("head\n", "new\n"), None);
    }

    #[test]
    fn what_was_not_measured_is_said_to_be_so() {
        let mut claims = overload(None);
        claims.extend(cost(None));
        claims.push(pace(None));
        claims.extend(model::claims(Path::new("no/such/bundle"), None));
        let table = table(&claims);
        assert!(table.lines().skip(2).all(|row| row.contains("| not measured |  |")), "{table}");
    }

    #[test]
    fn peers_are_told_of_scenario_by_scenario_as_far_as_they_were_run() {
        let directory = tempfile::tempdir().unwrap();
        let leave = |file: &str, table: &str| std::fs::write(directory.path().join(file), table).unwrap();
        leave("compare.md", "spike, seed 1\n\n| a |\n");
        leave("compare-contest.md", "");
        leave("compare-capacity.md", "a changing capacity, seed 0\n\n| b |\n");
        let told = "\nThe peers, by `make compare`:\n\nspike, seed 1\n\n| a |\n\ncontest (`make compare`): not \
                    measured.\n\na changing capacity, seed 0\n\n| b |\n";
        assert_eq!(peers(directory.path()), told);
    }

    #[test]
    fn generator_that_was_late_is_not_believed() {
        let results = |valid: bool| {
            serde_json::json!({
                "sent": 199_999, "seconds": 10, "send_lag_p99_ms": 1.24, "cpu_per_request_us": 31.0, "valid": valid,
            })
        };
        let table = |valid| table(&[pace(Some(&results(valid)))]);
        let told = "| 20000, 1.2 ms late (p99), 31.0 us of CPU each | held |";
        assert!(table(true).contains(told), "{}", table(true));
        assert!(table(false).contains("| invalid run |"), "{}", table(false));
    }
}
