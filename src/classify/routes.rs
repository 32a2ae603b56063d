//! The routes of a policy, compiled: which one a request takes.
//!
//! The first route in the policy's order whose conditions all hold wins. Routes
//! are indexed by their paths, so that a request is held against the few that could
//! match, not against all.
//! Paths are compared as keys (see [`path`](super::path)); the rest of the
//! request is read as it came. A route's `when` is asked last: it costs most.
//!
//! It knows class ids, not classes, and has no opinion on a request no route takes.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use http::{HeaderName, Method};
use ipnet::IpNet;
use plimsoll_core::policy::ClassId;

use super::cookies;
use super::glob::{Glob, PathGlob, Segments};
use super::head::Head;
use super::preflight::Preflight;
use super::query;
use super::route_index::RouteIndex;
use super::session::Stage;
use super::when::{Facts, When};

/// What a request must be for a route to take it. An empty list demands nothing.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// Any of these; `GET` includes `HEAD`.
    pub methods: Vec<Method>,
    /// Any of these.
    pub paths: Vec<PathGlob>,
    /// The host, without its port.
    pub host: Option<Glob>,
    /// All of these fields, each with a value that matches.
    pub headers: Vec<(HeaderName, Glob)>,
    /// All of these query keys, each with a value that matches.
    pub query: Vec<(String, Glob)>,
    /// All of these cookies, by their names.
    pub cookies: Vec<Glob>,
    /// The client's address in any of these networks.
    pub addresses: Vec<IpNet>,
    /// Any of these GraphQL operations.
    pub operations: Vec<Glob>,
    /// This expression over the request and its session.
    pub when: Option<Arc<When>>,
}

/// One line of a policy's routes.
#[derive(Clone, Debug)]
pub struct Route {
    /// What it demands.
    pub conditions: Conditions,
    /// The class of what it takes.
    pub class: ClassId,
    /// The pool of what it takes, if not the default one.
    pub pool: Option<Box<str>>,
    /// Where the policy says so: `file:line`.
    pub defined_at: Box<str>,
    /// Its place among the routes of its policy.
    pub place: u32,
}

impl Route {
    fn asks_for_operation(&self) -> bool {
        !self.conditions.operations.is_empty()
    }
}

/// Routes in the order of their policy, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    routes: Vec<Route>,
    candidates: Vec<Candidate>,
    index: RouteIndex,
    /// The candidates that depend on a GraphQL operation: most requests are nowhere near one.
    index_of_operations: RouteIndex,
}

/// One path of one route. Candidates are numbered in the order of their routes.
#[derive(Clone, Debug)]
struct Candidate {
    path: PathGlob,
    route: usize,
}

impl RouteTable {
    /// Indexes `routes`, the first of which wins over the later ones.
    pub fn new(routes: Vec<Route>) -> RouteTable {
        let mut table = RouteTable::default();
        for (number, route) in routes.iter().enumerate() {
            if route.conditions.paths.is_empty() {
                table.add(PathGlob::any(), number, route);
            }
            for path in &route.conditions.paths {
                table.add(path.clone(), number, route);
            }
        }
        table.routes = routes;
        table
    }

    fn add(&mut self, path: PathGlob, number: usize, route: &Route) {
        let candidate = self.candidates.len();
        self.index.insert(&path, candidate);
        if route.asks_for_operation() {
            self.index_of_operations.insert(&path, candidate);
        }
        self.candidates.push(Candidate { path, route: number });
    }

    /// The routes in their order.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The first route that takes this request of a session at `stage`, whose path has this key and
    /// whose body or query names this GraphQL operation.
    pub fn find_at(
        &self,
        head: &Head<'_>,
        key: &str,
        operation: Option<&str>,
        stage: Stage,
    ) -> Option<&Route> {
        let request = Request::new(head, key, Operation::Known(operation), stage);
        self.first(&request)
    }

    /// [`find_at`](RouteTable::find_at) the start of a session.
    pub fn find(&self, head: &Head<'_>, key: &str, operation: Option<&str>) -> Option<&Route> {
        self.find_at(head, key, operation, Stage::Arrived)
    }

    /// Whether the route of this request depends on its GraphQL operation, so that
    /// the head of its body is worth waiting for.
    pub fn wants_operation(&self, head: &Head<'_>, key: &str) -> bool {
        if !self.index_of_operations.has_candidates(&Segments::of(key)) {
            return false;
        }
        let request = Request::new(head, key, Operation::Unknown, Stage::Arrived);
        request.preflight.is_none() && self.first(&request).is_some_and(Route::asks_for_operation)
    }

    fn first(&self, request: &Request<'_>) -> Option<&Route> {
        let mut first = usize::MAX;
        self.index.visit(&request.segments, &mut |list| {
            let earlier = list.iter().take_while(|&&candidate| candidate < first);
            let found = earlier.copied().find(|&candidate| {
                let Candidate { path, route } = &self.candidates[candidate];
                path.matches(&request.segments) && request.meets(&self.routes[*route].conditions)
            });
            first = found.unwrap_or(first);
        });
        self.candidates.get(first).map(|candidate| &self.routes[candidate.route])
    }
}

/// What is known of the GraphQL operation of a request.
enum Operation<'a> {
    /// The body was looked at, or has nothing to look at.
    Known(Option<&'a str>),
    /// It cannot be known: any may be meant.
    Unknown,
}

/// A request on its way through the table, with what several routes need.
struct Request<'a> {
    head: &'a Head<'a>,
    preflight: Option<Preflight<'a>>,
    key: &'a str,
    segments: Segments<'a>,
    operation: Operation<'a>,
    stage: Stage,
    facts: OnceCell<Facts>,
    query: OnceCell<Vec<(Cow<'a, str>, Cow<'a, str>)>>,
}

impl<'a> Request<'a> {
    fn new(head: &'a Head<'_>, key: &'a str, operation: Operation<'a>, stage: Stage) -> Request<'a> {
        let preflight = Preflight::of(head);
        // A preflight has no body: the operation behind it may be any.
        let operation = if preflight.is_some() { Operation::Unknown } else { operation };
        let segments = Segments::of(key);
        let (facts, query) = (OnceCell::new(), OnceCell::new());
        Request { head, preflight, key, segments, operation, stage, facts, query }
    }

    fn meets(&self, conditions: &Conditions) -> bool {
        self.has_method(&conditions.methods)
            && conditions.host.as_ref().is_none_or(|host| host.matches(self.head.host()))
            && conditions.headers.iter().all(|(name, value)| self.has_header(name, value))
            && conditions.query.iter().all(|(key, value)| self.has_query(key, value))
            && conditions.cookies.iter().all(|name| self.has_cookie(name))
            && self.comes_from(&conditions.addresses)
            && self.has_operation(&conditions.operations)
            && conditions.when.as_ref().is_none_or(|when| self.makes_true(when, conditions))
    }

    fn makes_true(&self, when: &When, conditions: &Conditions) -> bool {
        // While the operation is unknown the session is too, and the question is whether one that
        // is wanted may decide: so it holds where there is one, and elsewhere gives way to it.
        if matches!(self.operation, Operation::Unknown) && self.preflight.is_none() {
            return !conditions.operations.is_empty();
        }
        let facts =
            self.facts.get_or_init(|| Facts::of(self.head, self.method().as_str(), self.key, self.stage));
        when.holds(facts)
    }

    /// Its method; of a preflight, that of the request it announces.
    fn method(&self) -> &Method {
        self.preflight.as_ref().map_or(self.head.method, |preflight| &preflight.method)
    }

    fn has_method(&self, methods: &[Method]) -> bool {
        let method = self.method();
        let head_of_get = *method == Method::HEAD && methods.contains(&Method::GET);
        methods.is_empty() || methods.contains(method) || head_of_get
    }

    fn has_header(&self, name: &HeaderName, value: &Glob) -> bool {
        // A preflight announces names only: the value is given the benefit of the doubt.
        self.preflight.as_ref().is_some_and(|preflight| preflight.will_carry(name))
            || self
                .head
                .headers
                .get_all(name)
                .iter()
                .any(|field| field.to_str().is_ok_and(|text| value.matches(text)))
    }

    fn has_cookie(&self, name: &Glob) -> bool {
        // A preflight carries none, and does not announce them: the request behind it may have any.
        self.preflight.is_some() || cookies::names(self.head.headers).any(|cookie| name.matches(cookie))
    }

    /// An address that nobody told is in no network.
    fn comes_from(&self, networks: &[IpNet]) -> bool {
        let is_within = |client| networks.iter().any(|network| network.contains(&client));
        networks.is_empty() || self.head.client.is_some_and(is_within)
    }

    fn has_query(&self, key: &str, value: &Glob) -> bool {
        let pairs = self.query.get_or_init(|| query::pairs(self.head.query()).collect());
        pairs.iter().any(|(name, text)| name == key && value.matches(text))
    }

    fn has_operation(&self, operations: &[Glob]) -> bool {
        match self.operation {
            _ if operations.is_empty() => true,
            Operation::Unknown => true,
            Operation::Known(name) => {
                name.is_some_and(|name| operations.iter().any(|glob| glob.matches(name)))
            }
        }
    }
}
