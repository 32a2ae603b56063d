//! Clients with a memory: those who try again, and those who go from step to step.
//!
//! An open loop does not care what becomes of a request. These do: a refused
//! request may come again, a page that is there brings its pictures and beacons, and
//! a shopper who is not served ends the session. All react to answers, so that a
//! shop in trouble gets other load than a well one; that is what a retry storm is.
//!
//! They send nothing after the end of the scenario. Whether answers come over
//! sockets or in virtual time is the caller's.

use crate::arrivals::{Arrival, ShopperId};
use crate::begins::Begins;
use crate::funnels::Passage;
use crate::scenario::clients::Jitter;
use crate::scenario::{Process, Scenario};
use crate::tally::Verdict;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution as _, Exp1};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One request that a client wants answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Index into the scenario's mix.
    pub(crate) template: usize,
    /// Index into its paths.
    pub(crate) pattern: usize,
    /// The number in the path.
    pub(crate) number: u32,
    pub(crate) shopper: ShopperId,
    /// Index of the session it is a step of.
    pub(crate) session: Option<usize>,
    /// How often it was sent before.
    pub(crate) attempt: u32,
    /// Whether it came with a page: then nothing comes with it, and nobody tries again.
    pub(crate) is_loaded: bool,
}

impl Wish {
    /// What somebody wants who arrives by the schedule.
    pub(crate) fn of(arrival: &Arrival) -> Wish {
        let Arrival { template, pattern, number, shopper, .. } = *arrival;
        Wish { template, pattern, number, shopper, session: None, attempt: 0, is_loaded: false }
    }
}

/// What a client does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// It sends this.
    Send(Wish),
    /// Another session of this funnel begins, in this phase.
    Begin { funnel: usize, phase: usize },
}

/// A shopper on the way through a funnel.
#[derive(Clone, Copy, Debug)]
struct Session {
    funnel: usize,
    step: usize,
    /// In which it began.
    phase: usize,
}

/// The sessions that began in one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Survival {
    /// How many began.
    pub(crate) begun: u64,
    /// Whose first step was answered.
    pub(crate) admitted: u64,
    /// Whose every step was.
    pub(crate) completed: u64,
    /// Admitted, and then not served at a later step. Those under way at the end are neither.
    pub(crate) lost: u64,
}

impl std::iter::Sum for Survival {
    fn sum<I: Iterator<Item = Survival>>(phases: I) -> Survival {
        phases.fold(Survival::default(), |sum, phase| Survival {
            begun: sum.begun + phase.begun,
            admitted: sum.admitted + phase.admitted,
            completed: sum.completed + phase.completed,
            lost: sum.lost + phase.lost,
        })
    }
}

/// All clients with a memory.
#[derive(Debug)]
pub(crate) struct Crowd<'a> {
    scenario: &'a Scenario,
    begins: Begins,
    sessions: Vec<Session>,
    /// By phase, all funnels together.
    pub(crate) survival: Vec<Survival>,
    /// By funnel and step, of sessions that began in what is no warm-up.
    pub(crate) passages: Vec<Vec<Passage>>,
    random: SmallRng,
}

impl<'a> Crowd<'a> {
    /// A crowd of nobody yet.
    pub(crate) fn new(scenario: &'a Scenario, begins: Begins, seed: u64) -> Crowd<'a> {
        Crowd {
            scenario,
            begins,
            sessions: Vec::new(),
            survival: vec![Survival::default(); scenario.phases.len()],
            passages: scenario
                .funnels
                .iter()
                .map(|funnel| vec![Passage::default(); funnel.steps.len()])
                .collect(),
            random: SmallRng::seed_from_u64(seed),
        }
    }

    /// How long after `from` the next session of a funnel begins, if that is in `phase`.
    ///
    /// A gap that reaches beyond the phase is drawn anew in the next: independent shoppers have no memory. Equal
    /// gaps have one.
    pub(crate) fn next_begin(
        &mut self,
        funnel: usize,
        phase: usize,
        from: Duration,
    ) -> Option<(Duration, Move)> {
        let gap = match self.scenario.arrivals {
            Process::Poisson => self.exponential(),
            Process::Constant => self.begins.equal_gap(funnel),
        };
        let pause = self.begins.pause(funnel, phase, from, gap)?;
        Some((pause, Move::Begin { funnel, phase }))
    }

    /// A session begins with its first wish.
    pub(crate) fn begin(&mut self, funnel: usize, phase: usize) -> Wish {
        self.survival[phase].begun += 1;
        self.sessions.push(Session { funnel, step: 0, phase });
        self.wish(self.sessions.len() - 1)
    }

    fn wish(&mut self, index: usize) -> Wish {
        let Session { funnel, step, .. } = self.sessions[index];
        let templates = &self.scenario.funnels[funnel].steps[step];
        let template = templates[self.random.random_range(0..templates.len())];
        let session = Some(index);
        Wish { session, ..self.wish_for(template, ShopperId::of_session(index)) }
    }

    fn wish_for(&mut self, template: usize, shopper: ShopperId) -> Wish {
        let paths = &self.scenario.mix[template].paths;
        let pattern = self.random.random_range(0..paths.len());
        // Where there is nothing to choose, no chance is spent.
        let number = match paths[pattern].variants() {
            1 => 1,
            variants => self.random.random_range(1..=variants),
        };
        Wish { template, pattern, number, shopper, session: None, attempt: 0, is_loaded: false }
    }

    /// A client has heard what became of its wish: what it does next, each after a pause.
    pub(crate) fn hear(&mut self, wish: Wish, verdict: Verdict) -> Vec<(Duration, Move)> {
        let is_served = matches!(verdict, Verdict::Good | Verdict::Late);
        match (is_served, wish.is_loaded) {
            (_, true) => Vec::new(),
            (true, _) => {
                let mut moves = self.loads(wish);
                moves.extend(wish.session.and_then(|session| self.go_on(session)));
                moves
            }
            (false, _) => self.try_again(wish).into_iter().collect(),
        }
    }

    /// What comes with a page that is there.
    fn loads(&mut self, wish: Wish) -> Vec<(Duration, Move)> {
        let loads = &self.scenario.mix[wish.template].loads;
        let wishes =
            loads.iter().map(|template| Wish { is_loaded: true, ..self.wish_for(*template, wish.shopper) });
        wishes.map(|wish| (Duration::ZERO, Move::Send(wish))).collect()
    }

    fn try_again(&mut self, wish: Wish) -> Option<(Duration, Move)> {
        let Some(retries) = self.scenario.retries.filter(|retries| wish.attempt < retries.attempts) else {
            self.lose(wish.session?);
            return None;
        };
        let pause = retries.backoff * 2_u32.saturating_pow(wish.attempt);
        let drawn = match retries.jitter {
            Jitter::None => pause,
            Jitter::Full => pause.mul_f64(2.0 * self.random.random::<f64>()),
        };
        Some((drawn, Move::Send(Wish { attempt: wish.attempt + 1, ..wish })))
    }

    fn lose(&mut self, index: usize) {
        let Session { funnel, step, phase } = self.sessions[index];
        self.survival[phase].lost += u64::from(step > 0);
        self.passages[funnel][step].lost += u64::from(!self.scenario.phases[phase].warm_up);
    }

    fn go_on(&mut self, index: usize) -> Option<(Duration, Move)> {
        let Session { funnel, step, phase } = &mut self.sessions[index];
        let survival = &mut self.survival[*phase];
        survival.admitted += u64::from(*step == 0);
        self.passages[*funnel][*step].served += u64::from(!self.scenario.phases[*phase].warm_up);
        *step += 1;
        let funnel = &self.scenario.funnels[*funnel];
        if *step == funnel.steps.len() {
            survival.completed += 1;
            return None;
        }
        let think = funnel.think.mul_f64(self.exponential());
        Some((think, Move::Send(self.wish(index))))
    }

    fn exponential(&mut self) -> f64 {
        Exp1.sample(&mut self.random)
    }
}
