//! What a request stands for: its class's rank, and its cohort within that.
//!
//! One number makes "better" a comparison. The cohort is the quantised value,
//! inverted, with a penalty for what the client asked for lately and a bonus for a
//! session that was served before; neither leaves the rank.
//!
//! Pure arithmetic. Who is let in is a matter of `admission`.

use crate::decision::{COHORTS, Side, Standing};
use crate::policy::{Class, ClassId};
use crate::queue::{COHORT_GROUPS, Ring};

/// The quantised value spans this part of the cohorts; penalties and bonuses move within the rest.
const VALUE_COHORTS: f32 = 95.0;
/// What a session that was admitted before is ahead of a fresh one: one cohort group.
const ADMITTED_BONUS: u16 = 16;
/// The largest penalty for recent usage: behind everybody of the class, whatever the client is thought to be
/// worth. A card tester who has paid a hundred times looks like the best of customers.
pub const USAGE_PENALTY_MAX: u8 = COHORTS as u8 - 1;

/// What the model thinks a request is worth, in [0, 1], quantised to 256 steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value(u8);

impl Value {
    /// Of a model output; what is not a number is worth nothing.
    pub fn new(value: f32) -> Value {
        // `as` saturates, and turns NaN into 0.
        Value((value * 255.0) as u8)
    }

    /// The step, of 256.
    pub const fn step(self) -> u8 {
        self.0
    }

    /// Of a step.
    pub const fn from_step(step: u8) -> Value {
        Value(step)
    }

    /// Back in [0, 1].
    pub fn get(self) -> f32 {
        f32::from(self.0) / 255.0
    }
}

/// Whether the session of a request has been served before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenure {
    /// It has not, or nobody vouches for it.
    Fresh,
    /// It has: refusing it now would waste what was spent on it.
    Admitted,
}

/// The standing of a request, from its class's rank and what is known of it.
pub fn standing(class: &Class, value: Value, tenure: Tenure, usage_penalty: u8) -> Standing {
    let worth = (value.get() * VALUE_COHORTS) as u16;
    let bonus = if tenure == Tenure::Admitted { ADMITTED_BONUS } else { 0 };
    let penalty = u16::from(usage_penalty.min(USAGE_PENALTY_MAX));
    let cohort = (COHORTS - 1 - worth).saturating_add(penalty).saturating_sub(bonus);
    Standing(u16::from(class.rank) * COHORTS + cohort.min(COHORTS - 1))
}

/// The same cohort in the rank of another class.
pub(crate) fn restand(class: &Class, standing: Standing) -> Standing {
    Standing(u16::from(class.rank) * COHORTS + standing.0 % COHORTS)
}

/// The worst standing in the first `cohorts` of a class; if these are none, the worst of a better rank.
pub(crate) fn worst_of(class: &Class, cohorts: u16) -> Standing {
    Standing((u16::from(class.rank) * COHORTS + cohorts).saturating_sub(1))
}

/// The cohort of a standing.
pub(crate) fn cohort_of(standing: Standing) -> u8 {
    (standing.0 % COHORTS) as u8
}

/// The ring that one of a class waits in: by its cohort, or behind all of them if it only fills gaps or is late.
pub fn ring_of(class: ClassId, standing: Standing, side: Side) -> Ring {
    match side {
        Side::AboveLine => {
            let group = usize::from(cohort_of(standing)) * COHORT_GROUPS / usize::from(COHORTS);
            Ring::new(class, group)
        }
        Side::BelowLine | Side::Beyond | Side::Late => Ring::last_of(class),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worth_moves_a_standing_within_its_rank_only() {
        let class = Class::sample("browse", 3);
        let of = |value, tenure, penalty| standing(&class, Value::new(value), tenure, penalty).0;
        assert_eq!(of(0.0, Tenure::Fresh, 0), 3 * 128 + 127);
        assert_eq!(of(1.0, Tenure::Fresh, 0), 3 * 128 + 32);
        assert_eq!(of(1.0, Tenure::Admitted, 0), 3 * 128 + 16);
        assert_eq!(of(1.0, Tenure::Fresh, 32), 3 * 128 + 64);
        assert_eq!(of(1.0, Tenure::Admitted, USAGE_PENALTY_MAX), 3 * 128 + 127, "whatever it is worth");
        assert_eq!(of(0.0, Tenure::Fresh, 255), 3 * 128 + 127, "and no lower than its rank");
    }

    #[test]
    fn worst_of_some_cohorts_is_in_the_last_of_them() {
        let browse = Class::sample("browse", 3);
        assert_eq!(worst_of(&browse, COHORTS), Standing(3 * 128 + 127));
        assert_eq!(worst_of(&browse, 1), Standing(3 * 128));
        assert_eq!(worst_of(&browse, 0), Standing(2 * 128 + 127));
        assert_eq!(worst_of(&Class::sample("checkout", 0), 0), Standing(0), "there is none better");
    }

    #[test]
    fn value_that_is_no_number_is_worth_nothing() {
        assert_eq!(Value::new(f32::NAN), Value::new(0.0));
        assert_eq!(Value::new(7.0), Value::new(1.0));
        assert_eq!(Value::new(-1.0), Value::new(0.0));
    }

    #[test]
    fn another_rank_keeps_the_cohort() {
        let fresh = standing(&Class::sample("browse", 3), Value::new(0.5), Tenure::Fresh, 0);
        let same = standing(&Class::sample("cart", 1), Value::new(0.5), Tenure::Fresh, 0);
        assert_eq!(restand(&Class::sample("cart", 1), fresh), same);
    }
}
