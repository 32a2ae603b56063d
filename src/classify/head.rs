//! What classification may see of a request: the head, before any body byte.
//!
//! A borrowed view instead of the proxy's own request type, so that `explain`,
//! the log replay and the training code classify with the very code that serves.
//!
//! It validates nothing; the proxy's hygiene has run before.

use std::net::IpAddr;

use http::header::{AsHeaderName, HOST};
use http::{HeaderMap, Method, Request, Uri};

/// A borrowed request head, and who sent it.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The request target as it was sent.
    pub uri: &'a Uri,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The client's address, where it is known: the one that trusted hops tell, in its canonical form.
    pub client: Option<IpAddr>,
}

impl<'a> Head<'a> {
    /// The view of an `http` request head.
    pub fn of(parts: &'a http::request::Parts) -> Head<'a> {
        Head { method: &parts.method, uri: &parts.uri, headers: &parts.headers, client: None }
    }

    /// The view of the head of a whole request.
    pub fn of_request<T>(request: &'a Request<T>) -> Head<'a> {
        Head { method: request.method(), uri: request.uri(), headers: request.headers(), client: None }
    }

    /// The same, sent from this address.
    pub fn sent_by(self, client: impl Into<Option<IpAddr>>) -> Head<'a> {
        Head { client: client.into().map(|address| address.to_canonical()), ..self }
    }

    /// The same with another method.
    pub fn with_method(self, method: &'a Method) -> Head<'a> {
        Head { method, ..self }
    }

    /// The path as it was sent, not normalised. `*` and authority targets have `/`.
    pub fn path(&self) -> &'a str {
        self.uri.path()
    }

    /// The query without its `?`; empty if there is none.
    pub fn query(&self) -> &'a str {
        self.uri.query().unwrap_or("")
    }

    /// The host without its port: the target's authority (HTTP/2), else the `Host` field.
    pub fn host(&self) -> &'a str {
        let authority = self.uri.authority().map(http::uri::Authority::as_str);
        let host = authority.or_else(|| self.header(HOST)).unwrap_or("");
        without_port(host)
    }

    /// The first field of that name, if it is visible ASCII.
    pub fn header(&self, name: impl AsHeaderName) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// `[::1]:80` and `shop.test:80` lose the port; a bare IPv6 address cannot appear here unbracketed.
fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_loses_its_port_but_not_its_address() {
        assert_eq!(without_port("shop.test:8080"), "shop.test");
        assert_eq!(without_port("[::1]:8080"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
        assert_eq!(without_port("shop.test"), "shop.test");
    }
}
