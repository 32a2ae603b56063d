//! `plimsoll-bench demo`: Black Friday twice, without and with a load line.
//!
//! The same schedule, request for request, goes first straight at a sample shop
//! and then, with the shop restarted, through plimsoll. Served orders are
//! counted where they are made: by the shop. The scenario is embedded, so that
//! the demo runs from any directory.

use crate::contestant::Contestant;
use crate::load::Harvest;
use crate::play::play;
use crate::scenario::Scenario;
use crate::scoreboard::{Contest, Side};
use crate::stage::ProxyArgs;
use crate::terminal;
use clap::Args;
use std::path::Path;
use std::process::ExitCode;

const SCENARIO: &str = include_str!("../scenarios/black-friday-demo.yaml");
/// By how much `--short` shortens each phase: 36 s become 12 s, twice.
const SHORT: u32 = 3;

/// Shows a shop in overload without and with plimsoll.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    proxy: ProxyArgs,
    /// Takes half a minute instead of one and a half
    #[arg(long)]
    short: bool,
}

/// Runs the command.
pub(crate) async fn demo(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let mut scenario = Scenario::parse(Path::new("black-friday-demo.yaml"), SCENARIO)?;
    if args.short {
        scenario.shorten(SHORT);
    }
    terminal::line(&format!(
        "A shop that can serve {:.0} pages per second meets {}.",
        scenario.origin.capacity(),
        course(&scenario)
    ));
    terminal::line("\n1. Straight at the shop");
    let direct = act(&scenario, &Contestant::Direct).await?;
    terminal::line("\n2. The same shoppers, through plimsoll");
    let guarded = act(&scenario, &Contestant::Plimsoll(args.proxy)).await?;
    terminal::line(&Contest { scenario: &scenario, direct, guarded }.scoreboard());
    Ok(ExitCode::SUCCESS)
}

async fn act(scenario: &Scenario, guard: &Contestant) -> anyhow::Result<Side> {
    let Harvest { tally, origin, .. } = play(scenario, scenario.seed, guard).await?;
    Ok(Side { tally, orders: origin.map(|stats| stats.orders).unwrap_or_default() })
}

fn course(scenario: &Scenario) -> String {
    let phases: Vec<String> = scenario
        .phases
        .iter()
        .map(|phase| format!("{} ({}, {} s)", phase.name, phase.load, phase.duration.as_secs()))
        .collect();
    phases.join(", ")
}
