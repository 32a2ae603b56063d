//! Who was refused while somebody less important was let in.
//!
//! An inversion is a request refused in the same tenth of a second in which one of a
//! less important class was admitted outside its class's floor. It is counted by
//! what the door takes a request for, since that is what it orders by, and not in
//! the first two seconds of a phase, in which nobody can know yet.
//!
//! A floor is counted in seats of the door's own limit; where there is no limit,
//! nobody is admitted by a floor.

use plimsoll_core::policy::{ClassId, Policy};
use plimsoll_core::time::Time;
use std::time::Duration;

/// Refusals and admissions of one such span are held against each other.
const SPAN: Duration = Duration::from_millis(100);

/// Counts inversions as they happen.
#[derive(Debug)]
pub(crate) struct Inversions {
    /// The floor of each class, as a share.
    floors: Vec<f64>,
    limit: f64,
    inside: Vec<u32>,
    /// In this span, by class.
    refused: Vec<u64>,
    /// Whether any was admitted outside its floor.
    admitted: Vec<bool>,
    span_ends: Time,
    counts_from: Time,
}

impl Inversions {
    /// Nothing counted yet, for the classes of `policy`.
    pub(crate) fn new(policy: &Policy) -> Inversions {
        let classes = policy.classes();
        Inversions {
            floors: classes.iter().map(|class| f64::from(class.floor.millionths()) / 1e6).collect(),
            limit: 0.0,
            inside: vec![0; classes.len()],
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

    /// The limit by which floors are seats.
    pub(crate) fn set_limit(&mut self, limit: f64) {
        self.limit = limit;
    }

    /// One of `class` was let in.
    pub(crate) fn admit(&mut self, class: ClassId, now: Time) {
        let class = class.index();
        self.inside[class] += 1;
        let floor = (self.floors[class] * self.limit).ceil();
        if now >= self.counts_from && f64::from(self.inside[class]) > floor {
            self.admitted[class] = true;
        }
    }

    /// One of `class` that was let in is gone.
    pub(crate) fn leave(&mut self, class: ClassId) {
        self.inside[class.index()] -= 1;
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

    #[test]
    fn refusal_beside_an_admission_of_less_is_an_inversion_outside_the_floor_only() {
        let mut inversions = Inversions::new(&policy::storefront().core);
        inversions.set_limit(20.0);
        let (cart, browse) = (class("cart"), class("browse"));
        inversions.refuse(cart, at(10));
        inversions.admit(browse, at(20));
        assert_eq!(inversions.take_over(at(100)), 0, "5 % of 20 seats are browse's own");
        inversions.refuse(cart, at(110));
        inversions.admit(browse, at(120));
        assert_eq!(inversions.take_over(at(150)), 0, "the span is not over");
        assert_eq!(inversions.take_over(at(200)), 1);
        inversions.refuse(browse, at(210));
        inversions.admit(cart, at(220));
        assert_eq!(inversions.take_over(at(300)), 0, "the better one was admitted");
        inversions.leave(browse);
        inversions.refuse(cart, at(310));
        inversions.leave(browse);
        inversions.admit(browse, at(320));
        assert_eq!(inversions.take_over(at(400)), 0, "the floor is free again");
    }

    #[test]
    fn nothing_counts_before_its_time() {
        let mut inversions = Inversions::new(&policy::storefront().core);
        inversions.count_from(at(50));
        inversions.refuse(class("cart"), at(49));
        inversions.admit(class("analytics"), at(60));
        assert_eq!(inversions.take_over(at(100)), 0);
        inversions.refuse(class("cart"), at(110));
        inversions.admit(class("analytics"), at(160));
        assert_eq!(inversions.take_over(at(200)), 1);
    }
}
