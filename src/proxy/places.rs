//! How many connections there may be: in all, and from one address.
//!
//! A connection beyond that is closed before a byte of it is read, which is the cheapest answer there is. A
//! trusted hop stands for many clients and counts only in the total; so does this machine itself, unless the
//! settings say otherwise. The table of addresses holds those that are connected, so that the total bounds it as
//! well; its keys are hashes, for no address is stored.
//!
//! Over HTTP/2 a connection is worth a hundred, for each of its streams is a request that costs memory long before it
//! asks for a seat. So the more connections an address has, the fewer streams each of the next ones may have. What that
//! is, and for how many clients a connection stands, is told to whoever serves it by its task.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use prometheus_client::metrics::gauge::Gauge;

use super::frames::CLIENTS_OF_HOP;
use crate::classify::sessions::network;
use crate::config::Connections;
use crate::telemetry::connections::TurnedAway;

tokio::task_local! {
    static GIVEN: Share;
}

/// What the HTTP/2 connection that a task serves may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Streams at once.
    pub(super) streams_max: u32,
    /// For how many clients it stands: one, or those of a trusted hop.
    pub(super) clients: u32,
}

/// One address may have so much of all connections, where the settings say nothing: a whole office behind one, and
/// three such before others are locked out.
const SHARE: usize = 4;
/// So many connections of one address have all the streams there may be: more than anybody's browsers and tabs open.
const FULL_CONNECTIONS: usize = 16;
/// Streams that a connection has in any case: a page, and the first of what it loads.
const STREAMS_MIN: u32 = 4;

/// The connections there are.
#[derive(Debug)]
pub(super) struct Places {
    limits: Connections,
    hasher: RandomState,
    in_all: AtomicUsize,
    open: Gauge,
    from: DashMap<u64, usize>,
}

/// A connection's place. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    key: Option<u64>,
    share: Share,
}

/// What the connection that this task serves may do, if it is in a place.
pub(super) fn share() -> Option<Share> {
    GIVEN.try_with(|share| *share).ok()
}

/// How many streams the last of so many connections of one address may have: what it would have if all of them shared
/// alike as many as the address may have connections, or as some full connections have. Those that came before keep what
/// they were told; by default 5,000 connections have 35,000 streams between them, where it could be half a million.
fn share_of_streams(connections: usize, connections_max: usize, streams_max: u32) -> u32 {
    let in_all = connections_max.max(FULL_CONNECTIONS * streams_max as usize);
    let share = u32::try_from(in_all / connections.max(1)).unwrap_or(u32::MAX);
    share.max(STREAMS_MIN).min(streams_max)
}

impl Places {
    /// No connections yet.
    pub(super) fn new(limits: Connections, open: Gauge) -> Arc<Places> {
        Arc::new(Places {
            limits,
            hasher: RandomState::new(),
            in_all: AtomicUsize::new(0),
            open,
            from: DashMap::new(),
        })
    }

    /// A place for a connection, wherever it comes from.
    pub(super) fn take(self: &Arc<Places>) -> Result<Place, TurnedAway> {
        // Counted first and given back by drop, so that two who come at once cannot share the last place.
        let share = Share { streams_max: self.limits.streams_max, clients: 1 };
        let place = Place { places: self.clone(), key: None, share };
        self.open.inc();
        if self.in_all.fetch_add(1, Ordering::Relaxed) >= self.limits.max {
            return Err(TurnedAway::TooMany);
        }
        Ok(place)
    }

    /// How many connections `address` may have, if that is bounded.
    fn most_of(&self, address: IpAddr) -> Option<usize> {
        let of_strangers =
            || (!address.to_canonical().is_loopback()).then_some(self.limits.max.div_ceil(SHARE));
        self.limits.per_address_max.or_else(of_strangers)
    }

    /// How many connections there are.
    pub(super) fn count(&self) -> usize {
        self.in_all.load(Ordering::Relaxed)
    }
}

impl Place {
    /// Counts the connection for the client that it turned out to be of.
    pub(super) fn count_for(&mut self, address: IpAddr) -> Result<(), TurnedAway> {
        let Some(most) = self.places.most_of(address) else { return Ok(()) };
        let key = self.places.hasher.hash_one(network(address));
        let mut from = self.places.from.entry(key).or_default();
        *from += 1;
        self.key = Some(key);
        self.share.streams_max = share_of_streams(*from, most, self.share.streams_max);
        if *from > most { Err(TurnedAway::TooManyOfAddress) } else { Ok(()) }
    }

    /// It turned out to be a trusted hop's.
    pub(super) fn stand_for_many(&mut self) {
        self.share.clients = CLIENTS_OF_HOP;
    }

    /// Does `work` in this place, which is free again afterwards.
    pub(super) async fn hold<T>(self, work: impl Future<Output = T>) -> T {
        GIVEN.scope(self.share, work).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.in_all.fetch_sub(1, Ordering::Relaxed);
        self.places.open.dec();
        let Some(key) = self.key else { return };
        self.places.from.remove_if_mut(&key, |_, from| {
            *from -= 1;
            *from == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Arc<Places> {
        Places::new(
            Connections { max: 3, per_address_max: Some(2), ..Connections::default() },
            Gauge::default(),
        )
    }

    fn from(places: &Arc<Places>, host: u8) -> Result<Place, TurnedAway> {
        let mut place = places.take()?;
        place.count_for(IpAddr::from([192, 0, 2, host]))?;
        Ok(place)
    }

    #[test]
    fn connections_are_bounded_in_all_and_from_one_address() {
        let places = places();
        let one = from(&places, 1).unwrap();
        let _two = from(&places, 1).unwrap();
        assert_eq!(from(&places, 1).err(), Some(TurnedAway::TooManyOfAddress));
        let three = from(&places, 2).unwrap();
        assert_eq!(from(&places, 3).err(), Some(TurnedAway::TooMany));
        drop(one);
        drop(three);
        assert!(from(&places, 1).is_ok());
    }

    #[test]
    fn without_a_setting_a_stranger_has_a_quarter_and_this_machine_all() {
        let places = Places::new(Connections { max: 8, ..Connections::default() }, Gauge::default());
        let kept: Vec<Place> = (0..2).map(|_| from(&places, 1).unwrap()).collect();
        assert_eq!(from(&places, 1).err(), Some(TurnedAway::TooManyOfAddress));
        drop(kept);
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.2"] {
            let kept: Vec<Place> = (0..8)
                .map(|_| {
                    let mut place = places.take().unwrap();
                    place.count_for(address.parse().unwrap()).unwrap();
                    place
                })
                .collect();
            assert_eq!(places.count(), kept.len());
        }
    }

    #[test]
    fn the_more_connections_an_address_has_the_fewer_streams_the_next_one_may_have() {
        // As by default: a quarter of 20,000 connections, 100 streams each.
        for (connections, expected) in [(1, 100), (50, 100), (51, 98), (500, 10), (1_250, 4), (5_000, 4)] {
            assert_eq!(share_of_streams(connections, 5_000, 100), expected, "{connections}");
        }
        // Few connections take nothing from the first of them, and few streams are not made more.
        assert_eq!([1, 16, 20].map(|connections| share_of_streams(connections, 20, 100)), [100, 100, 80]);
        assert_eq!(share_of_streams(5_000, 5_000, 2), 2);
    }

    #[test]
    fn all_streams_of_one_address_are_far_fewer_than_its_connections_could_have() {
        let all: u32 = (1..=5_000).map(|connections| share_of_streams(connections, 5_000, 100)).sum();
        assert!((30_000..40_000).contains(&all), "{all}");
    }

    #[test]
    fn what_is_done_in_a_place_knows_its_share_and_the_place_is_free_afterwards() {
        let places = places();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let place = from(&places, 1).unwrap();
        let expected = Share { streams_max: places.limits.streams_max, clients: 1 };
        assert_eq!(runtime.block_on(place.hold(async { share() })), Some(expected));
        assert_eq!((share(), places.count()), (None, 0));
        let mut hop = places.take().unwrap();
        hop.stand_for_many();
        let told = runtime.block_on(hop.hold(async { share() }));
        assert_eq!(told, Some(Share { clients: CLIENTS_OF_HOP, ..expected }));
    }

    #[test]
    fn a_hop_counts_only_in_all_and_nothing_is_kept_of_who_left() {
        let places = places();
        let kept: Vec<Place> = (0..3).map(|_| places.take().unwrap()).collect();
        assert_eq!(places.take().err(), Some(TurnedAway::TooMany));
        drop(kept);
        drop(from(&places, 1));
        assert_eq!((places.count(), places.open.get(), places.from.len()), (0, 0, 0));
    }
}
