//! Which routes of a policy the requests of a log reach, and whose `when` holds for any of them.
//!
//! A log tells neither hosts nor cookies nor most headers, and so neither who brought a cookie along. Of a route that
//! asks for those it says nothing: `is_told` is false then, and the rest means little.
//!
//! It warns of nothing; what an operator is told is [`policy::corpus`](crate::policy::corpus)'s.

use http::HeaderName;
use http::header::{REFERER, USER_AGENT};

use crate::access_log::Entry;
use crate::classify::routes::Conditions;
use crate::classify::when::When;
use crate::classify::when::facts::Facts;
use crate::clock::Clock;
use crate::generation::Generation;
use crate::rehearsal::walk::walk;

/// What a `when` may ask for of a request and its session: any log tells it.
const FIELDS: [&str; 11] = [
    "method",
    "path",
    "query",
    "stage",
    "requests",
    "views",
    "searches",
    "carts",
    "checkouts",
    "age_s",
    "idle_s",
];

/// What a log says of one route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Whether a log tells all that the route asks for.
    pub is_told: bool,
    /// How many requests it took.
    pub requests: usize,
    /// Whether it has a `when` that held for no request, whatever its path.
    pub is_never_true: bool,
}

/// What `entries`, which are in order of time, say of each route of the policy.
pub fn reach(generation: &Generation, entries: &[Entry]) -> Vec<Reach> {
    let (routes, told) = (generation.policy.routes.routes(), Told::by(entries));
    let mut reached: Vec<Reach> = routes
        .iter()
        .map(|route| Reach { is_told: told.has_all_of(&route.conditions), ..Reach::default() })
        .collect();
    let conditions = routes.iter().enumerate();
    let mut unmet: Vec<(usize, &When)> =
        conditions.filter_map(|(place, route)| Some((place, route.conditions.when.as_deref()?))).collect();
    walk(generation, entries, &Clock::start(), |step| {
        if let Some(route) = step.judgement.route {
            reached[route.place as usize].requests += 1;
        }
        let facts = Facts::of(step.head, step.head.method.clone(), step.key, step.view);
        unmet.retain(|(_, when)| !when.holds(&facts));
    });
    for (place, _) in unmet {
        reached[place].is_never_true = true;
    }
    reached
}

/// What a log tells of requests.
struct Told {
    headers: Vec<HeaderName>,
    /// Of `request` and of `session`.
    fields: Vec<&'static str>,
}

impl Told {
    /// The combined format has referrers and agents, the common one neither.
    fn by(entries: &[Entry]) -> Told {
        let (mut headers, mut fields) = (Vec::new(), FIELDS.to_vec());
        if entries.iter().any(|entry| entry.referer.is_some()) {
            headers.push(REFERER);
            // Where a session came from is what its first referrer says.
            fields.push("entry");
        }
        if entries.iter().any(|entry| entry.user_agent.is_some()) {
            headers.push(USER_AGENT);
        }
        Told { headers, fields }
    }

    /// Whether it is all that a route asks for.
    fn has_all_of(&self, conditions: &Conditions) -> bool {
        conditions.host.is_none()
            && conditions.cookies.is_empty()
            && conditions.addresses.is_empty()
            && conditions.operations.is_empty()
            && conditions.headers.iter().all(|(name, _)| self.headers.contains(name))
            && conditions.when.as_ref().is_none_or(|when| when.asks_only_for(&self.fields))
    }
}
