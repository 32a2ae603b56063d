//! What a controller takes its pool to carry, told and taken over.
//!
//! Who asks what another policy would have done to the same requests has no shop to ask, but knows what the
//! shop carried then: the limit of each moment. A controller that is told that limit before each event
//! decides on what was there, and not on answers that did not come from its own decisions.
//!
//! Nobody holds the limit of a controller that stands before a real pool.

use super::Controller;

/// What a pool carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Permits that may be out.
    pub seats: u32,
    /// Whether that is known: a limit that still doubles is no bound on what to expect.
    pub is_found: bool,
}

impl Controller {
    /// What it takes the pool to carry.
    pub fn capacity(&self) -> Capacity {
        Capacity { seats: self.limit.current(), is_found: self.limit.is_found() }
    }

    /// Takes the pool to carry so much, until an event lets it think otherwise.
    pub fn hold_capacity(&mut self, capacity: Capacity) {
        self.limit.hold(capacity.seats, capacity.is_found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Class, Mode, Policy};
    use std::sync::Arc;

    #[test]
    fn what_is_held_is_what_it_goes_by() {
        let policy = Policy::new(Mode::Enforce, vec![Class::sample("shop", 0)]).unwrap();
        let mut controller = Controller::new(Arc::new(policy));
        for capacity in [Capacity { seats: 7, is_found: true }, Capacity { seats: 3, is_found: false }] {
            controller.hold_capacity(capacity);
            assert_eq!(controller.capacity(), capacity);
        }
    }
}
