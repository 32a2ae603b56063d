//! Who was refused while somebody less important was let in.
//!
//! An inversion is a request refused in the same tenth of a second in which one of a
//! less important class was admitted outside its class's floor. It is counted by
//! what the door takes a request for, since that is what it orders by, and not in
//! the first two seconds of a phase, in which nobody can know yet.
//!
//! A floor is counted in whole seats of the limit that the door has at that very
//! moment, as the core counts it: a limit of a tenth of a second ago calls a seat
//! of a floor that has just grown an inversion, and with it every refusal around
//! it. Where there is no limit, nobody is admitted by a floor. Several proxies
//! have floors of their own.

use plimsoll_core::policy::{ClassId, Policy, Share};
use plimsoll_core::time::Time;
use std::time::Duration;

/// Refusals and admissions of one such span are held against each other.
const SPAN: Duration = Duration::from_millis(100);

/// Counts inversions as they happen.
#[derive(Debug)]
pub(crate) struct Inversions {
    /// The floor of each class.
    floors: Vec<Share>,
    /// By door and class.
    inside: Vec<Vec<u32>>,
    /// In this span, by class.
    refused: Vec<u64>,
    /// Whether any was admitted outside its floor.
    admitted: Vec<bool>,
    span_ends: Time,
    counts_from: Time,
}

impl Inversions {
    /// Nothing counted yet, for so many doors and the classes of `policy`.
    pub(crate) fn new(policy: &Policy, doors: usize) -> Inversions {
        let classes = policy.classes();
        Inversions {
            floors: classes.iter().map(|class| class.floor).collect(),
            inside: vec![vec![0; classes.len()]; doors],
            refused: vec![0; classes.len()],
            admitted: vec![false; classes.len()],
            span_ends: Time::ZERO.after(SPAN),
            counts_from: Time::ZERO,
        }
    }

    /// Nothing that happens before `at` counts.
    pub(crate) fn count_from(&mut self, at: Time) {
        self.counts_from = at;
    }

    /// One of `class` was let in by a door of this limit.
    pub(crate) fn admit(&mut self, door: usize, class: ClassId, limit: Option<f64>, now: Time) {
        let class = class.index();
        self.inside[door][class] += 1;
        let floor = limit.map_or(0, |limit| self.floors[class].seats(limit as u32));
        if now >= self.counts_from && self.inside[door][class] > floor {
            self.admitted[class] = true;
        }
    }

    /// One of `class` that a door let in is gone.
    pub(crate) fn leave(&mut self, door: usize, class: ClassId) {
        self.inside[door][class.index()] -= 1;
    }

    /// One of `class` was refused.
    pub(crate) fn refuse(&mut self, class: ClassId, now: Time) {
        if now >= self.counts_from {
            self.refused[class.index()] += 1;
        }
    }

    /// The inversions of the span that is over at `now`, if one is.
    pub(crate) fn take_over(&mut self, now: Time) -> u64 {
        if now < self.span_ends {
            return 0;
        }
        self.span_ends = now.after(SPAN);
        let least = self.admitted.iter().rposition(|admitted| *admitted).unwrap_or(0);
        let inversions = self.refused[..least].iter().sum();
        self.refused.fill(0);
        self.admitted.fill(false);
        inversions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll::policy;

    fn class(name: &str) -> ClassId {
        policy::storefront().core.class_named(name).unwrap()
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    const TWENTY: Option<f64> = Some(20.0);

    #[test]
    fn refusal_beside_an_admission_of_less_is_an_inversion_outside_the_floor_only() {
        let mut inversions = Inversions::new(&policy::storefront().core, 1);
        let (cart, browse) = (class("cart"), class("browse"));
        inversions.refuse(cart, at(10));
        inversions.admit(0, browse, TWENTY, at(20));
        assert_eq!(inversions.take_over(at(100)), 0, "5 % of 20 seats are browse's own");
        inversions.refuse(cart, at(110));
        inversions.admit(0, browse, TWENTY, at(120));
        assert_eq!(inversions.take_over(at(150)), 0, "the span is not over");
        assert_eq!(inversions.take_over(at(200)), 1);
        inversions.refuse(browse, at(210));
        inversions.admit(0, cart, TWENTY, at(220));
        assert_eq!(inversions.take_over(at(300)), 0, "the better one was admitted");
        inversions.leave(0, browse);
        inversions.refuse(cart, at(310));
        inversions.leave(0, browse);
        inversions.admit(0, browse, TWENTY, at(320));
        assert_eq!(inversions.take_over(at(400)), 0, "the floor is free again");
    }

    #[test]
    fn floor_is_the_whole_seats_of_the_limit_of_that_moment() {
        let (cart, browse) = (class("cart"), class("browse"));
        let of_second = |limit: Option<f64>| {
            let mut inversions = Inversions::new(&policy::storefront().core, 1);
            inversions.refuse(cart, at(10));
            inversions.admit(0, browse, limit, at(20));
            inversions.admit(0, browse, limit, at(30));
            inversions.take_over(at(100))
        };
        assert_eq!(of_second(Some(49.9)), 1, "3 % of 49 seats are one, to the nearest");
        assert_eq!(of_second(Some(50.0)), 0, "and of 50 they are two");
        assert_eq!(of_second(None), 1, "without a limit there is no floor");
    }

    #[test]
    fn every_door_has_a_floor_of_its_own() {
        let mut inversions = Inversions::new(&policy::storefront().core, 2);
        let (cart, browse) = (class("cart"), class("browse"));
        inversions.refuse(cart, at(10));
        inversions.admit(0, browse, TWENTY, at(20));
        inversions.admit(1, browse, TWENTY, at(30));
        assert_eq!(inversions.take_over(at(100)), 0, "the first of each");
        inversions.refuse(cart, at(110));
        inversions.leave(0, browse);
        inversions.admit(1, browse, TWENTY, at(120));
        assert_eq!(inversions.take_over(at(200)), 1, "the second of one");
    }

    #[test]
    fn nothing_counts_before_its_time() {
        let mut inversions = Inversions::new(&policy::storefront().core, 1);
        inversions.count_from(at(50));
        inversions.refuse(class("cart"), at(49));
        inversions.admit(0, class("analytics"), TWENTY, at(60));
        assert_eq!(inversions.take_over(at(100)), 0);
        inversions.refuse(class("cart"), at(110));
        inversions.admit(0, class("analytics"), TWENTY, at(160));
        assert_eq!(inversions.take_over(at(200)), 1);
    }
}
