//! A day of a real shop under a policy that was not there: each request of an access log, judged
//! and decided by the code that serves.
//!
//! Judged in the log's own time, so that sessions move through the funnel as they did. Decided in
//! compressed time: the log is played so fast that on average it offers the shop a stated multiple
//! of its capacity, with the order and the bursts it had.
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
    /// What became of it.
    pub fate: Fate,
}

/// Plays `entries`, which are in order of time, at `load` times the capacity of the shop.
pub fn rehearse(generation: &Generation, entries: &[Entry], load: f64) -> Vec<Rehearsed> {
    let clock = Clock::start();
    let mut judged = Vec::with_capacity(entries.len());
    walk(generation, entries, &clock, |step| {
        let Step { judgement, .. } = step;
        let value = generation.value(judgement.class, &step.view, hour_and_weekday(step.wall), &clock);
        let rehearsed = Rehearsed {
            class: judgement.class,
            class_by: judgement.class_by,
            route: judgement.route.map(|route| route.defined_at.clone()),
            fate: Fate::Served,
        };
        judged.push((rehearsed, Ask { class: judgement.class, value: Value::new(value) }));
    });
    let mut shop = Shop::new(&generation.policy.core);
    for (at, (_, ask)) in arrivals(entries, load).zip(&judged) {
        shop.arrive(at, *ask);
    }
    let fates = shop.close();
    judged.into_iter().zip(fates).map(|((rehearsed, _), fate)| Rehearsed { fate, ..rehearsed }).collect()
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
    use crate::policy::storefront;

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
    fn a_log_is_compressed_to_the_load_that_is_asked_for() {
        let log: Vec<_> = (0..800).map(|second| entry(second / 2, "c1", "/")).collect();
        let at: Vec<_> = arrivals(&log, 2.0).collect();
        // 800 requests at twice the 400 a second that the shop can answer.
        let last = at.last().unwrap().since(Time::ZERO).as_secs_f64();
        assert!((0.99..1.0).contains(&last), "{last}");
        assert!(at.is_sorted());
    }
}
