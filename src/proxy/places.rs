//! How many connections there may be: in all, and from one address.
//!
//! A connection beyond that is closed before a byte of it is read, which is the
//! cheapest answer there is. A trusted hop stands for many clients and counts only
//! in the total. The table of addresses holds those that are connected, so that the
//! total bounds it as well; its keys are hashes, for no address is stored.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::classify::sessions::network;
use crate::config::Connections;
use crate::telemetry::metrics::Crowded;

#[derive(Debug, Default)]
struct Counts {
    in_all: usize,
    from: HashMap<u64, usize>,
}

/// The connections there are.
#[derive(Debug)]
pub(super) struct Places {
    limits: Connections,
    hasher: RandomState,
    /// Held to count one connection in or out.
    counts: Mutex<Counts>,
}

/// A connection's place. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    key: Option<u64>,
}

impl Places {
    /// No connections yet.
    pub(super) fn new(limits: Connections) -> Arc<Places> {
        Arc::new(Places { limits, hasher: RandomState::new(), counts: Mutex::default() })
    }

    /// A place for a connection from `address`; `None` for one that counts only in the total.
    pub(super) fn take(self: &Arc<Places>, address: Option<IpAddr>) -> Result<Place, Crowded> {
        let key = address.map(|address| self.hasher.hash_one(network(address)));
        let mut counts = self.lock();
        let from_address = key.map_or(0, |key| counts.from.get(&key).copied().unwrap_or(0));
        if counts.in_all >= self.limits.max {
            return Err(Crowded::InAll);
        } else if from_address >= self.limits.per_address_max.unwrap_or(usize::MAX) {
            return Err(Crowded::FromAddress);
        }
        counts.in_all += 1;
        if let Some(key) = key {
            counts.from.insert(key, from_address + 1);
        }
        Ok(Place { places: self.clone(), key })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Nothing panics half way through a change, so a poisoned one is whole.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.places.lock();
        counts.in_all -= 1;
        let Some(key) = self.key else { return };
        let from = counts.from.get_mut(&key).expect("a place was counted when it was taken");
        *from -= 1;
        if *from == 0 {
            counts.from.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Arc<Places> {
        Places::new(Connections { max: 3, per_address_max: Some(2), ..Connections::default() })
    }

    fn from(host: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, host]))
    }

    #[test]
    fn connections_are_bounded_in_all_and_from_one_address() {
        let places = places();
        let one = places.take(from(1)).unwrap();
        let _two = places.take(from(1)).unwrap();
        assert_eq!(places.take(from(1)).err(), Some(Crowded::FromAddress));
        let three = places.take(from(2)).unwrap();
        assert_eq!(places.take(from(3)).err(), Some(Crowded::InAll));
        drop(one);
        drop(three);
        assert!(places.take(from(1)).is_ok());
    }

    #[test]
    fn a_hop_counts_only_in_all_and_nothing_is_kept_of_who_left() {
        let places = places();
        let kept: Vec<Place> = (0..3).map(|_| places.take(None).unwrap()).collect();
        assert_eq!(places.take(None).err(), Some(Crowded::InAll));
        drop(kept);
        drop(places.take(from(1)));
        let counts = places.lock();
        assert_eq!((counts.in_all, counts.from.len()), (0, 0));
    }
}
