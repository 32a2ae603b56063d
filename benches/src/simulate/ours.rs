//! Plimsoll's door: the very controller that the proxy runs, under the very policy.
//!
//! It does what the proxy's shell does around it: the class is lifted by the stage
//! of the session, the deadline is the class's patience, and who is served is
//! remembered. It decides nothing itself.

use super::door::{Answer, Ask, Door, Gauge, News, Reasons};
use super::judge::Judge;
use super::memory::Memory;
use crate::arrivals::ShopperId;
use plimsoll::classify::session::Visit;
use plimsoll::clients::Usage;
use plimsoll_core::controller::{Arrival, Controller, Event, Outcome};
use plimsoll_core::decision::{Decision, Reason};
use plimsoll_core::policy::{ClassId, Policy};
use plimsoll_core::standing::{Tenure, Value};
use plimsoll_core::time::Time;
use std::sync::Arc;

/// A proxy that runs Plimsoll.
pub(crate) struct Plimsoll<'a> {
    judge: &'a Judge,
    controller: Controller,
    memory: Memory,
    usage: Usage,
    /// Requests so far.
    asked: usize,
    /// Who is at the door or inside, by slot: remembered once they are served.
    guests: Vec<Option<(ShopperId, Visit)>>,
    /// Refusals by class and reason.
    refusals: Vec<[u64; Reason::ALL.len()]>,
}

impl<'a> Plimsoll<'a> {
    /// A proxy that has seen nothing yet.
    pub(crate) fn new(judge: &'a Judge) -> Plimsoll<'a> {
        Plimsoll {
            judge,
            controller: Controller::new(Arc::clone(&judge.policy.core)),
            memory: Memory::default(),
            usage: Usage::default(),
            asked: 0,
            guests: Vec::new(),
            refusals: vec![[0; Reason::ALL.len()]; judge.policy.core.classes().len()],
        }
    }

    /// The one place that says what an arrival is to the controller.
    fn arrival(&mut self, ask: Ask, now: Time) -> Arrival {
        let policy = &self.judge.policy;
        let view = self.memory.view(ask.shopper, now);
        let class = self.judge.class(ask.template, ask.pattern, view.stage);
        let usage_penalty =
            if policy.clients.usage_penalty { self.usage.count(ask.shopper.0 as u64, now) } else { 0 };
        Arrival {
            request: ask.id,
            class,
            value: Value::new(policy.settings(class).value),
            tenure: if view.admitted { Tenure::Admitted } else { Tenure::Fresh },
            usage_penalty,
            lot: self.lot(ask.shopper, usage_penalty),
            is_idempotent: self.judge.is_idempotent(ask.template, ask.pattern),
            deadline: now.after(policy.core.class(class).patience),
        }
    }

    /// Evenly spread, as a hash would: over sessions, and over the requests of one that floods.
    fn lot(&mut self, shopper: ShopperId, usage_penalty: u8) -> u8 {
        self.asked = self.asked.wrapping_add(1);
        let drawn_by = if usage_penalty == 0 { shopper.0 } else { self.asked };
        drawn_by.wrapping_mul(151) as u8
    }

    fn greet(&mut self, ask: Ask) {
        let slot = ask.id.slot as usize;
        if self.guests.len() <= slot {
            self.guests.resize(slot + 1, None);
        }
        let own_class = self.judge.own_class(ask.template, ask.pattern);
        self.guests[slot] = Some((ask.shopper, self.judge.policy.settings(own_class).visit));
    }

    fn event(&mut self, news: News, now: Time) -> Event {
        match news {
            News::Arrived(ask) => {
                self.greet(ask);
                Event::Arrived(self.arrival(ask, now))
            }
            News::FirstByte { id, sent } => Event::FirstByte { request: id, sent },
            News::Finished { id, outcome } => {
                let guest = self.guests[id.slot as usize].take();
                if let Some((shopper, visit)) = guest.filter(|_| outcome == Outcome::Success) {
                    self.memory.record(shopper, visit, now);
                }
                Event::Finished { request: id, outcome }
            }
            News::Left(id) => Event::Abandoned { request: id },
            News::Reloaded => Event::PolicyChanged(Arc::new(Policy::clone(&self.judge.policy.core))),
            News::Woken => Event::Woken,
        }
    }
}

impl Door for Plimsoll<'_> {
    fn tell(&mut self, news: News, now: Time, answers: &mut Vec<Answer>) {
        let event = self.event(news, now);
        self.controller.handle(event, now);
        while let Some(effect) = self.controller.poll_effect() {
            match effect.decision {
                Decision::Admit | Decision::AdmitObserved(_) => answers.push(Answer::Admit(effect.request)),
                Decision::Shed(reason) => {
                    self.refusals[effect.evidence.class.index()][reason.index()] += 1;
                    if let Some((shopper, visit)) = self.guests[effect.request.slot as usize].take() {
                        self.memory.refuse(shopper, visit);
                    }
                    answers.push(Answer::Refuse(effect.request));
                }
                Decision::Queue => {}
            }
        }
    }

    fn class_of(&self, ask: &Ask, now: Time) -> ClassId {
        self.judge.class(ask.template, ask.pattern, self.memory.view(ask.shopper, now).stage)
    }

    fn next_wakeup(&mut self) -> Option<Time> {
        self.controller.next_wakeup()
    }

    fn reasons(&self) -> Reasons {
        let mut reasons = Reasons::new();
        for (class, counts) in self.judge.policy.core.classes().iter().zip(&self.refusals) {
            for (reason, number) in Reason::ALL.iter().zip(counts).filter(|(_, number)| **number > 0) {
                reasons.entry(class.name.clone()).or_default().insert(reason.name(), *number);
            }
        }
        reasons
    }

    fn gauge(&self, now: Time) -> Gauge {
        let snapshot = self.controller.snapshot(now);
        Gauge { limit: Some(f64::from(snapshot.limit)), inflight: snapshot.inflight }
    }
}
