//! The engine: clients, doors and the shop in virtual time.
//!
//! Time jumps from step to step; nothing waits for a clock. A message takes as
//! long as the scenario's wire, and where that is nothing, the next step follows
//! at once. Chance is drawn in streams: what clients want and how much work that
//! is, is the same for every contestant; what clients do next and what befalls
//! the shop depends on the answers they get.
//!
//! Clients leave when their patience ends, whatever the proxy does; what has been
//! sent to the shop is taken back one wire later.

use super::door::{Answer, Ask, Door, News};
use super::fairness::Portions;
use super::inversions::Inversions;
use super::judge::Judge;
use super::ledger::Ledger;
use super::live::{Live, Requests};
use super::proxies::Proxies;
use super::shop::{Scene, Served, Shop};
use crate::arrivals::{Arrival, Schedule};
use crate::begins::Begins;
use crate::crowd::{Crowd, Move, Wish};
use crate::scenario::Scenario;
use crate::service_time::Distribution;
use crate::tally::span::SETTLING;
use crate::tally::{Account, Outcome};
use http::StatusCode;
use plimsoll_core::agenda::Agenda;
use plimsoll_core::controller;
use plimsoll_core::decision::RequestId;
use plimsoll_core::time::Time;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

/// Keeps the streams of chance of one seed apart: the fractional digits of the golden ratio, as in SplitMix64.
const STREAM: u64 = 0x9e37_79b9_7f4a_7c15;

/// What happens at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The next arrival of the schedule.
    Arrive,
    /// A client with a memory acts. Boxed, for these are few and steps many.
    Move(Box<Move>),
    /// A request reaches its proxy.
    AtDoor(RequestId),
    /// A request reaches the shop.
    AtShop(RequestId),
    /// A service of it is over.
    Served(RequestId),
    /// The first byte of its answer reaches the proxy.
    Answered(RequestId, controller::Outcome),
    /// The last byte does.
    Downloaded(RequestId),
    /// The proxy learns that its client has left.
    Left(RequestId),
    /// The shop learns it.
    Dropped(RequestId),
    /// A phase begins.
    Phase(usize),
    /// A stretch of the course is over.
    Turn,
}

/// What a run is made of.
pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    judge: &'a Judge,
    now: Time,
    end: Time,
    phase: usize,
    agenda: Agenda<Step>,
    requests: Requests,
    proxies: Proxies<'a>,
    shop: Shop,
    schedule: Schedule<'a>,
    next: Option<Arrival>,
    crowd: Crowd<'a>,
    distribution: Distribution,
    work: SmallRng,
    misjudging: SmallRng,
    /// The class of each template, among those of the scenario.
    classes: Vec<usize>,
    ledger: Ledger,
    inversions: Inversions,
    portions: Portions,
    answers: Vec<Answer>,
}

impl<'a> World<'a> {
    /// A world in which nothing has happened yet, with these doors and their shares of the traffic.
    pub(crate) fn new(
        scenario: &'a Scenario,
        judge: &'a Judge,
        doors: Vec<(Box<dyn Door + 'a>, f64)>,
        seed: u64,
    ) -> World<'a> {
        let names = scenario.classes();
        let class = |name: &str| names.iter().position(|other| *other == name).unwrap_or_default();
        let length: Duration = scenario.phases.iter().map(|phase| phase.duration).sum();
        let stream = |number: u64| seed.wrapping_add(STREAM.wrapping_mul(number));
        let inversions = Inversions::new(&judge.policy.core, doors.len());
        World {
            scenario,
            judge,
            now: Time::ZERO,
            end: Time::ZERO.after(length),
            phase: 0,
            agenda: Agenda::default(),
            requests: Requests::default(),
            proxies: Proxies::new(doors, stream(1)),
            shop: Shop::new(scenario, stream(2)),
            schedule: Schedule::new(scenario, seed),
            next: None,
            crowd: Crowd::new(scenario, Begins::new(scenario, seed), stream(3)),
            distribution: scenario.origin.service.distribution(),
            work: SmallRng::seed_from_u64(stream(4)),
            misjudging: SmallRng::seed_from_u64(stream(5)),
            classes: scenario.mix.iter().map(|template| class(&template.class)).collect(),
            ledger: Ledger::new(scenario),
            inversions,
            portions: Portions::default(),
            answers: Vec::new(),
        }
    }

    /// Runs the scenario to its end, and on until every client has its answer or has left.
    pub(crate) fn run(mut self) -> Ledger {
        let mut start = Time::ZERO;
        for (index, phase) in self.scenario.phases.iter().enumerate() {
            self.agenda.plan(start, Step::Phase(index));
            start = start.after(phase.duration);
        }
        self.agenda.plan(self.now.after(self.ledger.course.step), Step::Turn);
        self.plan_arrival();
        while self.now < self.end || self.requests.len() > 0 {
            self.step();
        }
        let (phases, classes) = (self.scenario.phases.len(), self.scenario.classes().len());
        self.ledger.evenness = self.portions.evenness(phases, classes);
        self.ledger.survival = self.crowd.survival;
        self.ledger.reasons = self.proxies.reasons();
        self.ledger
    }

    fn step(&mut self) {
        let (proxy, wake_at) = self.proxies.next_wakeup();
        if self.agenda.next_at().is_none_or(|at| wake_at < at) {
            self.now = wake_at;
            return self.tell(proxy, News::Woken);
        }
        let Some((at, step)) = self.agenda.pop() else { return };
        self.now = at;
        self.act(step);
    }

    fn act(&mut self, step: Step) {
        match step {
            Step::Arrive => self.arrive(),
            Step::Move(next) => self.make_move(*next),
            Step::AtDoor(id) => self.ask(id),
            Step::AtShop(id) => self.in_shop(|shop, scene| shop.accept(id, scene)),
            Step::Served(id) => self.served(id),
            Step::Answered(id, outcome) => self.answered(id, outcome),
            Step::Downloaded(id) => self.finish(id, controller::Outcome::Success),
            Step::Left(id) => self.leave(id),
            Step::Dropped(id) => {
                self.in_shop(|shop, scene| shop.abandon(id, scene));
                self.requests.leave(id);
            }
            Step::Phase(index) => self.enter_phase(index),
            Step::Turn => self.turn(),
        }
    }

    /// Takes a step after a while, which may be now.
    fn after(&mut self, pause: Duration, step: Step) {
        if pause.is_zero() { self.act(step) } else { self.agenda.plan(self.now.after(pause), step) }
    }

    fn in_shop<T>(&mut self, act: impl FnOnce(&mut Shop, &mut Scene<'_>) -> T) -> T {
        let mut scene = Scene { requests: &mut self.requests, agenda: &mut self.agenda, now: self.now };
        act(&mut self.shop, &mut scene)
    }

    fn enter_phase(&mut self, index: usize) {
        let phase = &self.scenario.phases[index];
        self.phase = index;
        self.inversions.count_from(self.now.after(SETTLING));
        self.in_shop(|shop, scene| shop.enter_phase(phase, scene));
        self.proxies.jump(phase.clock_jump.unwrap_or_default());
        if phase.reload {
            (0..self.proxies.number()).for_each(|proxy| self.tell(proxy, News::Reloaded));
        }
        for funnel in 0..self.scenario.funnels.len() {
            self.plan_begin(funnel, index);
        }
    }

    // Clients.

    fn plan_arrival(&mut self) {
        self.next = self.schedule.next();
        if let Some(arrival) = &self.next {
            self.agenda.plan(Time::ZERO.after(arrival.at), Step::Arrive);
        }
    }

    fn arrive(&mut self) {
        let Some(arrival) = self.next.take() else { return };
        self.plan_arrival();
        self.send(Wish::of(&arrival), arrival.phase);
    }

    fn plan_begin(&mut self, funnel: usize, phase: usize) {
        let begin = self.crowd.next_begin(funnel, phase, self.now.since(Time::ZERO));
        begin.into_iter().for_each(|begin| self.plan_move(begin));
    }

    /// Nobody begins anything after the end.
    fn plan_move(&mut self, (pause, next): (Duration, Move)) {
        let at = self.now.after(pause);
        if at < self.end {
            self.agenda.plan(at, Step::Move(Box::new(next)));
        }
    }

    fn make_move(&mut self, next: Move) {
        match next {
            Move::Send(wish) => self.send(wish, self.phase),
            Move::Begin { funnel, phase } if phase == self.phase => {
                self.plan_begin(funnel, phase);
                let wish = self.crowd.begin(funnel, phase);
                self.send(wish, phase);
            }
            // A session of the last nanosecond, which rounding has put into the next phase.
            Move::Begin { .. } => {}
        }
    }

    fn send(&mut self, wish: Wish, phase: usize) {
        let template = &self.scenario.mix[wish.template];
        let account = Account {
            phase,
            class: self.classes[wish.template],
            cost: template.cost,
            slo: template.slo.unwrap_or(self.scenario.slo),
        };
        let work = template.cost * self.distribution.draw(&mut self.work);
        let door = self.proxies.choose();
        let id = self.requests.enter(Live::new(wish, account, work, door, self.now));
        self.ledger.offer(account);
        let wire = self.scenario.wire.client;
        self.agenda.plan_in_order(self.now.after(self.patience(wish) + wire), Step::Left(id));
        self.after(wire, Step::AtDoor(id));
    }

    fn patience(&self, wish: Wish) -> Duration {
        self.scenario.mix[wish.template].patience.unwrap_or(self.scenario.patience)
    }

    /// A client has what it will get, unless it has left before that reaches it.
    fn settle(&mut self, id: RequestId, outcome: Outcome) {
        let Some(live) = self.requests.find(id).filter(|live| !live.is_settled) else { return };
        live.is_settled = true;
        let (account, wish, intended) = (live.account, live.wish, live.intended);
        let patience = self.patience(wish);
        let latency = (self.now.since(intended) + self.scenario.wire.client).min(patience);
        let outcome = if latency == patience { Outcome::TimedOut } else { outcome };
        let verdict = self.ledger.settle(account, wish.template, outcome, latency, self.now);
        self.portions.settle(&account, wish.shopper, verdict);
        for next in self.crowd.hear(wish, verdict) {
            self.plan_move(next);
        }
    }

    fn leave(&mut self, id: RequestId) {
        // One that has its answer and is still downloading has no reason to leave.
        let Some(live) = self.requests.find(id).filter(|live| !live.is_settled) else { return };
        let (door, endpoint) = (live.door, live.endpoint);
        self.go_out(id);
        self.settle(id, Outcome::TimedOut);
        self.tell(door, News::Left(id));
        match endpoint {
            Some(_) => self.after(self.scenario.wire.origin, Step::Dropped(id)),
            None => self.requests.leave(id),
        }
    }

    // Proxies.

    fn ask(&mut self, id: RequestId) {
        let Some(live) = self.requests.find(id) else { return };
        let (door, Wish { template, pattern, shopper, .. }) = (live.door, live.wish);
        let (template, pattern) = self.misjudge(template).unwrap_or((template, pattern));
        let class = self.judge.own_class(template, pattern);
        let ask = Ask { id, template, pattern, class, shopper };
        let class = self.proxies.class_of(door, &ask, self.now);
        if let Some(live) = self.requests.find(id) {
            live.class = Some(class);
        }
        self.tell(door, News::Arrived(ask));
    }

    /// What a proxy takes a request for, if it errs.
    fn misjudge(&mut self, template: usize) -> Option<(usize, usize)> {
        let share = self.scenario.phases[self.phase].misjudged;
        let others = self.scenario.mix.len() - 1;
        if share == 0.0 || others == 0 || !self.misjudging.random_bool(share) {
            return None;
        }
        let other = self.misjudging.random_range(0..others);
        Some((if other < template { other } else { other + 1 }, 0))
    }

    /// Tells a proxy what happened and does as it answers.
    fn tell(&mut self, proxy: usize, news: News) {
        self.ledger.inversions[self.phase] += self.inversions.take_over(self.now);
        let mut answers = std::mem::take(&mut self.answers);
        self.proxies.tell(proxy, news, self.now, &mut answers);
        for answer in answers.drain(..) {
            match answer {
                Answer::Admit(id) => self.admit(id),
                Answer::Refuse(id) => self.refuse(id),
            }
        }
        self.answers = answers;
    }

    fn refuse(&mut self, id: RequestId) {
        if let Some(class) = self.requests.find(id).and_then(|live| live.class) {
            self.inversions.refuse(class, self.now);
        }
        self.settle(id, Outcome::Answered(StatusCode::SERVICE_UNAVAILABLE));
        self.requests.leave(id);
    }

    fn admit(&mut self, id: RequestId) {
        let Some(live) = self.requests.find(id) else { return };
        live.is_inside = true;
        if let Some(class) = live.class {
            let limit = self.proxies.limit(live.door, self.now);
            self.inversions.admit(live.door, class, limit, self.now);
        }
        let upload = self.scenario.mix[live.wish.template].upload.unwrap_or_default();
        live.sent = self.proxies.clock(self.now).after(upload);
        self.after(upload + self.scenario.wire.origin, Step::AtShop(id));
    }

    // The shop.

    fn served(&mut self, id: RequestId) {
        let outcome = match self.in_shop(|shop, scene| shop.served(id, scene)) {
            Served::OnTheWay => return,
            Served::Done => controller::Outcome::Success,
            Served::Failed => controller::Outcome::Failed,
        };
        self.after(self.scenario.wire.origin, Step::Answered(id, outcome));
    }

    fn answered(&mut self, id: RequestId, outcome: controller::Outcome) {
        let Some(live) = self.requests.find(id) else { return };
        let (door, sent, is_settled, template) = (live.door, live.sent, live.is_settled, live.wish.template);
        if is_settled {
            // Its client has left, the proxy knows, and the shop is about to hear of it.
            return self.requests.leave(id);
        }
        let status = match outcome {
            controller::Outcome::Success => StatusCode::OK,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        self.settle(id, Outcome::Answered(status));
        self.tell(door, News::FirstByte { id, sent });
        match self.scenario.mix[template].download {
            Some(download) if outcome == controller::Outcome::Success => {
                self.agenda.plan(self.now.after(download), Step::Downloaded(id));
            }
            _ => self.finish(id, outcome),
        }
    }

    fn finish(&mut self, id: RequestId, outcome: controller::Outcome) {
        let Some(door) = self.requests.find(id).map(|live| live.door) else { return };
        self.go_out(id);
        self.requests.leave(id);
        self.tell(door, News::Finished { id, outcome });
    }

    /// A request gives back its permit, if it has one.
    fn go_out(&mut self, id: RequestId) {
        let Some(live) = self.requests.find(id) else { return };
        if let Some(class) = live.class.filter(|_| std::mem::take(&mut live.is_inside)) {
            self.inversions.leave(live.door, class);
        }
    }

    // The course.

    fn turn(&mut self) {
        let gauge = self.proxies.gauge(self.now);
        self.ledger.turn(gauge);
        if self.now < self.end {
            self.agenda.plan(self.now.after(self.ledger.course.step), Step::Turn);
        }
    }
}
