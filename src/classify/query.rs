//! The pairs of a query string, decoded as forms are.
//!
//! [`pairs`] keeps order and repetitions; [`Pairs`] are in order of their keys, to be
//! looked up many times. Neither ever fails: a broken escape stands for itself, bytes
//! that are not UTF-8 become U+FFFD.

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

/// Pairs to be looked up: each once, in the order of their keys.
#[derive(Debug, Default)]
pub struct Pairs<'a>(Vec<Pair<'a>>);

/// A key, one of its values, and how many pairs stood before it.
#[derive(Debug)]
pub struct Pair<'a> {
    /// Decoded.
    pub key: Cow<'a, str>,
    /// Decoded; empty if there was none.
    pub value: Cow<'a, str>,
    place: usize,
}

impl<'a> Pairs<'a> {
    /// Those of `query`.
    pub fn of(query: &'a str) -> Pairs<'a> {
        let mut all: Vec<Pair<'_>> =
            pairs(query).enumerate().map(|(place, (key, value))| Pair { key, value, place }).collect();
        all.sort_unstable_by(|one, other| {
            (&one.key, &one.value, one.place).cmp(&(&other.key, &other.value, other.place))
        });
        all.dedup_by(|next, kept| (&next.key, &next.value) == (&kept.key, &kept.value));
        Pairs(all)
    }

    /// The pairs by their keys, of which each is there once.
    pub fn by_key(&self) -> impl Iterator<Item = (&str, &[Pair<'a>])> {
        self.0.chunk_by(|one, other| one.key == other.key).map(|pairs| (&*pairs[0].key, pairs))
    }

    /// The values of `key`.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        let start = self.0.partition_point(|pair| &*pair.key < key);
        self.0[start..].iter().take_while(move |pair| pair.key == key).map(|pair| &*pair.value)
    }

    /// The value of `key` that stood first.
    pub fn first(&self, key: &str) -> Option<&str> {
        let start = self.0.partition_point(|pair| &*pair.key < key);
        let of_key = self.0[start..].iter().take_while(|pair| pair.key == key);
        of_key.min_by_key(|pair| pair.place).map(|pair| &*pair.value)
    }
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
    fn pairs_are_found_by_their_keys_and_the_first_of_a_key_is_known() {
        let pairs = Pairs::of("b=2&a=9&b=1&b=2&c");
        let by_key: Vec<_> = pairs.by_key().map(|(key, of_key)| (key, of_key.len())).collect();
        assert_eq!(by_key, [("a", 1), ("b", 2), ("c", 1)]);
        assert_eq!(pairs.values("b").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((pairs.first("b"), pairs.first("c"), pairs.first("d")), (Some("2"), Some(""), None));
    }

    #[test]
    fn a_long_query_is_cut() {
        let query = format!("{}=x&late=1", "k".repeat(QUERY_BYTES_MAX));
        assert!(pairs(&query).all(|(key, _)| key != "late"));
    }
}
