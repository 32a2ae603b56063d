//! `plimsoll-bench grid`: one policy before origins of every size.
//!
//! A controller that was tuned for one origin shows it here: workers from 1 to
//! 256, pages of 2 to 400 ms, service times from nearly constant to heavy-tailed.
//! Two figures per cell: useful work at twice the capacity, against the best
//! static limit of a sweep; and what is refused at 0.8 of it, against what an
//! unlimited line would have answered too late.
//!
//! The SLO of a cell is `max(1 s, 25 x the mean service time)`, and patience twice
//! that. Where it is more than a second, the policy's own times are stretched as
//! much: an operator whose pages take 400 ms does not promise them in one second.
//! Nothing else of the policy is touched.

use super::contest::{Contestant, pooled};
use super::judge::Judge;
use super::ledger::Course;
use super::policy_at;
use super::static_sweep::{Best, best_static_limit};
use crate::report::{percent, ratio};
use crate::scenario::Scenario;
use crate::service_time::Distribution;
use crate::tally::cell::Cell as Counts;
use crate::tally::span::SETTLING;
use crate::terminal;
use crate::units::{Rate, Times};
use anyhow::Context;
use clap::Args;
use plimsoll::policy::compiled::CompiledPolicy;
use plimsoll_core::policy::{Class, Policy};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Its mix and thrash are those of the project's measurements.
const SCENARIO: &str = include_str!("../../scenarios/spike.yaml");
/// Requests at capacity in each phase: proportions to a thousandth, three seeds pooled.
const REQUESTS: f64 = 10_000.0;
/// A phase lasts at least so many SLOs, so that what began before it is over.
const SLOS: u32 = 6;
/// The targets of the grid.
const USEFUL_MIN: f64 = 0.93;
const REFUSED_ABOVE_LATE_MAX: f64 = 0.001;

/// Compares one policy with static limits before origins of many sizes.
#[derive(Debug, Args)]
pub(crate) struct GridArgs {
    /// The policy: a file or a directory; the built-in one if absent
    #[arg(long, value_name = "FILE|DIR")]
    policy: Option<PathBuf>,
    /// How many seeds are pooled
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Numbers of workers
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 7, 16, 64, 100, 256])]
    workers: Vec<usize>,
    /// Mean service times in milliseconds
    #[arg(long, value_delimiter = ',', default_values_t = [2, 40, 400])]
    service_ms: Vec<u64>,
    /// Distributions of service times
    #[arg(long, value_delimiter = ',', default_value = "uniform,exponential,lognormal:1.5")]
    distributions: Vec<Distribution>,
}

/// One origin.
#[derive(Clone, Copy, Debug)]
struct Cell {
    workers: usize,
    mean: Duration,
    distribution: Distribution,
}

/// What came of one.
#[derive(Clone, Debug)]
struct Finding {
    useful: f64,
    best: Best,
    /// What Plimsoll did at 0.8x.
    calm: Counts,
    /// What an unlimited line did then.
    line: Counts,
    /// Plimsoll's limit in overload, in the mean of the first seed.
    limit: f64,
}

/// Runs the command.
pub(crate) fn grid(args: &GridArgs) -> anyhow::Result<ExitCode> {
    let policy = policy_at(args.policy.as_deref())?;
    let seeds: Vec<u64> = (args.seed..).take(args.seeds as usize).collect();
    terminal::line("useful work at 2x, and refusals at 0.8x");
    terminal::line(&heading());
    let mut findings = Vec::new();
    for cell in cells(args) {
        let finding = examine(cell, &policy, &seeds)?;
        terminal::line(&row(cell, &finding));
        findings.push(finding);
    }
    let held = findings.iter().filter(|finding| finding.holds()).count();
    let worst = findings.iter().map(Finding::useful_ratio).fold(f64::INFINITY, f64::min);
    let excess = findings.iter().map(Finding::refused_above_late).fold(f64::NEG_INFINITY, f64::max);
    terminal::line(&format!(
        "\n{held} of {} cells hold; worst useful work {} of the best static limit's (target {}), most refused \
         {:+.2} points above the line's late share (target {:+.2})",
        findings.len(),
        percent(worst),
        percent(USEFUL_MIN),
        excess * 100.0,
        REFUSED_ABOVE_LATE_MAX * 100.0,
    ));
    Ok(ExitCode::from(u8::from(held < findings.len())))
}

fn cells(args: &GridArgs) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &distribution in &args.distributions {
        for &milliseconds in &args.service_ms {
            let mean = Duration::from_millis(milliseconds.max(1));
            let of_size = |workers: &usize| Cell { workers: (*workers).max(1), mean, distribution };
            cells.extend(args.workers.iter().map(of_size));
        }
    }
    cells
}

impl Cell {
    fn slo(self) -> Duration {
        Duration::from_secs(1).max(self.mean * 25)
    }

    /// Twice the capacity after 0.8 of it.
    fn scenario(self) -> anyhow::Result<Scenario> {
        let mut scenario = Scenario::parse(Path::new("spike.yaml"), SCENARIO)?;
        let stretch = self.slo().as_secs_f64() / scenario.slo.as_secs_f64();
        for template in &mut scenario.mix {
            template.slo = template.slo.map(|slo| slo.mul_f64(stretch));
        }
        scenario.slo = self.slo();
        scenario.patience = self.slo() * 2;
        scenario.origin.workers = self.workers;
        scenario.origin.service.mean = self.mean;
        scenario.origin.service.distribution = self.distribution;
        scenario.origin.service.spread = None;
        scenario.phases.truncate(2);
        let duration = Duration::from_secs_f64(REQUESTS / scenario.origin.capacity()).max(self.slo() * SLOS);
        for (phase, times) in scenario.phases.iter_mut().zip([0.8, 2.0]) {
            phase.load = Rate::TimesCapacity(times);
            phase.workers = Times::default();
            phase.duration = duration;
        }
        Ok(scenario)
    }
}

/// The policy of an operator who promises answers in `slo`.
fn promising(policy: &CompiledPolicy, slo: Duration) -> anyhow::Result<CompiledPolicy> {
    let stretch = slo.as_secs_f64();
    let stretched = |class: &Class| {
        let mut class = class.clone();
        class.slo_latency = class.slo_latency.mul_f64(stretch);
        class.patience = class.patience.mul_f64(stretch);
        class.queue.wait_max = class.queue.wait_max.mul_f64(stretch);
        class.breaker = class.breaker.map(|mut breaker| {
            breaker.slow_call = breaker.slow_call.mul_f64(stretch);
            breaker
        });
        class
    };
    let core = Policy::new(policy.core.mode(), policy.core.classes().iter().map(stretched).collect());
    let core = core.ok().context("longer times keep every bound")?;
    let mut promising = policy.clone();
    promising.core = Arc::new(core);
    Ok(promising)
}

fn examine(cell: Cell, policy: &CompiledPolicy, seeds: &[u64]) -> anyhow::Result<Finding> {
    let both = cell.scenario()?;
    let (mut calm, mut double) = (both.clone(), both.clone());
    calm.phases.truncate(1);
    double.phases.remove(0);
    let judge = Judge::new(promising(policy, cell.slo())?, &both)?;
    let capacity = both.origin.capacity();
    let ours = pooled(&both, &judge, Contestant::Plimsoll, seeds);
    let line = pooled(&calm, &judge, Contestant::NoControl, seeds).tally;
    let best = best_static_limit(&double, &judge, seeds);
    Ok(Finding {
        useful: ours.tally.useful_work(1, capacity).unwrap_or(0.0),
        best,
        calm: ours.tally.phase_total(0),
        line: line.phase_total(0),
        limit: mean_limit(&ours.course, both.phases[0].duration + SETTLING),
    })
}

/// The mean limit from `since` on.
fn mean_limit(course: &Course, since: Duration) -> f64 {
    let skipped = (since.as_secs_f64() / course.step.as_secs_f64()) as usize;
    let limits: Vec<f64> = course.points.iter().skip(skipped).filter_map(|point| point.gauge.limit).collect();
    limits.iter().sum::<f64>() / limits.len().max(1) as f64
}

impl Finding {
    fn useful_ratio(&self) -> f64 {
        self.useful / self.best.useful
    }

    fn refused_above_late(&self) -> f64 {
        let refused = self.calm.refusals() as f64 / self.calm.offered.max(1) as f64;
        let late = (self.line.offered - self.line.good) as f64 / self.line.offered.max(1) as f64;
        refused - late
    }

    fn holds(&self) -> bool {
        self.useful_ratio() >= USEFUL_MIN && self.refused_above_late() <= REFUSED_ABOVE_LATE_MAX
    }
}

/// What the columns of [`row`] are.
fn heading() -> String {
    format!(
        "{:>7} {:>7}  {:<16}{:>9}{:>21} {:>8}{:>11}{:>8}{:>26}{:>12}",
        "workers",
        "service",
        "distribution",
        "at 2x",
        "best static limit",
        "of it",
        "mean limit",
        "error",
        "refused at 0.8x",
        "line late",
    )
}

fn row(cell: Cell, finding: &Finding) -> String {
    format!(
        "{:>7} {:>7}  {:<16}{:>9}{:>11} (at {:>4}) {:>8}{:>11.0}{:>8}{:>18} {:>7}{:>12}  {}",
        cell.workers,
        format!("{} ms", cell.mean.as_millis()),
        cell.distribution.to_string(),
        percent(finding.useful),
        percent(finding.best.useful),
        finding.best.limit,
        percent(finding.useful_ratio()),
        finding.limit,
        percent(finding.best.error_of(finding.limit)),
        format!("{}/{}", finding.calm.refusals(), finding.calm.offered),
        ratio(finding.calm.refusals(), finding.calm.offered),
        ratio(finding.line.offered - finding.line.good, finding.line.offered),
        if finding.holds() { "" } else { "*" },
    )
}
