//! The match key of a path: the one spelling under which routes and features see it.
//!
//! An origin serves `/Checkout/`, `//checkout`, `/x/../checkout` and `/check%6Fut`
//! alike, so whoever could choose the spelling could choose the class. The key is
//! decoded once, folded to lower case, without `;parameters`, dot segments, empty
//! segments and trailing slash. `%2F` becomes a separator, as in nginx, the
//! commonest thing in front of a shop: where an origin takes it for data, the
//! price is a class one path segment too wide, never an unseen path. An escaped
//! `%` or `;` is data, and stays escaped (`%25`, `%3b`), which makes the key its
//! own key: a path encoded twice is not decoded twice.
//!
//! The key is for matching only: the origin gets the path as it was sent.

use std::borrow::Cow;

/// The longest path, and the longest key, in bytes. The longest route of the ten
/// shop platforms we looked at has 140; longer paths are search spam and attacks.
pub const PATH_BYTES_MAX: usize = 2048;
/// The key of every path longer than [`PATH_BYTES_MAX`]. A policy may route it.
pub const OVERLONG: &str = "/~overlong";

/// The key of `path`, borrowed if it is its own key.
pub fn key(path: &str) -> Cow<'_, str> {
    if path.len() > PATH_BYTES_MAX {
        return Cow::Borrowed(OVERLONG);
    }
    if is_plain(path.as_bytes()) {
        return Cow::Borrowed(path);
    }
    let key = without_dots(&decoded(path));
    // Replacement characters and kept escapes are longer than what they stand for.
    if key.len() > PATH_BYTES_MAX { Cow::Borrowed(OVERLONG) } else { Cow::Owned(key) }
}

/// Whether a path is certainly its own key; most requests of a shop are.
fn is_plain(path: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in path {
        let plain = match byte {
            b'/' => previous != b'/',
            b'.' => previous != b'/',
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'!' | b'$' | b'&' => true,
            b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b':' | b'=' | b'@' => true,
            _ => false,
        };
        if !plain {
            return false;
        }
        previous = byte;
    }
    path.first() == Some(&b'/') && (path.len() == 1 || previous != b'/')
}

/// Escapes undone once and letters folded; bytes that are not UTF-8 become U+FFFD.
fn decoded(path: &str) -> String {
    let mut rest = path.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte.to_ascii_lowercase());
            continue;
        }
        let escaped = escaped_byte(after);
        rest = if escaped.is_some() { &after[2..] } else { after };
        match escaped {
            Some(b'%') | None => bytes.extend(b"%25"),
            Some(b';') => bytes.extend(b"%3b"),
            Some(escaped) => bytes.push(escaped.to_ascii_lowercase()),
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

/// The byte that two hexadecimal digits at the start of `digits` stand for.
fn escaped_byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}

fn without_dots(path: &str) -> String {
    let mut key = String::with_capacity(path.len() + 1);
    for segment in path.split('/') {
        // Parameters go first: a servlet container takes `/a/..;x/b` for `/b`.
        let name = segment.split(';').next().unwrap_or_default();
        match name {
            "" | "." => {}
            ".." => key.truncate(key.rfind('/').unwrap_or(0)),
            _ => {
                key.push('/');
                key.push_str(name);
            }
        }
    }
    if key.is_empty() {
        key.push('/');
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Strategy;

    #[test]
    fn every_spelling_of_checkout_has_one_key() {
        let spellings = [
            "/checkout",
            "/Checkout/",
            "//checkout",
            "/./checkout",
            "/x/../checkout",
            "/../../checkout",
            "/check%6Fut",
            "/%43heckout",
            "/checkout;jsessionid=1",
            "/x/..;y/checkout",
            "/x/%2E%2e/checkout",
            "/x%2F..%2Fcheckout",
            "%2Fcheckout",
        ];
        for path in spellings {
            assert_eq!(key(path), "/checkout", "{path}");
        }
    }

    #[test]
    fn an_escaped_slash_separates() {
        assert_eq!(key("/a%2Fb"), "/a/b");
        assert_eq!(key("/a%2fb"), "/a/b");
    }

    #[test]
    fn a_path_encoded_twice_is_decoded_once() {
        assert_eq!(key("/%2563heckout"), "/%2563heckout");
        assert_eq!(key("/x/%252e%252e/y"), "/x/%252e%252e/y");
        assert_eq!(key("/a%3Bb"), "/a%3bb");
        assert_eq!(key("/100%"), "/100%25");
        assert_eq!(key("/%zz"), "/%25zz");
    }

    #[test]
    fn odd_bytes_are_replaced_not_feared() {
        assert_eq!(key("/%ff%C3%A9"), "/\u{fffd}é");
        assert_eq!(key("/a%00b"), "/a\0b");
        assert_eq!(key(""), "/");
        assert_eq!(key("*"), "/*");
        assert_eq!(key("/%"), "/%25");
    }

    #[test]
    fn a_plain_path_is_borrowed() {
        for path in ["/", "/checkout", "/wp-content/a.b.css", "/product/1"] {
            assert!(matches!(key(path), Cow::Borrowed(same) if same == path), "{path}");
        }
    }

    #[test]
    fn an_overlong_path_has_a_key_of_its_own() {
        let longest = format!("/{}", "a".repeat(PATH_BYTES_MAX - 1));
        assert_eq!(key(&longest), longest);
        assert_eq!(key(&format!("{longest}a")), OVERLONG);
        assert_eq!(key(&"%".repeat(PATH_BYTES_MAX)), OVERLONG);
    }

    fn path() -> impl Strategy<Value = String> {
        let piece =
            prop_oneof![any::<String>(), "(/|\\.|%2[eEfF]|%25|%3[bB]|;|%|[a-zA-Z]|%[0-9a-fA-F]{2}){0,40}",];
        proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_key_is_its_own_key(path in path()) {
            let once = key(&path).into_owned();
            prop_assert_eq!(key(&once), once.as_str());
        }

        #[test]
        fn a_key_is_absolute_bounded_and_without_dot_segments(path in path()) {
            let key = key(&path);
            prop_assert!(key.starts_with('/') && key.len() <= PATH_BYTES_MAX);
            prop_assert!(!key.split('/').any(|segment| segment == "." || segment == ".."));
            prop_assert!(!key.contains("//"));
        }
    }
}
