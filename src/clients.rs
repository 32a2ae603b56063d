//! Who a client is, how much it asked for lately, and the hard limits it may be held to.
//!
//! The address is the socket's unless that is a trusted hop; then it is the last
//! address in `X-Forwarded-For` that is not a trusted hop itself. `Forwarded` is
//! read only where there is no such field at all: a hop writes one of the two, and
//! the other is then its client's own. What cannot be read ends what can be trusted.
//! So nobody chooses his own address. Usage is a decaying count per
//! session; under pressure it costs standing, never a refusal by itself. Hard
//! limits are the operator's choice, and governor's algorithm (GCRA).
//!
//! Keys are hashes that the session table made; no address is stored.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use http::HeaderMap;
use ipnet::IpNet;
use plimsoll_core::standing::USAGE_PENALTY_MAX;
use plimsoll_core::time::Time;

use crate::classify::sessions::network;
use crate::policy::settings::{LimitKey, RateLimit};

/// The customary field, which wins over [`FORWARDED`].
const FORWARDED_FOR: &str = "x-forwarded-for";
/// The standard one (RFC 7239).
const FORWARDED: &str = "forwarded";
/// Longer chains of hops are not read: nobody has so many proxies.
const HOPS_MAX: usize = 32;
/// Clients are counted in so many buckets: several times those who are active at once in a large shop.
const BUCKETS: u64 = 131_072;
/// A count halves in this time: a shopper's page with its pictures is forgotten by the next one.
const USAGE_HALF_LIFE_S: f32 = 10.0;
/// Requests in the decayed count that cost nothing: three pages of twenty requests in a row.
const USAGE_FREE: f32 = 60.0;
/// Requests above that per step of penalty.
const USAGE_PER_STEP: f32 = 8.0;
/// Counts are aged in steps of this: a thousandth of their half-life, so that 32 bits last 497 days.
const USAGE_TICK_MS: u64 = 10;
/// A request is counted no later than this after it came, ten minutes: the beginning of its body is waited for in between.
const LATE_TICKS_MAX: u32 = 60_000;

/// The proxies before us whose word is taken.
#[derive(Clone, Debug, Default)]
pub struct TrustedHops(Vec<IpNet>);

impl TrustedHops {
    /// Trusts these networks.
    pub fn new(networks: Vec<IpNet>) -> TrustedHops {
        TrustedHops(networks)
    }

    /// Whether `address` is a trusted hop.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address of the client that connected from `peer` with these header fields.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.contains(peer) {
            return peer.to_canonical();
        }
        let mut nearest = peer;
        for address in forwarded(headers) {
            // What a hop claims that is no address ends what can be trusted.
            let Some(address) = address else { break };
            nearest = address;
            if !self.contains(address) {
                break;
            }
        }
        nearest.to_canonical()
    }
}

/// The addresses a request was forwarded for, the nearest first; `None` for what is no address, be it that
/// it cannot even be read.
fn forwarded(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> + '_ {
    let is_listed = headers.contains_key(FORWARDED_FOR);
    let lines = headers.get_all(if is_listed { FORWARDED_FOR } else { FORWARDED });
    let elements = lines.into_iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    elements.rev().take(HOPS_MAX).map(move |element| {
        let element = std::str::from_utf8(element).ok()?;
        let node = if is_listed { element } else { forwarded_for(element)? };
        address(node.trim())
    })
}

/// The `for=` of one element of a `Forwarded` field (RFC 7239).
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// An address with or without brackets and port.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(with_port) = text.parse::<std::net::SocketAddr>() {
        return Some(with_port.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// Requests of one bucket, decayed to the tick of the latest.
#[derive(Clone, Copy, Debug)]
struct Count {
    requests: f32,
    tick: u32,
}

impl Count {
    fn unpack(word: u64) -> Count {
        Count { requests: f32::from_bits(word as u32), tick: (word >> 32) as u32 }
    }

    fn pack(self) -> u64 {
        u64::from(self.tick) << 32 | u64::from(self.requests.to_bits())
    }

    /// With one more request at `tick`. One that came before the latest ages nothing: as one of 497 days later it
    /// would take all that was counted with it.
    fn counted(self, tick: u32) -> Count {
        let is_late = (1..LATE_TICKS_MAX).contains(&self.tick.wrapping_sub(tick));
        let tick = if is_late { self.tick } else { tick };
        let age_s = (tick.wrapping_sub(self.tick)) as f32 * (USAGE_TICK_MS as f32 / 1e3);
        Count { requests: self.requests * (-age_s / USAGE_HALF_LIFE_S).exp2() + 1.0, tick }
    }
}

/// A word for each client.
///
/// All buckets are written to from the start: the memory they take does not grow with the clients that come, and
/// nobody's request waits for a lock, a sweep or a larger table. Clients beyond their number share one with another:
/// bounded by construction.
#[derive(Debug)]
struct Buckets(Box<[AtomicU64]>);

impl Buckets {
    /// All with this word. Not zero: such memory the system lends only when it is written to, by client after client.
    fn filled(word: NonZeroU64) -> Buckets {
        Buckets((0..BUCKETS).map(|_| AtomicU64::new(word.get())).collect())
    }

    /// Changes the word of `client`, unless `change` fails; it may be asked more than once.
    fn update<T, E>(&self, client: u64, change: impl Fn(u64) -> Result<(T, u64), E>) -> Result<T, E> {
        let word = &self.0[(client % BUCKETS) as usize];
        // Nothing else is read through it, so that no order is needed.
        let mut known = word.load(Ordering::Relaxed);
        loop {
            let (result, next) = change(known)?;
            match word.compare_exchange_weak(known, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(result),
                Err(newer) => known = newer,
            }
        }
    }
}

/// Recent requests per client.
#[derive(Debug)]
pub struct Usage {
    counts: Buckets,
}

impl Default for Usage {
    fn default() -> Usage {
        let nothing = Count { requests: 0.0, tick: 1 }.pack();
        Usage { counts: Buckets::filled(NonZeroU64::new(nothing).expect("its tick is none")) }
    }
}

impl Usage {
    /// Counts a request of `client` and returns the penalty its recent usage costs.
    pub fn count(&self, client: u64, now: Time) -> u8 {
        let tick = (now.as_nanos() / (USAGE_TICK_MS * 1_000_000)) as u32;
        let Ok(requests) = self.counts.update(client, |known| {
            let counted = Count::unpack(known).counted(tick);
            Ok::<_, Infallible>((counted.requests, counted.pack()))
        });
        penalty(requests)
    }
}

fn penalty(requests: f32) -> u8 {
    // `as` saturates.
    (((requests - USAGE_FREE) / USAGE_PER_STEP).max(0.0) as u8).min(USAGE_PENALTY_MAX)
}

/// Of a limit, by when each bucket is full again, in nanoseconds. Governor's own table grows by each client that
/// comes, to several MB, and has to be swept.
impl StateStore for Buckets {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, client: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.update(*client, |full_at| {
            let (taken, next) = measure(Some(full_at.into()))?;
            Ok((taken, next.into()))
        })
    }
}

type Limiter = RateLimiter<u64, Buckets, DefaultClock>;

/// The hard limits of one policy.
pub struct Limits {
    limiters: Vec<(LimitKey, Limiter)>,
    clock: DefaultClock,
    /// Makes a key of an address, which is not stored itself.
    hasher: RandomState,
}

impl Limits {
    /// Limiters for `rules`.
    pub fn new(rules: &[RateLimit]) -> Limits {
        let limiter = |rule: &RateLimit, key: LimitKey| {
            let per_request = rule.period / rule.count.get();
            let quota = Quota::with_period(per_request.max(Duration::from_nanos(1)))
                .unwrap_or(Quota::per_second(NonZeroU32::MAX))
                .allow_burst(rule.burst);
            // Full since the first nanosecond.
            (key, Limiter::new(quota, Buckets::filled(NonZeroU64::MIN), DefaultClock::default()))
        };
        let limiters =
            rules.iter().flat_map(|rule| rule.keys.iter().map(move |key| limiter(rule, *key))).collect();
        Limits { limiters, clock: DefaultClock::default(), hasher: RandomState::new() }
    }

    /// `Err` with the time to wait if one of the buckets is empty.
    ///
    /// # Errors
    /// How long until the bucket has room again.
    pub fn check(&self, session: u64, address: IpAddr) -> Result<(), Duration> {
        for (key, limiter) in &self.limiters {
            let client = match key {
                LimitKey::Session => session,
                LimitKey::Address => self.hasher.hash_one(network(address)),
            };
            let full = |refusal: governor::NotUntil<_>| refusal.wait_time_from(self.clock.now());
            limiter.check_key(&client).map_err(full)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").field("limiters", &self.limiters.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hops() -> TrustedHops {
        TrustedHops::new(vec!["10.0.0.0/8".parse().unwrap()])
    }

    fn client(peer: &str, name: &'static str, value: &str) -> String {
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static(name),
            http::HeaderValue::from_str(value).unwrap(),
        )]);
        hops().client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_claims() {
        assert_eq!(client("192.0.2.1", "x-forwarded-for", "198.51.100.7"), "192.0.2.1");
        assert_eq!(client("192.0.2.1", "forwarded", "for=198.51.100.7"), "192.0.2.1");
    }

    #[test]
    fn the_last_address_that_is_no_hop_is_the_client() {
        let chain = "203.0.113.66, 198.51.100.7, 10.1.1.1";
        assert_eq!(client("10.0.0.1", "x-forwarded-for", chain), "198.51.100.7");
        let chain = "for=203.0.113.66, for=\"[2001:db8::7]:4711\";proto=https, for=10.1.1.1";
        assert_eq!(client("10.0.0.1", "forwarded", chain), "2001:db8::7");
    }

    #[test]
    fn what_is_no_address_ends_the_chain_of_trust() {
        assert_eq!(client("10.0.0.1", "x-forwarded-for", "198.51.100.7, unknown, 10.1.1.1"), "10.1.1.1");
        assert_eq!(client("10.0.0.1", "x-forwarded-for", ""), "10.0.0.1");
    }

    fn client_of(lines: &[(&'static str, &[u8])]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, http::HeaderValue::from_bytes(value).unwrap());
        }
        hops().client("10.0.0.1".parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn what_cannot_be_read_ends_the_chain_and_gives_way_to_no_other_field() {
        let claim: (&'static str, &[u8]) = ("forwarded", b"for=203.0.113.66");
        assert_eq!(client_of(&[("x-forwarded-for", b"\xff"), claim]), "10.0.0.1");
        assert_eq!(client_of(&[("x-forwarded-for", b""), claim]), "10.0.0.1");
        assert_eq!(client_of(&[("x-forwarded-for", b"198.51.100.7"), claim]), "198.51.100.7");
        let claimed: (&'static str, &[u8]) = ("x-forwarded-for", b"203.0.113.66");
        assert_eq!(client_of(&[claimed, ("x-forwarded-for", b"\xff, 10.1.1.1")]), "10.1.1.1");
    }

    #[test]
    fn what_a_hop_has_added_is_read_whatever_its_client_has_sent() {
        let lines: [(&'static str, &[u8]); 2] =
            [("x-forwarded-for", b"\xff"), ("x-forwarded-for", b"198.51.100.7")];
        assert_eq!(client_of(&lines), "198.51.100.7");
        assert_eq!(client_of(&[("x-forwarded-for", b"\xff, 198.51.100.7")]), "198.51.100.7");
        assert_eq!(client_of(&[("forwarded", b"for=\"\xff, for=198.51.100.7")]), "198.51.100.7");
    }

    #[test]
    fn an_element_that_names_nobody_ends_the_chain_of_trust() {
        assert_eq!(client_of(&[("forwarded", b"for=203.0.113.66, proto=https")]), "10.0.0.1");
        assert_eq!(
            client_of(&[("forwarded", b"for=203.0.113.66, for=10.1.1.1;proto=https")]),
            "203.0.113.66"
        );
    }

    #[test]
    fn usage_costs_nothing_for_a_shopper_and_much_for_a_scraper() {
        let usage = Usage::default();
        let mut last = 0;
        for second in 0..10 {
            last = usage.count(1, Time::from_millis(second * 2_000));
        }
        assert_eq!(last, 0);
        for request in 0..2_000 {
            last = usage.count(2, Time::from_millis(request * 5));
        }
        assert_eq!(last, USAGE_PENALTY_MAX);
        assert_eq!(usage.count(2, Time::from_millis(10_000 + 200_000)), 0);
    }

    #[test]
    fn a_request_that_is_counted_late_takes_nothing_of_what_was_counted() {
        let usage = Usage::default();
        let later = Time::from_millis(60_000);
        for _ in 0..2_000 {
            usage.count(1, later);
        }
        assert_eq!(usage.count(1, Time::from_millis(50_000)), USAGE_PENALTY_MAX);
        assert_eq!(usage.count(1, later), USAGE_PENALTY_MAX);
        // Nor does the first one after the ticks have begun anew.
        let before = Count { requests: 2_000.0, tick: u32::MAX };
        assert!(before.counted(0).requests > 1_990.0);
    }

    #[test]
    fn clients_beyond_the_number_of_buckets_share_one() {
        let usage = Usage::default();
        let now = Time::from_millis(1);
        for client in 0..BUCKETS {
            assert_eq!(usage.count(client, now), 0);
        }
        let free = USAGE_FREE as u64;
        for _ in 0..free - 1 {
            assert_eq!(usage.count(BUCKETS + 7, now), 0);
        }
        for _ in 0..USAGE_PER_STEP as u64 {
            usage.count(7, now);
        }
        assert_eq!(usage.count(7, now), 1, "what both asked for counts");
        assert_eq!(usage.count(8, now), 0, "and costs nobody else");
        assert_eq!(usage.counts.0.len() as u64, BUCKETS);
    }

    #[test]
    fn no_request_is_lost_between_threads() {
        let usage = Usage::default();
        let now = Time::from_millis(1);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..1_000).for_each(|_| {
                        usage.count(1, now);
                    })
                });
            }
        });
        let counted = Count::unpack(usage.counts.0[1].load(Ordering::Relaxed));
        assert_eq!(counted.requests, 4_000.0);
    }

    /// Two requests at once, and then one an hour.
    fn two_at_once(keys: Vec<LimitKey>) -> Limits {
        let (count, burst) = (NonZeroU32::new(1).unwrap(), NonZeroU32::new(2).unwrap());
        Limits::new(&[RateLimit { keys, count, period: Duration::from_secs(3_600), burst }])
    }

    #[test]
    fn a_bucket_that_two_clients_share_lets_in_no_more_than_that_of_one() {
        let limits = two_at_once(vec![LimitKey::Session]);
        let address = IpAddr::from([192, 0, 2, 1]);
        assert!(limits.check(7, address).is_ok());
        assert!(limits.check(BUCKETS + 7, address).is_ok());
        assert!(limits.check(7, address).is_err());
        assert!(limits.check(8, address).is_ok());
    }

    #[test]
    fn no_more_is_let_in_when_many_ask_at_once() {
        let limits = two_at_once(vec![LimitKey::Session]);
        let ask = || (0..100).filter(|_| limits.check(7, IpAddr::from([192, 0, 2, 1])).is_ok()).count();
        let let_in: usize = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().map(|asks| asks.join().unwrap()).sum()
        });
        assert_eq!(let_in, 2);
    }

    #[test]
    fn both_buckets_must_have_room() {
        let limits = two_at_once(vec![LimitKey::Session, LimitKey::Address]);
        let check = |session, host| limits.check(session, IpAddr::from([192, 0, 2, host]));
        assert!(check(1, 1).is_ok());
        assert!(check(2, 1).is_ok());
        let wait = check(3, 1).unwrap_err();
        assert!(wait > Duration::from_secs(1_000), "{wait:?}");
        assert!(check(1, 2).is_ok());
        assert!(check(1, 3).is_err());
    }
}
