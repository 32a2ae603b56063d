//! The engine: clients, doors and the shop in virtual time.
//!
//! Time jumps from step to step; nothing waits for a clock. A message takes as
//! long as the scenario's wire, and where that is nothing, the next step follows
//! at once. Chance is drawn in two streams: one for what clients want and how
//! much work that is, which every contestant meets alike, and the shop's own.
//!
//! Clients leave when their patience ends, whatever the proxy does; what has been
//! sent to the shop is taken back one wire later.

use super::agenda::Agenda;
use super::door::{Answer, Ask, Door, Gauge, News};
use super::judge::Judge;
use super::ledger::Ledger;
use super::live::{Live, Requests};
use super::shop::{Scene, Served, Shop};
use crate::arrivals::{Arrival, Schedule};
use crate::scenario::Scenario;
use crate::service_time::Distribution;
use crate::tally::{Account, Outcome};
use http::StatusCode;
use plimsoll_core::controller;
use plimsoll_core::decision::RequestId;
use plimsoll_core::time::Time;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::time::Duration;

/// Keeps the streams of chance of one seed apart: the fractional digits of the golden ratio, as in SplitMix64.
const STREAM: u64 = 0x9e37_79b9_7f4a_7c15;

/// The shortest time there is.
const MOMENT: Duration = Duration::from_nanos(1);

/// What happens at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The next arrival of the schedule.
    Arrive,
    /// A request reaches its proxy.
    AtDoor(RequestId),
    /// A request reaches the shop.
    AtShop(RequestId),
    /// A service of it is over.
    Served(RequestId),
    /// Its answer reaches the proxy.
    Answered(RequestId, controller::Outcome),
    /// The proxy learns that its client has left.
    Left(RequestId),
    /// The shop learns it.
    Dropped(RequestId),
    /// A phase begins.
    Phase(usize),
    /// A stretch of the course is over.
    Turn,
}

/// A proxy, and when it wants to be woken.
struct Proxy<'a> {
    door: Box<dyn Door + 'a>,
    wake_at: Time,
}

/// What a run is made of.
pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    judge: &'a Judge,
    now: Time,
    end: Time,
    agenda: Agenda<Step>,
    requests: Requests,
    proxies: Vec<Proxy<'a>>,
    shop: Shop,
    schedule: Schedule<'a>,
    next: Option<Arrival>,
    distribution: Distribution,
    work: SmallRng,
    /// The class of each template, among those of the scenario.
    classes: Vec<usize>,
    ledger: Ledger,
    answers: Vec<Answer>,
}

impl<'a> World<'a> {
    /// A world in which nothing has happened yet.
    pub(crate) fn new(
        scenario: &'a Scenario,
        judge: &'a Judge,
        doors: Vec<Box<dyn Door + 'a>>,
        seed: u64,
    ) -> World<'a> {
        let names = scenario.classes();
        let class = |name: &str| names.iter().position(|other| *other == name).unwrap_or_default();
        let length: Duration = scenario.phases.iter().map(|phase| phase.duration).sum();
        World {
            scenario,
            judge,
            now: Time::ZERO,
            end: Time::ZERO.after(length),
            agenda: Agenda::default(),
            requests: Requests::default(),
            proxies: doors.into_iter().map(|door| Proxy { door, wake_at: Time::NEVER }).collect(),
            shop: Shop::new(scenario, seed ^ STREAM),
            schedule: Schedule::new(scenario, seed),
            next: None,
            distribution: scenario.origin.service.distribution(),
            work: SmallRng::seed_from_u64(seed.wrapping_add(STREAM)),
            classes: scenario.mix.iter().map(|template| class(&template.class)).collect(),
            ledger: Ledger::new(scenario),
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
        self.ledger
    }

    fn step(&mut self) {
        let due = self.proxies.iter().enumerate().min_by_key(|(_, proxy)| proxy.wake_at);
        let (proxy, wake_at) = due.map_or((0, Time::NEVER), |(index, proxy)| (index, proxy.wake_at));
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
            Step::AtDoor(id) => self.ask(id),
            Step::AtShop(id) => self.in_shop(|shop, scene| shop.accept(id, scene)),
            Step::Served(id) => self.served(id),
            Step::Answered(id, outcome) => self.answered(id, outcome),
            Step::Left(id) => self.leave(id),
            Step::Dropped(id) => {
                self.in_shop(|shop, scene| shop.abandon(id, scene));
                self.requests.leave(id);
            }
            Step::Phase(index) => {
                let phase = &self.scenario.phases[index];
                self.in_shop(|shop, scene| shop.enter_phase(phase, scene));
            }
            Step::Turn => self.turn(),
        }
    }

    /// Takes a step `wire` later, which may be now.
    fn after(&mut self, wire: Duration, step: Step) {
        if wire.is_zero() { self.act(step) } else { self.agenda.plan(self.now.after(wire), step) }
    }

    fn in_shop<T>(&mut self, act: impl FnOnce(&mut Shop, &mut Scene<'_>) -> T) -> T {
        let mut scene = Scene { requests: &mut self.requests, agenda: &mut self.agenda, now: self.now };
        act(&mut self.shop, &mut scene)
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
        let template = &self.scenario.mix[arrival.template];
        let account = Account {
            phase: arrival.phase,
            class: self.classes[arrival.template],
            cost: template.cost,
            slo: template.slo.unwrap_or(self.scenario.slo),
        };
        let work = template.cost * self.distribution.draw(&mut self.work);
        let id = self.requests.enter(Live::new(&arrival, account, work));
        self.ledger.offer(account);
        let wire = self.scenario.wire.client;
        self.agenda.plan_in_order(self.now.after(self.scenario.patience + wire), Step::Left(id));
        self.after(wire, Step::AtDoor(id));
    }

    /// A client has what it will get, unless it has left before that reaches it.
    fn settle(&mut self, id: RequestId, outcome: Outcome) {
        let Some(live) = self.requests.find(id) else { return };
        if live.is_settled {
            return;
        }
        live.is_settled = true;
        let latency = (self.now.since(live.intended) + self.scenario.wire.client).min(self.scenario.patience);
        let is_too_late = latency == self.scenario.patience;
        let outcome = if is_too_late { Outcome::TimedOut } else { outcome };
        let (account, template) = (live.account, live.template);
        self.ledger.settle(account, template, outcome, latency, self.now);
    }

    fn leave(&mut self, id: RequestId) {
        let Some(live) = self.requests.find(id) else { return };
        let (door, endpoint) = (live.door, live.endpoint);
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
        let ask = Ask {
            id,
            template: live.template,
            pattern: live.pattern,
            class: self.judge.own_class(live.template, live.pattern),
            shopper: live.shopper,
        };
        let door = live.door;
        self.tell(door, News::Arrived(ask));
    }

    /// Tells a proxy what happened and does as it answers.
    fn tell(&mut self, proxy: usize, news: News) {
        let mut answers = std::mem::take(&mut self.answers);
        let Proxy { door, wake_at } = &mut self.proxies[proxy];
        door.tell(news, self.now, &mut answers);
        // Strictly later, or one that asks for a moment that has come would be woken for ever.
        *wake_at = door.next_wakeup().map_or(Time::NEVER, |at| at.max(self.now.after(MOMENT)));
        for answer in answers.drain(..) {
            match answer {
                Answer::Admit(id) => self.admit(id),
                Answer::Refuse(id) => {
                    self.settle(id, Outcome::Answered(StatusCode::SERVICE_UNAVAILABLE));
                    self.requests.leave(id);
                }
            }
        }
        self.answers = answers;
    }

    fn admit(&mut self, id: RequestId) {
        let Some(live) = self.requests.find(id) else { return };
        live.sent = self.now;
        self.after(self.scenario.wire.origin, Step::AtShop(id));
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
        let (door, sent, is_settled) = (live.door, live.sent, live.is_settled);
        if is_settled {
            // Its client has left, the proxy knows, and the shop is about to hear of it.
            return self.requests.leave(id);
        }
        let status = match outcome {
            controller::Outcome::Success => StatusCode::OK,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        self.settle(id, Outcome::Answered(status));
        self.requests.leave(id);
        self.tell(door, News::FirstByte { id, sent });
        self.tell(door, News::Finished { id, outcome });
    }

    // The course.

    fn turn(&mut self) {
        let mut sum = Gauge::default();
        for Proxy { door, .. } in &self.proxies {
            let gauge = door.gauge(self.now);
            sum.inflight += gauge.inflight;
            sum.limit = sum.limit.map_or(gauge.limit, |limit| Some(limit + gauge.limit.unwrap_or_default()));
        }
        self.ledger.turn(sum);
        if self.now < self.end {
            self.agenda.plan(self.now.after(self.ledger.course.step), Step::Turn);
        }
    }
}
