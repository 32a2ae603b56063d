//! Who is inside: what every limit counts.

use plimsoll_core::decision::RequestId;

/// The requests that were let in, by slot.
#[derive(Debug, Default)]
pub(crate) struct Inside {
    guests: Vec<bool>,
    count: u32,
}

impl Inside {
    /// Lets a request in.
    pub(crate) fn enter(&mut self, id: RequestId) {
        let slot = id.slot as usize;
        if self.guests.len() <= slot {
            self.guests.resize(slot + 1, false);
        }
        self.guests[slot] = true;
        self.count += 1;
    }

    /// Lets a request out, if it is inside.
    pub(crate) fn leave(&mut self, id: RequestId) {
        if self.guests.get_mut(id.slot as usize).is_some_and(std::mem::take) {
            self.count -= 1;
        }
    }

    /// How many are inside.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }
}
