//! How far the model may move a request, and how sure of a class it must be.
//!
//! A route pins its class unless its policy leaves it some leeway. Bounds are classes and not steps: an operator
//! thinks of "never below the cart", and a class that is added in between changes nothing about that.
//!
//! It asks no model, and knows ids of classes only.

use plimsoll_core::policy::ClassId;

/// What the model may make of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leeway {
    /// The best class that it may give: what it takes for better gets this one.
    pub best: ClassId,
    /// The worst class that it may give: what it takes for worse gets this one.
    pub worst: ClassId,
    /// How sure it must be of a class, from 0 to 1; where it is less, nothing is moved.
    pub confidence_min: f32,
}

impl Leeway {
    /// The class of a request that the model takes for `class`.
    pub fn bound(&self, class: ClassId) -> ClassId {
        // Better classes have lower places.
        class.max(self.best).min(self.worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_a_bound_gets_the_bound() {
        let class = |index| ClassId::new(index).unwrap();
        let leeway = Leeway { best: class(1), worst: class(3), confidence_min: 0.0 };
        let bound = |index| leeway.bound(class(index)).index();
        assert_eq!((bound(0), bound(1), bound(2), bound(3), bound(4)), (1, 1, 2, 3, 3));
    }
}
