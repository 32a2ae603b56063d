//! Which cookies carry a shop's session, and where they stand in a head.
//!
//! It reads `Cookie` and `Set-Cookie` without copying a value; nothing here keeps one.

use http::HeaderMap;
use http::header::{COOKIE, SET_COOKIE};

use super::glob::{Case, Glob};

/// The names of a policy's session cookies, `*` allowed: the first present one is the session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CookieNames {
    globs: Vec<Glob>,
}

impl CookieNames {
    /// The names or globs in `names`, in order of preference.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> CookieNames {
        CookieNames { globs: names.into_iter().map(|name| Glob::new(name, Case::Sensitive)).collect() }
    }

    /// Name and value of the session cookie that a request carries.
    pub fn in_request<'a>(&self, headers: &'a HeaderMap) -> Option<(&'a str, &'a str)> {
        let preference = |name| self.globs.iter().position(|glob| glob.matches(name));
        let cookies = sent(headers).filter(|(_, value)| !value.is_empty());
        let sessions = cookies.filter_map(|cookie| Some((preference(cookie.0)?, cookie)));
        sessions.min_by_key(|(preference, _)| *preference).map(|(_, cookie)| cookie)
    }

    /// Names and values of the session cookies that a response sets.
    pub fn in_response<'a>(&self, headers: &'a HeaderMap) -> impl Iterator<Item = (&'a str, &'a str)> {
        let fields = headers.get_all(SET_COOKIE).into_iter().filter_map(|field| field.to_str().ok());
        let cookies = fields.filter_map(|field| pair(field.split(';').next()?));
        // An empty value deletes the cookie.
        cookies.filter(|(name, value)| !value.is_empty() && self.globs.iter().any(|glob| glob.matches(name)))
    }
}

/// The names of the cookies that a request carries.
pub fn names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    sent(headers).map(|(name, _)| name)
}

fn sent(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    // HTTP/2 may split cookies over several fields (RFC 9113, section 8.2.3).
    let fields = headers.get_all(COOKIE).into_iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(';')).filter_map(pair)
}

fn pair(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    Some((name.trim(), value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> CookieNames {
        CookieNames::new(["session", "wp_woocommerce_session_*"])
    }

    fn headers(name: http::HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_first_configured_name_that_is_present_wins() {
        let both = headers(COOKIE, &["wp_woocommerce_session_9f=a", "theme=dark; session=b"]);
        assert_eq!(names().in_request(&both), Some(("session", "b")));
        let glob_only = headers(COOKIE, &["wp_woocommerce_session_9f=a; session="]);
        assert_eq!(names().in_request(&glob_only), Some(("wp_woocommerce_session_9f", "a")));
        assert_eq!(names().in_request(&headers(COOKIE, &["theme=dark; broken"])), None);
    }

    #[test]
    fn a_response_grants_what_it_sets_but_not_what_it_deletes() {
        let set = headers(SET_COOKIE, &["session=; Max-Age=0", "theme=dark", "session=x; Path=/; HttpOnly"]);
        assert_eq!(names().in_response(&set).collect::<Vec<_>>(), [("session", "x")]);
    }
}
