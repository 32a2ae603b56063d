//! What an expression sees of a request: `request` and `session`, as objects of CEL.
//!
//! Texts are borrowed from the head, and an object is made when the first expression
//! asks for all of it: `request.query.step` needs none.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::OnceLock;

use cel::common::types::{CelBool, CelInt, CelList, CelMap, CelMapKey, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use http::Method;
use http::header::{COOKIE, HeaderName};

use super::super::cookies;
use super::super::head::Head;
use super::super::query::Pairs;
use super::super::session::SessionView;
use super::counts::Count;

/// The fields of `request`.
pub(super) const REQUEST_FIELDS: [&str; 7] =
    ["method", "path", "host", "address", "query", "headers", "cookies"];
/// The fields of `session`.
pub(super) const SESSION_FIELDS: [&str; 10] =
    ["stage", "entry", "returning", "requests", "views", "searches", "carts", "checkouts", "age_s", "idle_s"];

/// What expressions see of one request.
pub struct Facts<'a> {
    head: Head<'a>,
    method: Method,
    key: &'a str,
    session: SessionView,
    address: OnceLock<Option<String>>,
    query: OnceLock<Pairs<'a>>,
    objects: Objects,
}

/// What is made of the facts only for an expression that asks for a whole object.
#[derive(Default)]
struct Objects {
    query: OnceLock<CelMap<'static>>,
    headers: OnceLock<CelMap<'static>>,
    cookies: OnceLock<CelList<'static>>,
}

impl<'a> Facts<'a> {
    /// The facts of a request with this method (of a preflight: the one it announces), whose path
    /// has this key and which is of this session.
    pub fn of(head: Head<'a>, method: Method, key: &'a str, session: impl Into<SessionView>) -> Facts<'a> {
        let (address, query, session) = (OnceLock::new(), OnceLock::new(), session.into());
        Facts { head, method, key, session, address, query, objects: Objects::default() }
    }

    /// The same of another session.
    pub(in super::super) fn of_session(self, session: SessionView) -> Facts<'a> {
        Facts { session, ..self }
    }

    pub(in super::super) fn head(&self) -> &Head<'a> {
        &self.head
    }

    pub(in super::super) fn method(&self) -> &Method {
        &self.method
    }

    pub(in super::super) fn query(&self) -> &Pairs<'a> {
        self.query.get_or_init(|| Pairs::of(self.head.query()))
    }

    /// The text of a field or an entry of `request` or `session`, if it has one.
    pub(super) fn text<S: AsRef<str>>(&self, name: &Name<S>) -> Option<&str> {
        match name {
            Name::Method => Some(self.method.as_str()),
            Name::Path => Some(self.key),
            Name::Host => Some(self.head.host()),
            Name::Address => self.address(),
            Name::Stage => Some(self.session.stage.name()),
            Name::Entry => Some(self.session.entry.name()),
            Name::Query(key) => self.query().first(key.as_ref()),
            Name::Header(name) => self.header(name.as_ref()),
        }
    }

    /// Names are in lower case, and what is in cookies is nobody's business.
    fn header(&self, name: &str) -> Option<&str> {
        let is_seen = name != COOKIE && !name.bytes().any(|byte| byte.is_ascii_uppercase());
        self.head.header(name).filter(|_| is_seen)
    }

    pub(super) fn has_cookie(&self, name: &str) -> bool {
        cookies::names(self.head.headers).any(|sent| sent == name)
    }

    pub(super) fn session(&self) -> &SessionView {
        &self.session
    }

    pub(super) fn client(&self) -> Option<IpAddr> {
        self.head.client
    }

    fn address(&self) -> Option<&str> {
        self.address.get_or_init(|| self.head.client.map(|client| client.to_string())).as_deref()
    }

    fn query_object(&self) -> &CelMap<'static> {
        let first = |(key, _)| self.query().first(key).map(|value| (key, value));
        self.objects.query.get_or_init(|| object(self.query().by_key().filter_map(first)))
    }

    fn headers_object(&self) -> &CelMap<'static> {
        let names = self.head.headers.keys().map(HeaderName::as_str);
        let entry = |name| self.header(name).map(|value| (name, value));
        self.objects.headers.get_or_init(|| object(names.filter_map(entry)))
    }

    fn cookies_object(&self) -> &CelList<'static> {
        self.objects.cookies.get_or_init(|| {
            CelList::from(cookies::names(self.head.headers).map(boxed_text).collect::<Vec<_>>())
        })
    }

    /// All of `session`, for an expression that is about the object as such.
    fn session_object(&self) -> CelMap<'static> {
        let SessionView { stage, entry, returning, .. } = self.session;
        let others: [(&str, Box<dyn Val>); 3] = [
            ("stage", boxed_text(stage.name())),
            ("entry", boxed_text(entry.name())),
            ("returning", Box::new(CelBool::from(returning))),
        ];
        let numbers = Count::ALL.map(|(name, count)| (name, boxed_number(count.of(&self.session))));
        object_of(others.into_iter().chain(numbers))
    }

    /// All of `request`, likewise.
    fn request_object(&self) -> CelMap<'static> {
        let text = |field| Some((field, boxed_text(self.text(&Name::<&str>::field(field)?)?)));
        let texts = REQUEST_FIELDS.into_iter().filter_map(text);
        let objects: [(&str, Box<dyn Val>); 3] = [
            ("query", Box::new(self.query_object().clone())),
            ("headers", Box::new(self.headers_object().clone())),
            ("cookies", Box::new(self.cookies_object().clone())),
        ];
        object_of(texts.chain(objects))
    }
}

/// The name of a text that expressions see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<S> {
    Method,
    Path,
    Host,
    Address,
    Stage,
    Entry,
    /// The first value of this key.
    Query(S),
    /// The first field of this name.
    Header(S),
}

impl<'n> Name<&'n str> {
    /// The text that a dotted name stands for, if it stands for one.
    fn of(name: &'n str) -> Option<Name<&'n str>> {
        // A further dot names a part of the entry, and a text has none.
        let entry_of = |object: &str| name.strip_prefix(object).filter(|entry| !entry.contains('.'));
        let of_request = name.strip_prefix("request.").and_then(Name::field);
        of_request
            .or_else(|| name.strip_prefix("session.").and_then(Name::of_session))
            .or_else(|| entry_of("request.query.").map(Name::Query))
            .or_else(|| entry_of("request.headers.").map(Name::Header))
    }
}

impl<S> Name<S> {
    /// The field of `request` that is a text.
    pub(super) fn field(field: &str) -> Option<Name<S>> {
        match field {
            "method" => Some(Name::Method),
            "path" => Some(Name::Path),
            "host" => Some(Name::Host),
            "address" => Some(Name::Address),
            _ => None,
        }
    }

    /// The field of `session` that is a text.
    pub(super) fn of_session(field: &str) -> Option<Name<S>> {
        match field {
            "stage" => Some(Name::Stage),
            "entry" => Some(Name::Entry),
            _ => None,
        }
    }
}

impl VariableResolver for Facts<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        match variable {
            "request.query" => Some(CowVal::Borrowed(self.query_object())),
            "request.headers" => Some(CowVal::Borrowed(self.headers_object())),
            "request.cookies" => Some(CowVal::Borrowed(self.cookies_object())),
            "request" => Some(CowVal::owned(self.request_object())),
            "session" => Some(CowVal::owned(self.session_object())),
            "session.returning" => Some(CowVal::owned(CelBool::from(self.session.returning))),
            _ => {
                let count = variable.strip_prefix("session.").and_then(Count::named);
                let number = count.map(|count| CowVal::owned(CelInt::from(count.of(&self.session))));
                number.or_else(|| Some(CowVal::owned(CelString::from(self.text(&Name::of(variable)?)?))))
            }
        }
    }
}

fn boxed_text(text: &str) -> Box<dyn Val> {
    Box::new(CelString::from(text.to_owned()))
}

fn boxed_number(number: i64) -> Box<dyn Val> {
    Box::new(CelInt::from(number))
}

fn object<'n>(entries: impl IntoIterator<Item = (&'n str, &'n str)>) -> CelMap<'static> {
    object_of(entries.into_iter().map(|(name, value)| (name, boxed_text(value))))
}

fn object_of<'n>(entries: impl Iterator<Item = (&'n str, Box<dyn Val>)>) -> CelMap<'static> {
    let entries = entries.map(|(name, value)| (CelMapKey::String(CelString::from(name.to_owned())), value));
    CelMap::from(entries.collect::<HashMap<_, _>>())
}
