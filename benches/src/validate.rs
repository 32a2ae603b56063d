//! `plimsoll-bench validate`: a simulation beside the same scenario over sockets.
//!
//! A simulation is worth what it foretells. So plimsoll, HAProxy, Envoy and no proxy go
//! through one scenario twice, in virtual time and before a real shop, on the same
//! seeds, and the figures stand side by side with what lies between them.

use crate::contestant::{Contestant, Peer};
use crate::findings::INVALID_RUN;
use crate::peers::{OwnProxy, Places, Program};
use crate::play;
use crate::report::machine::Machine;
use crate::scenario::Scenario;
use crate::simulate;
use crate::simulate::contest::Contestant as Simulated;
use crate::tally::Tally;
use crate::terminal;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// How far a simulation may be from what it simulates, in points of a hundred: the project's target.
const TOLERANCE: f64 = 5.0;

/// Runs a scenario in simulation and over sockets, and prints what lies between them.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// The scenario file
    #[arg(default_value = "benches/scenarios/contest.yaml")]
    scenario: PathBuf,
    #[command(flatten)]
    proxy: OwnProxy,
    #[command(flatten)]
    places: Places,
    /// How many seeds are pooled
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// HAProxy's maxconn; a request for each worker and a quarter more if absent
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    maxconn: Option<u32>,
    /// Divides the length of every phase
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    shorten: u32,
}

/// Runs the command.
pub(crate) async fn validate(args: ValidateArgs) -> anyhow::Result<ExitCode> {
    let mut scenario = Scenario::read_for_sockets(&args.scenario)?;
    scenario.shorten(args.shorten);
    let seeds: Vec<u64> = (scenario.seed..).take(args.seeds as usize).collect();
    let mut pairs = Vec::new();
    for (real, simulated) in field(&args, &scenario)? {
        let measured = play::pooled(&scenario, &seeds, &real).await?;
        let simulated = simulate::tally(&scenario, simulated, &seeds)?;
        pairs.push(Pair { who: real.to_string(), measured, simulated });
    }
    let figures: Vec<Figure> = pairs.iter().flat_map(|pair| pair.figures(&scenario)).collect();
    terminal::line(&format!("\n{}, seeds {seeds:?}, on {}", scenario.name, Machine::here()));
    terminal::line(&table(&figures));
    let is_valid = pairs.iter().all(|pair| pair.measured.is_valid(scenario.told_phases()));
    if !is_valid {
        terminal::line("INVALID: this machine could not send the load on time");
    }
    Ok(match figures.iter().all(Figure::is_close) {
        _ if !is_valid => ExitCode::from(INVALID_RUN),
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// All who are installed, as they are and as they are simulated; the others are named.
fn field(args: &ValidateArgs, scenario: &Scenario) -> anyhow::Result<Vec<(Contestant, Simulated)>> {
    let maxconn = args.maxconn.unwrap_or((scenario.origin.workers * 5).div_ceil(4) as u32);
    let own = Contestant::Plimsoll(args.proxy.find(&args.places)?);
    let mut field = vec![(Contestant::Direct, Simulated::NoControl)];
    for program in [Program::Haproxy, Program::Envoy] {
        match (program.find(&args.places), program) {
            (None, _) => terminal::line(&program.missing()),
            (Some(path), Program::Haproxy) => {
                let peer = Contestant::Peer(Peer::haproxy(path, maxconn));
                field.push((peer, Simulated::Haproxy(maxconn)));
            }
            (Some(path), _) => {
                field.push((Contestant::Peer(Peer::envoy_adaptive(path)), Simulated::EnvoySparing))
            }
        }
    }
    field.push((own, Simulated::Plimsoll));
    Ok(field)
}

/// Somebody before a shop of sockets, and before a shop of numbers.
struct Pair {
    who: String,
    measured: Tally,
    simulated: Tally,
}

/// One figure, in percent, both ways.
struct Figure {
    phase: String,
    who: String,
    what: String,
    simulated: f64,
    measured: f64,
}

impl Pair {
    /// What targets are about: the first class, and useful work.
    fn figures(&self, scenario: &Scenario) -> Vec<Figure> {
        let first = scenario.classes()[0];
        let mut figures = Vec::new();
        for (index, phase) in scenario.phases.iter().enumerate().filter(|(_, phase)| !phase.warm_up) {
            let capacity = scenario.origin.capacity_in(phase);
            let in_time = |tally: &Tally| {
                let cell = tally.cell(index, 0);
                (cell.offered > 0).then(|| cell.good as f64 / cell.offered as f64)
            };
            let useful = |tally: &Tally| tally.useful_work(index, capacity);
            let in_time = (format!("{first} in time"), in_time(&self.simulated), in_time(&self.measured));
            let useful = ("useful work".into(), useful(&self.simulated), useful(&self.measured));
            for (what, simulated, measured) in [in_time, useful] {
                let (Some(simulated), Some(measured)) = (simulated, measured) else { continue };
                figures.push(Figure {
                    phase: format!("{} ({})", phase.name, phase.load_label()),
                    who: self.who.clone(),
                    what,
                    simulated: simulated * 100.0,
                    measured: measured * 100.0,
                });
            }
        }
        figures
    }
}

impl Figure {
    fn difference(&self) -> f64 {
        self.simulated - self.measured
    }

    fn is_close(&self) -> bool {
        self.difference().abs() <= TOLERANCE
    }
}

fn table(figures: &[Figure]) -> String {
    let width = |text: fn(&Figure) -> &String| {
        figures.iter().map(|figure| text(figure).chars().count()).max().unwrap_or_default()
    };
    let (who, phase, what) = (width(|one| &one.who), width(|one| &one.phase), width(|one| &one.what));
    let mut table = format!("{:who$}  {:phase$}  {:what$}  simulated  measured  difference", "", "", "");
    for figure in figures {
        let difference = figure.difference();
        let mark = if figure.is_close() { "" } else { "  *" };
        table.push_str(&format!(
            "\n{:who$}  {:phase$}  {:what$}  {:>9.1}  {:>8.1}  {difference:>+10.1}{mark}",
            figure.who, figure.phase, figure.what, figure.simulated, figure.measured
        ));
    }
    let close = figures.iter().filter(|figure| figure.is_close()).count();
    table + &format!("\n{close} of {} figures are within {TOLERANCE} points", figures.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figure_is_close_up_to_the_tolerance_on_either_side() {
        let figure = |simulated| Figure {
            phase: "double (2x)".into(),
            who: "envoy".into(),
            what: "useful work".into(),
            simulated,
            measured: 90.0,
        };
        let closeness = [84.9, 85.0, 95.0, 95.1].map(|simulated| figure(simulated).is_close());
        assert_eq!(closeness, [false, true, true, false]);
        let table = table(&[figure(88.0), figure(80.0)]);
        assert!(table.contains("-2.0\n") && table.contains("-10.0  *\n"), "{table}");
        assert!(table.ends_with("1 of 2 figures are within 5 points"), "{table}");
    }
}
