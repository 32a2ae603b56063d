//! The table of sessions: who asks, and what is remembered of them.
//!
//! A session is the keyed hash of the policy's session cookie, else of address and
//! user agent; no cookie or address is stored. Anyone can invent a cookie, so a
//! cookie counts for itself only once it has *settled*: the origin set it, or
//! [`ADMITTED_TO_SETTLE`] of its requests were admitted. Until then it has the
//! standing of its address, and a fresh cookie per request buys nothing. After a
//! restart no cookie is settled, and nobody is punished for it: a shopper's first
//! requests stand as a new visitor's do, their routes still pin their class, and
//! with the third admitted request the session is its own again.
//!
//! The user agent tells neighbours behind one address apart, and is the client's to
//! choose. So what an unsettled session is known for is its own, but what it asks for
//! is counted by its address alone: else another agent for each request would be as
//! good as another address.
//!
//! Memory is one fixed allocation of sets of 16 slots; the key picks the set
//! and the least worthy slot of a full set goes: unsettled before settled, then
//! the earlier stage, then the longest idle. That is its own bound, evicts in
//! constant time, and cannot be aimed at a set without the table's random key. A
//! concurrent map would need a second structure to know whom to evict.
//!
//! It forgets everything on a restart, and tells nobody who a session is.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use http::header::USER_AGENT;
use plimsoll_core::time::Time;

use super::cookies::CookieNames;
use super::head::Head;
use super::session::{Entry, SessionView, Visit};
use super::session_slot::Slot;

/// Slots of a set. With 16, a table half full of shoppers in checkout overflows
/// one set in 270; with 8, one in 47 (Poisson tail).
const WAYS: usize = 16;
/// How many admitted requests settle a session whose cookie we have not seen set.
/// Three is a page and what it loads: more than an attacker wins by one cookie per request.
pub const ADMITTED_TO_SETTLE: u8 = 3;

/// Who sends a request: hashes under the key of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionKey {
    address: u64,
    network: u64,
    cookie: Option<u64>,
}

impl SessionKey {
    /// Whether the request carried a session cookie.
    pub fn from_cookie(&self) -> bool {
        self.cookie.is_some()
    }

    /// What stays the same for as long as its cookie does: that, or its address.
    pub fn sticky(&self) -> u64 {
        self.cookie.unwrap_or(self.address)
    }
}

/// A session as a decision may see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownSession {
    /// Whose standing it has: its own hash, or that of its address while it is unsettled.
    pub hash: u64,
    /// Under which its requests are counted, for limits and penalties: its own hash, or that of its address
    /// without anything that it says of itself.
    pub counted_as: u64,
    /// Whether it is settled: both are its own.
    pub is_settled: bool,
    /// What is known under that hash.
    pub view: SessionView,
}

impl KnownSession {
    /// The lot of a session of its own: another one each hour, lest the same shoppers lose all day. One that asks
    /// for more than a shopper does has none: its lot would decide on all of a flood at once.
    pub fn lot(&self, usage_penalty: u8, now: Time) -> Option<u8> {
        let hour = now.since(Time::ZERO).as_secs() / 3_600;
        let keeps_one = self.is_settled && usage_penalty == 0;
        keeps_one.then(|| self.hash.to_le_bytes()[hour as usize % size_of::<u64>()])
    }
}

type Set = [Slot; WAYS];

/// How many sets hold so many sessions.
fn sets(sessions_max: usize) -> usize {
    (sessions_max / WAYS).max(1)
}

/// A bounded table of sessions.
#[derive(Debug)]
pub struct SessionTable {
    hasher: RandomState,
    /// Each lock guards one set while one slot is read or written.
    sets: Box<[Mutex<Set>]>,
}

impl SessionTable {
    /// A table of at most `sessions_max` sessions, rounded down to whole sets.
    pub fn new(sessions_max: usize) -> SessionTable {
        let sets = sets(sessions_max);
        SessionTable { hasher: RandomState::new(), sets: (0..sets).map(|_| Mutex::default()).collect() }
    }

    /// Whether a table of so many sessions would have this size.
    pub fn is_made_for(&self, sessions_max: usize) -> bool {
        self.sets.len() == sets(sessions_max)
    }

    /// How many sessions fit.
    pub fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// How many sessions are remembered. Walks the table.
    pub fn len(&self) -> usize {
        self.sets.iter().map(|set| lock(set).iter().filter(|slot| slot.is_taken()).count()).sum()
    }

    /// Whether no session is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Who sends `head` from `client_ip`.
    pub fn identify(&self, head: &Head<'_>, cookies: &CookieNames, client_ip: IpAddr) -> SessionKey {
        let agent = head.headers.get(USER_AGENT).map(http::HeaderValue::as_bytes);
        let network = network(client_ip);
        SessionKey {
            address: self.hasher.hash_one((network, agent)),
            network: self.hasher.hash_one(network),
            cookie: cookies.in_request(head.headers).map(|cookie| self.cookie_hash(cookie)),
        }
    }

    /// What is known of a session at `now`.
    pub fn view(&self, key: &SessionKey, now: Time) -> KnownSession {
        let own = key.cookie.and_then(|cookie| self.settled_view(cookie, now));
        own.unwrap_or_else(|| {
            let view = self.find(key.address, |slot| slot.view(now)).unwrap_or_default();
            KnownSession { hash: key.address, counted_as: key.network, is_settled: false, view }
        })
    }

    /// Counts a request. An unsettled cookie's counts for its address as well.
    pub fn record(&self, key: &SessionKey, visit: Visit, entry: Entry, now: Time) {
        self.update(key, now, |slot| slot.record(visit, entry, now));
    }

    /// Counts an admission; the last of [`ADMITTED_TO_SETTLE`] settles a session.
    pub fn admitted(&self, key: &SessionKey, now: Time) {
        self.update(key, now, |slot| slot.admit(ADMITTED_TO_SETTLE));
    }

    /// Counts a refusal. A step that is missed breaks a session: it comes after those that are whole until it is served
    /// again.
    pub fn refused(&self, key: &SessionKey, visit: Visit, now: Time) {
        self.update(key, now, |slot| slot.refuse(visit));
    }

    /// Settles the session cookies that a response to `key` sets.
    ///
    /// The first new cookie inherits what is known so far: a shopper who had none,
    /// or whose shop renews it at log-in, stays the same shopper. The next ones of
    /// the same address start afresh: behind one address may stand a whole office.
    pub fn granted(&self, key: &SessionKey, response: &HeaderMap, cookies: &CookieNames, now: Time) {
        for cookie in cookies.in_response(response) {
            let hash = self.cookie_hash(cookie);
            if self.find(hash, Slot::settle).is_some() {
                continue;
            }
            let known = self.view(key, now).hash;
            let legacy = self.find(known, Slot::bequeath).flatten();
            self.write(hash, now, |slot| slot.inherit(legacy));
        }
    }

    fn cookie_hash(&self, (name, value): (&str, &str)) -> u64 {
        self.hasher.hash_one((name, value))
    }

    fn settled_view(&self, cookie: u64, now: Time) -> Option<KnownSession> {
        let view = self.find(cookie, |slot| slot.is_settled().then(|| slot.view(now)))??;
        Some(KnownSession { hash: cookie, counted_as: cookie, is_settled: true, view })
    }

    /// Changes the cookie's slot and, unless that is settled, the address's.
    fn update(&self, key: &SessionKey, now: Time, change: impl Fn(&mut Slot)) {
        let settled = key.cookie.is_some_and(|cookie| {
            self.write(cookie, now, |slot| {
                slot.claim();
                change(slot);
                slot.is_settled()
            })
        });
        if !settled {
            self.write(key.address, now, change);
        }
    }

    fn find<T>(&self, hash: u64, act: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        self.set(hash).iter_mut().find(|slot| slot.holds(hash)).map(act)
    }

    /// Changes the slot of `hash`; if it has none, it gets that of the least worthy.
    fn write<T>(&self, hash: u64, now: Time, change: impl FnOnce(&mut Slot) -> T) -> T {
        let mut set = self.set(hash);
        let at = set.iter().position(|slot| slot.holds(hash)).unwrap_or_else(|| {
            let least = (0..WAYS).min_by_key(|&way| set[way].worth()).expect("a set has slots");
            set[least] = Slot::new(hash, now);
            least
        });
        set[at].restart_if_over(now);
        change(&mut set[at])
    }

    fn set(&self, hash: u64) -> MutexGuard<'_, Set> {
        let sets = self.sets.len() as u64;
        let index = usize::try_from(hash % sets).expect("a remainder by a usize is one");
        lock(&self.sets[index])
    }
}

/// A poisoned set is as good as any: slots are plain numbers.
fn lock(set: &Mutex<Set>) -> MutexGuard<'_, Set> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An IPv6 customer owns a /64 and may come from a new address for each request.
pub(crate) fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::classify::session::Stage;
    use crate::classify::session_slot::IDLE_MAX;
    use http::header::{COOKIE, SET_COOKIE};

    const NOW: Time = Time::from_millis(1_000);

    fn cookies() -> CookieNames {
        CookieNames::new(["session"])
    }

    fn key(table: &SessionTable, address: &str, cookie: Option<&str>) -> SessionKey {
        let mut request = http::Request::get("/").header(USER_AGENT, "browser");
        if let Some(cookie) = cookie {
            request = request.header(COOKIE, format!("session={cookie}"));
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        table.identify(&Head::of(&parts), &cookies(), address.parse().unwrap())
    }

    fn grant(table: &SessionTable, key: &SessionKey, cookie: &str) {
        let value = format!("session={cookie}; Path=/").parse().unwrap();
        table.granted(key, &HeaderMap::from_iter([(SET_COOKIE, value)]), &cookies(), NOW);
    }

    fn visit(table: &SessionTable, key: &SessionKey, visit: Visit) {
        table.record(key, visit, Entry::Direct, NOW);
    }

    #[test]
    fn counts_add_up_and_stages_only_rise() {
        let table = SessionTable::new(64);
        let shopper = key(&table, "192.0.2.1", None);
        for kind in [Visit::Page, Visit::Search, Visit::Cart, Visit::Checkout, Visit::Page, Visit::Other] {
            visit(&table, &shopper, kind);
        }
        let view = table.view(&shopper, Time::from_millis(3_000)).view;
        assert_eq!((view.requests, view.views, view.searches, view.carts, view.checkouts), (6, 2, 1, 1, 1));
        assert_eq!(
            (view.stage, view.age, view.idle),
            (Stage::Checkout, Duration::from_secs(2), Duration::from_secs(2))
        );
    }

    #[test]
    fn an_invented_cookie_has_the_standing_of_its_address() {
        let table = SessionTable::new(1_024);
        for request in 0..50 {
            visit(&table, &key(&table, "192.0.2.1", Some(&request.to_string())), Visit::Page);
        }
        let fresh = table.view(&key(&table, "192.0.2.1", Some("another")), NOW);
        let address = table.view(&key(&table, "192.0.2.1", None), NOW);
        assert_eq!(fresh, address);
        assert_eq!(fresh.view.requests, 50);
    }

    #[test]
    fn what_an_unsettled_session_asks_for_is_counted_by_its_address_whatever_it_calls_itself() {
        let table = SessionTable::new(1_024);
        let known = |agent: &str, address: &str| {
            let (parts, ()) =
                http::Request::get("/").header(USER_AGENT, agent).body(()).unwrap().into_parts();
            table.view(&table.identify(&Head::of(&parts), &cookies(), address.parse().unwrap()), NOW)
        };
        let (one, other) = (known("one", "192.0.2.1"), known("other", "192.0.2.1"));
        assert_eq!(one.counted_as, other.counted_as);
        assert_ne!(one.hash, other.hash, "what is known of them is not the same");
        assert_ne!(one.counted_as, known("one", "192.0.2.2").counted_as);
        let settled = key(&table, "192.0.2.1", Some("a"));
        assert_eq!(table.view(&settled, NOW).counted_as, one.counted_as);
        grant(&table, &settled, "a");
        let settled = table.view(&settled, NOW);
        assert_eq!(settled.counted_as, settled.hash);
        assert_ne!(settled.counted_as, one.counted_as);
    }

    #[test]
    fn session_keeps_its_lot_for_an_hour_and_one_that_is_invented_or_floods_has_none() {
        let table = SessionTable::new(1_024);
        let visitor = key(&table, "192.0.2.1", Some("a"));
        assert_eq!(table.view(&visitor, NOW).lot(0, NOW), None);
        grant(&table, &visitor, "a");
        let lot = |at| table.view(&visitor, NOW).lot(0, at).unwrap();
        let hour = |hours: u64| Time::from_millis(hours * 3_600_000);
        assert_eq!(lot(NOW), lot(Time::from_millis(3_599_999)));
        let lots: std::collections::BTreeSet<u8> = (0..8).map(|hours| lot(hour(hours))).collect();
        assert!(lots.len() > 1, "eight hours, one lot");
        assert_eq!(table.view(&visitor, NOW).lot(1, NOW), None);
    }

    #[test]
    fn a_granted_cookie_stands_for_itself_and_inherits_once() {
        let table = SessionTable::new(1_024);
        let visitor = key(&table, "192.0.2.1", None);
        visit(&table, &visitor, Visit::Cart);
        grant(&table, &visitor, "a");
        grant(&table, &visitor, "b");
        let heir = table.view(&key(&table, "192.0.2.1", Some("a")), NOW);
        let neighbour = table.view(&key(&table, "192.0.2.1", Some("b")), NOW);
        assert_eq!((heir.view.stage, heir.view.requests), (Stage::Cart, 1));
        assert_eq!((neighbour.view.stage, neighbour.view.requests), (Stage::Arrived, 0));
        assert_ne!(heir.hash, neighbour.hash);
    }

    #[test]
    fn an_unknown_cookie_settles_with_its_third_admitted_request() {
        let table = SessionTable::new(1_024);
        let shopper = key(&table, "192.0.2.1", Some("from-before-the-restart"));
        let address = table.view(&key(&table, "192.0.2.1", None), NOW).hash;
        for request in 1..=ADMITTED_TO_SETTLE {
            assert_eq!(table.view(&shopper, NOW).hash, address, "before request {request}");
            visit(&table, &shopper, Visit::Page);
            table.admitted(&shopper, NOW);
        }
        let own = table.view(&shopper, NOW);
        assert_ne!(own.hash, address);
        assert!(own.view.returning && own.view.admitted);
    }

    #[test]
    fn a_step_that_is_refused_breaks_a_session_until_one_is_served() {
        let table = SessionTable::new(64);
        let shopper = key(&table, "192.0.2.1", None);
        let is_whole = || table.view(&shopper, NOW).view.admitted;
        let serve = |kind| {
            visit(&table, &shopper, kind);
            table.admitted(&shopper, NOW);
        };
        assert!(!is_whole(), "it has not begun");
        serve(Visit::Page);
        assert!(is_whole());
        table.refused(&shopper, Visit::Other, NOW);
        assert!(is_whole(), "nobody misses a beacon");
        table.refused(&shopper, Visit::Page, NOW);
        assert!(!is_whole());
        serve(Visit::Other);
        assert!(!is_whole(), "nor does a script make it whole");
        serve(Visit::Page);
        assert!(is_whole());
    }

    #[test]
    fn a_flood_of_cookies_stays_within_the_bound_and_spares_checkouts() {
        let table = SessionTable::new(1_000);
        let shopper = key(&table, "192.0.2.1", None);
        visit(&table, &shopper, Visit::Checkout);
        grant(&table, &shopper, "paying");
        for cookie in 0..10_000 {
            let flood = key(&table, "198.51.100.1", Some(&cookie.to_string()));
            table.record(&flood, Visit::Checkout, Entry::Direct, NOW.after(Duration::from_millis(cookie)));
        }
        assert!(table.len() <= table.capacity() && table.capacity() <= 1_000);
        let paying = table.view(&key(&table, "203.0.113.9", Some("paying")), NOW);
        assert_eq!(paying.view.stage, Stage::Checkout);
    }

    #[test]
    fn of_settled_sessions_the_earlier_stage_goes_first_then_the_longest_idle() {
        let table = SessionTable::new(WAYS);
        let settle = |name: &str, kind, at| {
            let session = key(&table, name, None);
            (0..ADMITTED_TO_SETTLE).for_each(|_| table.admitted(&session, at));
            table.record(&session, kind, Entry::Direct, at);
            session
        };
        let checkout = settle("192.0.2.1", Visit::Checkout, NOW);
        let oldest_page = settle("192.0.2.2", Visit::Page, NOW);
        let sessions: Vec<_> = (3..20)
            .map(|host| settle(&format!("192.0.2.{host}"), Visit::Page, Time::from_millis(2_000)))
            .collect();
        assert_eq!(table.len(), WAYS);
        assert_eq!(table.view(&oldest_page, NOW).view, SessionView::default());
        assert_eq!(table.view(&checkout, NOW).view.stage, Stage::Checkout);
        assert_eq!(table.view(&sessions[16], Time::from_millis(2_000)).view.views, 1);
    }

    #[test]
    fn a_visit_ends_after_half_an_hour_of_silence() {
        let table = SessionTable::new(64);
        let shopper = key(&table, "192.0.2.1", None);
        visit(&table, &shopper, Visit::Checkout);
        let (last, next) = (NOW.after(IDLE_MAX), NOW.after(IDLE_MAX + Duration::from_nanos(1)));
        assert_eq!(table.view(&shopper, last).view.stage, Stage::Checkout);
        assert_eq!(table.view(&shopper, next).view.stage, Stage::Arrived);
        table.record(&shopper, Visit::Page, Entry::Direct, next);
        assert_eq!(table.view(&shopper, next).view.requests, 1);
    }

    #[test]
    fn one_network_is_one_address() {
        let table = SessionTable::new(64);
        assert_eq!(key(&table, "2001:db8::1", None), key(&table, "2001:db8::ffff", None));
        assert_ne!(key(&table, "2001:db8::1", None), key(&table, "2001:db8:0:1::1", None));
        assert_eq!(key(&table, "192.0.2.1", None), key(&table, "::ffff:192.0.2.1", None));
        assert!(!key(&table, "192.0.2.1", None).from_cookie());
    }
}
