//! What a shop owner buys: spikes before shops of sizes the controller is not told.
//!
//! Each promise is pooled over three seeds. `--nocapture` prints the figures behind it.

mod random;
mod shop;

use shop::Shop;
use shop::demand::{MIX, Phase, RUSH};
use shop::origin::Service;
use shop::tally::Tally;
use std::time::Duration;

const SEEDS: [u64; 3] = [1, 2, 3];
const CHECKOUT: usize = 0;
const SERVICE: Duration = Duration::from_millis(40);

fn phase(load: f64) -> Phase {
    Phase { length: Duration::from_secs(8), load, mix: MIX, service: SERVICE }
}

/// Runs the phases with every seed and pools the tallies of each.
fn run(name: &str, workers: usize, service: Service, phases: &[Phase]) -> Vec<Tally> {
    let mut pooled = vec![Tally::default(); phases.len()];
    for seed in SEEDS {
        let mut shop = Shop::new(workers, seed);
        shop.origin.service = service;
        let tallies = shop.run(phases);
        pooled.iter_mut().zip(&tallies).for_each(|(sum, tally)| sum.add(tally));
    }
    for (tally, phase) in pooled.iter().zip(phases) {
        show(&format!("{name}, {workers} workers at {:3}x: {tally}", phase.load));
    }
    pooled
}

#[expect(clippy::print_stdout, reason = "the figures behind a promise, shown when it is broken")]
fn show(line: &str) {
    println!("{line}");
}

fn spikes(workers: usize) {
    let loads = [0.8, 2.0, 0.8, 5.0, 0.8];
    run("spikes", workers, Service::Uniform, &loads.map(phase));
    run("exponential", workers, Service::Exponential, &loads.map(phase));
    run("cold", workers, Service::Uniform, &[5.0, 0.8].map(phase));
    let slow = Phase { service: SERVICE * 2, ..phase(5.0) };
    run("slow", workers, Service::Uniform, &[phase(5.0), slow, phase(5.0), phase(0.8)]);
    run("slow exp", workers, Service::Exponential, &[phase(5.0), slow, phase(5.0), phase(0.8)]);
    let rush = [0.8, 5.0].map(|load| Phase { mix: RUSH, ..phase(load) });
    run("rush", workers, Service::Uniform, &rush);
}

#[test]
fn explore() {
    for workers in [2, 4, 7, 16, 64, 100] {
        spikes(workers);
    }
}
