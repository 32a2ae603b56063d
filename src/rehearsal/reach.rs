//! Which routes of a policy the requests of a log reach, and whose `when` holds for any of them.
//!
//! A log tells neither hosts nor cookies nor most headers. Of a route that asks for those it says nothing: `is_told`
//! is false then, and the rest means little.
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
    let routes = generation.policy.routes.routes();
    let mut reached: Vec<Reach> = routes
        .iter()
        .map(|route| Reach { is_told: is_told(&route.conditions), ..Reach::default() })
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

/// Whether a log in the combined format tells all that a route asks for.
fn is_told(conditions: &Conditions) -> bool {
    let is_logged = |name: &HeaderName| *name == REFERER || *name == USER_AGENT;
    conditions.host.is_none()
        && conditions.cookies.is_empty()
        && conditions.addresses.is_empty()
        && conditions.operations.is_empty()
        && conditions.headers.iter().all(|(name, _)| is_logged(name))
        && conditions.when.as_ref().is_none_or(|when| when.asks_only_for(&["method", "path", "query"]))
}
