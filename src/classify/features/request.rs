//! The features of one request, as a set of bits, and the template they make.
//!
//! One bit a feature, so a request is 35 machine words, built without an allocation; equal bits are an
//! equal vector, by construction. Words that the lexicon does not list are hashed (the "hashing trick",
//! Weinberger et al. 2009) instead of kept in a vocabulary: no table to ship, and a word never seen in
//! training costs nothing.
//!
//! How a request is read is `reading`'s part.

mod reading;

use std::array;

use serde::{Serialize, Serializer};

use super::fields;
use super::lexicon::NOUNS_LEN;
use super::words::Fnv;

/// Buckets of the hashed words: more than the some 1,500 words of ten shop platforms, and the first layer
/// stays within 210 KiB.
pub(super) const TOKEN_BUCKETS: usize = 2048;

/// The length of the request vector.
pub const REQUEST_LEN: usize = NOUNS_AT + NOUN_PLACES.len() * NOUNS_LEN;

/// Where the header fields' features begin, and the nouns'.
const FIELDS_AT: usize = TOKEN_BUCKETS;
const NOUNS_AT: usize = FIELDS_AT + fields::LEN;

/// What is said of each noun, in vector order.
pub(super) const NOUN_PLACES: [&str; 4] = ["there", "first", "last", "written"];

/// How many numbers are watched of a request: its fields, and how many nouns it names.
pub const WATCHED_LEN: usize = fields::WATCHED_LEN + 1;

/// More nouns than that are rare enough to be one bin.
const NOUNS_WATCHED_MAX: usize = 4;

/// Parts of a template that are mixed side by side: a multiplication takes three or four cycles, and one may
/// begin in each.
const TEMPLATE_LANES: usize = 4;
/// Spreads a word over all bits: the fractional digits of the golden ratio (Knuth, The Art of Computer
/// Programming, 6.4).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// What a lane begins with: the fractional digits of pi, which nobody has chosen.
const LANE_BEGIN: u64 = 0x243f_6a88_85a3_08d3;

/// The names of what is watched of a request.
pub(super) fn watched_names() -> impl Iterator<Item = String> {
    fields::watched_names().chain(["nouns".to_owned()])
}

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
    Pair = b'p',
    Compound = b'c',
    Ends = b'x',
    Outcome = b'o',
}

/// The yes/no features of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFeatures {
    bits: [u64; REQUEST_LEN.div_ceil(64)],
}

impl RequestFeatures {
    /// The key under which this request's class may be remembered: equal features give equal
    /// templates. It is never 0.
    pub fn template(&self) -> u64 {
        let mix = |hash: u64, word: &u64| {
            let mixed = (hash ^ word).wrapping_mul(SPREAD);
            mixed ^ (mixed >> 29)
        };
        // Side by side, for a multiplication takes longer than the next one waits to begin.
        let mut lanes = [LANE_BEGIN; TEMPLATE_LANES];
        for words in self.bits.chunks(TEMPLATE_LANES) {
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane = mix(*lane, word);
            }
        }
        lanes.iter().fold(LANE_BEGIN, mix).max(1)
    }

    /// Whether a feature holds, by its place in the vector.
    pub fn holds(&self, index: usize) -> bool {
        self.bits[index / 64] >> (index % 64) & 1 == 1
    }

    /// Whether whoever asks calls itself a bot. It decides nothing: what the shop does for a request is its
    /// class, whoever asks.
    pub fn is_bot(&self) -> bool {
        self.holds(FIELDS_AT + fields::BOT)
    }

    /// What is watched of a request, in the order of [`watched_names`](super::watched_names).
    pub fn watched(&self) -> [f32; WATCHED_LEN] {
        let fields = fields::watched(|field| self.holds(FIELDS_AT + field));
        let nouns = (NOUNS_AT..NOUNS_AT + NOUNS_LEN).filter(|noun| self.holds(*noun)).count();
        array::from_fn(|index| fields.get(index).copied().unwrap_or(nouns.min(NOUNS_WATCHED_MAX) as f32))
    }

    /// Writes the vector the class head reads: 1 for every feature that holds, 0 for the others.
    pub fn write(&self, vector: &mut [f32; REQUEST_LEN]) {
        vector.fill(0.0);
        // Some twenty of two thousand hold: to go from one to the next is cheaper than to ask of each.
        for (place, word) in self.bits.iter().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                vector[place * 64 + rest.trailing_zeros() as usize] = 1.0;
                rest &= rest - 1;
            }
        }
    }

    fn set_noun(&mut self, place: usize, noun: usize) {
        self.set(NOUNS_AT + place * NOUNS_LEN + noun);
    }

    fn set_token(&mut self, place: Place, word: &[u8]) {
        let mut hash = Fnv::new();
        hash.write(&[place as u8]);
        hash.write(word);
        // The remainder is below the number of buckets: it fits.
        self.set((hash.finish() % TOKEN_BUCKETS as u64) as usize);
    }

    fn set(&mut self, index: usize) {
        self.bits[index / 64] |= 1 << (index % 64);
    }
}

/// As the places of those that hold: what samples to learn from have, and the golden vectors of a bundle.
impl Serialize for RequestFeatures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((0..REQUEST_LEN).filter(|index| self.holds(*index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::head::Head;
    use http::Request;
    use proptest::prelude::*;

    pub(super) fn features(method: &str, target: &str) -> RequestFeatures {
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
    fn the_nouns_of_a_request_are_counted_up_to_four() {
        let counted = |target| features("GET", target).watched()[WATCHED_LEN - 1];
        assert_eq!(counted("/zanzibar"), 0.0);
        assert_eq!(counted("/cart"), 1.0);
        assert_eq!(counted("/account/orders/7/payments/shipping"), 4.0);
        assert_eq!(counted("/account/orders/7/payments/shipping/address"), 4.0);
        assert_eq!(watched_names().count(), WATCHED_LEN);
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
    fn in_json_are_the_places_at_which_the_vector_is_one() {
        let features = features("POST", "/cart/add?a=b");
        let places = serde_json::from_value::<Vec<usize>>(serde_json::to_value(features).unwrap()).unwrap();
        let mut ones = [0.0; REQUEST_LEN];
        places.iter().for_each(|place| ones[*place] = 1.0);
        assert_eq!(ones, vector(features));
    }

    #[test]
    fn features_of_known_requests_stay_what_models_were_trained_on() {
        // If this fails, raise the schema's version and rebuild the bundle: `make model`.
        let templates =
            ["/", "/cart/add?id=7", "/static/app.js?v=2"].map(|target| features("GET", target).template());
        assert_eq!(templates, [17218755621587833451, 11717781522828990613, 14917649581745771918]);
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
