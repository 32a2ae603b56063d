//! The routes of a policy, compiled: which one a request takes.
//!
//! The first route in the policy's order whose conditions all hold wins. Routes
//! are indexed by their paths, hosts and query keys, so that a request is held
//! against the few that could match, not against all.
//! Paths are compared as keys (see [`path`](super::path)); the rest of the
//! request is read as it came. A route's `when` is asked last: it costs most.
//!
//! It knows class ids, not classes, and has no opinion on a request no route takes.

use std::sync::Arc;

use http::{HeaderName, Method};
use ipnet::IpNet;
use plimsoll_core::policy::ClassId;

use super::asked::{Asked, Operation};
use super::cookies;
use super::glob::{Case, Glob, PathGlob};
use super::head::Head;
use super::leeway::Leeway;
use super::route_index::{Mark, RouteIndex};
use super::session::SessionView;
use super::when::When;

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
    /// How far the model may move what it takes; `None` pins the class.
    pub leeway: Option<Leeway>,
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
        self.index.insert(&path, route.conditions.marks(), candidate);
        if route.asks_for_operation() {
            self.index_of_operations.insert(&path, route.conditions.marks(), candidate);
        }
        self.candidates.push(Candidate { path, route: number });
    }

    /// The routes in their order.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The first route that takes this request of this session, or of one at this stage, whose path has this key
    /// and whose body or query names this GraphQL operation.
    pub fn find_at(
        &self,
        head: &Head<'_>,
        key: &str,
        operation: Option<&str>,
        session: impl Into<SessionView>,
    ) -> Option<&Route> {
        self.first(&Asked::new(head, key).knowing(operation, session.into()))
    }

    /// [`find_at`](RouteTable::find_at) the start of a session.
    pub fn find(&self, head: &Head<'_>, key: &str, operation: Option<&str>) -> Option<&Route> {
        self.find_at(head, key, operation, SessionView::default())
    }

    /// Whether the route of this request depends on its GraphQL operation, so that
    /// the head of its body is worth waiting for.
    pub fn wants_operation(&self, head: &Head<'_>, key: &str) -> bool {
        // Few policies have any, and most requests are nowhere near one.
        if self.index_of_operations.is_empty() {
            return false;
        }
        let asked = Asked::new(head, key);
        !asked.is_preflight()
            && self.index_of_operations.has_candidates(&asked)
            && self.first(&asked).is_some_and(Route::asks_for_operation)
    }

    fn first(&self, asked: &Asked<'_>) -> Option<&Route> {
        let mut first = usize::MAX;
        self.index.visit(asked, &mut |list| {
            let earlier = list.iter().take_while(|&&candidate| candidate < first);
            let found = earlier.copied().find(|&candidate| {
                let Candidate { path, route } = &self.candidates[candidate];
                path.matches(asked.segments()) && self.routes[*route].conditions.hold_for(asked)
            });
            first = found.unwrap_or(first);
        });
        self.candidates.get(first).map(|candidate| &self.routes[candidate.route])
    }
}

impl Conditions {
    /// What the index may tell the route by, besides its paths.
    fn marks(&self) -> impl Iterator<Item = Mark<'_>> {
        let queries = self.query.iter().map(|(key, value)| Mark::Query(key, value.literal(Case::Sensitive)));
        let host = self.host.as_ref().and_then(|host| host.literal(Case::Ignored)).map(Mark::Host);
        queries.chain(host)
    }

    /// Whether all of them hold, paths aside.
    fn hold_for(&self, asked: &Asked<'_>) -> bool {
        let head = asked.head();
        self.have_method_of(asked)
            && self.host.as_ref().is_none_or(|host| host.matches(head.host()))
            && self.headers.iter().all(|(name, value)| asked.has_header(name, value))
            && self.query.iter().all(|(key, value)| asked.query().values(key).any(|text| value.matches(text)))
            && self.have_cookies_of(asked)
            && self.have_address_of(asked)
            && self.have_operation_of(asked)
            && self.when.as_ref().is_none_or(|when| self.make_true(when, asked))
    }

    fn have_method_of(&self, asked: &Asked<'_>) -> bool {
        let method = asked.method();
        let head_of_get = *method == Method::HEAD && self.methods.contains(&Method::GET);
        self.methods.is_empty() || self.methods.contains(method) || head_of_get
    }

    /// A preflight carries none, and does not announce them: the request behind it may have any.
    fn have_cookies_of(&self, asked: &Asked<'_>) -> bool {
        let is_sent = |name: &Glob| cookies::names(asked.head().headers).any(|cookie| name.matches(cookie));
        asked.is_preflight() || self.cookies.iter().all(is_sent)
    }

    /// An address that nobody told is in no network.
    fn have_address_of(&self, asked: &Asked<'_>) -> bool {
        let is_within = |client| self.addresses.iter().any(|network| network.contains(&client));
        self.addresses.is_empty() || asked.head().client.is_some_and(is_within)
    }

    fn have_operation_of(&self, asked: &Asked<'_>) -> bool {
        match asked.operation() {
            _ if self.operations.is_empty() => true,
            Operation::Unknown => true,
            Operation::Known(name) => {
                name.is_some_and(|name| self.operations.iter().any(|glob| glob.matches(name)))
            }
        }
    }

    fn make_true(&self, when: &When, asked: &Asked<'_>) -> bool {
        // While the operation is unknown the session is too, and the question is whether one that
        // is wanted may decide: so it holds where there is one, and elsewhere gives way to it.
        if matches!(asked.operation(), Operation::Unknown) && !asked.is_preflight() {
            return !self.operations.is_empty();
        }
        when.holds(asked.facts())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::path;
    use super::super::session::Stage;
    use super::*;

    const HOSTS: [&str; 4] = ["shop.test", "Www.shop.test", "*.shop.test", "b2b.test"];
    const VALUES: [&str; 4] = ["*", "pay", "add*", ""];

    fn path_glob() -> impl Strategy<Value = PathGlob> {
        let segment =
            select(vec!["cart", "checkout", "api", "v1", "*", "**", "*.js", "*.php", "x-*", "pay.js"]);
        vec(segment, 0..6).prop_map(|segments| PathGlob::new(&format!("/{}", segments.join("/"))).unwrap())
    }

    fn conditions() -> impl Strategy<Value = Conditions> {
        let host = prop_oneof![
            4 => Just(None::<Glob>),
            1 => select(HOSTS.to_vec()).prop_map(|host| Some(Glob::new(host, Case::Ignored))),
        ];
        let pair = (select(vec!["step", "id"]), select(VALUES.to_vec()))
            .prop_map(|(key, value)| (key.to_owned(), Glob::new(value, Case::Sensitive)));
        let methods = select(vec![vec![], vec![], vec![Method::GET], vec![Method::POST]]);
        let when = select(vec![None, None, None, Some("request.query.id == '7'")]);
        (methods, vec(path_glob(), 0..3), host, vec(pair, 0..2), when).prop_map(
            |(methods, paths, host, query, when)| {
                let when = when.map(|source| Arc::new(When::new(source).unwrap()));
                Conditions { methods, paths, host, query, when, ..Conditions::default() }
            },
        )
    }

    fn request() -> impl Strategy<Value = http::Request<()>> {
        let segment = select(vec!["cart", "checkout", "api", "v1", "pay.js", "a.php", "x-1", "other"]);
        let pair = select(vec!["step=pay", "step=add-1", "step", "id=7", "id=8", "other=1", "step=pay"]);
        let method = select(vec![Method::GET, Method::HEAD, Method::POST]);
        let host = select(vec!["shop.test", "WWW.SHOP.TEST:8080", "b2b.test", "other.test"]);
        (method, vec(segment, 0..6), vec(pair, 0..4), host).prop_map(|(method, segments, pairs, host)| {
            let target = format!("/{}?{}", segments.join("/"), pairs.join("&"));
            http::Request::builder().method(method).uri(target).header("host", host).body(()).unwrap()
        })
    }

    fn route((place, conditions): (usize, Conditions)) -> Route {
        let class = ClassId::new(0).unwrap();
        Route { conditions, class, leeway: None, pool: None, defined_at: "".into(), place: place as u32 }
    }

    /// What the index is to answer, from every route in turn.
    fn first_of_all(routes: &[Route], asked: &Asked<'_>) -> Option<u32> {
        let takes = |route: &&Route| {
            let paths = &route.conditions.paths;
            let is_on_path = paths.is_empty() || paths.iter().any(|path| path.matches(asked.segments()));
            is_on_path && route.conditions.hold_for(asked)
        };
        routes.iter().find(takes).map(|route| route.place)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]
        #[test]
        fn the_index_answers_as_a_walk_over_all_routes_would(
            conditions in vec(conditions(), 0..40),
            requests in vec(request(), 8),
        ) {
            let table = RouteTable::new(conditions.into_iter().enumerate().map(route).collect());
            for request in &requests {
                let head = Head::of_request(request);
                let key = path::key(head.path());
                let asked = Asked::new(&head, &key).knowing(None, Stage::Browsing.into());
                let found = table.find_at(&head, &key, None, Stage::Browsing).map(|route| route.place);
                prop_assert_eq!(found, first_of_all(table.routes(), &asked), "{} {}", request.method(), request.uri());
            }
        }
    }

    #[test]
    fn of_a_thousand_routes_a_request_meets_a_handful() {
        let kinds: [fn(usize) -> Conditions; 6] = [
            |number| paths(&format!("/shop{number}/**")),
            |number| paths(&format!("/**/checkout{number}")),
            |number| paths(&format!("/**/*.x{number}")),
            |number| paths(&format!("/a/b/c/d/e/f{number}")),
            |number| Conditions {
                query: vec![("step".into(), Glob::new(&format!("s{number}"), Case::Sensitive))],
                ..paths("/checkout/**")
            },
            |number| Conditions {
                host: Some(Glob::new(&format!("shop{number}.test"), Case::Ignored)),
                ..paths("/checkout/**")
            },
        ];
        let routes = (0..1_000).map(|number| route((number, kinds[number % 6](number))));
        let table = RouteTable::new(routes.collect());
        for target in
            ["/shop996/x", "/x/checkout997", "/a.x998", "/a/b/c/d/e/f999", "/checkout?step=s994", "/checkout"]
        {
            let request = http::Request::get(target).header("host", "shop995.test").body(()).unwrap();
            let head = Head::of_request(&request);
            let mut met = 0;
            table.index.visit(&Asked::new(&head, head.path()), &mut |list| met += list.len());
            assert!((1..=2).contains(&met), "{target} meets {met}");
            assert!(table.find(&head, head.path(), None).is_some(), "{target}");
        }
    }

    fn paths(pattern: &str) -> Conditions {
        Conditions { paths: vec![PathGlob::new(pattern).unwrap()], ..Conditions::default() }
    }
}
