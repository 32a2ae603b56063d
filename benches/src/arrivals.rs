//! Decides what arrives when: a scenario and a seed become a schedule.
//!
//! The schedule is fixed before the first request is sent and does not wait for
//! answers: a load generator that slows down with the system it measures hides
//! the very overload it should show ("coordinated omission"). It is an
//! iterator, so that a run of any length needs no memory for its future.
//!
//! Each arrival belongs to a shopper, and shoppers come and go: how many are
//! there at a time follows from the load. A shopper's requests do not follow a
//! funnel.

use crate::scenario::template::ShopperKind;
use crate::scenario::{Process, Scenario};
use crate::stretches::{Stretch, stretches};
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

/// One request to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Arrival {
    /// When it is sent, from the start of the run.
    pub(crate) at: Duration,
    /// Index into the scenario's phases.
    pub(crate) phase: usize,
    /// Index into the scenario's mix.
    pub(crate) template: usize,
    /// Which of the template's paths is asked for.
    pub(crate) pattern: usize,
    /// The number in it.
    pub(crate) number: u32,
    /// Who asks.
    pub(crate) shopper: ShopperId,
}

impl Arrival {
    /// The path and query asked for.
    pub(crate) fn path(&self, scenario: &Scenario) -> String {
        scenario.mix[self.template].paths[self.pattern].fill(self.number)
    }
}

/// Numbers the shoppers of a run: even numbers those of the schedule, in order of their first
/// request, odd ones the sessions of funnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ShopperId(pub(crate) usize);

impl ShopperId {
    /// The shopper of the session at `index` among all funnels.
    pub(crate) fn of_session(index: usize) -> ShopperId {
        ShopperId(index * 2 + 1)
    }
}

/// The arrivals of a scenario, in order of time.
pub(crate) struct Schedule<'a> {
    scenario: &'a Scenario,
    rng: SmallRng,
    /// What to draw in each phase.
    templates: Vec<WeightedIndex<f64>>,
    crowd: Crowd,
    stretches: Vec<Stretch>,
    stretch: usize,
    /// In seconds from the start of the run.
    now: f64,
    /// What equal gaps carry from one stretch to the next.
    amount_left: Option<f64>,
}

impl<'a> Schedule<'a> {
    /// The schedule that `seed` stands for.
    pub(crate) fn new(scenario: &'a Scenario, seed: u64) -> Schedule<'a> {
        let templates = scenario.phases.iter().map(|phase| {
            WeightedIndex::new(scenario.weights(phase)).expect("a scenario's weights are positive")
        });
        Schedule {
            scenario,
            rng: SmallRng::seed_from_u64(seed),
            templates: templates.collect(),
            crowd: Crowd::default(),
            stretches: stretches(scenario, seed),
            stretch: 0,
            now: 0.0,
            amount_left: None,
        }
    }

    /// Who sends a request of `template` while so many come per second.
    fn shopper(&mut self, template: usize, rate: f64) -> ShopperId {
        let shoppers = &self.scenario.shoppers;
        let present = rate * shoppers.pause.as_secs_f64();
        let buyers = present * shoppers.buyers;
        let is_buyer = match self.scenario.mix[template].shopper {
            ShopperKind::Abuser => return self.crowd.abuser(template),
            ShopperKind::Bot => return self.crowd.newcomer(),
            ShopperKind::Buyer => true,
            ShopperKind::Anyone => self.rng.random_bool(shoppers.buyers),
        };
        let (visits, present) = match is_buyer {
            true => (&mut self.crowd.buyers, buyers),
            false => (&mut self.crowd.others, present - buyers),
        };
        pick(visits, &mut self.crowd.so_far, present, shoppers.visit, &mut self.rng)
    }

    /// How many requests the load must amount to before the next one comes.
    fn next_amount(&mut self) -> f64 {
        match self.scenario.arrivals {
            Process::Constant => self.amount_left.take().unwrap_or(1.0),
            Process::Poisson => -(1.0 - self.rng.random::<f64>()).ln(),
        }
    }

    /// The time of the next arrival, and the stretch it falls in.
    ///
    /// A gap that reaches beyond its stretch is drawn anew from the start of the
    /// next: exact for Poisson arrivals, which have no memory. Equal gaps have one.
    fn next_time(&mut self) -> Option<(f64, Stretch)> {
        loop {
            let stretch = *self.stretches.get(self.stretch)?;
            let amount = self.next_amount();
            if let Some(next) = stretch.time_of(amount, self.now) {
                self.now = next;
                return Some((next, stretch));
            }
            self.amount_left = Some(amount - stretch.amount_from(self.now));
            self.now = stretch.end;
            self.stretch += 1;
        }
    }
}

impl Iterator for Schedule<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let (time, stretch) = self.next_time()?;
        let (at, phase) = (Duration::from_secs_f64(time), stretch.phase);
        let scenario = self.scenario;
        let template = self.templates[phase].sample(&mut self.rng);
        let request = &scenario.mix[template];
        let pattern = self.rng.random_range(0..request.paths.len());
        let number = self.rng.random_range(1..=request.paths[pattern].variants());
        let shopper = self.shopper(template, stretch.rate_at(time));
        Some(Arrival { at, phase, template, pattern, number, shopper })
    }
}

/// The shoppers who are in the shop.
#[derive(Debug, Default)]
struct Crowd {
    buyers: Vec<Visit>,
    others: Vec<Visit>,
    /// By template.
    abusers: Vec<Option<ShopperId>>,
    so_far: usize,
}

#[derive(Clone, Copy, Debug)]
struct Visit {
    shopper: ShopperId,
    requests_left: u32,
}

impl Crowd {
    /// The one who sends all requests of a template.
    fn abuser(&mut self, template: usize) -> ShopperId {
        if self.abusers.len() <= template {
            self.abusers.resize(template + 1, None);
        }
        match self.abusers[template] {
            Some(abuser) => abuser,
            None => {
                let abuser = self.newcomer();
                *self.abusers[template].insert(abuser)
            }
        }
    }

    fn newcomer(&mut self) -> ShopperId {
        newcomer(&mut self.so_far)
    }
}

fn newcomer(so_far: &mut usize) -> ShopperId {
    *so_far += 1;
    ShopperId((*so_far - 1) * 2)
}

/// One of about `present` shoppers of a kind; who has finished is replaced.
fn pick(
    visits: &mut Vec<Visit>,
    so_far: &mut usize,
    present: f64,
    visit: u32,
    rng: &mut SmallRng,
) -> ShopperId {
    let present = (present as usize).max(1);
    visits.truncate(present);
    let place = rng.random_range(0..present);
    if visits.get(place).is_none_or(|visit| visit.requests_left == 0) {
        let newcomer = Visit { shopper: newcomer(so_far), requests_left: visit };
        match visits.get_mut(place) {
            Some(finished) => *finished = newcomer,
            None => visits.push(newcomer),
        }
    }
    let place = place.min(visits.len() - 1);
    let chosen = &mut visits[place];
    chosen.requests_left = chosen.requests_left.saturating_sub(1);
    chosen.shopper
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::clients::Bursts;
    use crate::units::{Rate, Times};
    use std::collections::{HashMap, HashSet};
    use std::path::Path;

    fn scenario(arrivals: &str) -> Scenario {
        let text = format!(
            "name: two steps
description: calm, then busy
origin: {{ workers: 4, service: {{ mean: 40ms }} }}
slo: 1s
patience: 2s
arrivals: {arrivals}
shoppers: {{ visit: 5, pause: 1s, buyers: 20% }}
mix:
  - {{ name: order, class: checkout, paths: [/checkout], weight: 1, shopper: buyer }}
  - {{ name: page, class: browse, paths: [\"/p/{{50}}\"], weight: 3 }}
phases:
  - {{ name: calm, duration: 10s, load: 1x }}
  - {{ name: busy, duration: 10s, load: 400/s }}
"
        );
        Scenario::parse(Path::new("s.yaml"), &text).unwrap()
    }

    #[test]
    fn seed_decides_the_schedule() {
        let scenario = scenario("poisson");
        let first: Vec<_> = Schedule::new(&scenario, 7).collect();
        assert_eq!(first, Schedule::new(&scenario, 7).collect::<Vec<_>>());
        assert_ne!(first, Schedule::new(&scenario, 8).collect::<Vec<_>>());
    }

    #[test]
    fn arrivals_are_ordered_and_fall_in_their_phase() {
        let scenario = scenario("poisson");
        let mut previous = Duration::ZERO;
        for arrival in Schedule::new(&scenario, 1) {
            assert!(previous <= arrival.at);
            assert_eq!(arrival.phase, usize::from(arrival.at >= Duration::from_secs(10)));
            previous = arrival.at;
        }
    }

    #[test]
    fn constant_arrivals_are_exact_and_poisson_arrivals_near_their_rate() {
        let constant = scenario("constant");
        let counts = count_by(Schedule::new(&constant, 1), |arrival| arrival.phase);
        assert!(counts[&0].abs_diff(1000) <= 1 && counts[&1].abs_diff(4000) <= 1, "{counts:?}");
        let poisson = scenario("poisson");
        let counts = count_by(Schedule::new(&poisson, 1), |arrival| arrival.phase);
        // Five standard deviations on either side.
        assert!(counts[&0].abs_diff(1000) < 160 && counts[&1].abs_diff(4000) < 320, "{counts:?}");
    }

    #[test]
    fn shaped_phase_has_its_load_in_equal_parts() {
        let mut shaped = scenario("constant");
        shaped.phases[0].shape = [0.5, 0.0001, 2.0, 1.0, 1.0].map(Times).to_vec();
        let mut parts = [0; 5];
        for arrival in Schedule::new(&shaped, 1).filter(|arrival| arrival.phase == 0) {
            parts[((arrival.at.as_secs_f64() / 2.0) as usize).min(4)] += 1;
        }
        assert_eq!(parts.map(|part: i32| (part + 2) / 10), [10, 0, 40, 20, 20], "{parts:?}");
    }

    #[test]
    fn load_that_changes_steadily_has_its_mean_and_its_ends() {
        for process in ["constant", "poisson"] {
            let mut ramped = scenario(process);
            ramped.phases[0].to = Some(Rate::TimesCapacity(3.0));
            let mut seconds = [0_i32; 10];
            for arrival in Schedule::new(&ramped, 1).filter(|arrival| arrival.phase == 0) {
                seconds[arrival.at.as_secs() as usize] += 1;
            }
            // From 100 to 300 a second: 110 in the first second, 290 in the last; five deviations on either side.
            assert!((seconds[0] - 110).abs() < 55 && (seconds[9] - 290).abs() < 85, "{seconds:?}");
            assert!((seconds.iter().sum::<i32>() - 2_000).abs() < 225, "{seconds:?}");
        }
    }

    #[test]
    fn equal_gaps_go_on_from_one_part_to_the_next() {
        let mut shaped = scenario("constant");
        // Sixty parts of a sixth of a second, each of 16.7 requests.
        shaped.phases[0].shape = vec![Times(1.0); 60];
        let count = Schedule::new(&shaped, 1).filter(|arrival| arrival.phase == 0).count();
        assert!(count.abs_diff(1000) <= 1, "{count}");
    }

    #[test]
    fn bots_come_once_each() {
        let mut scenario = scenario("constant");
        scenario.mix[0].shopper = ShopperKind::Bot;
        let bots = Schedule::new(&scenario, 1).filter(|arrival| arrival.template == 0);
        let bots: Vec<_> = bots.map(|arrival| arrival.shopper).collect();
        assert_eq!(bots.iter().collect::<HashSet<_>>().len(), bots.len());
    }

    #[test]
    fn templates_are_drawn_by_weight() {
        let counts = count_by(Schedule::new(&scenario("constant"), 1), |arrival| arrival.template);
        let share = counts[&0] as f64 / (counts[&0] + counts[&1]) as f64;
        assert!((share - 0.25).abs() < 0.035, "{share}");
    }

    #[test]
    fn bursts_keep_the_mean_and_spread_the_counts() {
        let count = |bursts: Option<Bursts>| {
            let mut scenario = scenario("poisson");
            scenario.phases.truncate(1);
            scenario.phases[0].duration = Duration::from_secs(2_000);
            scenario.bursts = bursts;
            let mut seconds = vec![0.0_f64; 2_000];
            for arrival in Schedule::new(&scenario, 1) {
                seconds[(arrival.at.as_secs() as usize).min(1_999)] += 1.0;
            }
            let mean = seconds.iter().sum::<f64>() / 2_000.0;
            let variance = seconds.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 2_000.0;
            (mean, variance / mean)
        };
        let (mean, dispersion) = count(None);
        assert!((mean - 100.0).abs() < 2.0 && (dispersion - 1.0).abs() < 0.2, "{mean} {dispersion}");
        let (on, off) = (Duration::from_secs(2), Duration::from_secs(6));
        let (mean, dispersion) = count(Some(Bursts { on, off, peak: Times(3.0) }));
        assert!((mean - 100.0).abs() < 10.0 && dispersion > 20.0, "{mean} {dispersion}");
    }

    #[test]
    fn abuser_is_one_shopper() {
        let mut scenario = scenario("constant");
        scenario.mix[0].shopper = ShopperKind::Abuser;
        let arrivals: Vec<_> = Schedule::new(&scenario, 1).collect();
        let abusers: HashSet<_> =
            arrivals.iter().filter(|arrival| arrival.template == 0).map(|arrival| arrival.shopper).collect();
        assert_eq!(abusers.len(), 1);
        assert!(arrivals.iter().all(|arrival| arrival.template == 0 || !abusers.contains(&arrival.shopper)));
    }

    #[test]
    fn visit_ends_after_its_requests() {
        let visits = count_by(Schedule::new(&scenario("constant"), 1), |arrival| arrival.shopper.0);
        assert!(visits.values().all(|requests| *requests <= 5), "{visits:?}");
        assert!(visits.len() >= 1000, "5000 requests need 1000 visits of 5");
        assert!(visits.len() < 1600, "most visits are completed: {}", visits.len());
    }

    fn count_by(schedule: Schedule<'_>, key: fn(&Arrival) -> usize) -> HashMap<usize, usize> {
        let mut counts = HashMap::new();
        for arrival in schedule {
            *counts.entry(key(&arrival)).or_default() += 1;
        }
        counts
    }
}
