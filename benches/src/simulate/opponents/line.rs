//! Those who wait at a door: by rank, first come, first served within it.
//!
//! What the opponents with a queue have in common. Who has left is passed over.

use plimsoll_core::decision::RequestId;
use plimsoll_core::time::Time;
use std::collections::VecDeque;

/// One who waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    pub(crate) id: RequestId,
    pub(crate) since: Time,
}

/// The lines of a door, one for each rank.
#[derive(Debug)]
pub(crate) struct Line {
    ranks: Vec<VecDeque<Waiter>>,
    /// Everyone again, by arrival: the first to lose patience stand in front.
    all: VecDeque<Waiter>,
    /// By slot: who of that slot waits now.
    waiting: Vec<Option<RequestId>>,
    length: u32,
}

impl Line {
    /// Empty lines for `ranks` ranks.
    pub(crate) fn new(ranks: usize) -> Line {
        Line { ranks: vec![VecDeque::new(); ranks], all: VecDeque::new(), waiting: Vec::new(), length: 0 }
    }

    /// How many wait.
    pub(crate) fn length(&self) -> u32 {
        self.length
    }

    /// Somebody joins the end of the line of a rank.
    pub(crate) fn join(&mut self, id: RequestId, rank: usize, now: Time) {
        let slot = id.slot as usize;
        if self.waiting.len() <= slot {
            self.waiting.resize(slot + 1, None);
        }
        self.waiting[slot] = Some(id);
        self.ranks[rank].push_back(Waiter { id, since: now });
        self.all.push_back(Waiter { id, since: now });
        self.length += 1;
    }

    /// Somebody leaves. False if it does not wait.
    pub(crate) fn leave(&mut self, id: RequestId) -> bool {
        let waits = self.waits(id);
        if waits {
            self.waiting[id.slot as usize] = None;
            self.length -= 1;
        }
        waits
    }

    /// The first of the best rank leaves the line.
    pub(crate) fn next(&mut self) -> Option<Waiter> {
        for rank in 0..self.ranks.len() {
            while let Some(waiter) = self.ranks[rank].pop_front() {
                if self.leave(waiter.id) {
                    return Some(waiter);
                }
            }
        }
        None
    }

    /// Who has waited longest.
    pub(crate) fn oldest(&mut self) -> Option<Waiter> {
        while let Some(waiter) = self.all.front().copied() {
            if self.waits(waiter.id) {
                return Some(waiter);
            }
            self.all.pop_front();
        }
        None
    }

    fn waits(&self, id: RequestId) -> bool {
        self.waiting.get(id.slot as usize).copied().flatten() == Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u32) -> RequestId {
        RequestId { slot, epoch: 0 }
    }

    #[test]
    fn best_rank_goes_first_and_who_has_left_is_passed_over() {
        let mut line = Line::new(2);
        for (slot, rank) in [(0, 1), (1, 0), (2, 0)] {
            line.join(id(slot), rank, Time::from_millis(u64::from(slot)));
        }
        assert!(line.leave(id(1)) && !line.leave(id(1)));
        assert_eq!(line.oldest().unwrap().id, id(0));
        assert_eq!((line.next().unwrap().id, line.next().unwrap().id), (id(2), id(0)));
        assert!(line.next().is_none() && line.oldest().is_none());
        assert_eq!(line.length(), 0);
    }
}
