//! Schedules come and go at their minute, without a reload.
//!
//! Every minute the policy in force is asked what it is now. If that has changed, the gates are told of its
//! classes as they are told of a new policy's; the generation stays the one it is, and so does its number. Who
//! was judged a moment before is judged anew.
//!
//! A suspended process, or a clock that was set, is at most a minute behind.

use std::sync::Arc;
use std::time::Duration;

use super::applying::stamp_of;
use super::canary::Canary;
use super::{Running, Serving};
use crate::clock::Clock;
use crate::generation::Generation;

const MINUTE: Duration = Duration::from_secs(60);

/// Follows the schedules until the process ends.
pub async fn keep(serving: Arc<Serving>) {
    loop {
        tokio::time::sleep(until_next_minute(Clock::wall())).await;
        let serving = serving.clone();
        // The lock of what is applied may be held for as long as a generation is read back from disk.
        let followed = tokio::task::spawn_blocking(move || serving.follow_schedules(Clock::wall())).await;
        followed.unwrap_or_else(|error| log::error!("schedules are not followed: {error}"));
    }
}

fn until_next_minute(wall: Duration) -> Duration {
    MINUTE - Duration::from_nanos((wall.as_nanos() % MINUTE.as_nanos()) as u64)
}

impl Serving {
    /// Decides as the schedules have it at this time, since 1970 in UTC.
    fn follow_schedules(&self, wall: Duration) {
        // Nothing else comes into force meanwhile.
        let _history = self.history();
        let running = self.running_for_long();
        let generation = running.generation.clone().at(wall);
        if generation.policy.scheduled == running.generation.policy.scheduled {
            return;
        }
        match generation.policy.schedule() {
            Some(schedule) => log::info!("schedule `{}` begins ({})", schedule.name, schedule.defined_at),
            None => log::info!("no schedule holds any more"),
        }
        let stamp = stamp_of(&generation);
        self.swap(running.rescheduled(generation), &stamp);
    }
}

impl Running {
    /// The same generations, in both arms, as they are at another time.
    fn rescheduled(&self, generation: Generation) -> Running {
        let canary = self.canary.as_ref().map(|canary| {
            let running = &canary.running;
            let of_canary = running.generation.clone().sharing_core_with(&generation);
            let running = Arc::new(running.with(of_canary));
            Arc::new(Canary { running, bundle: canary.bundle.clone(), ..**canary })
        });
        Running { canary, ..self.with(generation) }
    }

    fn with(&self, generation: Generation) -> Running {
        let (limits, meters, canary) = (self.limits.clone(), self.meters.clone(), self.canary.clone());
        Running { generation, limits, meters, canary, arm: self.arm, swap: self.swap }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const POLICY: &str = "version: 1
classes: { checkout: { floor: 10% }, browse: {} }
schedules:
  sale: { zone: UTC, from: 10:00, to: 12:00, classes: { checkout: { floor: 40% } } }
";

    /// The floor of checkout, in percent, and the schedule that holds.
    fn now(serving: &Serving) -> (u32, Option<String>) {
        let running = serving.running();
        let policy = &running.generation.policy;
        let class = policy.core.class_named("checkout").unwrap();
        let schedule = policy.schedule().map(|schedule| schedule.name.to_string());
        (policy.core.class(class).floor.millionths() / 10_000, schedule)
    }

    #[test]
    fn schedules_come_and_go_without_another_generation() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.yaml");
        std::fs::write(&path, POLICY).unwrap();
        let serving = Serving::start(Config { policy: Some(path), ..Config::default() }).unwrap();
        // Of 1 January 1970.
        let at = |hour: u64| Duration::from_secs(hour * 3_600);
        for (hour, floor) in [(9, 10), (10, 40), (11, 40), (12, 10), (34, 40)] {
            serving.follow_schedules(at(hour));
            assert_eq!(now(&serving), (floor, (floor == 40).then(|| "sale".to_owned())), "{hour}");
            assert_eq!(serving.running().generation.number, 1);
        }
        // What is set by hand holds within a schedule and after it.
        serving.set_mode(plimsoll_core::policy::Mode::Observe);
        for hour in [10, 13] {
            serving.follow_schedules(at(hour));
            let mode = serving.running().generation.policy.core.mode();
            assert_eq!(mode, plimsoll_core::policy::Mode::Observe);
        }
    }

    #[test]
    fn the_next_minute_is_a_whole_one() {
        assert_eq!(until_next_minute(Duration::from_millis(119_500)), Duration::from_millis(500));
        assert_eq!(until_next_minute(Duration::from_secs(120)), MINUTE);
    }
}
