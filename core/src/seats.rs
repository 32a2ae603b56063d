//! Who holds how many permits, and which classes may have the next one.
//!
//! Floors and ceilings are shares of the limit, so they follow it. A floor is
//! no reservation: its seats are lent while the class does not ask, and the
//! class comes first for the next free seat when it does. One of less than a seat
//! is a seat for a part of the time: of three seats, a whole one for each floor
//! would leave checkouts none.
//!
//! It hands out nothing; the controller does.

use crate::image::image;
use crate::policy::{CLASSES_MAX, ClassId, ClassSet, Mode, Policy, Share, SlowAlone};
use crate::queue::RingSet;
use crate::succession::Succession;
use crate::time::Time;
use std::time::Duration;

/// What a class that is slow by itself may hold, if its floor is not more: whatever it waits for, most of
/// the shop is left to the others.
const SLOW_ALONE: Share = Share::from_percent(25).expect("a quarter is a share");

/// The most that a floor rests, in times that its seat was held.
const RESTS_MAX: f64 = 1e3;

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
    of_class: [u32; CLASSES_MAX],
    /// Those of them whose holders wait for their first byte.
    unanswered_of: [u32; CLASSES_MAX],
    /// Until when a class whose floor is less than a seat is owed none: it has had its part.
    rests_until: [Time; CLASSES_MAX],
}

impl Seats {
    /// None taken, with what the namesakes of a new policy's classes have had of a floor.
    pub(crate) fn succeed(&self, succession: &Succession) -> Seats {
        Seats { rests_until: succession.carry(self.rests_until), ..Seats::default() }
    }

    /// Permits out.
    pub(crate) fn taken(&self) -> u32 {
        self.taken
    }

    /// Permits that a class holds.
    pub(crate) fn taken_by(&self, class: ClassId) -> u32 {
        self.of_class[class.index()]
    }

    /// Permits that a class holds for requests that wait for their first byte.
    pub(crate) fn unanswered_of(&self, class: ClassId) -> u32 {
        self.unanswered_of[class.index()]
    }

    /// Permits that these classes hold.
    pub(crate) fn taken_by_any(&self, classes: ClassSet) -> u32 {
        classes.map(|class| self.taken_by(class)).sum()
    }

    /// One more for a class.
    pub(crate) fn take(&mut self, class: ClassId) {
        self.taken += 1;
        self.of_class[class.index()] += 1;
        self.unanswered_of[class.index()] += 1;
    }

    /// The first byte for one of a class's is there.
    pub(crate) fn answer(&mut self, class: ClassId) {
        self.unanswered_of[class.index()] -= 1;
    }

    /// One of a class's is back.
    pub(crate) fn give_back(&mut self, class: ClassId, was_answered: bool) {
        self.taken -= 1;
        self.unanswered_of[class.index()] -= u32::from(!was_answered);
        self.of_class[class.index()] -= 1;
    }

    /// A class with this floor held one of `limit` seats for `held`. If the floor is a part of a seat, it rests for
    /// as long as makes that part of the time.
    pub(crate) fn rest(&mut self, class: ClassId, floor: Share, limit: u32, held: Duration, now: Time) {
        if let Some(part) = floor.part_of_a_seat(limit) {
            let until = now.after(held.mul_f64((1.0 / part - 1.0).min(RESTS_MAX)));
            self.rests_until[class.index()] = self.rests_until[class.index()].max(until);
        }
    }

    /// Whether a class is owed the next of `limit` seats by its floor.
    pub(crate) fn is_below_floor(&self, class: ClassId, floor: Share, limit: u32, now: Time) -> bool {
        self.taken_by(class) < floor.seats(limit) && !self.rests(class, floor, limit, now)
    }

    /// Whether a class whose floor is a part of a seat has had it for now.
    pub(crate) fn rests(&self, class: ClassId, floor: Share, limit: u32, now: Time) -> bool {
        now < self.rests_until[class.index()] && floor.part_of_a_seat(limit).is_some()
    }

    /// The rings of classes below their ceiling.
    pub(crate) fn below_ceiling(&self, policy: &Policy, slow_alone: SlowAlone, limit: u32) -> RingSet {
        RingSet::of_classes(
            policy.ids().filter(|id| self.taken_by(*id) < ceiling(policy, slow_alone, limit, *id)),
        )
    }

    /// The rings of classes below their floor.
    pub(crate) fn below_floor(&self, policy: &Policy, limit: u32, now: Time) -> RingSet {
        let is_below = |id: &ClassId| self.is_below_floor(*id, policy.class(*id).floor, limit, now);
        RingSet::of_classes(policy.ids().filter(is_below))
    }
}

/// The rings of classes that are observed: seats are nothing that they wait for.
pub(crate) fn observed_rings(policy: &Policy) -> RingSet {
    if policy.mode() == Mode::Enforce && policy.observed() == ClassSet::EMPTY {
        return RingSet::EMPTY;
    }
    RingSet::of_classes(policy.ids().filter(|id| policy.mode_of(*id) == Mode::Observe))
}

image!(struct Seats { taken, of_class, unanswered_of, rests_until });

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: Duration = Duration::from_millis(100);

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    /// When a class with a floor of `percent` is owed a seat again after it held one of `limit` until now.
    fn owed_after(percent: u32, limit: u32) -> [bool; 3] {
        let (class, floor) = (ClassId::new(0).unwrap(), Share::from_percent(percent).unwrap());
        let mut seats = Seats::default();
        seats.take(class);
        seats.give_back(class, false);
        seats.rest(class, floor, limit, HELD, at(1_000));
        [1_000, 1_399, 1_400].map(|now| seats.is_below_floor(class, floor, limit, at(now)))
    }

    #[test]
    fn floor_of_a_fifth_of_a_seat_has_one_for_a_fifth_of_the_time() {
        assert_eq!(owed_after(5, 4), [false, false, true]);
        assert_eq!(owed_after(10, 4), [false, true, true], "two fifths rest for 150 ms");
    }

    #[test]
    fn whole_seats_never_rest() {
        assert_eq!(owed_after(5, 20), [true; 3]);
        assert_eq!(owed_after(5, 30), [true; 3], "one and a half are two");
        assert_eq!(owed_after(0, 4), [false; 3], "no floor is owed nothing");
    }
}
