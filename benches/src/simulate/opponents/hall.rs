//! A door with a line before it: who waits and who is inside.

use super::inside::{Inside, Stay};
use super::line::{Line, Waiter};
use crate::simulate::door::Answer;
use plimsoll_core::decision::RequestId;
use plimsoll_core::time::Time;

/// Those who wait, and those inside.
#[derive(Debug)]
pub(crate) struct Hall {
    pub(crate) inside: Inside,
    pub(crate) line: Line,
}

impl Hall {
    /// An empty hall with a line for each of `ranks` ranks.
    pub(crate) fn new(ranks: usize) -> Hall {
        Hall { inside: Inside::default(), line: Line::new(ranks) }
    }

    /// The next in line comes forward, if fewer than `limit` are inside.
    pub(crate) fn call(&mut self, limit: u32) -> Option<Waiter> {
        if self.inside.count() < limit { self.line.next() } else { None }
    }

    /// One who came forward is let in.
    pub(crate) fn admit(&mut self, waiter: Waiter, now: Time, answers: &mut Vec<Answer>) {
        self.inside.enter(waiter.id, now);
        answers.push(Answer::Admit(waiter.id));
    }

    /// Somebody is gone, from the line or from inside; answers the stay of one who was inside.
    pub(crate) fn leave(&mut self, id: RequestId) -> Option<Stay> {
        if self.line.leave(id) { None } else { self.inside.leave(id) }
    }
}
