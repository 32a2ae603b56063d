//! What a journal tells of each request: what it asked with, what became of it, and how the shop served it.
//!
//! A journal holds events and decisions in their order; here they are brought together by request, so that the
//! same requests can be asked again under another policy (`rerun`). Where events are missing, or another
//! process begins, a new stretch begins with a state of its own.
//!
//! All requests of a journal are held in memory, some hundred bytes each: fewer than the journal has on disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::breaker::Forced;
use plimsoll_core::controller::{Arrival, Capacity, Controller, Effect, Event, Outcome};
use plimsoll_core::decision::{Decision, RequestId};
use plimsoll_core::policy::{ClassId, Policy};
use plimsoll_core::time::Time;

use super::entry::{Entry, Grounds, Stamp};
use super::replay::Replay;

/// What became of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// It got a permit.
    Served,
    /// It was refused.
    Shed,
    /// Its client left while it waited.
    Left,
    /// The journal ends before that is known.
    #[default]
    Open,
}

/// How the shop served a request; times are from when it got its permit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// When the request had been sent, and when its first byte came, if one did.
    pub first_byte: Option<(Duration, Duration)>,
    /// When it ended.
    pub ended: Duration,
    /// How; `None` if its client left.
    pub outcome: Option<Outcome>,
}

/// A request of the past.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// What it asked with, in its era's classes.
    pub arrival: Arrival,
    /// On what grounds it was decided.
    pub grounds: Grounds,
    /// The place of the generation it came under, among those of the recollection.
    pub era: usize,
    /// What became of it.
    pub fate: Fate,
    /// How it was served, if that is in the journal to its end.
    pub service: Option<Service>,
    /// When its client left the queue, from its arrival.
    pub left_after: Option<Duration>,
}

/// A generation of the past.
#[derive(Clone, Debug)]
pub struct Era {
    /// Its stamp.
    pub stamp: Stamp,
    /// What the core decided under.
    pub policy: Arc<Policy>,
}

impl Era {
    /// The name of a class of its policy.
    pub fn class_name(&self, class: ClassId) -> &str {
        &self.policy.class(class).name
    }
}

/// Something that happened besides decisions.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// The request of that place asked.
    Arrived(usize),
    /// Something became of a request that was there before the stretch began.
    Earlier(Event),
    /// Another generation came into force.
    Era(usize),
    /// A breaker was forced.
    Forced(String, Option<Forced>),
    /// The pool was taken to carry something else.
    Capacity(Capacity),
}

/// A part of a journal without a gap.
#[derive(Debug)]
pub struct Stretch {
    pub(super) began: Time,
    pub(super) image: Vec<u8>,
    pub(super) happenings: Vec<(Time, Happening)>,
    /// Slots above all that were named.
    pub(super) slots: u32,
    /// The requests, in the order in which they came.
    pub asked: Vec<Asked>,
}

/// The requests of one pool's journal.
#[derive(Debug, Default)]
pub struct Recollection {
    /// The stretches.
    pub stretches: Vec<Stretch>,
    /// The generations, in the order in which they were met.
    pub eras: Vec<Era>,
    /// The canaries that judged beside them, by their generation.
    pub canaries: BTreeMap<u64, Era>,
    live: HashMap<RequestId, Live>,
    now: Time,
    capacity: Option<Capacity>,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    place: usize,
    arrived: Time,
    admitted: Option<Time>,
    /// From when it was admitted, as in [`Service`].
    first_byte: Option<(Duration, Duration)>,
}

impl Recollection {
    /// Takes the next record, which `replay` is told afterwards.
    pub fn take(&mut self, entry: &Entry, replay: &Replay) {
        match entry {
            Entry::State { at, events, stamp, image } if !replay.goes_on_at(*events) => {
                self.begin(*at, stamp, image);
            }
            Entry::Event { at, event, grounds, stamp } if !self.stretches.is_empty() => {
                // Events take their time before they take the lock; asked again they come in order.
                self.now = self.now.max(*at);
                self.note_capacity(replay);
                self.event(event, grounds.unwrap_or_default(), stamp.as_ref());
            }
            Entry::Canary(stamp) => self.canary(stamp),
            Entry::Decided(effect) => self.decided(effect),
            Entry::State { .. } | Entry::Event { .. } | Entry::Dropped(_) => {}
        }
    }

    /// The name of the class a request came with.
    pub fn class_name(&self, asked: &Asked) -> &str {
        self.eras[asked.era].class_name(asked.arrival.class)
    }

    fn begin(&mut self, at: Time, stamp: &Stamp, image: &[u8]) {
        // The replay names what is wrong with a state that cannot be read.
        let Some(controller) = Controller::from_image(image) else { return };
        self.live.clear();
        (self.now, self.capacity) = (at, None);
        self.eras.push(Era { stamp: stamp.clone(), policy: controller.policy().clone() });
        let (happenings, asked) = (Vec::new(), Vec::new());
        self.stretches.push(Stretch { began: at, image: image.to_vec(), happenings, slots: 0, asked });
    }

    /// It has the classes of the generation in force.
    fn canary(&mut self, stamp: &Stamp) {
        if let Some(Era { policy, .. }) = self.eras.last() {
            self.canaries.insert(stamp.generation, Era { stamp: stamp.clone(), policy: policy.clone() });
        }
    }

    fn note_capacity(&mut self, replay: &Replay) {
        let capacity = replay.controller().map(Controller::capacity);
        if let Some(new) = capacity.filter(|_| capacity != self.capacity) {
            self.capacity = capacity;
            self.happened(Happening::Capacity(new));
        }
    }

    fn event(&mut self, event: &Event, grounds: Grounds, stamp: Option<&Stamp>) {
        match event {
            Event::Arrived(arrival) => self.arrived(*arrival, grounds),
            Event::FirstByte { request, sent } => self.first_byte(event, *request, *sent),
            Event::Finished { request, outcome } => self.ended(event, *request, Some(*outcome)),
            Event::Abandoned { request } => self.ended(event, *request, None),
            Event::PolicyChanged(policy) => {
                let stamp = stamp.cloned().unwrap_or_default();
                self.eras.push(Era { stamp, policy: policy.clone() });
                self.happened(Happening::Era(self.eras.len() - 1));
            }
            Event::BreakerForced { class, forced } => {
                let name = self.eras.last().map(|era| era.class_name(*class).to_owned());
                self.happened(Happening::Forced(name.unwrap_or_default(), *forced));
            }
            Event::Woken => {}
        }
    }

    fn arrived(&mut self, arrival: Arrival, grounds: Grounds) {
        let era = self.eras.len() - 1;
        let asked = Asked { arrival, grounds, era, fate: Fate::Open, service: None, left_after: None };
        let stretch = self.stretch();
        let place = stretch.asked.len();
        stretch.asked.push(asked);
        self.name(arrival.request);
        let live = Live { place, arrived: self.now, admitted: None, first_byte: None };
        self.live.insert(arrival.request, live);
        self.happened(Happening::Arrived(place));
    }

    fn first_byte(&mut self, event: &Event, request: RequestId, sent: Time) {
        let now = self.now;
        match self.live.get_mut(&request) {
            Some(Live { admitted: Some(admitted), first_byte, .. }) => {
                *first_byte = Some((sent.since(*admitted), now.since(*admitted)));
            }
            _ => self.earlier(event, request),
        }
    }

    fn ended(&mut self, event: &Event, request: RequestId, outcome: Option<Outcome>) {
        let now = self.now;
        let Some(live) = self.live.remove(&request) else { return self.earlier(event, request) };
        let asked = &mut self.stretch().asked[live.place];
        match live.admitted {
            Some(admitted) => {
                let (first_byte, ended) = (live.first_byte, now.since(admitted));
                asked.service = Some(Service { first_byte, ended, outcome });
            }
            None => {
                asked.fate = Fate::Left;
                asked.left_after = Some(now.since(live.arrived));
            }
        }
    }

    fn earlier(&mut self, event: &Event, request: RequestId) {
        self.name(request);
        self.happened(Happening::Earlier(event.clone()));
    }

    fn decided(&mut self, effect: &Effect) {
        let now = self.now;
        let Some(live) = self.live.get_mut(&effect.request) else { return };
        let place = live.place;
        let fate = match effect.decision {
            Decision::Queue => return,
            Decision::Admit | Decision::AdmitObserved(_) => {
                live.admitted = Some(now);
                Fate::Served
            }
            Decision::Shed(_) => {
                self.live.remove(&effect.request);
                Fate::Shed
            }
        };
        self.stretch().asked[place].fate = fate;
    }

    fn name(&mut self, request: RequestId) {
        let stretch = self.stretch();
        stretch.slots = stretch.slots.max(request.slot.saturating_add(1));
    }

    fn happened(&mut self, happening: Happening) {
        let now = self.now;
        self.stretch().happenings.push((now, happening));
    }

    fn stretch(&mut self) -> &mut Stretch {
        self.stretches.last_mut().expect("events are taken only after a stretch began")
    }
}
