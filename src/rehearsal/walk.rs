//! The requests of an access log, one after the other, as the code that serves would judge them.
//!
//! In the log's own time, so that sessions move through the funnel as they did. A log holds no cookies and no bodies,
//! so a session is a client with its browser, and no GraphQL operation is known but those in a query.
//!
//! It decides nothing and keeps nothing of what it passes by.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use http::Request;
use http::header::{HeaderValue, REFERER, USER_AGENT};
use plimsoll_core::time::Time;

use crate::access_log::Entry;
use crate::classify::entry::entry as funnel_entry;
use crate::classify::head::Head;
use crate::classify::session::SessionView;
use crate::classify::sessions::SessionTable;
use crate::classify::{graphql, path};
use crate::clock::Clock;
use crate::generation::{Generation, Judgement};

/// One request of a log.
pub(super) struct Step<'s, 'g> {
    pub(super) head: Head<'s>,
    /// The key of its path.
    pub(super) key: &'s str,
    /// What is known of its session before it.
    pub(super) view: SessionView,
    pub(super) judgement: Judgement<'g>,
    /// When it came, since 1970: in UTC, for a log does not say where its shop is.
    pub(super) wall: Duration,
}

/// Shows each of `entries`, which are in order of time, to `visit`.
pub(super) fn walk<'g>(
    generation: &'g Generation,
    entries: &[Entry],
    clock: &Clock,
    mut visit: impl FnMut(&Step<'_, 'g>),
) {
    let policy = &generation.policy;
    let first = entries.first().map_or(0, |entry| entry.second);
    let sessions = SessionTable::new(policy.sessions.sessions_max);
    for entry in entries {
        let now = Time::ZERO.after(Duration::from_secs(entry.second.abs_diff(first)));
        let (parts, ()) = request(entry).into_parts();
        // A name in the place of an address is in no network.
        let head = Head::of(&parts).sent_by(entry.client.parse::<IpAddr>().ok());
        let session = sessions.identify(&head, &policy.sessions.cookies, address(&entry.client));
        let view = sessions.view(&session, now).view;
        let (key, operation) = (path::key(head.path()), graphql::operation_in_query(&head));
        let judgement = generation.judge(&head, &key, operation.as_deref(), view, clock);
        sessions.record(&session, policy.settings(judgement.own_class).visit, funnel_entry(&head), now);
        let wall = Duration::from_secs(u64::try_from(entry.second).unwrap_or_default());
        visit(&Step { head, key: &key, view, judgement, wall });
    }
}

fn request(entry: &Entry) -> Request<()> {
    let mut request = Request::builder().method(entry.method.clone()).uri(entry.target.as_str());
    for (name, value) in [(REFERER, &entry.referer), (USER_AGENT, &entry.user_agent)] {
        // What was logged of a header may not be a valid one: browsers send many things.
        if let Some(value) = value.as_ref().and_then(|text| HeaderValue::from_str(text).ok()) {
            request = request.header(name, value);
        }
    }
    request.body(()).expect("the parts of a log entry are valid")
}

/// The client's address, or one that stands for its name.
fn address(client: &str) -> IpAddr {
    client.parse().unwrap_or_else(|_| {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        // The upper half is the network: it is what sessions are told apart by.
        IpAddr::V6(Ipv6Addr::from(u128::from(hasher.hash_one(client)) << 64))
    })
}
