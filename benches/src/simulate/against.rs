//! One table: every contestant on the same scenario and seeds.

use super::contest::{Contestant, pooled};
use super::judge::Judge;
use super::ledger::Ledger;
use super::oracle::{Bound, bounds};
use super::static_sweep::best_static_limit;
use crate::latencies::quantile;
use crate::report::{millis, optional_ms, percent};
use crate::scenario::Scenario;
use crate::terminal;
use std::fmt::Write;

/// Who is compared.
#[derive(Clone, Debug)]
pub(crate) enum Field {
    /// Everybody.
    All,
    /// These.
    Some(Vec<Contestant>),
}

/// Reads `all`, or contestants between commas.
pub(crate) fn field(text: &str) -> Result<Field, String> {
    if text == "all" {
        return Ok(Field::All);
    }
    let words = text.split(',').map(|word| word.parse::<Contestant>().map_err(|error| error.to_string()));
    words.collect::<Result<_, _>>().map(Field::Some)
}

/// Runs `scenario` with everybody of `field` and prints a table per phase.
pub(crate) fn compare(scenario: &Scenario, judge: &Judge, field: &Field, seeds: &[u64]) {
    let contestants = match field {
        Field::Some(contestants) => contestants.clone(),
        Field::All => {
            let best = best_static_limit(scenario, judge, seeds);
            terminal::line(&format!(
                "the best static limit is {}, with useful work {}",
                best.limit,
                percent(best.useful)
            ));
            Contestant::all(best.limit)
        }
    };
    let ledgers: Vec<(Contestant, Ledger)> =
        contestants.iter().map(|one| (*one, pooled(scenario, judge, *one, seeds))).collect();
    let bounds = bounds(scenario, judge, seeds);
    for (phase, bound) in bounds.iter().enumerate() {
        terminal::line(&table(scenario, phase, bound, &ledgers));
    }
}

fn table(scenario: &Scenario, phase: usize, bound: &Bound, ledgers: &[(Contestant, Ledger)]) -> String {
    let classes = scenario.classes();
    let described = &scenario.phases[phase];
    let mut table = format!("\n{} ({}): in time, %\n{:<13}", described.name, described.load, "");
    for class in &classes {
        let _ = write!(table, "{class:>10}");
    }
    let busiest = busiest(scenario, phase, ledgers);
    let _ = write!(
        table,
        "    useful  worth  inversions/M  refused  late refusals  refusal p99 ms  p50 ms {:>10} {:>10}",
        classes[0], classes[busiest]
    );
    for (contestant, ledger) in ledgers {
        let _ = write!(table, "\n{:<13}", contestant.to_string());
        table.push_str(&row(scenario, phase, (bound, busiest), ledger));
    }
    let _ = write!(table, "\n{:<13}", "clairvoyant");
    for (good, offered) in bound.good.iter().zip(&bound.offered) {
        let _ = write!(table, "{:>10}", share(*good, *offered as u64));
    }
    table
}

/// The class with the most requests: at the steps of a comparison, the one the line goes through.
fn busiest(scenario: &Scenario, phase: usize, ledgers: &[(Contestant, Ledger)]) -> usize {
    let offered = |class: &usize| ledgers.first().map(|(_, ledger)| ledger.tally.cell(phase, *class).offered);
    (0..scenario.classes().len()).max_by_key(offered).unwrap_or_default()
}

fn row(scenario: &Scenario, phase: usize, (bound, busiest): (&Bound, usize), ledger: &Ledger) -> String {
    let tally = &ledger.tally;
    let classes = scenario.classes();
    let mut row = String::new();
    for class in 0..classes.len() {
        let cell = tally.cell(phase, class);
        let _ = write!(row, "{:>10}", share(cell.good as f64, cell.offered));
    }
    let all = tally.phase_total(phase);
    let useful = tally.useful_work(phase, scenario.origin.capacity_in(&scenario.phases[phase]));
    let served_p50 = |class| quantile(&tally.cell(phase, class).served_us, 0.5).map(millis);
    let _ = write!(
        row,
        "{:>10}{:>7}{:>14.1}{:>9}{:>15}{:>16}{:>18}{:>11}",
        useful.map_or("-".into(), |useful| format!("{:.1}", useful * 100.0)),
        worth(scenario, ledger.worth[phase], bound),
        ledger.inversions[phase] as f64 * 1e6 / all.offered.max(1) as f64,
        share(all.refusals() as f64, all.offered),
        share(all.refused_late as f64, all.refusals()),
        optional_ms(quantile(&all.refused_us, 0.99).map(millis)),
        optional_ms(served_p50(0)),
        optional_ms(served_p50(busiest)),
    );
    row
}

/// What was made of the worth that there was, in percent. The clairvoyant knows the schedule alone: what comes
/// on top of it as an answer to answers would be worth something to everybody else.
fn worth(scenario: &Scenario, made: f64, bound: &Bound) -> String {
    let comes_on_top = !scenario.funnels.is_empty()
        || scenario.retries.is_some()
        || scenario.mix.iter().any(|template| !template.loads.is_empty());
    if comes_on_top { "-".into() } else { format!("{:.1}", made / bound.worth * 100.0) }
}

/// `part` of `whole` in percent, without the sign.
fn share(part: f64, whole: u64) -> String {
    if whole == 0 { "-".into() } else { format!("{:.2}", part * 100.0 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const SCENARIO: &str = "\
name: one
description: one page
origin: { workers: 10, service: { mean: 100ms } }
slo: 1s
patience: 2s
mix:
  - { name: page, class: browse, paths: [/], weight: 1 }
phases:
  - { name: calm, duration: 10s, load: 0.5x }
";

    #[test]
    fn worth_is_told_where_the_clairvoyant_knows_all_who_come() {
        let bound = Bound { worth: 8.0, good: vec![8.0], offered: vec![8.0] };
        let told = |more: &str| {
            let scenario = Scenario::parse(Path::new("one.yaml"), &format!("{SCENARIO}{more}")).unwrap();
            worth(&scenario, 6.0, &bound)
        };
        assert_eq!(told(""), "75.0");
        assert_eq!(told("retries: { attempts: 1, backoff: 1s }\n"), "-");
        assert_eq!(told("funnels: [{ name: look, begin: 1, think: 1s, steps: [browse] }]\n"), "-");
    }
}
