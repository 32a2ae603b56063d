//! Which routes can never be reached, because earlier ones take all that they would.
//!
//! A condition is compared with a condition, not with requests: an earlier one that
//! demands no more than a later one takes whatever the later would. Where that cannot
//! be seen it is not claimed, so nothing is called unreachable that is not; two routes
//! that only together cover a third go unnoticed.

use std::collections::HashMap;

use http::Method;

use super::glob::{PathGlob, Step};
use super::routes::{Conditions, Route};

/// A path of a route and the earlier route that takes all of it. Both count from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The route.
    pub route: usize,
    /// The position of its path among its paths; `None` if it demands no path.
    pub path: Option<usize>,
    /// The earlier route.
    pub by: usize,
}

/// Every path of `routes` that an earlier route takes, in their order.
pub fn covered(routes: &[Route]) -> Vec<Covered> {
    let mut earlier = Earlier::default();
    let mut found = Vec::new();
    for (route, Route { conditions, .. }) in routes.iter().enumerate() {
        let any = [PathGlob::any()];
        let paths = if conditions.paths.is_empty() { &any[..] } else { &conditions.paths };
        for (position, path) in paths.iter().enumerate() {
            let by = earlier.of(path).find(|by| {
                routes[*by].conditions.demands_no_more_than(conditions)
                    && routes[*by].conditions.has_path_over(path)
            });
            let position = (!conditions.paths.is_empty()).then_some(position);
            found.extend(by.map(|by| Covered { route, path: position, by }));
        }
        earlier.add(route, paths);
    }
    found
}

/// Earlier routes by the literal first segment of their paths, so that a thousand routes are not
/// held against a thousand.
#[derive(Default)]
struct Earlier {
    by_first: HashMap<String, Vec<usize>>,
}

impl Earlier {
    fn add(&mut self, route: usize, paths: &[PathGlob]) {
        for path in paths {
            let list = self.by_first.entry(first(path).to_owned()).or_default();
            if list.last() != Some(&route) {
                list.push(route);
            }
        }
    }

    /// Those that may cover `path`: they begin with its first segment, or with a star.
    fn of(&self, path: &PathGlob) -> impl Iterator<Item = usize> {
        let own = Some(first(path)).filter(|first| !first.is_empty());
        let lists = [Some(""), own].into_iter().flatten().filter_map(|first| self.by_first.get(first));
        lists.flatten().copied()
    }
}

fn first(path: &PathGlob) -> &str {
    match path.steps().next() {
        Some(Step::Literal(first)) => first,
        Some(Step::Any) | None => "",
    }
}

impl Conditions {
    /// Whether the two demand the same, so that they take the same requests.
    pub fn demands_the_same_as(&self, other: &Conditions) -> bool {
        let has_paths_of = |one: &Conditions, other: &Conditions| {
            one.paths.is_empty() == other.paths.is_empty()
                && other.paths.iter().all(|path| one.has_path_over(path))
        };
        self.demands_no_more_than(other)
            && other.demands_no_more_than(self)
            && has_paths_of(self, other)
            && has_paths_of(other, self)
    }

    fn has_path_over(&self, path: &PathGlob) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|own| own.covers(path))
    }

    /// Whether every request that meets the conditions of `other`, paths aside, meets these.
    fn demands_no_more_than(&self, other: &Conditions) -> bool {
        self.takes_methods(&other.methods)
            && self
                .when
                .as_ref()
                .is_none_or(|own| other.when.as_ref().is_some_and(|theirs| theirs.source() == own.source()))
            && covers_option(self.host.as_ref(), other.host.as_ref())
            && self.headers.iter().all(|(name, value)| {
                other.headers.iter().any(|(theirs, narrower)| theirs == name && value.covers(narrower))
            })
            && self.query.iter().all(|(key, value)| {
                other.query.iter().any(|(theirs, narrower)| theirs == key && value.covers(narrower))
            })
            && self.cookies.iter().all(|name| other.cookies.iter().any(|narrower| name.covers(narrower)))
            && (self.addresses.is_empty() || self.spans_networks_of(other))
            && (self.operations.is_empty()
                || (!other.operations.is_empty()
                    && other
                        .operations
                        .iter()
                        .all(|name| self.operations.iter().any(|own| own.covers(name)))))
    }

    /// Whether each of the networks that `other` demands is within one of these.
    fn spans_networks_of(&self, other: &Conditions) -> bool {
        let is_within = |network| self.addresses.iter().any(|own| own.contains(network));
        !other.addresses.is_empty() && other.addresses.iter().all(is_within)
    }

    fn takes_methods(&self, methods: &[Method]) -> bool {
        let takes = |method: &Method| {
            self.methods.contains(method) || (*method == Method::HEAD && self.methods.contains(&Method::GET))
        };
        self.methods.is_empty() || (!methods.is_empty() && methods.iter().all(takes))
    }
}

fn covers_option(own: Option<&super::glob::Glob>, other: Option<&super::glob::Glob>) -> bool {
    match (own, other) {
        (None, _) => true,
        (Some(own), Some(other)) => own.covers(other),
        (Some(_), None) => false,
    }
}
