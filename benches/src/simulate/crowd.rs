//! Clients with a memory: those who try again, and those who go from step to step.
//!
//! An open loop does not care what becomes of a request. These do: a refused
//! request may come again, and a shopper who is not served ends the session. Both
//! react to answers, so that a shop in trouble gets other load than a well one;
//! that is what a retry storm is.
//!
//! They send nothing after the end of the scenario.

use crate::arrivals::ShopperId;
use crate::scenario::Scenario;
use crate::scenario::clients::Jitter;
use crate::tally::Verdict;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution as _, Exp1};
use serde::Serialize;
use std::time::Duration;

/// One request that a client wants answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Index into the scenario's mix.
    pub(crate) template: usize,
    /// Index into its paths.
    pub(crate) pattern: usize,
    pub(crate) shopper: ShopperId,
    /// Index of the session it is a step of.
    pub(crate) session: Option<usize>,
    /// How often it was sent before.
    pub(crate) attempt: u32,
}

/// What a client does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// It sends this.
    Send(Wish),
    /// Another session of this funnel begins, if this phase still lasts.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
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

/// All clients with a memory.
#[derive(Debug)]
pub(crate) struct Crowd<'a> {
    scenario: &'a Scenario,
    /// The templates of each step of each funnel.
    steps: Vec<Vec<Vec<usize>>>,
    sessions: Vec<Session>,
    /// By phase, all funnels together.
    pub(crate) survival: Vec<Survival>,
    random: SmallRng,
}

impl<'a> Crowd<'a> {
    /// A crowd of nobody yet.
    pub(crate) fn new(scenario: &'a Scenario, seed: u64) -> Crowd<'a> {
        let of_class = |class: &str| {
            let all = scenario.mix.iter().enumerate();
            all.filter(|(_, template)| template.class == class).map(|(index, _)| index).collect()
        };
        let steps = scenario.funnels.iter().map(|funnel| {
            funnel.steps.iter().map(|class| of_class(&class.value)).collect::<Vec<Vec<usize>>>()
        });
        Crowd {
            scenario,
            steps: steps.collect(),
            sessions: Vec::new(),
            survival: vec![Survival::default(); scenario.phases.len()],
            random: SmallRng::seed_from_u64(seed),
        }
    }

    /// When the next session of a funnel begins in `phase`.
    pub(crate) fn next_begin(&mut self, funnel: usize, phase: usize) -> (Duration, Move) {
        let rate = self.scenario.begin_rate(&self.scenario.funnels[funnel], &self.scenario.phases[phase]);
        (Duration::from_secs_f64(self.exponential() / rate), Move::Begin { funnel, phase })
    }

    /// A session begins with its first wish.
    pub(crate) fn begin(&mut self, funnel: usize, phase: usize) -> Wish {
        self.survival[phase].begun += 1;
        self.sessions.push(Session { funnel, step: 0, phase });
        self.wish(self.sessions.len() - 1)
    }

    fn wish(&mut self, index: usize) -> Wish {
        let Session { funnel, step, .. } = self.sessions[index];
        let templates = &self.steps[funnel][step];
        let template = templates[self.random.random_range(0..templates.len())];
        let pattern = self.random.random_range(0..self.scenario.mix[template].paths.len());
        Wish { template, pattern, shopper: ShopperId::of_session(index), session: Some(index), attempt: 0 }
    }

    /// A client has heard what became of its wish: what it does next, and after which pause.
    pub(crate) fn hear(&mut self, wish: Wish, verdict: Verdict) -> Option<(Duration, Move)> {
        if matches!(verdict, Verdict::Good | Verdict::Late) {
            return self.go_on(wish.session?);
        }
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
        let Session { step, phase, .. } = self.sessions[index];
        self.survival[phase].lost += u64::from(step > 0);
    }

    fn go_on(&mut self, index: usize) -> Option<(Duration, Move)> {
        let Session { funnel, step, phase } = &mut self.sessions[index];
        let survival = &mut self.survival[*phase];
        survival.admitted += u64::from(*step == 0);
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
