//! A shop in virtual time: the control document's origin and open-loop clients around one controller.
//!
//! Workers with a FIFO queue, work cancelled when its client leaves, service times uniform around a
//! mean times the class's cost, and a little thrash per queued request. Seeded; no clock.

use plimsoll_core::admission::{Tenure, Value};
use plimsoll_core::controller::{Arrival, Controller, Event, Outcome};
use plimsoll_core::decision::{Decision, RequestId};
use plimsoll_core::policy::{BreakerPolicy, Class, ClassId, Mode, Policy, QueueOrder, QueuePolicy, Share};
use plimsoll_core::time::Time;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// SplitMix64 (Steele, Lea & Flood 2014): enough randomness for a shop.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }
}

/// What clients ask for: share of the arrivals, cost, SLO.
#[derive(Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) class: usize,
    pub(crate) weight: f64,
    pub(crate) cost: f64,
    pub(crate) slo_s: f64,
}

/// The mix of the control document: checkout, cart, browse, search, analytics.
pub(crate) const MIX: [Ask; 5] = [
    Ask { class: 0, weight: 0.05, cost: 1.5, slo_s: 1.0 },
    Ask { class: 1, weight: 0.10, cost: 1.0, slo_s: 1.0 },
    Ask { class: 2, weight: 0.45, cost: 1.0, slo_s: 1.0 },
    Ask { class: 3, weight: 0.15, cost: 1.5, slo_s: 1.0 },
    Ask { class: 4, weight: 0.25, cost: 0.5, slo_s: 2.0 },
];

pub(crate) const RUSH: [Ask; 5] = [
    Ask { weight: 0.60, ..MIX[0] },
    Ask { weight: 0.10, ..MIX[1] },
    Ask { weight: 0.15, ..MIX[2] },
    Ask { weight: 0.05, ..MIX[3] },
    Ask { weight: 0.10, ..MIX[4] },
];

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Service {
    Uniform,
    Exponential,
}

pub(crate) struct Phase {
    pub(crate) seconds: f64,
    pub(crate) load: f64,
    pub(crate) mix: [Ask; 5],
    /// Service time of a cost of one.
    pub(crate) service_s: f64,
}

/// What became of the requests of one phase.
#[derive(Clone, Default, Debug)]
pub(crate) struct Tally {
    pub(crate) offered: [u64; 5],
    pub(crate) good: [u64; 5],
    pub(crate) late: [u64; 5],
    pub(crate) refused: [u64; 5],
    pub(crate) refused_late: u64,
    /// Of those that arrived a second or more into the phase.
    pub(crate) refused_settled: u64,
    pub(crate) waits_ms: Vec<f64>,
    pub(crate) latencies_ms: [Vec<f64>; 5],
    pub(crate) work: f64,
    pub(crate) useful: f64,
    pub(crate) limit: u32,
}

impl Tally {
    pub(crate) fn refused_all(&self) -> u64 {
        self.refused.iter().sum()
    }

    pub(crate) fn good_ratio(&self, class: usize) -> f64 {
        self.good[class] as f64 / self.offered[class].max(1) as f64
    }
}

#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Step {
    Arrive(usize),
    Serve(u32, u64),
    GiveUp(u32, u64),
    Wake,
}

struct Entry(u64, u64, Step);

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

#[derive(Clone, Copy)]
struct Live {
    serial: u64,
    ask: Ask,
    phase: usize,
    intended: u64,
    epoch: u32,
    seat: Seat,
    sent: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Seat {
    Gone,
    Waiting,
    AtOrigin,
    Served,
}

pub(crate) struct Shop {
    pub(crate) workers: usize,
    pub(crate) service: Service,
    pub(crate) thrash: f64,
    pub(crate) controller: Controller,
    random: Random,
    heap: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    live: Vec<Live>,
    free: Vec<u32>,
    busy: usize,
    origin_queue: VecDeque<(u32, u64)>,
    now: u64,
    started: u64,
    service_s: f64,
}

pub(crate) fn policy() -> Policy {
    let class = |name: &str, rank: u8, floor: u32, wait_ms: u64, slo_ms: u64| Class {
        name: name.into(),
        rank,
        slo_latency: Duration::from_millis(slo_ms),
        patience: Duration::from_secs(2),
        floor: Share::from_percent(floor).unwrap(),
        ceiling: Share::ALL,
        queue: QueuePolicy {
            length_max: 512,
            wait_max: Duration::from_millis(wait_ms),
            order: QueueOrder::Fifo,
        },
        breaker: Some(BreakerPolicy {
            window: Duration::from_secs(10),
            failure_ratio: Share::from_percent(50).unwrap(),
            slow_call: Duration::from_secs(10),
            slow_ratio: Share::from_percent(80).unwrap(),
            requests_min: 20,
            open_for: Duration::from_secs(5),
            probes: 3,
        }),
    };
    let classes = vec![
        class("checkout", 0, 20, 1000, 800),
        class("cart", 1, 10, 1000, 800),
        class("browse", 2, 5, 900, 1000),
        class("search", 3, 0, 900, 1000),
        class("analytics", 4, 0, 1000, 2000),
    ];
    Policy::new(Mode::Enforce, classes).unwrap()
}

const SECOND: f64 = 1e9;

impl Shop {
    pub(crate) fn new(workers: usize, seed: u64) -> Shop {
        Shop {
            workers,
            service: Service::Uniform,
            thrash: 0.002,
            controller: Controller::new(Arc::new(policy())),
            random: Random(seed),
            heap: BinaryHeap::new(),
            sequence: 0,
            live: Vec::new(),
            free: Vec::new(),
            busy: 0,
            origin_queue: VecDeque::new(),
            now: 0,
            started: 0,
            service_s: 0.04,
        }
    }

    fn at(&mut self, when: u64, step: Step) {
        self.sequence += 1;
        self.heap.push(Reverse(Entry(when, self.sequence, step)));
    }

    /// Runs the phases one after the other and tallies each. Useful work counts from two seconds in.
    pub(crate) fn run(&mut self, phases: &[Phase]) -> Vec<Tally> {
        let mut tallies = vec![Tally::default(); phases.len()];
        for (index, phase) in phases.iter().enumerate() {
            self.run_phase(index, phase, &mut tallies);
            tallies[index].limit = self.controller.snapshot(Time::from_nanos(self.now)).limit;
        }
        tallies
    }

    fn run_phase(&mut self, index: usize, phase: &Phase, tallies: &mut [Tally]) {
        self.service_s = phase.service_s;
        // As in the control document, the load is in requests per unit of capacity, whatever they cost.
        let rate = self.workers as f64 / phase.service_s * phase.load;
        let start = self.now;
        self.started = start;
        let end = start + (phase.seconds * SECOND) as u64;
        let first = self.now + (self.random.exponential(1.0 / rate) * SECOND) as u64;
        self.at(first, Step::Arrive(index));
        self.at(end, Step::Wake);
        while let Some(Reverse(Entry(when, _, step))) = self.heap.pop() {
            self.now = when;
            match step {
                Step::Arrive(of) if of == index && when < end => {
                    self.arrive(index, phase, tallies);
                    let next = when + (self.random.exponential(1.0 / rate) * SECOND) as u64;
                    self.at(next, Step::Arrive(index));
                }
                Step::Arrive(_) => {}
                Step::Serve(slot, serial) => self.served(slot, serial, start, index, tallies),
                Step::GiveUp(slot, serial) => self.give_up(slot, serial, tallies),
                Step::Wake => self.tell(Event::Woken, tallies),
            }
            if when >= end {
                break;
            }
        }
        let span = phase.seconds - 2.0;
        tallies[index].useful = tallies[index].work / (span * self.workers as f64 / phase.service_s);
    }

    fn arrive(&mut self, index: usize, phase: &Phase, tallies: &mut [Tally]) {
        let ask = self.pick(&phase.mix);
        let slot = self.free.pop().unwrap_or(self.live.len() as u32);
        let serial = self.sequence;
        let epoch = self.live.get(slot as usize).map_or(0, |live| live.epoch + 1);
        let live =
            Live { serial, ask, phase: index, intended: self.now, epoch, seat: Seat::Waiting, sent: 0 };
        if slot as usize == self.live.len() {
            self.live.push(live);
        } else {
            self.live[slot as usize] = live;
        }
        tallies[index].offered[ask.class] += 1;
        self.at(self.now + (2.0 * SECOND) as u64, Step::GiveUp(slot, serial));
        let class = ClassId::new(ask.class).unwrap();
        let patience = self.controller.policy().class(class).patience;
        self.tell(
            Event::Arrived(Arrival {
                request: RequestId { slot, epoch },
                class,
                value: Value::new(0.5),
                tenure: Tenure::Fresh,
                usage_penalty: 0,
                deadline: Time::from_nanos(self.now).after(patience),
            }),
            tallies,
        );
    }

    fn pick(&mut self, mix: &[Ask; 5]) -> Ask {
        let mut left = self.random.unit() * mix.iter().map(|ask| ask.weight).sum::<f64>();
        for ask in mix {
            left -= ask.weight;
            if left < 0.0 {
                return *ask;
            }
        }
        mix[4]
    }

    /// Tells the controller and carries out its answers.
    fn tell(&mut self, event: Event, tallies: &mut [Tally]) {
        let now = Time::from_nanos(self.now);
        self.controller.handle(event, now);
        while let Some(effect) = self.controller.poll_effect() {
            let slot = effect.request.slot;
            let live = self.live[slot as usize];
            let waited_ms = (self.now - live.intended) as f64 / 1e6;
            let settled = live.intended >= self.started + SECOND as u64;
            let tally = &mut tallies[live.phase];
            match effect.decision {
                Decision::Admit | Decision::AdmitObserved(_) => {
                    self.live[slot as usize].seat = Seat::AtOrigin;
                    self.live[slot as usize].sent = self.now;
                    self.to_origin(slot, live.serial);
                }
                Decision::Queue => {}
                Decision::Shed(_) => {
                    tally.refused[live.ask.class] += 1;
                    tally.refused_settled += u64::from(settled);
                    tally.refused_late += u64::from(waited_ms > 5.0);
                    tally.waits_ms.push(waited_ms);
                    self.release(slot);
                }
            }
        }
        if let Some(wakeup) = self.controller.next_wakeup() {
            self.at(wakeup.as_nanos().max(self.now), Step::Wake);
        }
    }

    fn to_origin(&mut self, slot: u32, serial: u64) {
        if self.busy < self.workers {
            self.start_service(slot, serial);
        } else {
            self.origin_queue.push_back((slot, serial));
        }
    }

    fn start_service(&mut self, slot: u32, serial: u64) {
        self.busy += 1;
        let cost = self.live[slot as usize].ask.cost;
        let spread = match self.service {
            Service::Uniform => 0.5 + self.random.unit(),
            Service::Exponential => self.random.exponential(1.0),
        };
        let slower = 1.0 + self.thrash * self.origin_queue.len() as f64;
        let seconds = self.service_s * cost * spread * slower;
        self.at(self.now + (seconds * SECOND) as u64, Step::Serve(slot, serial));
    }

    fn next_service(&mut self) {
        self.busy -= 1;
        while let Some((slot, serial)) = self.origin_queue.pop_front() {
            let live = self.live[slot as usize];
            if live.serial == serial && live.seat == Seat::AtOrigin {
                return self.start_service(slot, serial);
            }
        }
    }

    fn served(&mut self, slot: u32, serial: u64, start: u64, index: usize, tallies: &mut [Tally]) {
        let live = self.live[slot as usize];
        self.next_service();
        if live.serial != serial || live.seat != Seat::AtOrigin {
            return;
        }
        self.live[slot as usize].seat = Seat::Served;
        let latency_s = (self.now - live.intended) as f64 / SECOND;
        let tally = &mut tallies[live.phase];
        if latency_s <= live.ask.slo_s {
            tally.good[live.ask.class] += 1;
            tally.latencies_ms[live.ask.class].push(latency_s * 1e3);
            if self.now >= start + (2.0 * SECOND) as u64 {
                tallies[index].work += live.ask.cost;
            }
        } else {
            tally.late[live.ask.class] += 1;
        }
        let request = RequestId { slot, epoch: live.epoch };
        let sent = Time::from_nanos(live.sent);
        self.tell(Event::FirstByte { request, sent }, tallies);
        self.tell(Event::Finished { request, outcome: Outcome::Success }, tallies);
        self.release(slot);
    }

    fn give_up(&mut self, slot: u32, serial: u64, tallies: &mut [Tally]) {
        let live = self.live[slot as usize];
        if live.serial != serial || live.seat == Seat::Gone || live.seat == Seat::Served {
            return;
        }
        tallies[live.phase].late[live.ask.class] += 1;
        // A worker busy with it keeps at it no longer: the origin cancels work whose client left.
        let request = RequestId { slot, epoch: live.epoch };
        self.tell(Event::Abandoned { request }, tallies);
        self.release(slot);
    }

    fn release(&mut self, slot: u32) {
        self.live[slot as usize].seat = Seat::Gone;
        self.live[slot as usize].serial = 0;
        self.free.push(slot);
    }
}
