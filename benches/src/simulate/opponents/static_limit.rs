//! A static limit: so many at once, everyone else is refused. Without one, no control at all.
//!
//! It knows no classes and has no queue; the shop's own line is the queue. That a
//! number exists that serves a shop well is not in doubt: the difficulty is to
//! know it, and that it changes.

use super::inside::Inside;
use crate::simulate::door::{Answer, Door, Gauge, News};
use plimsoll_core::time::Time;

/// A proxy with a static limit.
#[derive(Debug)]
pub(crate) struct StaticLimit {
    limit: u32,
    inside: Inside,
}

impl StaticLimit {
    /// A proxy that lets in `limit` at once.
    pub(crate) fn new(limit: u32) -> StaticLimit {
        StaticLimit { limit, inside: Inside::default() }
    }
}

impl Door for StaticLimit {
    fn tell(&mut self, news: News, now: Time, answers: &mut Vec<Answer>) {
        match news {
            News::Arrived(ask) => answers.push(self.inside.enter_below(self.limit, ask.id, now)),
            News::Finished { id, .. } | News::Left(id) => {
                self.inside.leave(id);
            }
            News::FirstByte { .. } | News::Reloaded | News::Woken => {}
        }
    }

    fn gauge(&self, _: Time) -> Gauge {
        let limit = (self.limit < u32::MAX).then_some(f64::from(self.limit));
        Gauge { limit, inflight: self.inside.count() }
    }
}
