//! Who holds how many permits, and which classes may have the next one.
//!
//! Floors and ceilings are shares of the limit, so they follow it. A floor is
//! no reservation: its seats are lent while the class does not ask, and the
//! class comes first for the next free seat when it does.
//!
//! It hands out nothing; the controller does.

use crate::image::image;
use crate::policy::{CLASSES_MAX, ClassId, Policy};
use crate::queue::RingSet;

/// The permits out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seats {
    taken: u32,
    of_class: [u32; CLASSES_MAX],
}

impl Seats {
    /// Permits out.
    pub(crate) fn taken(&self) -> u32 {
        self.taken
    }

    /// Permits that a class holds.
    pub(crate) fn taken_by(&self, class: ClassId) -> u32 {
        self.of_class[class.index()]
    }

    /// One more for a class.
    pub(crate) fn take(&mut self, class: ClassId) {
        self.taken += 1;
        self.of_class[class.index()] += 1;
    }

    /// One of a class's is back.
    pub(crate) fn give_back(&mut self, class: ClassId) {
        self.taken -= 1;
        self.of_class[class.index()] -= 1;
    }

    /// Whether a class holds all the seats it may have of `limit`.
    pub(crate) fn is_at_ceiling(&self, policy: &Policy, limit: u32, class: ClassId) -> bool {
        self.taken_by(class) >= policy.class(class).ceiling.seats(limit)
    }

    /// The rings of classes below their ceiling.
    pub(crate) fn below_ceiling(&self, policy: &Policy, limit: u32) -> RingSet {
        rings_of(policy.ids().filter(|id| !self.is_at_ceiling(policy, limit, *id)))
    }

    /// The rings of classes below their floor.
    pub(crate) fn below_floor(&self, policy: &Policy, limit: u32) -> RingSet {
        rings_of(policy.ids().filter(|id| self.taken_by(*id) < policy.class(*id).floor.seats(limit)))
    }
}

fn rings_of(classes: impl Iterator<Item = ClassId>) -> RingSet {
    classes.fold(RingSet::EMPTY, |rings, class| rings.or(RingSet::of_class(class)))
}

image!(struct Seats { taken, of_class });
