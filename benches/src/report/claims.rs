//! `plimsoll-bench claims`: writes what the project claims, as it was measured, into RESULTS.md.
//!
//! A claim is a row: what is promised, what was measured, and the one command that
//! measures it again. Figures come from the files those commands leave, and only from
//! them; what was not measured is said to be so. The rest of the document stays.

use super::machine::Machine;
use super::{PhaseReport, Report, optional_ms, percent, ratio};
use crate::results;
use crate::terminal;
use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const BEGIN: &str = "<!-- claims: begin -->\n";
const END: &str = "<!-- claims: end -->\n";
const NOT_MEASURED: &str = "not measured";

/// Writes the measured claims into a document.
#[derive(Debug, Args)]
pub(crate) struct ClaimsArgs {
    /// Where `make bench` leaves measure.json, generator.json, overhead.json and compare.md
    directory: PathBuf,
    /// The document, which marks where claims begin and end
    #[arg(default_value = "benches/RESULTS.md")]
    document: PathBuf,
}

/// A promise, and what became of it.
#[derive(Clone)]
struct Claim {
    promise: &'static str,
    target: &'static str,
    measured: Option<String>,
    command: &'static str,
}

/// Runs the command.
pub(crate) fn claims(args: &ClaimsArgs) -> anyhow::Result<ExitCode> {
    let read = |name: &str| std::fs::read_to_string(args.directory.join(name)).ok();
    let json = |name: &str| -> anyhow::Result<Option<Value>> {
        let parse =
            |text: String| serde_json::from_str(&text).with_context(|| format!("{name} is no result"));
        read(name).map(parse).transpose()
    };
    let measured = json("measure.json")?;
    let report: Option<Report> = measured.map(serde_json::from_value).transpose().context("measure.json")?;
    let (overhead, generator) = (json("overhead.json")?, json("generator.json")?);
    let claims = [overload(report.as_ref()), cost(overhead.as_ref()), pace(generator.as_ref())];
    let mut text = table(&claims.concat());
    text.push_str(&conditions(report.as_ref(), [&overhead, &generator]));
    match read("compare.md") {
        Some(comparison) => text.push_str(&format!("\nThe peers, by `make compare`:\n\n{comparison}")),
        None => text.push_str("\nThe peers (`make compare`): not measured.\n"),
    }
    write(&args.document, &text)?;
    terminal::line(&text);
    Ok(ExitCode::SUCCESS)
}

/// What is promised of a shop in overload.
fn overload(report: Option<&Report>) -> Vec<Claim> {
    let phase = |name: &str| report.and_then(|report| report.phases.iter().find(|phase| phase.name == name));
    let claim = |promise, target, measured| Claim { promise, target, measured, command: "make measure" };
    let refused = |phase: &PhaseReport| {
        let refused = phase.classes.iter().flat_map(|class| class.refused.values()).sum();
        let offered = phase.classes.iter().map(|class| class.offered).sum();
        format!("{} ({refused}/{offered})", ratio(refused, offered))
    };
    let useful = |phase: &PhaseReport| phase.useful_work.map(percent);
    vec![
        claim("At 0.8 of what the shop can do, nobody is refused", "< 0.01 %", phase("calm").map(refused)),
        claim("Checkouts in time at twice that", ">= 99.9 %", phase("double").and_then(checkouts)),
        claim("Checkouts in time at five times", ">= 99.9 %", phase("fivefold").and_then(checkouts)),
        claim("Useful work at twice", ">= 97 %", phase("double").and_then(useful)),
        claim("Useful work at five times", ">= 97 %", phase("fivefold").and_then(useful)),
        claim("Browsing, p50 of who is let in at twice", "<= 70 ms", phase("double").and_then(browsing)),
        claim("A refusal, p99 at five times", "<= 5 ms", phase("fivefold").and_then(refusals)),
        claim("After it, at 0.8 again, refused", "< 0.01 %", phase("calm again").map(refused)),
    ]
}

fn checkouts(phase: &PhaseReport) -> Option<String> {
    let class = phase.classes.iter().find(|class| class.class == "checkout")?;
    Some(format!("{} ({}/{})", ratio(class.good, class.offered), class.good, class.offered))
}

fn browsing(phase: &PhaseReport) -> Option<String> {
    let class = phase.classes.iter().find(|class| class.class == "browse")?;
    class.served_p50_ms.map(|p50| format!("{} ms", optional_ms(Some(p50))))
}

/// The slowest class's.
fn refusals(phase: &PhaseReport) -> Option<String> {
    let slowest = phase.classes.iter().filter_map(|class| class.refused_p99_ms).reduce(f64::max)?;
    Some(format!("{} ms", optional_ms(Some(slowest))))
}

/// What is promised of plimsoll's own cost.
fn cost(overhead: Option<&Value>) -> Vec<Claim> {
    let row = |name: &str| {
        let rows = overhead?.get("rows")?.as_array()?;
        rows.iter().find(|row| row["name"] == name)
    };
    let median = |name: &str, key: &str| row(name)?[key]["median"].as_f64();
    let own = |key: &str, unit: &str| median("plimsoll", key).map(|median| format!("{median:.2} {unit}"));
    let beside = |key: &str| {
        let bare =
            median("bare-pingora", key).map_or(String::new(), |bare| format!(" (bare Pingora {bare:.1})"));
        own(key, "us").map(|own| own + &bare)
    };
    let claim = |promise, target, measured| Claim { promise, target, measured, command: "make overhead" };
    let times = row("plimsoll").and_then(|row| row["times_bare_pingora"].as_f64());
    vec![
        claim("CPU per proxied request", "", beside("cpu_per_request_us")),
        claim("over bare Pingora's", "<= 1.35 times", times.map(|times| format!("{times:.2} times"))),
        claim("CPU per refusal", "", beside("cpu_per_refusal_us")),
        claim("Memory per idle connection", "", own("memory_per_idle_connection_kib", "KiB")),
        claim("Added latency, p50", "", own("added_p50_ms", "ms")),
        claim("Added latency, p99", "", own("added_p99_ms", "ms")),
    ]
}

/// What is promised of the load generator.
fn pace(generator: Option<&Value>) -> Vec<Claim> {
    let measured = generator.and_then(|generator| {
        let rate = generator["sent"].as_f64()? / generator["seconds"].as_f64()?;
        let (lag, cpu) = (generator["send_lag_p99_ms"].as_f64()?, generator["cpu_per_request_us"].as_f64()?);
        let valid = if generator["valid"] == true { "" } else { ", too late to be valid" };
        Some(format!("{rate:.0}, {lag:.1} ms late (p99), {cpu:.1} us of CPU each{valid}"))
    });
    vec![Claim {
        promise: "Requests per second that the load generator sends on time from one core",
        target: ">= 20000",
        measured,
        command: "make generator",
    }]
}

fn table(claims: &[Claim]) -> String {
    let mut table = String::from("| claim | target | measured | by |\n|---|---|---|---|\n");
    for Claim { promise, target, measured, command } in claims {
        let measured = measured.as_deref().unwrap_or(NOT_MEASURED);
        table.push_str(&format!("| {promise} | {target} | {measured} | `{command}` |\n"));
    }
    table
}

/// Where and with which seeds it was measured, as far as the results tell.
fn conditions(report: Option<&Report>, results: [&Option<Value>; 2]) -> String {
    let told = results.into_iter().flatten().find_map(|one| one.get("machine"));
    let machine = told.and_then(|machine| serde_json::from_value::<Machine>(machine.clone()).ok());
    let machine = machine.map(|machine| format!("Measured on {machine}."));
    let seeds = report.map(|report| report.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "));
    let seeds = seeds.map(|seeds| format!("The seeds of `make measure` are {seeds}."));
    let sentences: Vec<String> = machine.into_iter().chain(seeds).collect();
    if sentences.is_empty() { String::new() } else { format!("\n{}\n", sentences.join(" ")) }
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
        let table = table(&[overload(None), cost(None), pace(None)].concat());
        assert!(table.lines().skip(2).all(|row| row.contains("| not measured |")), "{table}");
    }

    #[test]
    fn generator_that_was_late_is_not_believed() {
        let results = |valid: bool| {
            serde_json::json!({
                "sent": 200_400, "seconds": 10, "send_lag_p99_ms": 1.24, "cpu_per_request_us": 31.0, "valid": valid,
            })
        };
        let table = |valid| table(&pace(Some(&results(valid))));
        assert!(table(true).contains("| 20040, 1.2 ms late (p99), 31.0 us of CPU each |"), "{}", table(true));
        assert!(table(false).contains("too late to be valid"), "{}", table(false));
    }

    #[test]
    fn measured_figures_are_those_of_the_files() {
        let overhead = serde_json::json!({"rows": [
            {"name": "plimsoll", "times_bare_pingora": 1.25, "cpu_per_request_us": {"median": 25.0}},
            {"name": "bare-pingora", "cpu_per_request_us": {"median": 20.0}},
        ]});
        let table = table(&cost(Some(&overhead)));
        assert!(
            table.contains("| 25.00 us (bare Pingora 20.0) |") && table.contains("| 1.25 times |"),
            "{table}"
        );
        assert!(table.contains("| CPU per refusal |  | not measured |"), "{table}");
    }
}
