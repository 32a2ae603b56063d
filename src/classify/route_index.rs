//! Which paths of a policy could match a request: a tree of their leading segments.
//!
//! A step of the tree is a literal segment or a lone `*`; whatever else a path
//! begins with (`**`, `*-cart`) ends its way down, and its last step keeps it as a
//! candidate. So a request meets the few paths that share its beginning, however
//! many routes there are. What begins with stars and ends in an extension is
//! found by that.
//!
//! It only narrows down: whether a candidate matches, its path says.

use std::collections::HashMap;

use super::glob::{PathGlob, Step};

/// How far down the tree goes: enough to tell `/api/v2/storefront/checkout` from its siblings, and
/// at most sixteen ways, where each step has a literal and a star.
const STEPS_MAX: usize = 4;

/// Candidates by the paths they match.
#[derive(Clone, Debug, Default)]
pub(super) struct RouteIndex {
    root: Node,
    by_extension: HashMap<Box<str>, Vec<usize>>,
}

/// What has this beginning in common.
#[derive(Clone, Debug, Default)]
struct Node {
    /// What goes no further down, in ascending order.
    candidates: Vec<usize>,
    /// Sorted by segment. Halving a sorted list beats a keyed hash of the segment.
    literals: Vec<(Box<str>, Node)>,
    any: Option<Box<Node>>,
}

impl RouteIndex {
    /// Adds a candidate, the number of which is above those before it.
    pub(super) fn insert(&mut self, path: &PathGlob, candidate: usize) {
        let mut steps = path.steps().take(STEPS_MAX).peekable();
        let list = match path.extension() {
            Some(extension) if steps.peek().is_none() => {
                self.by_extension.entry(extension.into()).or_default()
            }
            _ => &mut steps.fold(&mut self.root, Node::grow).candidates,
        };
        list.push(candidate);
    }

    /// Whether there is any candidate for a path of these segments.
    pub(super) fn has_candidates(&self, segments: &[&str]) -> bool {
        let mut is_any = false;
        self.visit(segments, &mut |list| is_any |= !list.is_empty());
        is_any
    }

    /// Shows `see` every list with candidates for a path of these segments, each in ascending order.
    pub(super) fn visit<'a>(&'a self, segments: &[&str], see: &mut impl FnMut(&'a [usize])) {
        self.root.visit(segments, see);
        let extension =
            segments.last().and_then(|last| last.rsplit_once('.')).map(|(_, extension)| extension);
        if let Some(list) = extension.and_then(|extension| self.by_extension.get(extension)) {
            see(list);
        }
    }
}

impl Node {
    fn grow(&mut self, step: Step<'_>) -> &mut Node {
        let Step::Literal(segment) = step else {
            return self.any.get_or_insert_default();
        };
        let at = self.position(segment).unwrap_or_else(|at| {
            self.literals.insert(at, (segment.into(), Node::default()));
            at
        });
        &mut self.literals[at].1
    }

    fn position(&self, segment: &str) -> Result<usize, usize> {
        self.literals.binary_search_by(|(literal, _)| (**literal).cmp(segment))
    }

    fn visit<'a>(&'a self, segments: &[&str], see: &mut impl FnMut(&'a [usize])) {
        see(&self.candidates);
        let Some((first, rest)) = segments.split_first() else { return };
        if let Ok(at) = self.position(first) {
            self.literals[at].1.visit(rest, see);
        }
        if let Some(any) = &self.any {
            any.visit(rest, see);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::glob::Segments;
    use super::*;

    const PATHS: [&str; 10] = [
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
    ];

    fn candidates(path: &str) -> Vec<&'static str> {
        let mut index = RouteIndex::default();
        for (number, pattern) in PATHS.iter().enumerate() {
            index.insert(&PathGlob::new(pattern).unwrap(), number);
        }
        let mut found: Vec<usize> = Vec::new();
        index.visit(&Segments::of(path), &mut |list| found.extend(list));
        found.sort_unstable();
        found.into_iter().map(|number: usize| PATHS[number]).collect()
    }

    #[test]
    fn a_path_meets_what_shares_its_beginning() {
        assert_eq!(candidates("/"), ["/**", "/"]);
        assert_eq!(candidates("/cart/items"), ["/**", "/cart/**", "/cart/*.js", "/"]);
        assert_eq!(candidates("/de/cart"), ["/**", "/*/cart", "/"]);
        assert_eq!(candidates("/rest/x/v1/my-carts"), ["/**", "/rest/*/v1/*-carts/**", "/rest/**", "/"]);
    }

    #[test]
    fn what_begins_alike_for_too_long_is_told_apart_by_its_path() {
        assert_eq!(candidates("/a/b/c/d/e"), ["/**", "/a/b/c/d/e", "/a/b/c/d/f", "/"]);
        assert_eq!(candidates("/a/b/c"), ["/**", "/"]);
    }

    #[test]
    fn an_extension_is_found_wherever_it_is() {
        assert_eq!(candidates("/x/y.js"), ["/**", "/**/*.js", "/"]);
        assert_eq!(candidates("/cart/y.js"), ["/**", "/cart/**", "/**/*.js", "/cart/*.js", "/"]);
    }
}
