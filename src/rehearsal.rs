//! A day of a real shop under a policy that was not there: each request of an access log, judged
//! and decided by the code that serves.
//!
//! Judged in the log's own time, so that sessions move through the funnel as they did, and under the schedule that
//! would have held then. Decided in compressed time: the log is played so fast that on average it offers the shop a
//! stated multiple of its capacity, with the order and the bursts it had.
//!
//! Which routes a log reaches is told without deciding anything ([`reach`]).

pub mod reach;
mod walk;

use std::time::Duration;

use plimsoll_core::policy::ClassId;
use plimsoll_core::standing::Value;
use plimsoll_core::time::Time;

use crate::access_log::Entry;
use crate::clock::{Clock, hour_and_weekday};
use crate::forecast::{Ask, Fate, Shop, capacity};
use crate::generation::{ClassBy, Generation};
use crate::rehearsal::walk::{Step, walk};

/// What a policy made of one request of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Rehearsed {
    /// Its class.
    pub class: ClassId,
    /// Who decided that.
    pub class_by: ClassBy,
    /// The line of the route that did, if one did.
    pub route: Option<Box<str>>,
    /// The place of the schedule that held when it came.
    pub scheduled: Option<usize>,
    /// What became of it.
    pub fate: Fate,
}

/// Plays `entries`, which are in order of time, at `load` times the capacity of the shop.
pub fn rehearse(generation: &Generation, entries: &[Entry], load: f64) -> Vec<Rehearsed> {
    let clock = Clock::start();
    let mut judged = Vec::with_capacity(entries.len());
    let mut minutes = Minutes { generation, last: None };
    walk(generation, entries, &clock, |step| {
        let Step { judgement, .. } = step;
        let value = generation.value(judgement.class, &step.view, hour_and_weekday(step.wall), &clock);
        let rehearsed = Rehearsed {
            class: judgement.class,
            class_by: judgement.class_by,
            route: judgement.route.map(|route| route.defined_at.clone()),
            scheduled: minutes.scheduled_at(step.wall),
            fate: Fate::Served,
        };
        judged.push((rehearsed, Ask { class: judgement.class, value: Value::new(value) }));
    });
    let fates = fates(generation, arrivals(entries, load).zip(&judged));
    judged.into_iter().zip(fates).map(|((rehearsed, _), fate)| Rehearsed { fate, ..rehearsed }).collect()
}

/// What becomes of requests at their times, each decided under the schedule that holds when it comes.
fn fates<'r>(
    generation: &Generation,
    requests: impl Iterator<Item = (Time, &'r (Rehearsed, Ask))>,
) -> Vec<Fate> {
    let mut scheduled = None;
    let mut shop = Shop::new(generation.policy.core_under(scheduled));
    for (at, (rehearsed, ask)) in requests {
        if rehearsed.scheduled != scheduled {
            scheduled = rehearsed.scheduled;
            shop.change_policy(at, generation.policy.core_under(scheduled));
        }
        shop.arrive(at, *ask);
    }
    shop.close()
}

/// The schedules of a log's minutes: they begin and end with a minute, and many requests come within one.
struct Minutes<'g> {
    generation: &'g Generation,
    /// The last one that was asked for, since 1970, and the schedule that held.
    last: Option<(u64, Option<usize>)>,
}

impl Minutes<'_> {
    /// The place of the schedule that holds at this time, since 1970 in UTC.
    fn scheduled_at(&mut self, wall: Duration) -> Option<usize> {
        let minute = wall.as_secs() / 60;
        match self.last {
            Some((last, scheduled)) if last == minute => scheduled,
            _ => {
                let scheduled = self.generation.policy.scheduled_at(wall);
                self.last = Some((minute, scheduled));
                scheduled
            }
        }
    }
}

/// When each entry arrives at the shop: those of one second are spread over it, then time is
/// compressed.
fn arrivals(entries: &[Entry], load: f64) -> impl Iterator<Item = Time> {
    let first = entries.first().map_or(0, |entry| entry.second);
    let last = entries.last().map_or(0, |entry| entry.second);
    let lasts = entries.len() as f64 / (capacity() * load);
    let pace = lasts / (last - first + 1) as f64;
    entries.chunk_by(|one, other| one.second == other.second).flat_map(move |second| {
        let start = (second[0].second - first) as f64;
        let gap = 1.0 / second.len() as f64;
        (0..second.len())
            .map(move |place| Time::ZERO.after(Duration::from_secs_f64((start + place as f64 * gap) * pace)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::compile::compile;
    use crate::policy::storefront;
    use crate::yaml::source::Source;

    fn entry(second: i64, client: &str, target: &str) -> Entry {
        Entry {
            second,
            client: client.into(),
            method: http::Method::GET,
            target: target.parse().unwrap(),
            referer: None,
            user_agent: None,
        }
    }

    #[test]
    fn sessions_move_through_the_funnel_as_the_log_says() {
        let generation = Generation::new(1, storefront(), None);
        let log = [
            entry(100, "c1", "/logo.png"),
            entry(101, "c1", "/checkout"),
            entry(102, "c1", "/logo.png"),
            entry(103, "c2", "/logo.png"),
        ];
        let rehearsed = rehearse(&generation, &log, 0.5);
        let names: Vec<_> =
            rehearsed.iter().map(|one| generation.policy.core.class(one.class).name.as_str()).collect();
        assert_eq!(names, ["static", "checkout", "account", "static"]);
        assert!(rehearsed.iter().all(|one| one.fate == Fate::Served));
    }

    #[test]
    fn each_request_comes_under_the_schedule_of_its_own_time() {
        let policy = "version: 1\nclasses: { a: {} }\nschedules:
  sale: { zone: Europe/Berlin, from: 11:00, to: 12:00, classes: { a: { ceiling: 50% } } }\n";
        let policy = compile(&Source::of("policy.yaml", policy)).unwrap();
        let generation = Generation::new(1, policy, None);
        // Of 1 January 1970, when Berlin was an hour ahead: a second before ten, ten, a second before eleven, eleven.
        let log = [35_999, 36_000, 39_599, 39_600].map(|second| entry(second, "c1", "/"));
        let rehearsed = rehearse(&generation, &log, 0.5);
        let scheduled: Vec<_> = rehearsed.iter().map(|one| one.scheduled).collect();
        assert_eq!(scheduled, [None, Some(0), Some(0), None]);
    }

    #[test]
    fn a_log_is_compressed_to_the_load_that_is_asked_for() {
        let log: Vec<_> = (0..800).map(|second| entry(second / 2, "c1", "/")).collect();
        let at: Vec<_> = arrivals(&log, 2.0).collect();
        // 800 requests at twice the 400 a second that the shop can answer.
        let last = at.last().unwrap().since(Time::ZERO).as_secs_f64();
        assert!((0.99..1.0).contains(&last), "{last}");
        assert!(at.is_sorted());
    }
}
