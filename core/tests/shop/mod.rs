//! A shop in virtual time: open-loop clients, one controller, an origin.
//!
//! The set-up of the measurements the project compares itself with: Poisson arrivals whatever
//! happens, clients that leave after two seconds, latency from the intended send time. Seeded, so
//! that a run is the same each time.

pub(crate) mod demand;
pub(crate) mod origin;
mod policy;
pub(crate) mod tally;

use crate::random::Random;
use demand::{Ask, Phase, draw, exponential};
use origin::Origin;
use plimsoll_core::agenda::Agenda;
use plimsoll_core::controller::{Arrival, Controller, Event, Outcome};
use plimsoll_core::decision::{Decision, RequestId};
use plimsoll_core::policy::ClassId;
use plimsoll_core::standing::{Tenure, Value};
use plimsoll_core::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tally::Tally;

/// How long clients wait for an answer.
const CLIENT_PATIENCE: Duration = Duration::from_secs(2);
/// Useful work counts from here: the transient before belongs to other measures.
const WARM_UP: Duration = Duration::from_secs(2);
/// From here on a phase should be steady.
const SETTLED: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
enum Step {
    Served(u64),
    GiveUp(u64),
    Wake,
}

/// One request on its way.
#[derive(Clone, Copy, Debug)]
struct Live {
    request: RequestId,
    ask: Ask,
    phase: usize,
    intended: Time,
    sent: Time,
}

/// The simulation.
pub(crate) struct Shop {
    pub(crate) origin: Origin,
    controller: Controller,
    random: Random,
    now: Time,
    agenda: Agenda<Step>,
    /// By serial number.
    live: BTreeMap<u64, Live>,
    serial_of: Vec<u64>,
    free_slots: Vec<u32>,
    serials: u64,
    phase: usize,
    phase_began: Time,
    tallies: Vec<Tally>,
}

impl Shop {
    pub(crate) fn new(workers: usize, seed: u64) -> Shop {
        Shop {
            origin: Origin::new(workers),
            controller: Controller::new(Arc::new(policy::storefront())),
            random: Random(seed),
            now: Time::ZERO,
            agenda: Agenda::default(),
            live: BTreeMap::new(),
            serial_of: Vec::new(),
            free_slots: Vec::new(),
            serials: 0,
            phase: 0,
            phase_began: Time::ZERO,
            tallies: Vec::new(),
        }
    }

    /// Runs the phases one after the other and tallies each.
    pub(crate) fn run(mut self, phases: &[Phase]) -> Vec<Tally> {
        self.tallies = vec![Tally::default(); phases.len()];
        for (index, phase) in phases.iter().enumerate() {
            self.phase = index;
            self.run_phase(phase);
        }
        self.tallies
    }

    fn run_phase(&mut self, phase: &Phase) {
        self.origin.mean = phase.service;
        self.origin.payment.mean = phase.payment;
        self.origin.workers = phase.workers.unwrap_or(self.origin.workers);
        self.phase_began = self.now;
        let gap = Duration::from_secs_f64(1.0 / (self.origin.capacity() * phase.load));
        let end = self.now.after(phase.length);
        let mut arrival = self.now.after(exponential(gap, &mut self.random));
        while arrival < end {
            self.carry_on_until(arrival);
            self.arrive(phase);
            arrival = arrival.after(exponential(gap, &mut self.random));
        }
        self.carry_on_until(end);
        let tally = &mut self.tallies[self.phase];
        tally.capacity = (phase.length - WARM_UP).as_secs_f64() * self.origin.capacity();
        tally.limit = self.controller.snapshot(self.now).limit;
    }

    fn carry_on_until(&mut self, until: Time) {
        while let Some((when, step)) = self.agenda.pop_before(until) {
            self.now = when;
            match step {
                Step::Served(serial) => self.serve(serial),
                Step::GiveUp(serial) => self.give_up(serial),
                Step::Wake => self.tell(Event::Woken),
            }
        }
        self.now = until;
    }

    // Clients.

    fn arrive(&mut self, phase: &Phase) {
        let ask = draw(&phase.mix, &mut self.random);
        self.serials += 1;
        let serial = self.serials;
        let request = RequestId { slot: self.slot_for(serial), epoch: serial as u32 };
        let live = Live { request, ask, phase: self.phase, intended: self.now, sent: self.now };
        self.live.insert(serial, live);
        self.tallies[self.phase].offered[ask.class] += 1;
        self.agenda.plan(self.now.after(CLIENT_PATIENCE), Step::GiveUp(serial));
        let class = ClassId::new(ask.class).expect("there are five");
        let patience = self.controller.policy().class(class).patience;
        self.tell(Event::Arrived(Arrival {
            request,
            class,
            value: Value::new(0.5),
            tenure: Tenure::Fresh,
            usage_penalty: 0,
            // Evenly spread, as a hash would.
            lot: (serial * 151) as u8,
            is_idempotent: ask.class != demand::CHECKOUT,
            deadline: self.now.after(patience),
        }));
    }

    fn slot_for(&mut self, serial: u64) -> u32 {
        let slot = self.free_slots.pop().unwrap_or(self.serial_of.len() as u32);
        self.serial_of.resize(self.serial_of.len().max(slot as usize + 1), 0);
        self.serial_of[slot as usize] = serial;
        slot
    }

    fn give_up(&mut self, serial: u64) {
        let Some(live) = self.leave(serial) else { return };
        self.origin.remove(serial);
        self.tell(Event::Abandoned { request: live.request });
        self.start_service();
    }

    fn leave(&mut self, serial: u64) -> Option<Live> {
        let live = self.live.remove(&serial)?;
        self.free_slots.push(live.request.slot);
        Some(live)
    }

    // The proxy.

    /// Tells the controller and carries out its answers.
    fn tell(&mut self, event: Event) {
        let wakeup_before = self.controller.next_wakeup();
        self.controller.handle(event, self.now);
        while let Some(effect) = self.controller.poll_effect() {
            let serial = self.serial_of[effect.request.slot as usize];
            match effect.decision {
                Decision::Admit | Decision::AdmitObserved(_) => self.send(serial),
                Decision::Queue => {}
                Decision::Shed(_) => self.refuse(serial),
            }
        }
        let wakeup = self.controller.next_wakeup();
        if let Some(wakeup) = wakeup.filter(|_| wakeup != wakeup_before) {
            self.agenda.plan(wakeup, Step::Wake);
        }
    }

    fn send(&mut self, serial: u64) {
        let live = self.live.get_mut(&serial).expect("who is admitted has not left");
        live.sent = self.now;
        self.origin.accept(serial, live.ask.cost, live.ask.class == demand::CHECKOUT);
        self.start_service();
    }

    fn refuse(&mut self, serial: u64) {
        let live = self.leave(serial).expect("who is refused has not left");
        let is_settled = live.intended >= self.phase_began.after(SETTLED);
        let tally = &mut self.tallies[live.phase];
        tally.refused += 1;
        if is_settled {
            tally.refused_settled += 1;
            tally.refusal_waits.push(self.now.since(live.intended));
        }
    }

    // The origin.

    fn start_service(&mut self) {
        if let Some((serial, time)) = self.origin.start_next(&mut self.random, self.now) {
            self.agenda.plan(self.now.after(time), Step::Served(serial));
        }
    }

    fn serve(&mut self, serial: u64) {
        let Some(live) = self.leave(serial) else { return };
        self.origin.remove(serial);
        self.start_service();
        if self.now.since(live.intended) <= live.ask.slo {
            self.tallies[live.phase].good[live.ask.class] += 1;
            if self.now >= self.phase_began.after(WARM_UP) {
                self.tallies[self.phase].useful += live.ask.cost;
            }
        }
        let Live { request, sent, .. } = live;
        self.tell(Event::FirstByte { request, sent });
        self.tell(Event::Finished { request, outcome: Outcome::Success });
    }
}
