//! Who is inside, and since when: what every limit counts.

use crate::simulate::door::Answer;
use plimsoll_core::decision::RequestId;
use plimsoll_core::time::Time;

/// The stay of a request that was let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stay {
    /// When it was let in.
    pub(crate) since: Time,
    /// How many were inside then, itself included.
    pub(crate) inflight: u32,
}

/// The requests that were let in, by slot.
#[derive(Debug, Default)]
pub(crate) struct Inside {
    stays: Vec<Option<Stay>>,
    count: u32,
}

impl Inside {
    /// Lets a request in.
    pub(crate) fn enter(&mut self, id: RequestId, now: Time) {
        let slot = id.slot as usize;
        if self.stays.len() <= slot {
            self.stays.resize(slot + 1, None);
        }
        self.count += 1;
        self.stays[slot] = Some(Stay { since: now, inflight: self.count });
    }

    /// Lets a request in if fewer than `limit` are inside, else refuses it.
    pub(crate) fn enter_below(&mut self, limit: u32, id: RequestId, now: Time) -> Answer {
        if self.count >= limit {
            return Answer::Refuse(id);
        }
        self.enter(id, now);
        Answer::Admit(id)
    }

    /// Lets a request out, if it is inside.
    pub(crate) fn leave(&mut self, id: RequestId) -> Option<Stay> {
        let stay = self.stays.get_mut(id.slot as usize)?.take()?;
        self.count -= 1;
        Some(stay)
    }

    /// How many are inside.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }
}
