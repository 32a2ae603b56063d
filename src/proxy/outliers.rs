//! Endpoints that fail while others answer are left alone for a while.
//!
//! Health checks see an endpoint once a second and from outside; requests see it
//! all the time. Five failures in a row eject one for half a minute, and each time
//! again for longer. These are the rules and numbers of Envoy's outlier detection
//! for failures of its own making: connections refused or reset, silence, nonsense.
//! What an endpoint answers does not count, not even a 503: that is a shop under
//! load, and fewer endpoints would make it worse.
//!
//! Half of a pool stays whatever happens: a rule that could eject all of it would
//! close the shop. It reads no clock and asks nobody.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plimsoll_core::time::Time;

/// Failures in a row that eject an endpoint (Envoy's `consecutive_local_origin_failure`).
const FAILURES_MAX: u32 = 5;
/// The first ejection; the n-th in a row takes n times as long (Envoy's `base_ejection_time`).
const EJECTION: Duration = Duration::from_secs(30);
/// No ejection takes longer (Envoy's `max_ejection_time`).
const EJECTION_MAX: Duration = Duration::from_secs(300);

/// How a request fared at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fared {
    /// It was answered.
    Answered,
    /// It was not.
    Failed,
}

#[derive(Clone, Copy, Debug, Default)]
struct Endpoint {
    failures: u32,
    ejections: u32,
    ejected_until: Time,
}

/// The endpoints of one pool, by their address.
#[derive(Debug, Default)]
pub(super) struct Outliers {
    /// Held to look at one endpoint, to note how a request fared there, or when some come and go.
    endpoints: Mutex<HashMap<SocketAddr, Endpoint>>,
}

impl Outliers {
    /// From now on these are the endpoints. What is known of those that stay is kept.
    pub(super) fn keep(&self, addresses: &BTreeSet<SocketAddr>) {
        let mut endpoints = self.lock();
        endpoints.retain(|address, _| addresses.contains(address));
        for address in addresses {
            endpoints.entry(*address).or_default();
        }
    }

    /// Whether an endpoint is to be left alone at `now`.
    pub(super) fn is_ejected(&self, address: SocketAddr, now: Time) -> bool {
        self.lock().get(&address).is_some_and(|endpoint| endpoint.is_ejected(now))
    }

    /// Notes how a request fared. `true` if the endpoint was ejected for it. Nothing is noted of one that is
    /// gone.
    pub(super) fn observe(&self, address: SocketAddr, fared: Fared, now: Time) -> bool {
        let mut endpoints = self.lock();
        let may_eject = || {
            let ejected = endpoints.values().filter(|one| one.is_ejected(now)).count();
            ejected < endpoints.len() / 2
        };
        let may_eject = fared == Fared::Failed && may_eject();
        let Some(endpoint) = endpoints.get_mut(&address) else { return false };
        match fared {
            Fared::Answered => {
                // Back and well: the next time it fails it is given more credit.
                let was_failing = std::mem::take(&mut endpoint.failures) > 0;
                if !was_failing && !endpoint.is_ejected(now) {
                    endpoint.ejections = endpoint.ejections.saturating_sub(1);
                }
                false
            }
            Fared::Failed => {
                endpoint.failures += 1;
                let is_due = endpoint.failures >= FAILURES_MAX && !endpoint.is_ejected(now) && may_eject;
                if is_due {
                    endpoint.eject(now);
                }
                is_due
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Endpoint>> {
        // Nothing panics half way through a change, so a poisoned one is whole.
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoint {
    fn is_ejected(&self, now: Time) -> bool {
        now < self.ejected_until
    }

    fn eject(&mut self, now: Time) {
        self.failures = 0;
        self.ejections += 1;
        self.ejected_until = now.after(EJECTION.saturating_mul(self.ejections).min(EJECTION_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn endpoint(number: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, number], 80))
    }

    fn outliers(count: u8) -> Outliers {
        let outliers = Outliers::default();
        outliers.keep(&(0..count).map(endpoint).collect());
        outliers
    }

    fn fail(outliers: &Outliers, number: u8, times: u32, now: Time) -> bool {
        (0..times).fold(false, |_, _| outliers.observe(endpoint(number), Fared::Failed, now))
    }

    #[test]
    fn the_fifth_failure_in_a_row_ejects_for_half_a_minute() {
        let outliers = outliers(2);
        assert!(!fail(&outliers, 0, 4, at(1)));
        outliers.observe(endpoint(0), Fared::Answered, at(1));
        assert!(!fail(&outliers, 0, 4, at(1)), "an answer begins the row anew");
        assert!(fail(&outliers, 0, 1, at(1)));
        assert!(outliers.is_ejected(endpoint(0), at(30)) && !outliers.is_ejected(endpoint(0), at(31)));
        assert!(!outliers.is_ejected(endpoint(1), at(1)));
    }

    #[test]
    fn each_ejection_in_a_row_takes_longer_up_to_a_bound() {
        let outliers = outliers(2);
        let mut now = at(0);
        for expected in [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300] {
            assert!(fail(&outliers, 0, FAILURES_MAX, now));
            let back = now.after(Duration::from_secs(expected));
            assert!(
                outliers.is_ejected(endpoint(0), now.after(Duration::from_secs(expected - 1))),
                "{expected}"
            );
            assert!(!outliers.is_ejected(endpoint(0), back), "{expected}");
            now = back;
        }
        for _ in 0..11 {
            outliers.observe(endpoint(0), Fared::Answered, now);
        }
        assert!(fail(&outliers, 0, FAILURES_MAX, now));
        assert!(
            !outliers.is_ejected(endpoint(0), now.after(EJECTION)),
            "what answered for long has credit again"
        );
    }

    #[test]
    fn at_most_half_of_a_pool_is_ejected() {
        for (count, ejected) in [(1, 0), (2, 1), (3, 1), (4, 2)] {
            let outliers = outliers(count);
            for index in 0..count {
                fail(&outliers, index, 100, at(1));
            }
            let found = (0..count).filter(|index| outliers.is_ejected(endpoint(*index), at(2))).count();
            assert_eq!(found, ejected, "of {count}");
        }
    }

    #[test]
    fn what_is_known_of_an_endpoint_goes_with_it_and_stays_with_those_that_stay() {
        let outliers = outliers(4);
        assert!(fail(&outliers, 0, FAILURES_MAX, at(1)) && fail(&outliers, 1, FAILURES_MAX, at(1)));
        outliers.keep(&[1, 2].map(endpoint).into());
        assert!(!outliers.is_ejected(endpoint(0), at(2)) && outliers.is_ejected(endpoint(1), at(2)));
        assert!(!fail(&outliers, 0, FAILURES_MAX, at(2)), "it is gone");
        assert_eq!(outliers.lock().len(), 2);
    }
}
