//! The shop behind the proxies: endpoints with workers, and what their workers call.
//!
//! Each endpoint is a line, first come, first served, before a number of workers;
//! requests go round the endpoints in turn. A worker whose request needs a
//! dependency keeps it occupied until the dependency has answered: that is how a
//! slow payment provider fills a shop. Each request in line makes services that
//! begin a little slower, and work ends when its client has left. Who is in line
//! and leaves is passed over when its turn comes.
//!
//! It has no limits of its own: everybody may wait. That is the point.

use super::live::{Position, Requests};
use super::world::Step;
use crate::scenario::Scenario;
use crate::scenario::origin::Service;
use crate::scenario::phase::Phase;
use plimsoll_core::agenda::Agenda;
use plimsoll_core::decision::RequestId;
use plimsoll_core::time::Time;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;

/// Those who serve together: one endpoint's workers, or one dependency's slots.
#[derive(Debug)]
struct Station {
    servers: usize,
    /// Its number of servers when nothing has happened to it.
    servers_nominal: usize,
    busy: usize,
    line: VecDeque<RequestId>,
    /// Those in line whose clients are still there.
    waiting: usize,
    service: Service,
    /// By how much service takes longer now.
    slow: f64,
    /// The share of its answers that are errors now.
    failing: f64,
}

impl Station {
    fn new(servers: usize, service: Service) -> Station {
        Station {
            servers,
            servers_nominal: servers,
            busy: 0,
            line: VecDeque::new(),
            waiting: 0,
            service,
            slow: 1.0,
            failing: 0.0,
        }
    }
}

/// The shop, as the scenario describes it.
#[derive(Debug)]
pub(crate) struct Shop {
    /// The endpoints, then the dependencies.
    stations: Vec<Station>,
    endpoints: usize,
    dependencies: Vec<String>,
    /// The station each template of the mix needs besides an endpoint.
    needs: Vec<Option<usize>>,
    thrash: f64,
    /// The endpoint whose turn it is.
    turn: usize,
    rng: SmallRng,
}

/// What a step of service led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// There is more to do.
    OnTheWay,
    /// The answer is there.
    Done,
    /// The answer is a 500.
    Failed,
}

/// What every step of the shop may touch.
pub(crate) struct Scene<'a> {
    pub(crate) requests: &'a mut Requests,
    pub(crate) agenda: &'a mut Agenda<Step>,
    pub(crate) now: Time,
}

impl Shop {
    /// The shop of `scenario`, before anything happened to it.
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Shop {
        let origin = &scenario.origin;
        let shares = origin.shares();
        let endpoints = shares.len();
        let mut stations: Vec<Station> =
            shares.into_iter().map(|workers| Station::new(workers, origin.service)).collect();
        let mut dependencies = Vec::new();
        for (name, dependency) in origin.dependencies.iter() {
            stations.push(Station::new(dependency.slots, dependency.service));
            dependencies.push(name.to_owned());
        }
        let station_of = |name: &str| Some(endpoints + dependencies.iter().position(|other| other == name)?);
        let needs = scenario.mix.iter().map(|template| station_of(template.needs.as_ref()?)).collect();
        let rng = SmallRng::seed_from_u64(seed);
        Shop { stations, endpoints, dependencies, needs, thrash: origin.thrash, turn: 0, rng }
    }

    /// A phase begins, and with it what it does to the shop.
    pub(crate) fn enter_phase(&mut self, phase: &Phase, scene: &mut Scene<'_>) {
        for station in 0..self.stations.len() {
            let slow = self.factor(station, |place| phase.slow.get(place).map(|times| times.0));
            let failing = self.factor(station, |place| phase.failing.get(place).map(|share| share.0));
            let is_endpoint = station < self.endpoints;
            let changed = &mut self.stations[station];
            (changed.slow, changed.failing) = (slow.unwrap_or(1.0), failing.unwrap_or(0.0));
            if is_endpoint {
                let servers = changed.servers_nominal as f64 * phase.workers.0;
                changed.servers = (servers.round() as usize).max(1);
            }
            self.start(station, scene);
        }
    }

    /// What a phase says of a station, under its own name or that of all endpoints.
    fn factor(&self, station: usize, named: impl Fn(&str) -> Option<f64>) -> Option<f64> {
        match self.dependencies.get(station.wrapping_sub(self.endpoints)) {
            Some(name) => named(name),
            None => named(&format!("endpoint {}", station + 1)).or_else(|| named("origin")),
        }
    }

    /// A request comes in.
    pub(crate) fn accept(&mut self, id: RequestId, scene: &mut Scene<'_>) {
        let endpoint = self.turn;
        self.turn = (self.turn + 1) % self.endpoints;
        if let Some(live) = scene.requests.find(id) {
            live.endpoint = Some(endpoint);
            self.join(endpoint, id, scene);
        }
    }

    /// The service a request was in is over.
    pub(crate) fn served(&mut self, id: RequestId, scene: &mut Scene<'_>) -> Served {
        let Some(live) = scene.requests.find(id) else { return Served::OnTheWay };
        let Position::Service(station) = live.position else { return Served::OnTheWay };
        live.position = Position::Proxy;
        let need = self.needs[live.wish.template].filter(|_| station < self.endpoints);
        let failed =
            self.stations[station].failing > 0.0 && self.rng.random_bool(self.stations[station].failing);
        if let Some(dependency) = need.filter(|_| !failed) {
            // Its worker stays with it.
            self.join(dependency, id, scene);
            return Served::OnTheWay;
        }
        self.free(station, scene);
        if station >= self.endpoints {
            self.free_worker(id, scene);
        }
        if failed { Served::Failed } else { Served::Done }
    }

    /// The client of a request has left.
    pub(crate) fn abandon(&mut self, id: RequestId, scene: &mut Scene<'_>) {
        let Some(live) = scene.requests.find(id) else { return };
        let position = std::mem::replace(&mut live.position, Position::Proxy);
        let at = match position {
            Position::Proxy => return,
            Position::Line(station) => {
                self.stations[station].waiting -= 1;
                station
            }
            Position::Service(station) => {
                self.free(station, scene);
                station
            }
        };
        if at >= self.endpoints {
            self.free_worker(id, scene);
        }
    }

    fn free_worker(&mut self, id: RequestId, scene: &mut Scene<'_>) {
        if let Some(endpoint) = scene.requests.find(id).and_then(|live| live.endpoint) {
            self.free(endpoint, scene);
        }
    }

    fn free(&mut self, station: usize, scene: &mut Scene<'_>) {
        self.stations[station].busy -= 1;
        self.start(station, scene);
    }

    fn join(&mut self, station: usize, id: RequestId, scene: &mut Scene<'_>) {
        if let Some(live) = scene.requests.find(id) {
            live.position = Position::Line(station);
            self.stations[station].line.push_back(id);
            self.stations[station].waiting += 1;
            self.start(station, scene);
        }
    }

    /// Gives idle servers the next in line.
    fn start(&mut self, at: usize, scene: &mut Scene<'_>) {
        let is_endpoint = at < self.endpoints;
        while self.stations[at].busy < self.stations[at].servers {
            let Some(id) = self.stations[at].line.pop_front() else { return };
            let Some(live) = scene.requests.find(id) else { continue };
            if live.position != Position::Line(at) {
                continue;
            }
            live.position = Position::Service(at);
            let station = &mut self.stations[at];
            station.waiting -= 1;
            station.busy += 1;
            let factor =
                if is_endpoint { live.work } else { station.service.distribution().draw(&mut self.rng) };
            let thrash = 1.0 + self.thrash * station.waiting as f64;
            let time = station.service.mean.mul_f64(factor * station.slow * thrash);
            scene.agenda.plan(scene.now.after(time), Step::Served(id));
        }
    }
}
