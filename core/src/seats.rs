//! Who holds how many permits, and which classes may have the next one.
//!
//! Floors and ceilings are shares of the limit, so they follow it. A floor is
//! no reservation: its seats are lent while the class does not ask, and the
//! class comes first for the next free seat when it does.
//!
//! It hands out nothing; the controller does.

use crate::image::image;
use crate::policy::{CLASSES_MAX, ClassId, ClassSet, Mode, Policy, Share, SlowAlone};
use crate::queue::RingSet;

/// What a class that is slow by itself may hold, if its floor is not more: whatever it waits for, most of
/// the shop is left to the others.
const SLOW_ALONE: Share = Share::from_percent(25).expect("a quarter is a share");

/// The most seats of `limit` that a class may hold.
pub(crate) fn ceiling(policy: &Policy, slow_alone: SlowAlone, limit: u32, class: ClassId) -> u32 {
    let policy = policy.class(class);
    let ceiling = policy.ceiling.seats(limit);
    if slow_alone.classes.contains(class) {
        let seats = slow_alone.seats.min(limit);
        ceiling.min(SLOW_ALONE.seats(seats).max(policy.floor.seats(seats)))
    } else {
        ceiling
    }
}

/// The permits out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seats {
    taken: u32,
    /// Those of them whose holders wait for their first byte.
    unanswered: u32,
    of_class: [u32; CLASSES_MAX],
}

impl Seats {
    /// Permits out.
    pub(crate) fn taken(&self) -> u32 {
        self.taken
    }

    /// Permits out for requests that wait for their first byte.
    pub(crate) fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// Permits that a class holds.
    pub(crate) fn taken_by(&self, class: ClassId) -> u32 {
        self.of_class[class.index()]
    }

    /// Permits that these classes hold.
    pub(crate) fn taken_by_any(&self, classes: ClassSet) -> u32 {
        classes.map(|class| self.taken_by(class)).sum()
    }

    /// One more for a class.
    pub(crate) fn take(&mut self, class: ClassId) {
        self.taken += 1;
        self.unanswered += 1;
        self.of_class[class.index()] += 1;
    }

    /// The first byte for one of them is there.
    pub(crate) fn answer(&mut self) {
        self.unanswered -= 1;
    }

    /// One of a class's is back.
    pub(crate) fn give_back(&mut self, class: ClassId, was_answered: bool) {
        self.taken -= 1;
        self.unanswered -= u32::from(!was_answered);
        self.of_class[class.index()] -= 1;
    }

    /// The rings of classes below their ceiling.
    pub(crate) fn below_ceiling(&self, policy: &Policy, slow_alone: SlowAlone, limit: u32) -> RingSet {
        RingSet::of_classes(
            policy.ids().filter(|id| self.taken_by(*id) < ceiling(policy, slow_alone, limit, *id)),
        )
    }

    /// The rings of classes below their floor.
    pub(crate) fn below_floor(&self, policy: &Policy, limit: u32) -> RingSet {
        RingSet::of_classes(
            policy.ids().filter(|id| self.taken_by(*id) < policy.class(*id).floor.seats(limit)),
        )
    }
}

/// The rings of classes that are observed: seats are nothing that they wait for.
pub(crate) fn observed_rings(policy: &Policy) -> RingSet {
    if policy.mode() == Mode::Enforce && policy.observed() == ClassSet::EMPTY {
        return RingSet::EMPTY;
    }
    RingSet::of_classes(policy.ids().filter(|id| policy.mode_of(*id) == Mode::Observe))
}

image!(struct Seats { taken, unanswered, of_class });
