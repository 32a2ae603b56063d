//! What a load generator has still to send: a schedule, and what follows from answers.
//!
//! The open loop asks a plan for the next request and tells it what became of each.
//! A plan that does not care, as a replayed log, is any iterator.

use crate::arrivals::ShopperId;
use crate::client::Line;
use crate::crowd::Wish;
use crate::delivery::Delivery;
use crate::tally::{Account, Verdict};
use http::Request;
use std::iter::Peekable;
use std::time::Duration;

/// A request, and when to send it.
#[derive(Debug)]
pub(crate) struct Shot {
    /// When it is sent, from the start of the run.
    pub(crate) at: Duration,
    /// Where it is counted.
    pub(crate) account: Account,
    /// How long the client waits.
    pub(crate) patience: Duration,
    /// What is sent.
    pub(crate) request: Request<Delivery>,
    /// How fast it goes out, and the answer comes in.
    pub(crate) line: Line,
    /// Whose session the answer may start.
    pub(crate) shopper: Option<ShopperId>,
    /// What the plan is told when it is over.
    pub(crate) wish: Option<Wish>,
}

/// Requests in the order of their time.
pub(crate) trait Plan {
    /// When the next request is to be sent, as far as is known now.
    fn next_at(&mut self) -> Option<Duration>;

    /// The next request. It is made only now, for it may carry what answers have brought.
    fn next_shot(&mut self) -> Option<Shot>;

    /// What became of a wish, at `time`.
    fn hear(&mut self, wish: Wish, verdict: Verdict, time: Duration);
}

/// A plan that does not listen: things at their times, of which each becomes a request when it is sent.
pub(crate) struct Deaf<I: Iterator, M> {
    waiting: Peekable<I>,
    make: M,
}

impl<T, I: Iterator<Item = (Duration, T)>, M: FnMut(Duration, T) -> Shot> Deaf<I, M> {
    /// The plan to send what `make` makes of `waiting`, which is in order of time.
    pub(crate) fn new(waiting: I, make: M) -> Deaf<I, M> {
        Deaf { waiting: waiting.peekable(), make }
    }
}

impl<T, I: Iterator<Item = (Duration, T)>, M: FnMut(Duration, T) -> Shot> Plan for Deaf<I, M> {
    fn next_at(&mut self) -> Option<Duration> {
        self.waiting.peek().map(|(at, _)| *at)
    }

    fn next_shot(&mut self) -> Option<Shot> {
        let (at, thing) = self.waiting.next()?;
        Some((self.make)(at, thing))
    }

    fn hear(&mut self, _: Wish, _: Verdict, _: Duration) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const SECOND: Duration = Duration::from_secs(1);

    fn shot(at: Duration) -> Shot {
        let account = Account { phase: 0, class: 0, cost: 1.0, slo: SECOND };
        let (request, line) = (Request::default(), Line::default());
        Shot { at, account, patience: SECOND, request, line, shopper: None, wish: None }
    }

    #[test]
    fn request_is_made_when_it_is_sent_and_not_when_its_time_is_asked_for() {
        let made = Cell::new(0);
        let mut plan = Deaf::new([(SECOND, 7), (SECOND * 2, 8)].into_iter(), |at, number| {
            made.set(number);
            shot(at)
        });
        assert_eq!((plan.next_at(), made.get()), (Some(SECOND), 0), "a cookie may come until then");
        assert_eq!(plan.next_shot().map(|shot| shot.at), Some(SECOND));
        assert_eq!((plan.next_at(), made.get()), (Some(SECOND * 2), 7));
        assert!(plan.next_shot().is_some() && plan.next_shot().is_none());
        assert_eq!((plan.next_at(), made.get()), (None, 8));
    }
}
