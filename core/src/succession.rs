//! Which class of a new policy continues which class of the old: by name.
//!
//! An operator edits ranks, floors and queues of a running shop; what was
//! learned about a class (its latency, its load, its breaker) must survive
//! that, and whoever waits must keep a place. A class that is gone leaves its
//! requests to the least important one and its state to nobody.
//!
//! It carries values over; what to carry is for their owners to say.

use crate::policy::{CLASSES_MAX, ClassId, Policy};

/// The way from the classes of one policy to those of the next.
pub(crate) struct Succession {
    /// The new class of each old one.
    heirs: [Option<ClassId>; CLASSES_MAX],
    least_important: ClassId,
}

impl Succession {
    /// From `old` to `new`.
    pub(crate) fn between(old: &Policy, new: &Policy) -> Succession {
        let mut heirs = [None; CLASSES_MAX];
        for (heir, class) in heirs.iter_mut().zip(old.classes()) {
            *heir = new.class_named(&class.name);
        }
        Succession { heirs, least_important: new.least_important() }
    }

    /// The class of the same name, if there is one.
    pub(crate) fn namesake(&self, old: ClassId) -> Option<ClassId> {
        self.heirs[old.index()]
    }

    /// The class that takes over the requests of `old`.
    pub(crate) fn heir(&self, old: ClassId) -> ClassId {
        self.namesake(old).unwrap_or(self.least_important)
    }

    /// What each new class has of its namesake; classes that are new start from the default.
    pub(crate) fn carry<T: Default>(&self, old: [T; CLASSES_MAX]) -> [T; CLASSES_MAX] {
        let mut new = std::array::from_fn(|_| T::default());
        for (heir, state) in self.heirs.iter().zip(old) {
            if let Some(heir) = heir {
                new[heir.index()] = state;
            }
        }
        new
    }
}
