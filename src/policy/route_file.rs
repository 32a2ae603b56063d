//! One entry under `routes:`: the conditions as they are written.
//!
//! Names of classes stay names; `compile` knows which exist.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderName, Method};
use ipnet::IpNet;

use super::leeway_file::{self, RouteLeeway};
use crate::classify::glob::{Case, Glob, PathGlob};
use crate::classify::routes::Conditions;
use crate::classify::when::When;
use crate::yaml::diagnostic::{Mistake, UNKNOWN_NAME, nearest};
use crate::yaml::field::{Field, Named, Section};
use crate::yaml::units::Kind;

/// The longest list of routes. Beyond it a policy is generated, and its generator at fault.
pub(super) const ROUTES_MAX: usize = 10_000;

/// A route whose class is not resolved yet.
pub(super) struct RouteEntry<'n> {
    pub(super) field: Field<'n>,
    pub(super) conditions: Conditions,
    /// Where each of the conditions' paths stands.
    pub(super) path_fields: Vec<Field<'n>>,
    pub(super) class: Option<Named<'n>>,
    pub(super) model: Option<RouteLeeway<'n>>,
    pub(super) pool: Option<Box<str>>,
}

/// Reads a route.
pub(super) fn read(field: Field<'_>) -> Option<RouteEntry<'_>> {
    let route = field.section()?;
    let (path_fields, paths) = all_of(&route, "path", &PATH).into_iter().unzip();
    let methods = all_of(&route, "methods", &METHOD);
    methods.iter().for_each(warn_of_slip);
    let conditions = Conditions {
        methods: values(methods),
        paths,
        host: route.get("host").and_then(|field| field.read_as(&HOST)),
        headers: route.get("headers").map(|field| headers(&field)).unwrap_or_default(),
        query: route.get("query").map(|field| query(&field)).unwrap_or_default(),
        when: route.get("when").and_then(|field| field.read_as(&WHEN)).map(Arc::new),
        cookies: values(all_of(&route, "cookies", &COOKIE)),
        addresses: values(all_of(&route, "addresses", &NETWORK)),
        operations: values(all_of(&route, "graphql", &OPERATION)),
    };
    let class = route.require("class", "`class: checkout`").and_then(Field::named);
    let model = route.get("model").and_then(leeway_file::of_route);
    let pool = route.get("pool").and_then(|field| field.text()).map(Box::from);
    route.close();
    Some(RouteEntry { field, conditions, path_fields, class, model, pool })
}

/// Each item of a list with its place.
fn all_of<'n, T>(route: &Section<'n>, key: &'static str, kind: &Kind<T>) -> Vec<(Field<'n>, T)> {
    let Some(field) = route.get(key) else { return Vec::new() };
    let items = field.list_or_one();
    if items.is_empty() {
        field.report(Mistake::new("nothing to match").hint("leave the key out to match everything"));
    }
    items.into_iter().filter_map(|item| item.read_as(kind).map(|value| (item, value))).collect()
}

fn values<T>(items: Vec<(Field<'_>, T)>) -> Vec<T> {
    items.into_iter().map(|(_, value)| value).collect()
}

/// Methods that are asked for: those of HTTP and WebDAV in IANA's registry, and those by which caches are emptied.
const METHODS: [&str; 24] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "QUERY",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "MERGE",
    "LINK",
    "UNLINK",
    "PURGE",
    "BAN",
];

/// There may be any method, but one that is nearly another is a slip of the pen, and its route takes nothing.
fn warn_of_slip((field, method): &(Field<'_>, Method)) {
    let name = method.as_str();
    if let Some(near) = nearest(name, &METHODS).filter(|_| !METHODS.contains(&name)) {
        let mistake = Mistake::of(UNKNOWN_NAME, format!("`{name}` is no usual method"));
        field.warn(mistake.hint(format!("did you mean `{near}`?")));
    }
}

const METHOD: Kind<Method> = Kind { pattern: "^[!-`{-~]+$", read: method };
pub(super) const PATH: Kind<PathGlob> = Kind { pattern: "^/[^?]*$", read: path };
/// An expression; only its compilation tells whether it is one.
const WHEN: Kind<When> = Kind { pattern: "", read: when };
const OPERATION: Kind<Glob> = Kind { pattern: "", read: operation };

/// The name of a host, with stars.
const HOST: Kind<Glob> = Kind { pattern: "", read: host };

/// The name of a cookie, with stars.
const COOKIE: Kind<Glob> = Kind { pattern: "", read: operation };

/// A network, or one address. What the pattern lets through that is none, the reader tells.
const NETWORK: Kind<IpNet> = Kind { pattern: "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$", read: network };

/// How long a prefix is at which an address of IPv6 holds one of IPv4.
const MAPPED_PREFIX: u8 = 96;

fn network(text: &str) -> Result<IpNet, Mistake> {
    let not_one = || Mistake::new(format!("`{text}` is not a network"));
    let alone = || text.parse::<IpAddr>().map(IpNet::from).map_err(|_| not_one());
    let network = text
        .parse::<IpNet>()
        .or_else(|_| alone())
        .map_err(|mistake: Mistake| mistake.hint("write it like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7"))?;
    if network.trunc() != network {
        return Err(not_one().hint(format!("write {}", network.trunc())));
    }
    match network {
        // A client that has an IPv4 address is known by that, so this would hold for nobody.
        IpNet::V6(six) if six.prefix_len() >= MAPPED_PREFIX && six.addr().to_ipv4_mapped().is_some() => {
            Err(not_one().hint("write the IPv4 network that it holds"))
        }
        network => Ok(network),
    }
}

fn host(text: &str) -> Result<Glob, Mistake> {
    let not_one = || Mistake::new(format!("`{text}` is not a host"));
    if text.contains('/') {
        return Err(not_one().hint("its name alone, like shop.test or *.shop.test"));
    }
    // The colons of an IPv6 address stand in brackets.
    match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => {
            Err(not_one().hint(format!("write {name}: routes see no ports")))
        }
        _ => Ok(Glob::new(text, Case::Ignored)),
    }
}

fn operation(text: &str) -> Result<Glob, Mistake> {
    Ok(Glob::new(text, Case::Sensitive))
}

fn when(text: &str) -> Result<When, Mistake> {
    When::new(text).map_err(|error| {
        let example = "for example request.query.step == \"pay\" && session.stage == \"cart\"";
        Mistake::new(error.to_string()).hint(example)
    })
}

fn method(text: &str) -> Result<Method, Mistake> {
    let upper = text.to_ascii_uppercase();
    if upper != text {
        return Err(Mistake::new(format!("`{text}` is not a method")).hint(format!("write {upper}")));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| Mistake::new(format!("`{text}` is not a method")))
}

fn path(text: &str) -> Result<PathGlob, Mistake> {
    PathGlob::new(text)
        .map_err(|error| Mistake::new(format!("`{text}` is not a path")).hint(error.to_string()))
}

fn headers(field: &Field<'_>) -> Vec<(HeaderName, Glob)> {
    let read = |(name, value): (&str, Field<'_>)| {
        let Ok(name) = HeaderName::from_str(name) else {
            value.report(Mistake::new(format!("`{name}` is not a header name")));
            return None;
        };
        Some((name, Glob::new(value_or_any(&value)?, Case::Ignored)))
    };
    field.entries().into_iter().flatten().filter_map(read).collect()
}

fn query(field: &Field<'_>) -> Vec<(String, Glob)> {
    let read = |(name, value): (&str, Field<'_>)| {
        Some((name.to_owned(), Glob::new(value_or_any(&value)?, Case::Sensitive)))
    };
    field.entries().into_iter().flatten().filter_map(read).collect()
}

/// `{ preview: }` asks for the key and takes any value.
fn value_or_any<'n>(value: &Field<'n>) -> Option<&'n str> {
    if value.is_null() { Some("*") } else { value.text() }
}
