//! Under the gate's lock: what the core is told and answers, appended to a buffer that the writer takes.
//!
//! The lock orders the records, so nothing else has to. An append is some thirty bytes in memory; nothing
//! waits for a disk. When the writer is so far behind that the buffer is full, events are counted instead,
//! and the next record that fits tells how many are missing, with the state to go on from.

use std::sync::Arc;

use plimsoll_core::controller::{Controller, Effect, Event};
use plimsoll_core::time::Time;

use super::entry::{Encoder, Grounds, Stamp, put_canary, put_decided, put_dropped};

/// What the writer may be behind: some 100,000 requests, or seconds of a flood.
const BUFFER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Events between two states: a replay begins at most so many before what is looked for, and a state of
/// some ten kilobytes is a hundredth of them.
const EVENTS_PER_STATE: u32 = 100_000;

/// What the writer asks for when it takes the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More of the same.
    Continue,
    /// A state first, so that a file can begin with it.
    Begin,
}

/// What goes into the journal of one pool.
#[derive(Debug)]
pub struct Tap {
    buffer: Vec<u8>,
    encoder: Encoder,
    stamp: Arc<Stamp>,
    /// The stamp of the policy that the next change brings.
    next_stamp: Option<Arc<Stamp>>,
    /// The canary that was begun last. It is told with each state for good, for a request that it judged may ask
    /// after its end; that doubles some ten kilobytes in three megabytes.
    canary: Option<Arc<Stamp>>,
    events: u64,
    until_state: u32,
    /// Events lost since the last record.
    lost: u64,
    lost_in_all: u64,
    is_recording: bool,
    bytes_max: usize,
}

impl Tap {
    /// A tap on a core that decides under the generation of `stamp`.
    pub fn new(stamp: Arc<Stamp>) -> Tap {
        Tap {
            buffer: Vec::new(),
            encoder: Encoder::default(),
            stamp,
            next_stamp: None,
            canary: None,
            events: 0,
            until_state: 0,
            lost: 0,
            lost_in_all: 0,
            is_recording: false,
            bytes_max: BUFFER_BYTES_MAX,
        }
    }

    /// The generation that the next change of policy brings.
    pub fn announce(&mut self, stamp: Arc<Stamp>) {
        self.next_stamp = Some(stamp);
    }

    /// From now on requests may be judged by the canary of `stamp`.
    pub fn begin_canary(&mut self, stamp: Arc<Stamp>) {
        let has_room = self.buffer.len() < self.bytes_max;
        if self.until_state > 0 && has_room {
            put_canary(&mut self.buffer, &stamp);
        } else {
            // The state that comes next tells it.
            self.until_state = 0;
        }
        self.canary = Some(stamp);
    }

    /// Notes what `controller` is about to be told.
    pub fn event(&mut self, controller: &Controller, event: &Event, grounds: &Grounds, now: Time) {
        self.is_recording = self.buffer.len() < self.bytes_max;
        if self.is_recording {
            if self.until_state == 0 {
                self.state(controller, now);
            }
            self.until_state -= 1;
        } else {
            self.lost += 1;
            self.lost_in_all += 1;
            self.until_state = 0;
        }
        self.events += 1;
        if let (Event::PolicyChanged(_), Some(stamp)) = (event, self.next_stamp.take()) {
            self.stamp = stamp;
        }
        if self.is_recording {
            self.encoder.event(&mut self.buffer, now, event, (grounds, &self.stamp));
        }
    }

    fn state(&mut self, controller: &Controller, now: Time) {
        if self.lost > 0 {
            put_dropped(&mut self.buffer, self.lost);
            self.lost = 0;
        }
        let mut image = Vec::new();
        controller.write_image(&mut image);
        self.encoder.state(&mut self.buffer, now, (self.events, &self.stamp, &image));
        if let Some(canary) = &self.canary {
            put_canary(&mut self.buffer, canary);
        }
        self.until_state = EVENTS_PER_STATE;
    }

    /// Notes what the controller answered to the event noted last.
    pub fn effect(&mut self, effect: &Effect) {
        if self.is_recording {
            put_decided(&mut self.buffer, effect);
        }
    }

    /// Puts the records so far into `taken`, which is empty, in exchange for its memory. Returns how many
    /// events were lost so far.
    pub fn take(&mut self, taken: &mut Vec<u8>, next: Next) -> u64 {
        std::mem::swap(&mut self.buffer, taken);
        if next == Next::Begin {
            self.until_state = 0;
        }
        self.lost_in_all
    }
}

#[cfg(test)]
impl Tap {
    /// The same with another bound.
    pub(super) fn bounded(self, bytes_max: usize) -> Tap {
        Tap { bytes_max, ..self }
    }

    /// Whether there is nothing to take.
    pub(super) fn is_taken(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Gives back what was taken, as if it had not been.
    pub(super) fn put_back(&mut self, taken: Vec<u8>) {
        assert!(self.buffer.is_empty(), "nothing was told meanwhile");
        self.buffer = taken;
    }
}
