//! Remembers what the shop has told each shopper's browser to send back.
//!
//! Shoppers come without cookies and return those that the shop sets, as browsers do: a
//! proxy may think less of sessions that a client made up, so a load generator that made
//! them up would measure something else. A newer value takes the place of an older one, for
//! shops change the session at log-in, and a cookie whose time is over is gone.
//!
//! What is kept of a shopper is the very header that his next request carries: it is put
//! together when an answer sets a cookie, and not when a request is sent.
//!
//! A cookie is known by its name alone: all requests go to one host, and paths are not
//! looked at. None expires by itself in the course of a run.

use crate::arrivals::ShopperId;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Cookies of one shopper: what every browser keeps for a shop at least (RFC 6265, 6.1).
const COOKIES_MAX: usize = 50;
/// Bytes of one, attributes included: from the same place.
const COOKIE_BYTES_MAX: usize = 4_096;

/// The cookies of all shoppers of a run.
#[derive(Debug, Default)]
pub(crate) struct CookieJar {
    /// What each sends as `Cookie`. Held for a look, or while one is put together.
    headers: Mutex<Vec<Option<HeaderValue>>>,
}

impl CookieJar {
    /// What `shopper` sends as `Cookie`.
    pub(crate) fn of(&self, shopper: ShopperId) -> Option<HeaderValue> {
        self.headers().get(shopper.0)?.clone()
    }

    /// Does what the headers of an `answer` to `shopper` ask of his browser; `now` tells which dates are past.
    pub(crate) fn keep(&self, shopper: Option<ShopperId>, answer: &HeaderMap, now: SystemTime) {
        let fields = answer.get_all(header::SET_COOKIE).iter();
        let mut orders = fields.filter_map(|field| Order::read(field.as_bytes(), now)).peekable();
        let Some(shopper) = shopper.filter(|_| orders.peek().is_some()) else {
            return;
        };
        let mut headers = self.headers();
        if headers.len() <= shopper.0 {
            headers.resize(shopper.0 + 1, None);
        }
        let mut kept: Vec<Pair<'_>> =
            headers[shopper.0].iter().flat_map(|header| cookies(header.as_bytes())).collect();
        orders.for_each(|order| order.obey(&mut kept));
        let header = header_of(&kept);
        headers[shopper.0] = header;
    }

    fn headers(&self) -> MutexGuard<'_, Vec<Option<HeaderValue>>> {
        self.headers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A cookie, or one of its attributes. No blanks stand around the parts.
#[derive(Clone, Copy)]
struct Pair<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Pair<'a> {
    /// What stands before and after the first `=`; `None` where there is none, or nothing before it.
    fn read(text: &'a [u8]) -> Option<Pair<'a>> {
        let sign = text.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (text[..sign].trim_ascii(), text[sign + 1..].trim_ascii());
        (!name.is_empty()).then_some(Pair { name, value })
    }
}

/// The cookies of a `Cookie` header.
fn cookies(header: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    header.split(|byte| *byte == b';').filter_map(Pair::read)
}

/// The `Cookie` header of these, in their order; `None` for none.
fn header_of(cookies: &[Pair<'_>]) -> Option<HeaderValue> {
    let mut text = Vec::new();
    for cookie in cookies {
        if !text.is_empty() {
            text.extend_from_slice(b"; ");
        }
        text.extend_from_slice(cookie.name);
        text.push(b'=');
        text.extend_from_slice(cookie.value);
    }
    let header = || HeaderValue::from_maybe_shared(Bytes::from(text)).expect("parts of headers make one");
    (!cookies.is_empty()).then(header)
}

/// What a `Set-Cookie` field asks for.
struct Order<'a> {
    cookie: Pair<'a>,
    /// Whether it is to be forgotten.
    is_over: bool,
}

impl<'a> Order<'a> {
    /// What `field` asks for at `now`; `None` if it is not one, or too long.
    fn read(field: &'a [u8], now: SystemTime) -> Option<Order<'a>> {
        let mut parts = field.split(|byte| *byte == b';');
        let cookie = Pair::read(parts.next()?)?;
        (field.len() <= COOKIE_BYTES_MAX).then(|| Order { cookie, is_over: is_over(parts, now) })
    }

    /// A new cookie comes last, and the oldest makes room for it; a newer value keeps the place of its cookie.
    fn obey(self, cookies: &mut Vec<Pair<'a>>) {
        let Order { cookie, is_over } = self;
        match cookies.iter().position(|known| known.name == cookie.name) {
            Some(place) if is_over => _ = cookies.remove(place),
            Some(place) => cookies[place] = cookie,
            None if is_over => {}
            None => {
                if cookies.len() == COOKIES_MAX {
                    cookies.remove(0);
                }
                cookies.push(cookie);
            }
        }
    }
}

/// Whether the attributes of a cookie end it. An age goes before a date (RFC 6265, 5.3).
fn is_over<'a>(attributes: impl Iterator<Item = &'a [u8]>, now: SystemTime) -> bool {
    let (mut by_age, mut by_date) = (None, None);
    for Pair { name, value } in attributes.filter_map(Pair::read) {
        let Ok(value) = str::from_utf8(value) else { continue };
        if name.eq_ignore_ascii_case(b"max-age") {
            by_age = value.parse::<i64>().ok().map(|seconds| seconds <= 0).or(by_age);
        } else if name.eq_ignore_ascii_case(b"expires") {
            by_date = date(value).map(|date| date <= now).or(by_date);
        }
    }
    by_age.or(by_date).unwrap_or_default()
}

/// A date as HTTP writes it, or with the dashes of Netscape's cookies: `Thu, 01-Jan-1970 00:00:00 GMT`.
fn date(text: &str) -> Option<SystemTime> {
    let parse = |text: &str| httpdate::parse_http_date(text).ok();
    parse(text).or_else(|| parse(&text.replace('-', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ADA: ShopperId = ShopperId(3);

    /// The first second of 2 January 1970.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(24 * 60 * 60)
    }

    /// What Ada sends after each of these answers.
    fn sent_after(answers: &[&[&str]]) -> String {
        let jar = CookieJar::default();
        for fields in answers {
            jar.keep(Some(ADA), &answer(fields), now());
        }
        jar.of(ADA).map(|header| header.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    fn answer(fields: &[&str]) -> HeaderMap {
        fields.iter().map(|field| (header::SET_COOKIE, HeaderValue::from_str(field).unwrap())).collect()
    }

    #[test]
    fn cookies_of_a_shopper_are_sent_together_without_their_attributes() {
        let both = ["session=a; Path=/; HttpOnly", "consent = yes;SameSite=Lax"];
        assert_eq!(sent_after(&[&both]), "session=a; consent=yes");
        assert_eq!(sent_after(&[&both[..1], &both[1..]]), "session=a; consent=yes");
        assert_eq!(sent_after(&[&["token=a=b=="]]), "token=a=b==");
    }

    #[test]
    fn newer_value_takes_the_place_of_the_older() {
        let (guest, member) = (&["session=guest", "cart=1"][..], &["session=member", "Session=other"][..]);
        assert_eq!(sent_after(&[guest, member]), "session=member; cart=1; Session=other");
    }

    #[test]
    fn cookie_whose_time_is_over_is_gone() {
        for end in [
            "Max-Age=0",
            "max-age=-1; Expires=Fri, 02 Jan 1970 00:00:01 GMT",
            "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "expires=Fri, 02-Jan-1970 00:00:00 GMT",
        ] {
            let over = format!("session=; {end}");
            assert_eq!(sent_after(&[&["session=a", "cart=1"], &[over.as_str()]]), "cart=1", "{end}");
            assert_eq!(sent_after(&[&["session=a"], &[over.as_str()]]), "", "{end}");
        }
        for going_on in [
            "Max-Age=1",
            "Expires=Fri, 02 Jan 1970 00:00:01 GMT",
            "Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "Max-Age=soon; Expires=tomorrow",
        ] {
            let field = format!("session=b; {going_on}");
            assert_eq!(sent_after(&[&["session=a"], &[field.as_str()]]), "session=b", "{going_on}");
        }
    }

    #[test]
    fn what_is_no_cookie_changes_nothing() {
        assert_eq!(sent_after(&[&["a=1"], &["", "b", "=c", "; d=1"]]), "a=1");
        assert_eq!(sent_after(&[&["", "b"]]), "");
    }

    #[test]
    fn each_shopper_has_cookies_of_his_own_and_bots_have_none() {
        let jar = CookieJar::default();
        assert_eq!(jar.of(ADA), None);
        jar.keep(Some(ADA), &answer(&["session=a"]), now());
        jar.keep(None, &answer(&["session=b"]), now());
        assert_eq!(jar.of(ADA), Some(HeaderValue::from_static("session=a")));
        assert_eq!((jar.of(ShopperId(0)), jar.of(ShopperId(4))), (None, None));
    }

    #[test]
    fn oldest_cookie_makes_room_and_one_too_long_is_not_kept() {
        let many: Vec<String> = (0..COOKIES_MAX).map(|number| format!("c{number}=1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let sent = sent_after(&[&many]);
        assert!(sent.starts_with("c0=1; ") && sent.ends_with("; c49=1"), "{sent}");
        let sent = sent_after(&[&many, &["c0=2"]]);
        assert!(sent.starts_with("c0=2; c1=1; "), "{sent}");
        let sent = sent_after(&[&many, &["new=1"]]);
        assert!(sent.starts_with("c1=1; ") && sent.ends_with("; c49=1; new=1"), "{sent}");
        for (length, is_kept) in [(COOKIE_BYTES_MAX, true), (COOKIE_BYTES_MAX + 1, false)] {
            let field = format!("a={}", "x".repeat(length - 2));
            assert_eq!(!sent_after(&[&[field.as_str()]]).is_empty(), is_kept, "{length} bytes");
        }
    }
}
