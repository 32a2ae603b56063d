//! What a controller has learned of its pool, told by the names of classes.
//!
//! Names, for the next process may have another policy. Breakers, queues and load are
//! not told: they are of the moment.

use std::time::Duration;

use super::Controller;
use crate::policy::CLASSES_MAX;
use crate::time::Time;

/// What was learned of a pool, for another controller to begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// The limit.
    pub limit: u32,
    /// The healthy latencies of classes, by their names.
    pub baselines: Vec<(String, Duration)>,
}

impl Controller {
    /// What was learned of the pool; `None` while too little is.
    pub fn learned(&self) -> Option<Learned> {
        let (limit, baselines) = self.limit.learned()?;
        let known = self.policy.ids().filter(|id| !baselines[id.index()].is_zero());
        let named = known.map(|id| (self.policy.class(id).name.clone(), baselines[id.index()]));
        Some(Learned { limit, baselines: named.collect() })
    }

    /// Begins with what another controller learned of the same pool. Classes that the policy does not
    /// have are passed over.
    pub fn resume(&mut self, learned: &Learned, now: Time) {
        let mut baselines = [Duration::ZERO; CLASSES_MAX];
        for (name, baseline) in &learned.baselines {
            if let Some(class) = self.policy.class_named(name) {
                baselines[class.index()] = *baseline;
            }
        }
        self.limit.resume(learned.limit, baselines, now);
    }
}
