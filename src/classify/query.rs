//! The pairs of a query string, decoded as forms are.
//!
//! It keeps order and repetitions, and never fails: a broken escape stands for
//! itself, bytes that are not UTF-8 become U+FFFD.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// How much of a query is looked at. Long queries carry tracking parameters, and
/// shops put what they act upon among the first few.
pub const QUERY_BYTES_MAX: usize = 4096;

/// The decoded keys and values of `query`; a key without `=` has an empty value.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let end = query.floor_char_boundary(QUERY_BYTES_MAX);
    query[..end].split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key), decoded(value))
    })
}

fn decoded(text: &str) -> Cow<'_, str> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned());
    }
    percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_in_order() {
        let pairs: Vec<_> = pairs("a=1&&wc%2Dajax=check+out&flag&a=%zz&b=%ff").collect();
        let expected = [("a", "1"), ("wc-ajax", "check out"), ("flag", ""), ("a", "%zz"), ("b", "\u{fffd}")];
        assert_eq!(pairs, expected.map(|(key, value)| (key.into(), value.into())));
    }

    #[test]
    fn a_long_query_is_cut() {
        let query = format!("{}=x&late=1", "k".repeat(QUERY_BYTES_MAX));
        assert!(pairs(&query).all(|(key, _)| key != "late"));
    }
}
