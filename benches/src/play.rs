//! One run on this machine: a fresh shop, somebody before it, and the load of a scenario.
//!
//! The shop is the scenario's and changes as the scenario says, over its control port;
//! afterwards it tells what it has done. What is made of it is the caller's.

use crate::contestant::Contestant;
use crate::director::Director;
use crate::gauges::Gauges;
use crate::load::{self, Harvest};
use crate::scenario::Scenario;
use crate::stage::OriginStage;
use crate::tally::Tally;
use crate::target::Target;
use crate::terminal;

/// Runs `scenario` once, with `guard` before a fresh shop.
pub(crate) async fn play(scenario: &Scenario, seed: u64, guard: &Contestant) -> anyhow::Result<Harvest> {
    let origin = OriginStage::start(seed).await?;
    let director = Director::of(scenario, Some(origin.control))?;
    let proxy = guard.start(origin.address, scenario).await?;
    let target = Target::local(proxy.as_ref().map_or(origin.address, |proxy| proxy.address));
    let (gauges, never) = (Gauges::default(), std::future::pending());
    let harvest = load::conduct(scenario, seed, &target, director.as_ref(), &gauges, never).await?;
    anyhow::ensure!(harvest.cut.is_none(), "{guard} takes connections and answers nothing");
    if let Some(proxy) = proxy {
        proxy.stop().await?;
    }
    origin.stop().await?;
    Ok(harvest)
}

/// Runs `scenario` once per seed, of which there is at least one, and pools the counts.
pub(crate) async fn pooled(scenario: &Scenario, seeds: &[u64], guard: &Contestant) -> anyhow::Result<Tally> {
    let mut runs = Vec::new();
    for &seed in seeds {
        terminal::line(&format!("{guard}, seed {seed}"));
        runs.push(play(scenario, seed, guard).await?.tally);
    }
    Ok(Tally::pooled(&runs).expect("there is at least one seed"))
}
