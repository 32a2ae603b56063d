//! The requests of a journal under another policy: what would have become of them.
//!
//! Each asks when it asked, with what it asked; the core decides. The shop is what the journal knows of it: it
//! carries at each moment what it was taken to carry then, a request that was served takes what it took, and one
//! that was refused takes what others of its class took that were served just before. A shop that answers
//! faster when it is asked for other things is beyond that, and so are clients who come again when refused: the
//! same method under the policy of then tells how far it can be trusted.
//!
//! It judges no request: a journal has no paths. Whoever asks says which class each has.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use plimsoll_core::agenda::Agenda;
use plimsoll_core::controller::{Arrival, Capacity, Controller, Effect, Event};
use plimsoll_core::decision::{Decision, RequestId};
use plimsoll_core::policy::{ClassId, Policy};
use plimsoll_core::time::Time;

use super::recollection::{Asked, Era, Fate, Happening, Recollection, Service, Stretch};

/// Services of a class that a refused request is given one of: enough for their spread, few enough to be of
/// the same minute.
const DONORS_MAX: usize = 64;

/// What to ask under.
pub enum Under<'a> {
    /// The policies of then.
    Then,
    /// Another one, all the time, with the class that each request of the stretch has under it.
    Another(&'a Arc<Policy>, &'a [ClassId]),
}

/// What becomes of the requests of a stretch, in their order.
pub fn rerun(recollection: &Recollection, stretch: &Stretch, under: &Under<'_>) -> Vec<Fate> {
    let mut world = World::begin(recollection, stretch, under);
    for (at, happening) in &stretch.happenings {
        world.carry_on_until(*at);
        world.happen(happening);
    }
    world.fates
}

/// What happens to a request, by its place.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The first byte comes; the request had been sent then.
    FirstByte { place: usize, sent: Time },
    /// The answer ends.
    End(usize),
    /// Its client leaves, if it still waits.
    Leave(usize),
    /// A request of before, which has no end in the journal, gives its permit back.
    GiveUp(RequestId),
}

struct World<'r> {
    recollection: &'r Recollection,
    stretch: &'r Stretch,
    under: &'r Under<'r>,
    controller: Controller,
    capacity: Option<Capacity>,
    now: Time,
    agenda: Agenda<Step>,
    fates: Vec<Fate>,
    /// The name that each live request has here, by its place.
    names: HashMap<usize, RequestId>,
    /// Who has each slot, from `stretch.slots` on.
    holders: Vec<usize>,
    vacant: Vec<RequestId>,
    services: Vec<Service>,
    donors: HashMap<&'r str, Donors>,
    /// Requests of before the stretch whose end the journal has.
    ending: HashSet<RequestId>,
}

impl<'r> World<'r> {
    fn begin(recollection: &'r Recollection, stretch: &'r Stretch, under: &'r Under<'r>) -> World<'r> {
        let controller = Controller::from_image(&stretch.image).expect("a stretch begins with a state");
        let ending = stretch.happenings.iter().filter_map(|(_, happening)| match happening {
            Happening::Earlier(Event::Finished { request, .. } | Event::Abandoned { request }) => {
                Some(*request)
            }
            _ => None,
        });
        let mut world = World {
            recollection,
            stretch,
            under,
            controller,
            capacity: None,
            now: stretch.began,
            agenda: Agenda::default(),
            fates: vec![Fate::Open; stretch.asked.len()],
            names: HashMap::new(),
            holders: Vec::new(),
            vacant: Vec::new(),
            services: vec![Service::default(); stretch.asked.len()],
            donors: HashMap::new(),
            ending: ending.collect(),
        };
        world.seed_donors();
        if let Under::Another(policy, _) = under {
            world.tell(Event::PolicyChanged((*policy).clone()));
        }
        world
    }

    /// Until the first of a class has been served, the later ones are the best that is known.
    fn seed_donors(&mut self) {
        for asked in self.stretch.asked.iter() {
            if let Some(service) = asked.service {
                let class = self.recollection.class_name(asked);
                self.donors.entry(class).or_insert_with(|| Donors::of(service));
            }
        }
    }

    fn happen(&mut self, happening: &'r Happening) {
        match happening {
            Happening::Arrived(place) => self.arrive(*place),
            Happening::Earlier(event) => self.tell(event.clone()),
            Happening::Capacity(capacity) => self.capacity = Some(*capacity),
            Happening::Era(era) => {
                if matches!(self.under, Under::Then) {
                    self.tell(Event::PolicyChanged(self.era(*era).policy.clone()));
                }
            }
            Happening::Forced(class, forced) => {
                if let Some(class) = self.controller.policy().class_named(class) {
                    self.tell(Event::BreakerForced { class, forced: *forced });
                }
            }
        }
    }

    fn era(&self, era: usize) -> &'r Era {
        &self.recollection.eras[era]
    }

    fn arrive(&mut self, place: usize) {
        let asked = &self.stretch.asked[place];
        self.services[place] = self.service(asked);
        let request = self.vacant.pop().unwrap_or_else(|| {
            self.holders.push(place);
            RequestId { slot: self.stretch.slots + self.holders.len() as u32 - 1, epoch: 0 }
        });
        self.holders[(request.slot - self.stretch.slots) as usize] = place;
        self.names.insert(place, request);
        if let Some(left_after) = asked.left_after {
            self.agenda.plan(self.now.after(left_after), Step::Leave(place));
        }
        let arrival = self.arrival(place, request);
        self.tell(Event::Arrived(arrival));
    }

    /// As it asked, under the class it has here; a deadline that was its class's patience is the new one's.
    fn arrival(&self, place: usize, request: RequestId) -> Arrival {
        let asked = &self.stretch.asked[place];
        let Under::Another(policy, classes) = self.under else {
            return Arrival { request, ..asked.arrival };
        };
        let class = classes[place];
        let left = asked.arrival.deadline.since(self.now);
        let was = self.era(asked.era).policy.class(asked.arrival.class).patience;
        let deadline =
            if left == was { self.now.after(policy.class(class).patience) } else { asked.arrival.deadline };
        Arrival { request, class, deadline, ..asked.arrival }
    }

    /// How the shop would serve it.
    fn service(&mut self, asked: &Asked) -> Service {
        let class = self.recollection.class_name(asked);
        match (asked.service, self.donors.get_mut(class)) {
            (Some(service), Some(donors)) => {
                donors.add(service);
                service
            }
            (Some(service), None) => service,
            (None, Some(donors)) => donors.next(),
            // Nobody of its class was served: as long as it would have waited for an answer.
            (None, None) => {
                let ended = asked.arrival.deadline.since(self.now);
                Service { first_byte: None, ended, outcome: None }
            }
        }
    }

    fn carry_on_until(&mut self, until: Time) {
        // A wakeup that changes nothing is not asked for twice.
        let mut woken_at = None;
        loop {
            let planned = self.agenda.next_at().unwrap_or(Time::NEVER);
            let wakeup = self.controller.next_wakeup().filter(|at| Some(*at) != woken_at);
            let wakeup = wakeup.unwrap_or(Time::NEVER);
            if planned.min(wakeup) > until {
                break;
            }
            self.now = planned.min(wakeup).max(self.now);
            if wakeup < planned {
                woken_at = Some(wakeup);
                self.tell(Event::Woken);
            } else if let Some((_, step)) = self.agenda.pop() {
                self.take_step(step);
            }
        }
        self.now = self.now.max(until);
    }

    fn take_step(&mut self, step: Step) {
        match step {
            Step::FirstByte { place, sent } => {
                if let Some(request) = self.names.get(&place).copied() {
                    self.tell(Event::FirstByte { request, sent });
                }
            }
            Step::End(place) => {
                let Some(request) = self.vacate(place) else { return };
                self.tell(match self.services[place].outcome {
                    Some(outcome) => Event::Finished { request, outcome },
                    None => Event::Abandoned { request },
                });
            }
            Step::Leave(place) if self.fates[place] == Fate::Open => {
                let Some(request) = self.vacate(place) else { return };
                self.fates[place] = Fate::Left;
                self.tell(Event::Abandoned { request });
            }
            Step::Leave(_) => {}
            Step::GiveUp(request) => self.tell(Event::Abandoned { request }),
        }
    }

    fn tell(&mut self, event: Event) {
        if let Some(capacity) = self.capacity {
            self.controller.hold_capacity(capacity);
        }
        self.controller.handle(event, self.now);
        while let Some(effect) = self.controller.poll_effect() {
            self.carry_out(&effect);
        }
    }

    fn carry_out(&mut self, effect: &Effect) {
        let is_admitted = effect.decision.is_admitted();
        let Some(slot) = effect.request.slot.checked_sub(self.stretch.slots) else {
            if is_admitted && !self.ending.contains(&effect.request) {
                self.agenda.plan(self.now, Step::GiveUp(effect.request));
            }
            return;
        };
        let place = self.holders[slot as usize];
        if is_admitted {
            self.fates[place] = Fate::Served;
            let Service { first_byte, ended, .. } = self.services[place];
            if let Some((sent, came)) = first_byte {
                let sent = self.now.after(sent);
                self.agenda.plan(self.now.after(came), Step::FirstByte { place, sent });
            }
            self.agenda.plan(self.now.after(ended), Step::End(place));
        } else if matches!(effect.decision, Decision::Shed(_)) {
            self.fates[place] = Fate::Shed;
            self.vacate(place);
        }
    }

    /// The name of a request that is over; `None` if it was before.
    fn vacate(&mut self, place: usize) -> Option<RequestId> {
        let request = self.names.remove(&place)?;
        self.vacant.push(RequestId { epoch: request.epoch.wrapping_add(1), ..request });
        Some(request)
    }
}

/// How the last of a class were served.
struct Donors {
    services: VecDeque<Service>,
    next: usize,
}

impl Donors {
    fn of(service: Service) -> Donors {
        Donors { services: VecDeque::from([service]), next: 0 }
    }

    fn add(&mut self, service: Service) {
        if self.services.len() == DONORS_MAX {
            self.services.pop_front();
        }
        self.services.push_back(service);
    }

    /// One after the other, so that one slow answer is not taken for all.
    fn next(&mut self) -> Service {
        self.next = (self.next + 1) % self.services.len();
        self.services[self.next]
    }
}

#[cfg(test)]
mod tests;
