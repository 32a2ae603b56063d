//! A controller driven by a journal: it must answer as the journal says, decision by decision.
//!
//! It begins at the first state it meets, and holds every later one against its own. Where events are
//! missing, and where another process begins, it goes on from the next state. The first difference ends it:
//! whatever followed would differ for the same reason.
//!
//! One replay is for one pool.

use std::collections::{BTreeMap, VecDeque};

use plimsoll_core::controller::{Controller, Effect, Event};
use plimsoll_core::time::Time;

use super::entry::{Entry, Stamp};
use super::files::{Flow, Header};

/// What a replay has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Events told to the core.
    pub events: u64,
    /// Decisions that were the same.
    pub decisions: u64,
    /// States that were the same, bit for bit.
    pub states: u64,
    /// Events that the journal says are missing, or that are.
    pub missing: u64,
}

/// Where the core and the journal part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The event after which they do, counted from the start of the process.
    pub event: u64,
    /// When it was, by the process's clock.
    pub at: Time,
    /// What differs.
    pub message: String,
}

/// A replay of one pool's journal.
#[derive(Debug, Default)]
pub struct Replay {
    controller: Option<Controller>,
    expected: VecDeque<Effect>,
    seen: Seen,
    told: u64,
    at: Time,
    started: Option<u64>,
    stamp: Stamp,
    /// The canaries of the process so far, by their generation.
    canaries: BTreeMap<u64, Stamp>,
    difference: Option<Difference>,
}

impl Replay {
    /// Another file begins.
    pub fn begin(&mut self, header: &Header) {
        if self.started.replace(header.started) != Some(header.started) {
            self.controller = None;
            self.canaries.clear();
        }
    }

    /// Takes the next record; stops at a difference.
    pub fn take(&mut self, entry: &Entry) -> Flow {
        let difference = match entry {
            Entry::State { at, events, stamp, image } => self.state(*at, *events, stamp, image),
            Entry::Event { at, event, stamp, .. } => self.event(*at, event, stamp.as_ref()),
            Entry::Decided(effect) => self.decided(effect),
            Entry::Canary(stamp) => {
                // It judges, and the core decides: nothing is decided otherwise for it.
                self.canaries.insert(stamp.generation, stamp.clone());
                None
            }
            Entry::Dropped(events) => {
                self.seen.missing += events;
                self.controller = None;
                None
            }
        };
        let message = difference.map(|message| Difference { event: self.told, at: self.at, message });
        self.difference = message;
        if self.difference.is_some() { Flow::Stop } else { Flow::More }
    }

    /// The journal has ended.
    pub fn end(&mut self) {
        if self.difference.is_some() {
            return;
        }
        if let Some(message) = self.unanswered() {
            self.difference = Some(Difference { event: self.told, at: self.at, message });
        }
    }

    /// The first difference, if there is one.
    pub fn difference(&self) -> Option<&Difference> {
        self.difference.as_ref()
    }

    /// What it has seen.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// The generation of the last event.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The canary of that generation, if the journal has told of it.
    pub fn canary(&self, generation: u64) -> Option<&Stamp> {
        self.canaries.get(&generation)
    }

    /// Whether a state after so many events continues what it has seen: nothing is missing between.
    pub fn goes_on_at(&self, events: u64) -> bool {
        self.controller.is_some() && self.told == events
    }

    /// The controller as it is now, once there was a state to begin with.
    pub fn controller(&self) -> Option<&Controller> {
        self.controller.as_ref()
    }

    fn state(&mut self, at: Time, events: u64, stamp: &Stamp, image: &[u8]) -> Option<String> {
        if let Some(message) = self.unanswered() {
            return Some(message);
        }
        (self.at, self.stamp) = (at, stamp.clone());
        match &self.controller {
            Some(controller) if self.told == events => {
                let mut own = Vec::new();
                controller.write_image(&mut own);
                if own != image {
                    return Some("the state of the core is another".to_owned());
                }
                self.seen.states += 1;
                return None;
            }
            // A file between was deleted or could not be written.
            Some(_) => self.seen.missing += events.abs_diff(self.told),
            None => {}
        }
        self.told = events;
        self.controller = Controller::from_image(image);
        match self.controller {
            Some(_) => None,
            None => Some("its state is not one that this version can read".to_owned()),
        }
    }

    fn event(&mut self, at: Time, event: &Event, stamp: Option<&Stamp>) -> Option<String> {
        if let Some(message) = self.unanswered() {
            return Some(message);
        }
        let controller = self.controller.as_mut()?;
        (self.at, self.told) = (at, self.told + 1);
        self.seen.events += 1;
        if let Some(stamp) = stamp {
            self.stamp = stamp.clone();
        }
        controller.handle(event.clone(), at);
        self.expected.extend(std::iter::from_fn(|| controller.poll_effect()));
        None
    }

    fn decided(&mut self, effect: &Effect) -> Option<String> {
        self.controller.as_ref()?;
        let expected = self.expected.pop_front();
        if expected.as_ref() == Some(effect) {
            self.seen.decisions += 1;
            return None;
        }
        let told = |effect: &Effect| {
            let (slot, class) = (effect.request.slot, effect.evidence.class.index());
            format!("request {slot} of class {class} {}", effect.evidence.sentence(effect.decision))
        };
        let now = expected.as_ref().map_or_else(|| "nothing".to_owned(), told);
        Some(format!("the journal has: {}; the core now decides: {now}", told(effect)))
    }

    fn unanswered(&mut self) -> Option<String> {
        let effect = self.expected.pop_front()?;
        let sentence = effect.evidence.sentence(effect.decision);
        Some(format!(
            "the core decides about request {}: {sentence}; the journal has nothing",
            effect.request.slot
        ))
    }
}

#[cfg(test)]
mod tests;
