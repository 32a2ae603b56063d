//! How many TLS handshakes one address may begin: each costs us a signature, and a client that leaves then nothing.
//!
//! A bound on those that are under way would not do: they are over in a millisecond, and
//! the next one begins. So an address has so many a second, and some seconds' worth of them
//! at once (GCRA: of each bucket it is known only by when it is full again). The table has
//! a fixed size, all of it taken at the start; addresses that share a bucket, which they
//! cannot choose, share what it has.
//!
//! A trusted hop stands for many clients and is not asked about.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use plimsoll_core::time::Time;

use crate::classify::sessions::network;

/// Several times the addresses that have connections at once by default; a quarter of a megabyte.
const BUCKETS: usize = 32_768;
/// A signature with RSA of 2,048 bits takes about a millisecond: one address keeps a fifth of a processor busy.
/// An office of a thousand that comes at once is let in by the burst below.
const PER_S: u32 = 200;
/// Seconds' worth of handshakes at once: a crowd behind one address that comes on the hour.
const BURST_S: u64 = 5;
const NANOS_PER_S: u64 = 1_000_000_000;

/// The handshakes at one door.
#[derive(Debug)]
pub(super) struct Handshakes {
    per_s_max: Option<u32>,
    hasher: RandomState,
    /// When each bucket is full again, in nanoseconds.
    full_at: Box<[AtomicU64]>,
}

impl Handshakes {
    /// So many a second from one address; where the settings do not say, strangers have a bound and this machine none.
    pub(super) fn new(per_s_max: Option<u32>) -> Handshakes {
        // Not zeros, which the system would lend only when they are written to.
        let full_at = (0..BUCKETS).map(|_| AtomicU64::new(1)).collect();
        Handshakes { per_s_max, hasher: RandomState::new(), full_at }
    }

    /// Whether `address` may begin another one at `now`, which is counted then.
    pub(super) fn may_begin(&self, address: IpAddr, now: Time) -> bool {
        let of_strangers = || (!address.to_canonical().is_loopback()).then_some(PER_S);
        let Some(per_s) = self.per_s_max.or_else(of_strangers) else { return true };
        let each = NANOS_PER_S / u64::from(per_s.max(1));
        let bucket = self.hasher.hash_one(network(address)) as usize % BUCKETS;
        take(&self.full_at[bucket], each, now.as_nanos())
    }
}

/// Takes one of a bucket that is filled up by one in each `each`; `false` if it is empty.
fn take(full_at: &AtomicU64, each: u64, now: u64) -> bool {
    // Nothing else is read through it, so that no order is needed.
    let mut known = full_at.load(Ordering::Relaxed);
    loop {
        let next = known.max(now).saturating_add(each);
        if next > now.saturating_add(BURST_S * NANOS_PER_S) {
            return false;
        }
        match full_at.compare_exchange_weak(known, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(newer) => known = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, host])
    }

    /// How many are let in at once.
    fn let_in(handshakes: &Handshakes, from: IpAddr, second: u64) -> u64 {
        let now = Time::from_millis(second * 1_000);
        (0..10_000).take_while(|_| handshakes.may_begin(from, now)).count() as u64
    }

    #[test]
    fn an_address_has_its_burst_and_then_its_rate_and_costs_no_other() {
        let handshakes = Handshakes::new(Some(10));
        assert_eq!(let_in(&handshakes, address(1), 1), BURST_S * 10);
        assert_eq!(let_in(&handshakes, address(1), 1), 0);
        assert_eq!(let_in(&handshakes, address(1), 2), 10);
        assert_eq!(let_in(&handshakes, address(2), 2), BURST_S * 10);
        assert_eq!(let_in(&handshakes, address(1), 3_600), BURST_S * 10);
    }

    #[test]
    fn without_a_setting_strangers_have_a_bound_and_this_machine_has_none() {
        let handshakes = Handshakes::new(None);
        assert_eq!(let_in(&handshakes, address(1), 1), BURST_S * u64::from(PER_S));
        for own in ["127.0.0.1", "::1", "::ffff:127.0.0.2"] {
            assert_eq!(let_in(&handshakes, own.parse().unwrap(), 1), 10_000);
        }
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let handshakes = Handshakes::new(Some(1));
        assert_eq!(let_in(&handshakes, "2001:db8::1".parse().unwrap(), 1), BURST_S);
        assert_eq!(let_in(&handshakes, "2001:db8::ffff".parse().unwrap(), 1), 0);
    }
}
