//! The table of live requests: what is known of each that waits or holds a permit.
//!
//! Indexed by the caller's dense slots, so that a look-up is one comparison of
//! epochs. It grows to the most requests ever alive at once, which the caller
//! bounds, and allocates nothing after that.
//!
//! It decides nothing: the controller says who enters and who leaves.

use crate::breaker::Passage;
use crate::decision::{RequestId, Side, Standing};
use crate::image::image;
use crate::policy::ClassId;
use crate::time::Time;
use std::time::Duration;

/// Where a live request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In the queue.
    Waiting,
    /// At the upstream, with a permit.
    Admitted,
}

/// What is known of one live request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) id: RequestId,
    pub(crate) phase: Phase,
    pub(crate) class: ClassId,
    pub(crate) standing: Standing,
    pub(crate) side: Side,
    pub(crate) passage: Passage,
    /// When it arrived while waiting, when it was admitted from then on.
    pub(crate) since: Time,
    pub(crate) wait_allowed: Duration,
    pub(crate) deadline: Time,
    /// When it waits no longer.
    pub(crate) until: Time,
    /// Latency of the first byte, once there is one.
    pub(crate) first_byte: Option<Duration>,
}

/// All live requests, by slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    slots: Vec<Option<Request>>,
}

impl Requests {
    /// Remembers a request under its slot, whose previous holder has been taken out.
    pub(crate) fn keep(&mut self, request: Request) {
        let index = request.id.slot as usize;
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
        }
        self.slots[index] = Some(request);
    }

    /// Who holds a slot now.
    pub(crate) fn holder(&self, slot: u32) -> Option<RequestId> {
        self.slots.get(slot as usize)?.map(|request| request.id)
    }

    /// The request of that name, unless it is gone.
    pub(crate) fn find(&mut self, id: RequestId) -> Option<&mut Request> {
        self.slots.get_mut(id.slot as usize)?.as_mut().filter(|request| request.id == id)
    }

    /// Takes out the request of that name if it is in `phase`.
    pub(crate) fn take_if(&mut self, id: RequestId, phase: Phase) -> Option<Request> {
        self.find(id)?;
        self.slots[id.slot as usize].take_if(|request| request.phase == phase)
    }

    /// Takes out one that waits: the queue names only slots that are held.
    pub(crate) fn take_waiting(&mut self, slot: u32) -> Request {
        self.slots[slot as usize].take().expect("who waits is in the table")
    }

    /// One that waits: the queue names only slots that are held.
    pub(crate) fn waiting(&mut self, slot: u32) -> &mut Request {
        self.slots[slot as usize].as_mut().expect("who waits is in the table")
    }

    /// All of them, in the order of their slots.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Request> {
        self.slots.iter_mut().flatten()
    }
}

image!(enum Phase { 0 => Waiting, 1 => Admitted });
image!(struct Request {
    id,
    phase,
    class,
    standing,
    side,
    passage,
    since,
    wait_allowed,
    deadline,
    until,
    first_byte,
});
image!(struct Requests { slots });
