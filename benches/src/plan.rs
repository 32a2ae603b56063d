//! What a load generator has still to send: a schedule, and what follows from answers.
//!
//! The open loop asks a plan for the next request and tells it what became of each.
//! A plan that does not care, as a replayed log, is any iterator.

use crate::arrivals::ShopperId;
use crate::crowd::Wish;
use crate::tally::{Account, Verdict};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
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
    pub(crate) request: Request<Full<Bytes>>,
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

/// A plan that does not listen.
pub(crate) struct Deaf<I: Iterator<Item = Shot>>(Peekable<I>);

impl<I: Iterator<Item = Shot>> Deaf<I> {
    /// The plan to send `shots`, which are in order of time.
    pub(crate) fn new(shots: I) -> Deaf<I> {
        Deaf(shots.peekable())
    }
}

impl<I: Iterator<Item = Shot>> Plan for Deaf<I> {
    fn next_at(&mut self) -> Option<Duration> {
        self.0.peek().map(|shot| shot.at)
    }

    fn next_shot(&mut self) -> Option<Shot> {
        self.0.next()
    }

    fn hear(&mut self, _: Wish, _: Verdict, _: Duration) {}
}
