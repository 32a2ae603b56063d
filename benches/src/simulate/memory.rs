//! What a proxy remembers of the shoppers it has served.
//!
//! The proxy's session table forgets and shares slots, because anyone can invent a
//! cookie. Here every shopper carries the cookie that the shop has set, and is
//! known by a number: a plain list, and the same view that the proxy decides on.

use crate::arrivals::ShopperId;
use plimsoll::classify::session::{SessionView, Visit};
use plimsoll_core::time::Time;

#[derive(Clone, Copy, Debug, Default)]
struct Visitor {
    view: SessionView,
    first: Time,
    last: Time,
}

/// The shoppers known to one proxy.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    visitors: Vec<Visitor>,
}

impl Memory {
    /// What is known of a shopper.
    pub(crate) fn view(&self, shopper: ShopperId, now: Time) -> SessionView {
        let visitor = self.visitors.get(shopper.0).copied().unwrap_or_default();
        SessionView { age: now.since(visitor.first), idle: now.since(visitor.last), ..visitor.view }
    }

    /// A shopper was served: where that brought it.
    pub(crate) fn record(&mut self, shopper: ShopperId, visit: Visit, now: Time) {
        if self.visitors.len() <= shopper.0 {
            self.visitors.resize(shopper.0 + 1, Visitor::default());
        }
        let Visitor { view, first, last } = &mut self.visitors[shopper.0];
        if view.requests == 0 {
            *first = now;
        }
        *last = now;
        view.requests += 1;
        view.admitted |= view.requests == 1 || visit.is_step();
        view.stage = view.stage.max(visit.stage());
        match visit {
            Visit::Page => view.views += 1,
            Visit::Search => view.searches += 1,
            Visit::Cart => view.carts += 1,
            Visit::Checkout => view.checkouts += 1,
            Visit::Other => {}
        }
    }

    /// A shopper was refused: a step that is missed breaks a session.
    pub(crate) fn refuse(&mut self, shopper: ShopperId, visit: Visit) {
        if let Some(visitor) = self.visitors.get_mut(shopper.0) {
            visitor.view.admitted &= !visit.is_step();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll::classify::session::Stage;

    #[test]
    fn shopper_is_remembered_from_the_first_answer_on() {
        let mut memory = Memory::default();
        assert_eq!(memory.view(ShopperId(3), Time::ZERO).stage, Stage::Arrived);
        memory.record(ShopperId(3), Visit::Cart, Time::from_millis(10));
        memory.record(ShopperId(3), Visit::Page, Time::from_millis(20));
        let view = memory.view(ShopperId(3), Time::from_millis(50));
        assert_eq!((view.stage, view.requests, view.admitted), (Stage::Cart, 2, true));
        assert_eq!((view.age.as_millis(), view.idle.as_millis()), (40, 30));
        assert!(!memory.view(ShopperId(2), Time::ZERO).admitted);
    }

    #[test]
    fn shopper_who_misses_a_step_is_fresh_until_the_next() {
        let mut memory = Memory::default();
        let shopper = ShopperId(1);
        memory.record(shopper, Visit::Page, Time::ZERO);
        memory.refuse(shopper, Visit::Other);
        assert!(memory.view(shopper, Time::ZERO).admitted, "nobody misses a beacon");
        memory.refuse(shopper, Visit::Page);
        memory.record(shopper, Visit::Other, Time::ZERO);
        assert!(!memory.view(shopper, Time::ZERO).admitted);
        memory.record(shopper, Visit::Page, Time::ZERO);
        assert!(memory.view(shopper, Time::ZERO).admitted);
    }
}
