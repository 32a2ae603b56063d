//! CORS preflights: which request a browser announces before it sends it.
//!
//! A preflight is the first half of the request it asks leave for: shed it, and
//! the payment behind it never leaves the browser. So it is matched under the
//! method and header names it announces (Fetch standard, section 4.8).
//!
//! It answers no preflight; the origin does.

use std::borrow::Cow;

use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD};
use http::{HeaderName, Method};

use super::head::Head;

/// The request that a preflight announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight<'a> {
    /// Its method.
    pub method: Method,
    header_names: &'a str,
}

impl<'a> Preflight<'a> {
    /// What `head` announces, if it is a preflight.
    pub fn of(head: &Head<'a>) -> Option<Preflight<'a>> {
        if *head.method != Method::OPTIONS {
            return None;
        }
        let method = head.header(ACCESS_CONTROL_REQUEST_METHOD)?.trim();
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        let header_names = head.header(ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or("");
        Some(Preflight { method, header_names })
    }

    /// Whether the request will carry that field; its value is not announced.
    pub fn will_carry(&self, name: &HeaderName) -> bool {
        self.header_names.split(',').any(|announced| announced.trim().eq_ignore_ascii_case(name.as_str()))
    }
}

/// The method that `head` is about: of a preflight, the one it announces, for it is as dear as the request that it
/// asks leave for.
pub fn method_meant<'a>(head: &Head<'a>) -> Cow<'a, Method> {
    match Preflight::of(head) {
        Some(preflight) => Cow::Owned(preflight.method),
        None => Cow::Borrowed(head.method),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn preflight(builder: http::request::Builder) -> Option<(Method, bool)> {
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        let preflight = Preflight::of(&Head::of(&parts))?;
        let carries = preflight.will_carry(&HeaderName::from_static("x-cart"));
        Some((preflight.method, carries))
    }

    #[test]
    fn announces_method_and_header_names() {
        let request = Request::options("/pay")
            .header("origin", "https://shop.test")
            .header("access-control-request-method", "PUT")
            .header("access-control-request-headers", "content-type, X-Cart");
        assert_eq!(preflight(request), Some((Method::PUT, true)));
    }

    #[test]
    fn plain_options_announces_nothing() {
        assert_eq!(preflight(Request::options("/pay").header("origin", "https://shop.test")), None);
        let get = Request::get("/pay").header("access-control-request-method", "PUT");
        assert_eq!(preflight(get), None);
    }
}
