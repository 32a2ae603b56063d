//! A request on its way through the routes, with what several of them ask about it.
//!
//! Each thing is worked out at most once for a request, and only if a route asks.
//!
//! It answers, and knows no route.

use std::borrow::Cow;
use std::cell::OnceCell;

use http::{HeaderName, Method};

use super::glob::{Glob, Segments};
use super::head::Head;
use super::preflight::Preflight;
use super::query::Pairs;
use super::session::SessionView;
use super::when::facts::Facts;

/// What is known of the GraphQL operation of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation<'a> {
    /// The body was looked at, or has nothing to look at.
    Known(Option<&'a str>),
    /// It cannot be known: any may be meant.
    Unknown,
}

/// A request, and what was found out about it.
pub(super) struct Asked<'a> {
    preflight: Option<Preflight<'a>>,
    segments: Segments<'a>,
    distinct_segments: OnceCell<Vec<&'a str>>,
    host: OnceCell<Cow<'a, str>>,
    operation: Operation<'a>,
    facts: Facts<'a>,
}

impl<'a> Asked<'a> {
    /// The request of this head, whose path has this key, of a session that has just begun. Its operation is unknown.
    pub(super) fn new(head: &Head<'a>, key: &'a str) -> Asked<'a> {
        let preflight = Preflight::of(head);
        // What is asked of a preflight is asked of the request that it announces.
        let method = preflight.as_ref().map_or(head.method, |preflight| &preflight.method).clone();
        Asked {
            preflight,
            segments: Segments::of(key),
            distinct_segments: OnceCell::new(),
            host: OnceCell::new(),
            operation: Operation::Unknown,
            facts: Facts::of(*head, method, key, SessionView::default()),
        }
    }

    /// The same, of this session and with this operation, if any. A preflight has no body: the operation behind it
    /// may be any.
    pub(super) fn knowing(mut self, operation: Option<&'a str>, session: SessionView) -> Asked<'a> {
        if !self.is_preflight() {
            self.operation = Operation::Known(operation);
        }
        self.facts = self.facts.of_session(session);
        self
    }

    pub(super) fn is_preflight(&self) -> bool {
        self.preflight.is_some()
    }

    pub(super) fn segments(&self) -> &Segments<'a> {
        &self.segments
    }

    /// The segments of its path in no particular order, each once.
    pub(super) fn distinct_segments(&self) -> &[&'a str] {
        self.distinct_segments.get_or_init(|| {
            let mut segments = self.segments.to_vec();
            segments.sort_unstable();
            segments.dedup();
            segments
        })
    }

    /// Its host in lower case, without its port.
    pub(super) fn host(&self) -> &str {
        self.host.get_or_init(|| match self.facts.head().host() {
            host if host.bytes().any(|byte| byte.is_ascii_uppercase()) => host.to_ascii_lowercase().into(),
            host => host.into(),
        })
    }

    pub(super) fn query(&self) -> &Pairs<'a> {
        self.facts.query()
    }

    pub(super) fn operation(&self) -> Operation<'a> {
        self.operation
    }

    /// What expressions see of it.
    pub(super) fn facts(&self) -> &Facts<'a> {
        &self.facts
    }

    pub(super) fn head(&self) -> &Head<'a> {
        self.facts.head()
    }

    /// Its method; of a preflight, that of the request it announces.
    pub(super) fn method(&self) -> &Method {
        self.facts.method()
    }

    /// Whether it has a field of that name and value. A preflight announces names only: the value is given the
    /// benefit of the doubt.
    pub(super) fn has_header(&self, name: &HeaderName, value: &Glob) -> bool {
        let is_announced = || self.preflight.as_ref().is_some_and(|preflight| preflight.will_carry(name));
        let mut fields = self.head().headers.get_all(name).iter();
        fields.any(|field| field.to_str().is_ok_and(|text| value.matches(text))) || is_announced()
    }
}
