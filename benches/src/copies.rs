//! A log scaled up or down by whole sessions.
//!
//! Twice the load is not every request twice: it is twice as many visitors, each of
//! whom does what a visitor does, in that order and at that pace. So a session (an
//! address and a user agent) is copied as a whole, under a new identity, and each copy
//! begins at another moment nearby; the shape of the day stays, and copies do not march
//! in step. A session that is left out is left out as a whole, too.

use crate::arrivals::ShopperId;
use plimsoll::access_log::Entry;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;

/// A line of the log, to be sent for one visitor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sending<'l> {
    /// In seconds of the log, from its start.
    pub(crate) time: f64,
    /// The line.
    pub(crate) entry: &'l Entry,
    /// For whom it is sent.
    pub(crate) shopper: ShopperId,
}

/// How a log is scaled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scaling {
    /// Sessions for each that is there.
    pub(crate) scale: f64,
    /// Seconds of the log by which a copy is shifted at most.
    pub(crate) shift: f64,
    /// Makes copies and shifts repeatable.
    pub(crate) seed: u64,
}

/// The copies of one session: their identities, and by how much each is shifted.
struct Session {
    first: usize,
    shifts: Vec<f64>,
}

/// What is sent of `entries`, which are sorted by their second, in order of time.
pub(crate) fn sendings(entries: &[Entry], scaling: Scaling) -> Vec<Sending<'_>> {
    let mut rng = SmallRng::seed_from_u64(scaling.seed);
    let mut sessions: HashMap<(&str, Option<&str>), Session> = HashMap::new();
    let mut identities = 0;
    let mut sendings = Vec::new();
    for (time, entry) in timed(entries) {
        let session = sessions.entry((&entry.client, entry.user_agent.as_deref())).or_insert_with(|| {
            let shifts = shifts(scaling, &mut rng);
            let first = identities;
            identities += shifts.len();
            Session { first, shifts }
        });
        for (copy, shift) in session.shifts.iter().enumerate() {
            let shopper = ShopperId(session.first + copy);
            sendings.push(Sending { time: time + shift, entry, shopper });
        }
    }
    sendings.sort_by(|one, other| one.time.total_cmp(&other.time));
    sendings
}

/// One for each copy of a session; the first stays where it was.
fn shifts(Scaling { scale, shift, .. }: Scaling, rng: &mut SmallRng) -> Vec<f64> {
    let copies = scale.floor() as usize + usize::from(rng.random_bool(scale.fract()));
    let shift_of = |copy: usize| if copy == 0 { 0.0 } else { rng.random::<f64>() * shift };
    (0..copies).map(shift_of).collect()
}

/// Entries with their time in seconds from the start of the log, those of one second spread over it.
fn timed(entries: &[Entry]) -> impl Iterator<Item = (f64, &Entry)> {
    let first = entries.first().map_or(0, |entry| entry.second);
    entries.chunk_by(|a, b| a.second == b.second).flat_map(move |second| {
        let start = (second[0].second - first) as f64;
        let gap = 1.0 / second.len() as f64;
        second.iter().enumerate().map(move |(place, entry)| (start + place as f64 * gap, entry))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use std::collections::BTreeMap;

    const AS_IT_IS: Scaling = Scaling { scale: 1.0, shift: 60.0, seed: 1 };

    fn entry(second: i64, client: &str) -> Entry {
        Entry {
            second,
            client: client.into(),
            method: Method::GET,
            target: "/".parse().unwrap(),
            referer: None,
            user_agent: None,
        }
    }

    #[test]
    fn lines_of_one_second_are_spread_over_it_in_order() {
        let entries = [100, 100, 103, 103, 103, 103].map(|second| entry(second, "c1"));
        let times: Vec<f64> = sendings(&entries, AS_IT_IS).iter().map(|sending| sending.time).collect();
        assert_eq!(times, [0.0, 0.5, 3.0, 3.25, 3.5, 3.75]);
    }

    #[test]
    fn copies_keep_the_pace_of_their_session_under_an_identity_of_their_own() {
        let entries = [(100, "a"), (101, "b"), (110, "a"), (150, "b"), (170, "a")];
        let entries = entries.map(|(second, client)| entry(second, client));
        let sent = sendings(&entries, Scaling { scale: 3.0, ..AS_IT_IS });
        assert!(sent.is_sorted_by(|one, other| one.time <= other.time));
        let mut visits: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for sending in &sent {
            visits.entry(sending.shopper.0).or_default().push(sending.time);
        }
        assert_eq!(visits.len(), 6);
        for times in visits.values() {
            let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).round()).collect();
            assert!(gaps == [10.0, 60.0] || gaps == [49.0], "{gaps:?}");
            assert!((0.0..=61.0).contains(&times[0]), "{times:?}");
        }
    }

    #[test]
    fn sessions_are_taken_whole_or_not_at_all() {
        let entries: Vec<Entry> = (0..4_000).map(|n| entry(n, &format!("c{}", n % 400))).collect();
        let sent = sendings(&entries, Scaling { scale: 0.5, ..AS_IT_IS });
        // Ten lines of each of 400 sessions; ten standard deviations on either side.
        assert!(sent.len().is_multiple_of(10) && sent.len().abs_diff(2_000) < 1_000, "{}", sent.len());
    }
}
