//! How many connections there may be: in all, and from one address.
//!
//! A connection beyond that is closed before a byte of it is read, which is the
//! cheapest answer there is. A trusted hop stands for many clients and counts only
//! in the total. The table of addresses holds those that are connected, so that the
//! total bounds it as well; its keys are hashes, for no address is stored.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use crate::classify::sessions::network;
use crate::config::Connections;
use crate::telemetry::metrics::Crowded;

/// The connections there are.
#[derive(Debug)]
pub(super) struct Places {
    limits: Connections,
    hasher: RandomState,
    in_all: AtomicUsize,
    from: DashMap<u64, usize>,
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
        Arc::new(Places {
            limits,
            hasher: RandomState::new(),
            in_all: AtomicUsize::new(0),
            from: DashMap::new(),
        })
    }

    /// A place for a connection from `address`; `None` for one that counts only in the total.
    pub(super) fn take(self: &Arc<Places>, address: Option<IpAddr>) -> Result<Place, Crowded> {
        // Counted first and given back by drop, so that two who come at once cannot share the last place.
        let mut place = Place { places: self.clone(), key: None };
        if self.in_all.fetch_add(1, Ordering::Relaxed) >= self.limits.max {
            return Err(Crowded::InAll);
        }
        if let Some(address) = address {
            let key = self.hasher.hash_one(network(address));
            let mut from = self.from.entry(key).or_default();
            *from += 1;
            place.key = Some(key);
            let is_crowded = *from > self.limits.per_address_max.unwrap_or(usize::MAX);
            drop(from);
            if is_crowded {
                return Err(Crowded::FromAddress);
            }
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.in_all.fetch_sub(1, Ordering::Relaxed);
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
        assert_eq!((places.in_all.load(Ordering::Relaxed), places.from.len()), (0, 0));
    }
}
