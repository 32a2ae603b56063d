//! Watches the classes that a policy protects, and takes a generation back that made them worse.
//!
//! It samples the SLO counters of the classes in slices of a thirtieth of the policy's window. When a
//! reload is applied, the slices so far are what was before; for one window each further slice is compared
//! with them (`regression`). The slice in which it came is left out: requests of both generations are in it.
//!
//! Only what a file brought is watched: whoever goes back or sets a mode by hand looks by themselves.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Running, Serving};
use crate::history::Cause;
use crate::policy::compiled::CompiledPolicy;
use crate::regression::{Slice, Worsened, worsened};

/// Slices of a window: enough to see how much they differ, each long enough to hold some requests.
const SLICES: usize = 30;

/// The course of one class.
#[derive(Debug, Default)]
struct Course {
    /// The counters when they were last looked at.
    seen: Slice,
    before: Vec<Slice>,
    after: Vec<Slice>,
}

impl Course {
    fn sample(&mut self, counted: Slice) {
        let kept = counted.kept.saturating_sub(self.seen.kept);
        let missed = counted.missed.saturating_sub(self.seen.missed);
        self.after.push(Slice { kept, missed });
        self.seen = counted;
    }

    /// What was after becomes what is before the next change, but for the slice in which it came.
    fn turn(&mut self) {
        self.after.pop();
        self.before = std::mem::take(&mut self.after);
    }

    fn forget_old(&mut self) {
        let surplus = self.after.len().saturating_sub(SLICES);
        self.after.drain(..surplus);
    }
}

/// What is watched.
#[derive(Debug)]
struct Vigil {
    courses: HashMap<String, Course>,
    generation: u64,
    /// The place of the schedule that holds.
    scheduled: Option<usize>,
    /// Slices until the present generation is trusted.
    looks_left: usize,
}

/// Watches until the process ends.
pub async fn keep(serving: Arc<Serving>) {
    let mut vigil = Vigil::begin(&serving.running());
    loop {
        let slice = slice(&serving.running().generation.policy);
        tokio::time::sleep(slice).await;
        let Some((class, worse)) = vigil.look(&serving) else { continue };
        announce(vigil.generation, &class, worse);
        let (serving, number) = (serving.clone(), vigil.generation);
        let taken_back = tokio::task::spawn_blocking(move || serving.roll_back_from(number)).await;
        match taken_back {
            Ok(Ok(Some(number))) => log::error!("rolled back automatically, as generation {number}"),
            Ok(Ok(None)) => log::warn!("not rolled back: another generation has come into force"),
            Ok(Err(error)) => log::error!("not rolled back: {error}"),
            Err(error) => log::error!("not rolled back: {error}"),
        }
    }
}

fn slice(policy: &CompiledPolicy) -> Duration {
    policy.rollback.window / SLICES as u32
}

fn announce(number: u64, class: &str, worse: Worsened) {
    log::error!(
        "generation {number} made `{class}` worse: {:.1}% of its requests miss the SLO, {:.1}% did before it",
        worse.after * 100.0,
        worse.before * 100.0,
    );
}

impl Vigil {
    fn begin(running: &Running) -> Vigil {
        let generation = running.generation.number;
        let scheduled = running.generation.policy.scheduled;
        let mut vigil = Vigil { courses: HashMap::new(), generation, scheduled, looks_left: 0 };
        vigil.sample(running);
        vigil
    }

    /// Takes a sample; the first protected class that is worse than before, if there is one.
    fn look(&mut self, serving: &Serving) -> Option<(String, Worsened)> {
        let running = serving.running();
        self.sample(&running);
        if running.generation.number != self.generation {
            self.generation = running.generation.number;
            self.scheduled = running.generation.policy.scheduled;
            self.courses.values_mut().for_each(Course::turn);
            let is_watched = matches!(serving.latest_cause(), Some(Cause::Reload | Cause::Promotion));
            self.looks_left = if is_watched { SLICES } else { 0 };
            return None;
        }
        if running.generation.policy.scheduled != self.scheduled {
            // What gets worse by a schedule is not the file's doing, and neither is what it hides.
            self.scheduled = running.generation.policy.scheduled;
            self.courses.values_mut().for_each(Course::turn);
            self.looks_left = 0;
            return None;
        }
        if self.looks_left == 0 {
            self.courses.values_mut().for_each(Course::forget_old);
            return None;
        }
        self.looks_left -= 1;
        let worse = self.worse(&running.generation.policy)?;
        self.looks_left = 0;
        Some(worse)
    }

    fn sample(&mut self, running: &Running) {
        for (class, meters) in running.generation.policy.core.classes().iter().zip(&running.meters) {
            let counted = Slice { kept: meters.slo_kept.get(), missed: meters.slo_missed.get() };
            match self.courses.get_mut(&class.name) {
                Some(course) => course.sample(counted),
                // What it has counted under earlier policies is no slice.
                None => {
                    _ = self.courses.insert(class.name.clone(), Course { seen: counted, ..Course::default() })
                }
            }
        }
        self.courses.retain(|name, _| running.generation.policy.core.class_named(name).is_some());
    }

    fn worse(&self, policy: &CompiledPolicy) -> Option<(String, Worsened)> {
        let rules = &policy.rollback;
        if !rules.automatic {
            return None;
        }
        let looks = SLICES * rules.protected.len();
        rules.protected.iter().find_map(|id| {
            let name = &policy.core.class(*id).name;
            let missed_max = 1.0 - f64::from(policy.settings(*id).objective.millionths()) / 1e6;
            let course = self.courses.get(name)?;
            Some((name.clone(), worsened(&course.before, &course.after, missed_max, looks)?))
        })
    }
}
