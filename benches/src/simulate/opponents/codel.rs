//! CoDel before a static number of slots, as folly's thread pools have it.
//!
//! Requests wait in one line for a slot. When the shortest wait of the last 100 ms
//! was above 5 ms, the line is overloaded, and whoever comes to its front after more
//! than twice that target is refused. The slots are a static limit that somebody
//! has to choose.
//!
//! Source: `folly/executors/Codel.cpp`, after Nichols and Jacobson's Controlled
//! Delay (2012). It is blind to classes.

use super::hall::Hall;
use crate::simulate::door::{Answer, Door, Gauge, News};
use plimsoll_core::time::Time;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(100);
const TARGET: Duration = Duration::from_millis(5);

/// Decides by the waits whether the line is overloaded.
#[derive(Debug, Default)]
struct Delay {
    shortest: Option<Duration>,
    interval_ends: Time,
    is_overloaded: bool,
}

impl Delay {
    /// Whether one who waited for `delay` is refused.
    fn refuses(&mut self, delay: Duration, now: Time) -> bool {
        if let Some(shortest) = self.shortest.filter(|_| now > self.interval_ends) {
            self.interval_ends = now.after(INTERVAL);
            self.is_overloaded = shortest > TARGET;
            self.shortest = None;
        }
        match self.shortest {
            // The first of an interval is never refused.
            None => {
                self.shortest = Some(delay);
                false
            }
            Some(shortest) => {
                self.shortest = Some(shortest.min(delay));
                self.is_overloaded && delay > TARGET * 2
            }
        }
    }
}

/// A proxy with a static number of slots and CoDel before them.
#[derive(Debug)]
pub(crate) struct Codel {
    slots: u32,
    delay: Delay,
    hall: Hall,
}

impl Codel {
    /// A proxy with so many slots.
    pub(crate) fn new(slots: u32) -> Codel {
        Codel { slots, delay: Delay::default(), hall: Hall::new(1) }
    }

    fn admit_next(&mut self, now: Time, answers: &mut Vec<Answer>) {
        while let Some(waiter) = self.hall.call(self.slots) {
            if self.delay.refuses(now.since(waiter.since), now) {
                answers.push(Answer::Refuse(waiter.id));
            } else {
                self.hall.admit(waiter, now, answers);
            }
        }
    }
}

impl Door for Codel {
    fn tell(&mut self, news: News, now: Time, answers: &mut Vec<Answer>) {
        match news {
            News::Arrived(ask) => self.hall.line.join(ask.id, 0, now),
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

    #[test]
    fn long_waits_are_refused_once_the_shortest_of_an_interval_was_too_long() {
        let mut delay = Delay::default();
        let ms = Duration::from_millis;
        assert!(!delay.refuses(ms(20), Time::from_millis(1)), "the first of all");
        assert!(!delay.refuses(ms(20), Time::from_millis(50)), "the first of an interval");
        assert!(delay.refuses(ms(11), Time::from_millis(51)), "the interval before was overloaded");
        assert!(!delay.refuses(ms(10), Time::from_millis(52)), "twice the target is allowed");
        assert!(!delay.refuses(ms(5), Time::from_millis(53)));
        assert!(delay.refuses(ms(20), Time::from_millis(150)), "the interval is not over");
        assert!(!delay.refuses(ms(20), Time::from_millis(151)), "the first of the next");
        assert!(
            !delay.refuses(ms(20), Time::from_millis(152)),
            "the shortest of the one before was at the target"
        );
    }
}
