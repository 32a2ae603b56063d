//! Watches the classes that a policy protects, and takes a generation back that made them worse.
//!
//! It samples the SLO counters of the classes in slices of a thirtieth of the policy's window. When a
//! reload is applied, the slices so far are what was before; for one window each further slice is compared
//! with them (`regression`). The slice in which it came is left out: requests of both generations are in it.
//!
//! Who edits again within the window has not made the first edit good: the second is held against what was
//! before both, and it is that which is gone back to. While there is a canary the other sessions alone are
//! looked at: its harm is told apart (`canary`), and is not the generation's in force.
//!
//! A window ends early, which is logged, when a schedule begins or is over, when somebody sets the mode or goes back by
//! hand, and with the process: slices of something else are not compared.
//!
//! What would be gone back to is pinned in the history, so that ten edits within one window do not push it out.
//!
//! Only what a file brought is watched: whoever goes back or sets a mode by hand looks by themselves.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Running, Serving};
use crate::generation::Contents;
use crate::history::Cause;
use crate::policy::compiled::CompiledPolicy;
use crate::regression::{Slice, Worsened, worsened};
use crate::telemetry::meters::ClassMeters;

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

    /// What was after becomes what is before the next change.
    fn turn(&mut self) {
        self.before = std::mem::take(&mut self.after);
    }

    /// What was before goes on, as if there had been no change.
    fn resume(&mut self) {
        self.after = std::mem::take(&mut self.before);
    }

    fn forget_old(&mut self) {
        let surplus = self.after.len().saturating_sub(SLICES);
        self.after.drain(..surplus);
    }
}

/// A generation, by its number and by what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    number: u64,
    contents: Contents,
}

/// What decides at a moment: slices of different ones are not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scene {
    generation: Known,
    /// The place of the schedule that holds.
    scheduled: Option<usize>,
    /// The canary's number.
    canary: Option<u64>,
}

impl Scene {
    fn of(running: &Running) -> Scene {
        let Running { generation, canary, .. } = running;
        Scene {
            generation: Known { number: generation.number, contents: generation.contents() },
            scheduled: generation.policy.scheduled,
            canary: canary.as_ref().map(|canary| canary.running.generation.number),
        }
    }
}

/// What is watched.
#[derive(Debug)]
struct Vigil {
    courses: HashMap<String, Course>,
    scene: Scene,
    /// What was in force in the slices before: what is gone back to.
    trusted: Known,
    /// Slices until the present generation is trusted.
    looks_left: usize,
    /// The generation that the history keeps for this.
    pinned: u64,
}

/// Watches until the process ends.
pub async fn keep(serving: Arc<Serving>) {
    let mut vigil = Vigil::begin(&serving);
    loop {
        let slice = slice(&serving.running().generation.policy);
        tokio::time::sleep(slice).await;
        let Some((class, worse)) = vigil.look(&serving) else { continue };
        let (number, before) = (vigil.scene.generation.number, vigil.trusted.number);
        announce(number, &class, worse);
        let serving = serving.clone();
        let taken_back = tokio::task::spawn_blocking(move || serving.roll_back_from(number, before)).await;
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
    fn begin(serving: &Serving) -> Vigil {
        let running = serving.running();
        let scene = Scene::of(&running);
        let trusted = scene.generation.clone();
        let pinned = trusted.number;
        serving.pin(pinned);
        let mut vigil = Vigil { courses: HashMap::new(), scene, trusted, looks_left: 0, pinned };
        vigil.each_course(&running, |course, counted| course.seen = counted);
        vigil
    }

    /// Takes a sample; the first protected class that is worse than before, if there is one.
    fn look(&mut self, serving: &Serving) -> Option<(String, Worsened)> {
        let worse = self.sample(serving);
        let number = self.refuge().number;
        if worse.is_none() && number != self.pinned {
            serving.pin(number);
            self.pinned = number;
        }
        worse
    }

    /// What would be gone back to if an edit that comes now were worse: what is in force, once it is trusted.
    fn refuge(&self) -> &Known {
        if self.looks_left == 0 { &self.scene.generation } else { &self.trusted }
    }

    fn sample(&mut self, serving: &Serving) -> Option<(String, Worsened)> {
        let running = serving.running();
        let scene = Scene::of(&running);
        if scene != self.scene {
            // Requests of both are in this slice, or other counters count.
            self.each_course(&running, |course, counted| course.seen = counted);
            self.turn(scene, serving.latest_cause());
            return None;
        }
        self.each_course(&running, Course::sample);
        if self.looks_left == 0 {
            self.courses.values_mut().for_each(Course::forget_old);
            return None;
        }
        self.looks_left -= 1;
        let worse = self.worse(&running.generation.policy)?;
        self.looks_left = 0;
        Some(worse)
    }

    /// Something else decides from here on.
    fn turn(&mut self, scene: Scene, cause: Option<Cause>) {
        let was = std::mem::replace(&mut self.scene, scene);
        if self.scene.generation.number != was.generation.number {
            self.turn_generation(was.generation, cause);
        } else if self.scene.scheduled != was.scheduled {
            // What gets worse by a schedule is not the file's doing, and neither is what it hides.
            self.courses.values_mut().for_each(Course::turn);
            self.end_early(was.generation.number, "other hours hold");
        }
    }

    /// Looks no longer at what `number` has changed, and says so if it was still on trial.
    fn end_early(&mut self, number: u64, why: &str) {
        if self.looks_left > 0 {
            log::warn!("generation {number} is not taken back by itself any more: {why}");
        }
        self.looks_left = 0;
    }

    fn turn_generation(&mut self, was: Known, cause: Option<Cause>) {
        let courses = self.courses.values_mut();
        match (cause, self.looks_left) {
            // An edit that was taken back within its window.
            (Some(Cause::Reload | Cause::Promotion), 1..)
                if self.scene.generation.contents == self.trusted.contents =>
            {
                courses.for_each(Course::resume);
                self.looks_left = 0;
            }
            // An edit upon one that is not trusted yet.
            (Some(Cause::Reload | Cause::Promotion), 1..) => {
                courses.for_each(|course| course.after.clear());
                self.looks_left = SLICES;
            }
            (Some(Cause::Reload | Cause::Promotion), 0) => {
                courses.for_each(Course::turn);
                self.trusted = was;
                self.looks_left = SLICES;
            }
            // By hand.
            _ => {
                courses.for_each(Course::turn);
                self.end_early(was.number, "somebody has had a look");
            }
        }
    }

    /// Shows each class's course what has been counted of it, also of one that is new.
    fn each_course(&mut self, running: &Running, mut show: impl FnMut(&mut Course, Slice)) {
        for (class, meters) in running.generation.policy.core.classes().iter().zip(&running.meters) {
            let counted = counted(meters);
            match self.courses.get_mut(&class.name) {
                Some(course) => show(course, counted),
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

/// What has been counted of the sessions that the generation in force decides for.
fn counted(meters: &ClassMeters) -> Slice {
    let (kept, missed) = match &meters.arm {
        Some(rest) => (&rest.slo_kept, &rest.slo_missed),
        None => (&meters.slo_kept, &meters.slo_missed),
    };
    Slice { kept: kept.get(), missed: missed.get() }
}

#[cfg(test)]
mod tests;
