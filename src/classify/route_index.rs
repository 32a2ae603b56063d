//! Which paths of a policy could match a request: a tree of their leading segments.
//!
//! A step of the tree is a literal segment or a lone `*`; whatever else a path
//! begins with (`**`, `*-cart`) ends its way down, and its last step keeps it as a
//! candidate. What ends at one step is told apart by something else that a request
//! must have to match: a later segment, an extension, a host, a key of its query. So
//! a request meets the few candidates that share its beginning and one thing more,
//! however many routes there are.
//!
//! It only narrows down: whether a candidate matches, its path and its route say.

use super::asked::Asked;
use super::glob::{PathGlob, Step};

/// How far down the tree goes: enough to tell `/api/v2/storefront/checkout` from its siblings, and
/// at most sixteen ways, where each step has a literal and a star.
const STEPS_MAX: usize = 4;

/// Candidates by the requests they match.
#[derive(Clone, Debug, Default)]
pub(super) struct RouteIndex {
    root: Node,
    size: usize,
}

/// Something without which no request matches a candidate.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark<'a> {
    /// A key of the query, with this value or with any.
    Query(&'a str, Option<&'a str>),
    /// The host, in any case.
    Host(&'a str),
    /// A segment of the path.
    Segment(&'a str),
    /// What the path ends in, after a dot.
    Extension(&'a str),
}

/// What has this beginning in common.
#[derive(Clone, Debug, Default)]
struct Node {
    /// What goes no further down and has no mark, in ascending order.
    unmarked: Vec<usize>,
    /// What goes no further down, each by one of its marks.
    marked: Option<Box<Marked>>,
    literals: ByText<Node>,
    any: Option<Box<Node>>,
}

/// Candidates by their marks; each list is in ascending order.
#[derive(Clone, Debug, Default)]
struct Marked {
    queries: ByText<ByValue>,
    hosts: ByText<Vec<usize>>,
    segments: ByText<Vec<usize>>,
    extensions: ByText<Vec<usize>>,
}

#[derive(Clone, Debug, Default)]
struct ByValue {
    any: Vec<usize>,
    each: ByText<Vec<usize>>,
}

impl RouteIndex {
    /// Adds a candidate, the number of which is above those before it, with the marks it has besides its path.
    pub(super) fn insert<'a>(
        &mut self,
        path: &'a PathGlob,
        marks: impl IntoIterator<Item = Mark<'a>>,
        candidate: usize,
    ) {
        self.size += 1;
        let depth = path.steps().take(STEPS_MAX).count();
        let node = path.steps().take(depth).fold(&mut self.root, Node::grow);
        let of_path = path.literals_after(depth).map(Mark::Segment);
        let extension = path.extension().map(Mark::Extension);
        node.add(marks.into_iter().chain(of_path).chain(extension), candidate);
    }

    /// Whether it has no candidate at all.
    pub(super) fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Whether there is any candidate for a request.
    pub(super) fn has_candidates(&self, asked: &Asked<'_>) -> bool {
        let mut is_any = false;
        self.visit(asked, &mut |list| is_any |= !list.is_empty());
        is_any
    }

    /// Shows `see` every list with candidates for a request, each in ascending order.
    pub(super) fn visit<'a>(&'a self, asked: &Asked<'_>, see: &mut impl FnMut(&'a [usize])) {
        self.root.visit(asked.segments(), asked, see);
    }
}

impl Node {
    fn grow(&mut self, step: Step<'_>) -> &mut Node {
        match step {
            Step::Literal(segment) => self.literals.entry(segment),
            Step::Any => self.any.get_or_insert_default(),
        }
    }

    /// Keeps a candidate by that of its marks which the fewest others have so far.
    fn add<'a>(&mut self, marks: impl Iterator<Item = Mark<'a>>, candidate: usize) {
        let others = |mark: &Mark<'_>| self.marked.as_ref().map_or(0, |marked| marked.count(*mark));
        let list = match marks.min_by_key(others) {
            Some(mark) => self.marked.get_or_insert_default().list(mark),
            None => &mut self.unmarked,
        };
        list.push(candidate);
    }

    fn visit<'a>(&'a self, below: &[&str], asked: &Asked<'_>, see: &mut impl FnMut(&'a [usize])) {
        see(&self.unmarked);
        if let Some(marked) = &self.marked {
            marked.visit(asked, see);
        }
        let Some((first, rest)) = below.split_first() else { return };
        if let Some(node) = self.literals.get(first) {
            node.visit(rest, asked, see);
        }
        if let Some(any) = &self.any {
            any.visit(rest, asked, see);
        }
    }
}

impl Marked {
    fn count(&self, mark: Mark<'_>) -> usize {
        let list = match mark {
            Mark::Query(key, None) => self.queries.get(key).map(|values| &values.any),
            Mark::Query(key, Some(value)) => self.queries.get(key).and_then(|values| values.each.get(value)),
            Mark::Host(host) => self.hosts.get(&host.to_ascii_lowercase()),
            Mark::Segment(segment) => self.segments.get(segment),
            Mark::Extension(extension) => self.extensions.get(extension),
        };
        list.map_or(0, Vec::len)
    }

    fn list(&mut self, mark: Mark<'_>) -> &mut Vec<usize> {
        match mark {
            Mark::Query(key, None) => &mut self.queries.entry(key).any,
            Mark::Query(key, Some(value)) => self.queries.entry(key).each.entry(value),
            Mark::Host(host) => self.hosts.entry(&host.to_ascii_lowercase()),
            Mark::Segment(segment) => self.segments.entry(segment),
            Mark::Extension(extension) => self.extensions.entry(extension),
        }
    }

    /// Shows each list once: what a request has twice, it is asked for once.
    fn visit<'a>(&'a self, asked: &Asked<'_>, see: &mut impl FnMut(&'a [usize])) {
        if !self.segments.is_empty() {
            asked
                .distinct_segments()
                .iter()
                .filter_map(|segment| self.segments.get(segment))
                .for_each(|list| see(list));
        }
        if !self.queries.is_empty() {
            self.visit_queries(asked, see);
        }
        if !self.hosts.is_empty()
            && let Some(list) = self.hosts.get(asked.host())
        {
            see(list);
        }
        let extension = asked.segments().last().and_then(|last| last.rsplit_once('.'));
        if let Some(list) = extension.and_then(|(_, extension)| self.extensions.get(extension)) {
            see(list);
        }
    }

    fn visit_queries<'a>(&'a self, asked: &Asked<'_>, see: &mut impl FnMut(&'a [usize])) {
        for (key, pairs) in asked.query().by_key() {
            let Some(values) = self.queries.get(key) else { continue };
            see(&values.any);
            pairs.iter().filter_map(|pair| values.each.get(&pair.value)).for_each(|list| see(list));
        }
    }
}

/// Sorted by text. Halving a sorted list beats a keyed hash of a short text.
#[derive(Clone, Debug)]
struct ByText<T>(Vec<(Box<str>, T)>);

impl<T> Default for ByText<T> {
    fn default() -> ByText<T> {
        ByText(Vec::new())
    }
}

impl<T: Default> ByText<T> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn position(&self, text: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(own, _)| (**own).cmp(text))
    }

    fn get(&self, text: &str) -> Option<&T> {
        self.position(text).ok().map(|at| &self.0[at].1)
    }

    fn entry(&mut self, text: &str) -> &mut T {
        let at = self.position(text).unwrap_or_else(|at| {
            self.0.insert(at, (text.into(), T::default()));
            at
        });
        &mut self.0[at].1
    }
}

#[cfg(test)]
mod tests {
    use super::super::head::Head;
    use super::*;

    const PATHS: [&str; 11] = [
        "/**",
        "/cart/**",
        "/*/cart",
        "/rest/*/v1/*-carts/**",
        "/rest/**",
        "/a/b/c/d/e",
        "/a/b/c/d/f",
        "/**/*.js",
        "/cart/*.js",
        "/",
        "/**/pay/**",
    ];

    fn candidates(path: &str) -> Vec<&'static str> {
        let globs = PATHS.map(|pattern| PathGlob::new(pattern).unwrap());
        let mut index = RouteIndex::default();
        for (number, glob) in globs.iter().enumerate() {
            index.insert(glob, [], number);
        }
        found(&index, path, "shop.test").into_iter().map(|number: usize| PATHS[number]).collect()
    }

    fn found(index: &RouteIndex, target: &str, host: &str) -> Vec<usize> {
        let (parts, ()) = http::Request::get(target).header("host", host).body(()).unwrap().into_parts();
        let head = Head::of(&parts);
        let mut found: Vec<usize> = Vec::new();
        index.visit(&Asked::new(&head, head.path()), &mut |list| found.extend(list));
        found.sort_unstable();
        found
    }

    #[test]
    fn a_path_meets_what_shares_its_beginning() {
        assert_eq!(candidates("/"), ["/**", "/"]);
        assert_eq!(candidates("/cart/items"), ["/**", "/cart/**", "/"]);
        assert_eq!(candidates("/de/cart"), ["/**", "/*/cart", "/"]);
        assert_eq!(candidates("/rest/x/v1/my-carts"), ["/**", "/rest/*/v1/*-carts/**", "/rest/**", "/"]);
    }

    #[test]
    fn what_begins_alike_for_long_is_told_apart_by_what_follows() {
        assert_eq!(candidates("/a/b/c/d/e"), ["/**", "/a/b/c/d/e", "/"]);
        assert_eq!(candidates("/a/b/c"), ["/**", "/"]);
    }

    #[test]
    fn a_segment_and_an_extension_are_found_wherever_they_are() {
        assert_eq!(candidates("/x/y.js"), ["/**", "/**/*.js", "/"]);
        assert_eq!(candidates("/cart/y.js"), ["/**", "/cart/**", "/**/*.js", "/cart/*.js", "/"]);
        assert_eq!(candidates("/x/pay/pay/y"), ["/**", "/", "/**/pay/**"]);
    }

    #[test]
    fn one_path_with_many_hosts_and_keys_is_told_apart_by_them() {
        let path = PathGlob::new("/cart/**").unwrap();
        let mut index = RouteIndex::default();
        index.insert(&path, [Mark::Host("A.test")], 0);
        index.insert(&path, [Mark::Host("b.test"), Mark::Query("step", Some("pay"))], 1);
        index.insert(&path, [Mark::Host("b.test"), Mark::Query("step", None)], 2);
        index.insert(&path, [], 3);
        assert_eq!(found(&index, "/cart?step=ship", "a.TEST"), [0, 2, 3]);
        assert_eq!(found(&index, "/cart?step=pay&step=pay", "b.test"), [1, 2, 3]);
        assert_eq!(found(&index, "/cart?stop=pay", "c.test"), [3]);
    }
}
