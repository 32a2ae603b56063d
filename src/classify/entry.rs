//! Where a visitor came from, as the first request of a session tells.
//!
//! The classes of web analytics, coarse on purpose: they are a feature of the value
//! model, which learned them from session data that knows no more. A campaign's
//! mark in the query outweighs the referrer, which browsers often withhold.
//!
//! Both are the client's word, and worth no more than a hint.

use http::header::REFERER;
use http::uri::Uri;

use super::head::Head;
use super::query;
use super::session::Entry;

/// Query keys that advertising networks add to the links they sell.
const CAMPAIGN_KEYS: [&str; 6] = ["gclid", "gbraid", "wbraid", "fbclid", "msclkid", "ttclid"];
/// Names of search engines, as a label of their hosts: `www.google.co.uk`.
const SEARCH_NAMES: [&str; 9] =
    ["google", "bing", "duckduckgo", "yahoo", "baidu", "yandex", "ecosia", "qwant", "startpage"];
/// Names of social networks, as a label of their hosts.
const SOCIAL_NAMES: [&str; 9] =
    ["facebook", "instagram", "pinterest", "tiktok", "reddit", "youtube", "linkedin", "twitter", "threads"];
/// Social networks whose name is too short to be looked for among labels.
const SOCIAL_HOSTS: [&str; 3] = ["x.com", "t.co", "lnkd.in"];

/// Where the visitor who sends `head` came from.
pub fn entry(head: &Head<'_>) -> Entry {
    if query::pairs(head.query()).any(|(key, _)| is_campaign(&key)) {
        return Entry::Campaign;
    }
    let referrer = head.header(REFERER).and_then(|text| text.parse::<Uri>().ok());
    match referrer.as_ref().and_then(Uri::host) {
        None => Entry::Direct,
        Some(host) if host.eq_ignore_ascii_case(head.host()) => Entry::Direct,
        Some(host) if is_named(host, &SEARCH_NAMES) => Entry::Search,
        Some(host) if is_named(host, &SOCIAL_NAMES) => Entry::Social,
        Some(host) if SOCIAL_HOSTS.iter().any(|social| social.eq_ignore_ascii_case(host)) => Entry::Social,
        Some(_) => Entry::Referral,
    }
}

fn is_campaign(key: &str) -> bool {
    key.starts_with("utm_") || CAMPAIGN_KEYS.contains(&key)
}

fn is_named(host: &str, names: &[&str]) -> bool {
    host.split('.').any(|label| names.iter().any(|name| name.eq_ignore_ascii_case(label)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry_of(target: &str, referrer: Option<&str>) -> Entry {
        let mut request = http::Request::get(target).header("host", "shop.test:8080");
        if let Some(referrer) = referrer {
            request = request.header(REFERER, referrer);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        entry(&Head::of(&parts))
    }

    #[test]
    fn the_referrer_tells_unless_a_campaign_does() {
        for (target, referrer, expected) in [
            ("/", None, Entry::Direct),
            ("/", Some("not a uri"), Entry::Direct),
            ("/", Some("https://Shop.test/cart"), Entry::Direct),
            ("/", Some("https://www.google.co.uk/"), Entry::Search),
            ("/", Some("https://l.facebook.com/l.php"), Entry::Social),
            ("/", Some("https://t.co/x"), Entry::Social),
            ("/", Some("https://blog.test/googles"), Entry::Referral),
            ("/?utm_source=mail", Some("https://www.google.com/"), Entry::Campaign),
            ("/?a=1&gclid=x", None, Entry::Campaign),
        ] {
            assert_eq!(entry_of(target, referrer), expected, "{target} {referrer:?}");
        }
    }
}
