//! The features of one request, as a set of bits, and the template they make.
//!
//! Hashed words (the "hashing trick", Weinberger et al. 2009) instead of a vocabulary: no table
//! to ship, and a word never seen in training costs nothing. One bit a feature, so a request is
//! seventeen machine words, built without an allocation; equal bits are an equal vector, by construction.
//!
//! Values of query parameters stay out unless their key says that they name an action: a shopper
//! who searches for "checkout" is searching.

use super::fields;
use super::words::{Fnv, operation_words, words};
use crate::classify::head::Head;

/// Buckets of the hashed words. 1,024 keep the collisions of some 1,500 words of ten shop platforms
/// below what the leave-one-platform-out score can see, and the first layer within 140 KiB.
pub(super) const TOKEN_BUCKETS: usize = 1024;

/// The length of the request vector.
pub const REQUEST_LEN: usize = TOKEN_BUCKETS + fields::LEN;

/// The parts of a request are read up to these bounds; what lies beyond is ignored.
const SEGMENTS_MAX: usize = 12;
const PARAMETERS_MAX: usize = 12;
const OPERATION_WORDS_MAX: usize = 8;

/// A segment with more words than this is a title, not a route: its words would only mislead.
const SEGMENT_WORDS_MAX: usize = 4;

/// File extensions are no longer than this (`woff2`, `xhtml`).
const EXTENSION_LEN_MAX: usize = 5;

/// Query keys whose value names what is done, on the shop platforms we know.
const ACTION_KEYS: [&str; 16] = [
    "action",
    "act",
    "cmd",
    "controller",
    "dispatch",
    "do",
    "event",
    "fc",
    "method",
    "module",
    "op",
    "option",
    "rest_route",
    "route",
    "task",
    "wc-ajax",
];

/// Where a word stands; the same word hashes differently in each.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Place {
    Word = b'w',
    Segment = b's',
    First = b'f',
    Last = b'l',
    Extension = b'e',
    Key = b'k',
    Action = b'a',
}

/// The yes/no features of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFeatures {
    bits: [u64; REQUEST_LEN.div_ceil(64)],
}

impl RequestFeatures {
    /// Reads a request: its head, its path as the normaliser gives it (decoded, lower-case,
    /// without duplicate slashes), and its GraphQL operation if it has one.
    pub fn of(head: &Head<'_>, path_key: &str, operation: Option<&str>) -> RequestFeatures {
        let mut features = RequestFeatures { bits: [0; REQUEST_LEN.div_ceil(64)] };
        let depth = features.read_path(path_key);
        features.read_query(head.query());
        features.read_action(operation_words(operation.unwrap_or("")));
        fields::each(head, depth, |field| features.set(TOKEN_BUCKETS + field));
        features
    }

    /// The key under which this request's class may be remembered: equal features give equal
    /// templates. It is never 0.
    pub fn template(&self) -> u64 {
        let mix = |hash: u64, word: &u64| {
            let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^ (mixed >> 29)
        };
        self.bits.iter().fold(0x243f_6a88_85a3_08d3, mix).max(1)
    }

    /// Writes the vector the class head reads: 1 for every feature that holds, 0 for the others.
    pub fn write(&self, vector: &mut [f32; REQUEST_LEN]) {
        for (index, value) in vector.iter_mut().enumerate() {
            *value = if self.bits[index / 64] >> (index % 64) & 1 == 1 { 1.0 } else { 0.0 };
        }
    }

    /// Reads the path and returns its depth.
    fn read_path(&mut self, path_key: &str) -> usize {
        let segments = path_key.split('/').filter(|segment| !segment.is_empty());
        let mut depth = 0;
        let mut last = None;
        for segment in segments.take(SEGMENTS_MAX) {
            let hash = self.read_segment(segment);
            if depth == 0 {
                self.set_token(Place::First, &hash);
            }
            depth += 1;
            last = Some((segment, hash));
        }
        if let Some((segment, hash)) = last {
            self.set_token(Place::Last, &hash);
            self.read_extension(segment);
        }
        depth
    }

    /// Sets the words of a segment and the segment as a whole, whose hash it returns.
    fn read_segment(&mut self, segment: &str) -> [u8; 8] {
        let mut whole = Fnv::new();
        if words(segment).nth(SEGMENT_WORDS_MAX).is_some() {
            whole.write(b"{title}");
        } else {
            for word in words(segment) {
                self.set_token(Place::Word, word);
                whole.write(word);
                whole.write(b"-");
            }
        }
        let hash = whole.finish().to_le_bytes();
        self.set_token(Place::Segment, &hash);
        hash
    }

    fn read_extension(&mut self, segment: &str) {
        if let Some((_, extension)) = segment.rsplit_once('.')
            && extension.len() <= EXTENSION_LEN_MAX
        {
            self.set_token(Place::Extension, extension.as_bytes());
        }
    }

    fn read_query(&mut self, query: &str) {
        let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
        for parameter in parameters.take(PARAMETERS_MAX) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            // `items[3][id]` is a list called `items`.
            let key = key.split('[').next().unwrap_or(key);
            words(key).take(SEGMENT_WORDS_MAX).for_each(|word| self.set_token(Place::Key, word));
            if ACTION_KEYS.iter().any(|action| action.eq_ignore_ascii_case(key)) {
                self.read_action(words(value));
            }
        }
    }

    /// The words of an action count as an action's and as a path's: `?wc-ajax=checkout`,
    /// `/checkout` and `mutation checkout` then support each other.
    fn read_action<'w>(&mut self, words: impl Iterator<Item = &'w [u8]>) {
        for word in words.take(OPERATION_WORDS_MAX) {
            self.set_token(Place::Action, word);
            self.set_token(Place::Word, word);
        }
    }

    fn set_token(&mut self, place: Place, word: &[u8]) {
        let mut hash = Fnv::new();
        hash.write(&[place as u8]);
        hash.write(word);
        // The remainder is below 1,024: it fits.
        self.set((hash.finish() % TOKEN_BUCKETS as u64) as usize);
    }

    fn set(&mut self, index: usize) {
        self.bits[index / 64] |= 1 << (index % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proptest::prelude::*;

    fn features(method: &str, target: &str) -> RequestFeatures {
        let request = Request::builder().method(method).uri(target);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let head = Head::of(&parts);
        RequestFeatures::of(&head, &head.path().to_ascii_lowercase(), None)
    }

    fn vector(features: RequestFeatures) -> [f32; REQUEST_LEN] {
        let mut vector = [f32::NAN; REQUEST_LEN];
        features.write(&mut vector);
        vector
    }

    #[test]
    fn products_of_one_catalogue_share_a_template() {
        assert_eq!(features("GET", "/product/17").template(), features("GET", "/product/4711").template());
        let titles = ["/p/a-very-long-shoe-title", "/p/the-next-quite-long-title"];
        assert_eq!(features("GET", titles[0]), features("GET", titles[1]));
    }

    #[test]
    fn what_is_searched_for_is_no_feature_but_what_is_done_is() {
        assert_eq!(features("GET", "/search?q=red"), features("GET", "/search?q=checkout"));
        assert_ne!(
            features("POST", "/?wc-ajax=checkout"),
            features("POST", "/?wc-ajax=get_refreshed_fragments")
        );
    }

    #[test]
    fn the_vector_holds_the_bits_in_order() {
        let features = features("POST", "/cart/add?a=b");
        let ones = vector(features).iter().filter(|value| **value == 1.0).count();
        assert_eq!(ones as u32, features.bits.iter().map(|word| word.count_ones()).sum::<u32>());
        let post = super::super::request_names().iter().position(|name| name == "method.post").unwrap();
        assert_eq!(vector(features)[post], 1.0);
    }

    #[test]
    fn features_of_known_requests_stay_what_models_were_trained_on() {
        // If this fails, raise the schema's version and rebuild the bundle: `make model`.
        let templates =
            ["/", "/cart/add?id=7", "/static/app.js?v=2"].map(|target| features("GET", target).template());
        assert_eq!(templates, [13081642297011881814, 7669366585882810346, 7376367432987242439]);
    }

    fn method() -> impl Strategy<Value = String> {
        prop_oneof![Just("GET".to_owned()), Just("POST".to_owned()), "[A-Z]{1,9}"]
    }

    proptest! {
        #[test]
        fn any_head_gives_a_vector_of_zeros_and_ones(
            method in method(),
            target in "/[ -~&&[^\"#<>\\\\^`{|} ]]{0,80}",
            path in "\\PC{0,60}",
            operation in proptest::option::of("\\PC{0,30}"),
            agent in "[ -~]{0,80}",
        ) {
            let request = Request::builder().method(method.as_str()).uri(target).header("user-agent", agent);
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let features = RequestFeatures::of(&Head::of(&parts), &path, operation.as_deref());
            prop_assert!(vector(features).iter().all(|value| *value == 0.0 || *value == 1.0));
            prop_assert_ne!(features.template(), 0);
        }

        #[test]
        fn templates_are_equal_exactly_if_the_vectors_are(
            methods in [method(), method()],
            targets in ["/(cart|p|x)/[ab1]{1,2}(\\?(q|action)=[ab])?", "/(cart|p|x)/[ab1]{1,2}(\\?(q|action)=[ab])?"],
        ) {
            let [one, other] = [0, 1].map(|index| features(&methods[index], &targets[index]));
            prop_assert_eq!(one.template() == other.template(), vector(one) == vector(other));
        }
    }
}
