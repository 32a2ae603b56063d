//! Remembers the session that the shop has given each shopper.
//!
//! Shoppers come without a cookie and return the one the shop sets, as browsers
//! do: a proxy may think less of sessions that a client made up, so a load
//! generator that made them up would measure something else.
//!
//! It keeps one cookie per shopper, whatever its name, and none ever expires.

use crate::arrivals::ShopperId;
use http::HeaderValue;
use std::sync::{Mutex, PoisonError};

/// The cookies of all shoppers of a run.
#[derive(Debug, Default)]
pub(crate) struct CookieJar {
    cookies: Mutex<Vec<Option<HeaderValue>>>,
}

impl CookieJar {
    /// What `shopper` sends as `Cookie`.
    pub(crate) fn of(&self, shopper: ShopperId) -> Option<HeaderValue> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner).get(shopper.0)?.clone()
    }

    /// Keeps what a `Set-Cookie` header gives `shopper`, unless he has one already.
    pub(crate) fn keep(&self, shopper: Option<ShopperId>, set_cookie: Option<&HeaderValue>) {
        let (Some(shopper), Some(cookie)) = (shopper, set_cookie.and_then(pair)) else {
            return;
        };
        let mut cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        if cookies.len() <= shopper.0 {
            cookies.resize(shopper.0 + 1, None);
        }
        cookies[shopper.0].get_or_insert(cookie);
    }
}

/// The `name=value` of a `Set-Cookie` header.
fn pair(set_cookie: &HeaderValue) -> Option<HeaderValue> {
    let pair = set_cookie.as_bytes().split(|byte| *byte == b';').next()?;
    HeaderValue::from_bytes(pair).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_cookie_is_kept_without_its_attributes() {
        let jar = CookieJar::default();
        assert_eq!(jar.of(ShopperId(3)), None);
        jar.keep(Some(ShopperId(3)), Some(&HeaderValue::from_static("session=a; Path=/")));
        jar.keep(Some(ShopperId(3)), Some(&HeaderValue::from_static("session=b; Path=/")));
        assert_eq!(jar.of(ShopperId(3)), Some(HeaderValue::from_static("session=a")));
        assert_eq!(jar.of(ShopperId(0)), None);
    }
}
