//! DAGOR, the overload control of WeChat: a cursor over (business, user) priorities.
//!
//! Requests wait in one line for a slot, as for the threads of a service. Every
//! second, or every 2,000 requests, the mean wait says whether the service is
//! overloaded (more than 20 ms). Then the cursor moves down a histogram of what
//! came in, so that 5 % less than what was let in is let in next; otherwise up, by
//! 1 % of what came in. A user's priority is a hash, so that one user is
//! consistently in or out; it is rotated by the hour, which is longer than a run.
//!
//! Source: Zhou et al., "Overload Control for Scaling WeChat Microservices", SoCC
//! 2018, algorithm 1 and section 4. The slots are a static number that somebody has
//! to choose.

use super::hall::Hall;
use crate::simulate::door::{Answer, Ask, Door, Gauge, News};
use plimsoll_core::time::Time;
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(1);
const WINDOW_REQUESTS: u32 = 2_000;
const WAIT_MAX: Duration = Duration::from_millis(20);
const DECREASE: f64 = 0.05;
const INCREASE: f64 = 0.01;
const USER_PRIORITIES: usize = 128;
/// Spreads consecutive numbers over all bits: the fractional digits of the golden ratio (Knuth).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A proxy that runs DAGOR before a static number of slots.
#[derive(Debug)]
pub(crate) struct Dagor {
    slots: u32,
    hall: Hall,
    /// Requests of this window by priority; the lower, the more important.
    arrived: Vec<u32>,
    /// Only priorities below are let in.
    cursor: usize,
    requests: u32,
    admitted: u32,
    waits: Duration,
    started: u32,
    window_ends: Time,
}

impl Dagor {
    /// A proxy with so many slots, for `classes` classes.
    pub(crate) fn new(slots: u32, classes: usize) -> Dagor {
        let priorities = classes * USER_PRIORITIES;
        Dagor {
            slots,
            hall: Hall::new(1),
            arrived: vec![0; priorities],
            cursor: priorities,
            requests: 0,
            admitted: 0,
            waits: Duration::ZERO,
            started: 0,
            window_ends: Time::ZERO.after(WINDOW),
        }
    }

    fn arrive(&mut self, ask: Ask, now: Time, answers: &mut Vec<Answer>) {
        let user = (ask.shopper.0 as u64).wrapping_mul(SPREAD) >> 57;
        let priority = ask.class.index() * USER_PRIORITIES + user as usize;
        self.requests += 1;
        self.arrived[priority] += 1;
        if priority < self.cursor {
            self.admitted += 1;
            self.hall.line.join(ask.id, 0, now);
        } else {
            answers.push(Answer::Refuse(ask.id));
        }
        if self.requests >= WINDOW_REQUESTS || now >= self.window_ends {
            self.adapt(now);
        }
    }

    fn adapt(&mut self, now: Time) {
        let is_overloaded = self.started > 0 && self.waits / self.started > WAIT_MAX;
        if is_overloaded {
            self.lower((f64::from(self.admitted) * DECREASE) as u32);
        } else {
            self.raise((f64::from(self.requests) * INCREASE) as u32);
        }
        self.arrived.fill(0);
        (self.requests, self.admitted, self.started) = (0, 0, 0);
        self.waits = Duration::ZERO;
        self.window_ends = now.after(WINDOW);
    }

    /// Lets in `fewer` requests less of what came in this window.
    fn lower(&mut self, fewer: u32) {
        let mut sum = 0;
        while self.cursor > 1 && sum <= fewer {
            self.cursor -= 1;
            sum += self.arrived[self.cursor];
        }
    }

    fn raise(&mut self, more: u32) {
        let mut sum = 0;
        while self.cursor < self.arrived.len() && sum <= more {
            sum += self.arrived[self.cursor];
            self.cursor += 1;
        }
    }

    fn admit_next(&mut self, now: Time, answers: &mut Vec<Answer>) {
        while let Some(waiter) = self.hall.call(self.slots) {
            self.waits += now.since(waiter.since);
            self.started += 1;
            self.hall.admit(waiter, now, answers);
        }
    }
}

impl Door for Dagor {
    fn tell(&mut self, news: News, now: Time, answers: &mut Vec<Answer>) {
        match news {
            News::Arrived(ask) => self.arrive(ask, now, answers),
            News::Finished { id, .. } | News::Left(id) => {
                self.hall.leave(id);
            }
            News::FirstByte { .. } | News::Reloaded | News::Woken => return,
        }
        self.admit_next(now, answers);
    }

    fn gauge(&self, _: Time) -> Gauge {
        Gauge { limit: Some(f64::from(self.slots)), inflight: self.hall.inside.count() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cursor, from 100 of 128 priorities of ten requests each, after a window of this mean wait.
    fn cursor_after(wait_ms: u64) -> usize {
        let mut door = Dagor {
            cursor: 100,
            requests: 1_280,
            admitted: 1_000,
            started: 2,
            waits: Duration::from_millis(2 * wait_ms),
            ..Dagor::new(10, 1)
        };
        door.arrived.fill(10);
        door.adapt(Time::ZERO);
        door.cursor
    }

    #[test]
    fn cursor_rises_by_a_hundredth_of_what_came_and_falls_by_a_twentieth_of_what_was_let_in() {
        // 12 more are two priorities of ten; 50 fewer are more than five.
        assert_eq!([20, 21].map(cursor_after), [102, 94]);
    }
}
