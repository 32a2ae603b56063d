//! HAProxy's way: `maxconn` for the server, a queue by priority class before it, and a queue timeout.
//!
//! A request that finds no free connection waits in the line of its class; a free
//! connection goes to the first of the best class; who has waited as long as
//! `timeout queue` gets a 503. Nothing adapts.
//!
//! Source: HAProxy's configuration manual, `maxconn`, `set-priority-class` and
//! `timeout queue`. With the right `maxconn` it is the honest opponent.

use super::hall::Hall;
use crate::simulate::door::{Answer, Door, Gauge, News};
use plimsoll_core::time::Time;
use std::time::Duration;

/// A proxy with a static limit and a queue by priority.
#[derive(Debug)]
pub(crate) struct Haproxy {
    maxconn: u32,
    timeout: Duration,
    hall: Hall,
}

impl Haproxy {
    /// A proxy for `classes` classes.
    pub(crate) fn new(maxconn: u32, timeout: Duration, classes: usize) -> Haproxy {
        Haproxy { maxconn, timeout, hall: Hall::new(classes) }
    }

    fn admit_next(&mut self, now: Time, answers: &mut Vec<Answer>) {
        while let Some(waiter) = self.hall.call(self.maxconn) {
            self.hall.admit(waiter, now, answers);
        }
    }

    fn expire(&mut self, now: Time, answers: &mut Vec<Answer>) {
        while let Some(waiter) =
            self.hall.line.oldest().filter(|waiter| waiter.since.after(self.timeout) <= now)
        {
            self.hall.line.leave(waiter.id);
            answers.push(Answer::Refuse(waiter.id));
        }
    }
}

impl Door for Haproxy {
    fn tell(&mut self, news: News, now: Time, answers: &mut Vec<Answer>) {
        match news {
            News::Arrived(ask) => self.hall.line.join(ask.id, ask.class.index(), now),
            News::Finished { id, .. } | News::Left(id) => {
                self.hall.leave(id);
            }
            News::FirstByte { .. } | News::Reloaded => return,
            News::Woken => {}
        }
        self.expire(now, answers);
        self.admit_next(now, answers);
    }

    fn next_wakeup(&mut self) -> Option<Time> {
        self.hall.line.oldest().map(|waiter| waiter.since.after(self.timeout))
    }

    fn gauge(&self, _: Time) -> Gauge {
        Gauge { limit: Some(f64::from(self.maxconn)), inflight: self.hall.inside.count() }
    }
}
