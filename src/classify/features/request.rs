//! The features of one request, as a set of bits, and the template they make.
//!
//! Words are read through the lexicon: those it lists stand for one another, and the nouns among
//! them have bits of their own (there, first, last, last of a write), for `cart` and `payment` say
//! more than any other word. All other words are hashed (the "hashing trick", Weinberger et al.
//! 2009) instead of kept in a vocabulary: no table to ship, and a word never seen in training costs
//! nothing. One bit a feature, so a request is 35 machine words, built without an allocation;
//! equal bits are an equal vector, by construction.
//!
//! Values of query parameters stay out unless their key says that they name an action: a shopper
//! who searches for "checkout" is searching.

use std::array;

use http::Method;

use super::fields;
use super::lexicon::{self, NOUNS_LEN, Sense};
use super::nouns::Nouns;
use super::words::{Fnv, ID, operation_words, words};
use crate::classify::head::Head;

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

/// The parts of a request are read up to these bounds; what lies beyond is ignored.
const SEGMENTS_MAX: usize = 12;
const PARAMETERS_MAX: usize = 12;
const OPERATION_WORDS_MAX: usize = 8;

/// A segment with more words than this is a title, not a route: its words would only mislead.
const SEGMENT_WORDS_MAX: usize = 4;

/// As many words that the lexicon does not know make a title of a shorter one: routes are named by
/// shop words, with at most one of the platform's own.
const TITLE_STRANGERS_MIN: usize = 2;

/// File extensions are no longer than this (`woff2`, `xhtml`).
const EXTENSION_LEN_MAX: usize = 5;

/// Query keys whose value names what is done, on the shop platforms we know.
const ACTION_KEYS: [&str; 18] = [
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
    "sections",
    "task",
    "wc-ajax",
    "wc-api",
];

/// Languages and countries a shop is served under, as the first segment: ISO 639-1 and 3166-1 codes
/// of the languages the lexicon knows and of the largest shopping countries. `me` and `my` are none.
const LOCALES: &str = "en de fr es it nl pl sv da fi pt cs tr sk hu ro bg hr sl el no nb nn ru uk ja zh ko ar \
    he lt lv et us gb ca au at ch be ie mx br jp cn se dk cz";

/// How many numbers are watched of a request: its fields, and how many nouns it names.
pub const WATCHED_LEN: usize = fields::WATCHED_LEN + 1;

/// More nouns than that are rare enough to be one bin.
const NOUNS_WATCHED_MAX: usize = 4;

/// Parts of a template that are mixed side by side: a multiplication takes three or four cycles, and one may
/// begin in each.
const TEMPLATE_LANES: usize = 4;

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
    /// Reads a request: its head, its path as the normaliser gives it (decoded, lower-case,
    /// without duplicate slashes), and its GraphQL operation if it has one.
    pub fn of(head: &Head<'_>, path_key: &str, operation: Option<&str>) -> RequestFeatures {
        let mut features = RequestFeatures { bits: [0; REQUEST_LEN.div_ceil(64)] };
        let mut nouns = Nouns::default();
        let path = features.read_path(path_key, &mut nouns);
        features.read_query(head.query(), &mut nouns);
        features.read_action(operation_words(operation.unwrap_or("")), &mut nouns);
        features.set_nouns(&nouns, writes(head.method), path.ends_in_id);
        fields::each(head, path.depth, |field| features.set(FIELDS_AT + field));
        features
    }

    /// The key under which this request's class may be remembered: equal features give equal
    /// templates. It is never 0.
    pub fn template(&self) -> u64 {
        let mix = |hash: u64, word: &u64| {
            let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^ (mixed >> 29)
        };
        // Side by side, for a multiplication takes longer than the next one waits to begin.
        let mut lanes = [0x243f_6a88_85a3_08d3; TEMPLATE_LANES];
        for words in self.bits.chunks(TEMPLATE_LANES) {
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane = mix(*lane, word);
            }
        }
        lanes.iter().fold(0x243f_6a88_85a3_08d3, mix).max(1)
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

    fn read_path(&mut self, path_key: &str, nouns: &mut Nouns) -> Path {
        let segments = path_key.split('/').filter(|segment| !segment.is_empty());
        let segments = segments.enumerate().filter(|(index, segment)| *index > 0 || !is_mount(segment));
        let mut path = Path { depth: 0, ends_in_id: false };
        let mut last = None;
        for (_, segment) in segments.take(SEGMENTS_MAX) {
            let hash = self.read_segment(segment, nouns);
            if path.depth == 0 {
                self.set_token(Place::First, &hash);
            }
            path.depth += 1;
            last = Some((segment, hash));
        }
        if let Some((segment, hash)) = last {
            self.set_token(Place::Last, &hash);
            self.read_extension(segment);
            path.ends_in_id = words(thing_of(segment)).all(|word| word == ID);
        }
        path
    }

    /// Sets the words of a segment and the segment as a whole, whose hash it returns.
    fn read_segment(&mut self, segment: &str, nouns: &mut Nouns) -> [u8; 8] {
        let mut rest = words(thing_of(segment));
        let few: [Option<&[u8]>; SEGMENT_WORDS_MAX] = array::from_fn(|_| rest.next());
        let mut whole = Fnv::new();
        if rest.next().is_some() {
            whole.write(b"{title}");
        } else {
            self.read_words(few, &mut whole, nouns);
        }
        let hash = whole.finish().to_le_bytes();
        self.set_token(Place::Segment, &hash);
        hash
    }

    /// Sets the words of a segment that has no more, and appends what they mean to `whole`.
    fn read_words(&mut self, words: [Option<&[u8]>; SEGMENT_WORDS_MAX], whole: &mut Fnv, nouns: &mut Nouns) {
        // The lexicon is asked once for each word: of one that it does not know, every beginning is looked up.
        let known = words.map(|word| word.map(|word| (word, lexicon::sense(word))));
        let (titled, mut head) = (is_title(known.iter().flatten()), None);
        for (word, sense) in known.iter().flatten() {
            each_meaning(word, sense, |word, noun| {
                self.set_token(Place::Word, word);
                if let Some(noun) = noun.filter(|_| !titled)
                    && let Some(kind) = head.replace(noun)
                {
                    nouns.mention(kind);
                    self.set_token(Place::Compound, &[kind as u8, noun as u8]);
                }
                whole.write(word);
                whole.write(b"-");
            });
        }
        nouns.push(head);
    }

    fn read_extension(&mut self, segment: &str) {
        if let Some((_, extension)) = segment.rsplit_once('.')
            && extension.len() <= EXTENSION_LEN_MAX
        {
            self.set_token(Place::Extension, extension.as_bytes());
        }
    }

    fn read_query(&mut self, query: &str, nouns: &mut Nouns) {
        let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
        for parameter in parameters.take(PARAMETERS_MAX) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            // `items[3][id]` is a list called `items`.
            let key = key.split('[').next().unwrap_or(key);
            for word in words(key).take(SEGMENT_WORDS_MAX) {
                each_meaning(word, &lexicon::sense(word), |word, _| self.set_token(Place::Key, word));
            }
            if ACTION_KEYS.iter().any(|action| action.eq_ignore_ascii_case(key)) {
                self.read_action(words(value), nouns);
            }
        }
    }

    /// The words of an action count as an action's and as a path's: `?wc-ajax=checkout`,
    /// `/checkout` and `mutation checkout` then support each other.
    fn read_action<'w>(&mut self, words: impl Iterator<Item = &'w [u8]>, nouns: &mut Nouns) {
        for word in words.take(OPERATION_WORDS_MAX) {
            each_meaning(word, &lexicon::sense(word), |word, noun| {
                self.set_token(Place::Action, word);
                self.set_token(Place::Word, word);
                nouns.push(noun);
            });
        }
    }

    /// Nouns alone, and with what stands around them: `/carts/{id}/payments` is about the payment,
    /// `POST /orders` places an order that `GET /orders/{id}` reads.
    fn set_nouns(&mut self, nouns: &Nouns, written: bool, ends_in_id: bool) {
        let tail = u8::from(written) << 1 | u8::from(ends_in_id);
        nouns.each(|noun| self.set_noun(0, noun));
        nouns.pairs(|one, other| self.set_token(Place::Pair, &[one as u8, other as u8]));
        let Some((first, last)) = nouns.ends() else { return };
        self.set_noun(1, first);
        self.set_noun(2, last);
        if written {
            self.set_noun(3, last);
        }
        self.set_token(Place::Ends, &[first as u8, last as u8]);
        self.set_token(Place::Outcome, &[last as u8, tail]);
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

/// What matters of a path as a whole.
struct Path {
    /// Its segments, without what the shop is mounted under.
    depth: usize,
    ends_in_id: bool,
}

/// Calls `tell` with the word that stands for this one, and its noun; with each part of a compound;
/// or with the word itself if the lexicon does not know it.
fn each_meaning(word: &[u8], sense: &Sense<'_>, mut tell: impl FnMut(&[u8], Option<usize>)) {
    match sense {
        Sense::Listed(meaning) => tell(meaning.name(word), meaning.noun()),
        Sense::Compound(parts) => parts.iter().for_each(|(part, word)| tell(part.name(word), part.noun())),
        Sense::Unknown => tell(word, None),
    }
}

/// Whether the words of a segment read like the title of something: the nouns in
/// `gift-ideas-for-account-managers` tell what a page is about, not what it is.
fn is_title<'k, 'w: 'k>(words: impl Iterator<Item = &'k (&'w [u8], Sense<'w>)>) -> bool {
    let is_strange = |(word, sense): &&(&[u8], Sense<'_>)| *word != ID && matches!(sense, Sense::Unknown);
    words.filter(is_strange).count() >= TITLE_STRANGERS_MIN
}

/// The segment, or a number in its place if it names one thing by a key of it: `key=red`,
/// `order-number=7` are no other routes than `7`.
fn thing_of(segment: &str) -> &str {
    if segment.contains('=') { "0" } else { segment }
}

/// What a shop is mounted under, and says nothing about a request: `/de-at/cart`, `/index.php/cart`.
fn is_mount(segment: &str) -> bool {
    let language = match segment.as_bytes() {
        [_, _] => segment,
        [_, _, b'-' | b'_', _, _] => &segment[..2],
        _ => return segment == "index.php",
    };
    LOCALES.split_whitespace().any(|locale| locale.eq_ignore_ascii_case(language))
}

fn writes(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method)
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
    fn the_nouns_of_a_request_are_counted_up_to_four() {
        let counted = |target| features("GET", target).watched()[WATCHED_LEN - 1];
        assert_eq!(counted("/zanzibar"), 0.0);
        assert_eq!(counted("/cart"), 1.0);
        assert_eq!(counted("/account/orders/7/payments/shipping"), 4.0);
        assert_eq!(counted("/account/orders/7/payments/shipping/address"), 4.0);
        assert_eq!(watched_names().count(), WATCHED_LEN);
    }

    /// The names of the noun features that hold.
    fn nouns(target: &str) -> Vec<String> {
        let features = features("POST", target);
        let names = super::super::request_names().into_iter().enumerate();
        let holding = names.filter(|(index, _)| *index >= NOUNS_AT && features.holds(*index));
        holding.map(|(_, name)| name.trim_start_matches("noun.").to_owned()).collect()
    }

    #[test]
    fn what_a_shop_is_mounted_under_says_nothing() {
        for target in ["/de/cart", "/pt-BR/cart", "/en_us/cart", "/index.php/cart", "/de"] {
            let (_, bare) = target[1..].split_once('/').unwrap_or(("", ""));
            assert_eq!(features("GET", target), features("GET", &format!("/{bare}")), "{target}");
        }
        assert_ne!(features("GET", "/me/cart"), features("GET", "/cart"));
        assert_ne!(features("GET", "/x/de/cart"), features("GET", "/x/cart"));
    }

    #[test]
    fn words_of_any_language_give_the_same_features() {
        assert_eq!(features("POST", "/warenkorb/hinzufuegen"), features("POST", "/cart/add"));
        assert_eq!(
            features("POST", "/warenkorb/hinzufuegen?menge=2"),
            features("POST", "/panier/ajouter?qty=1")
        );
    }

    #[test]
    fn a_segment_that_names_a_thing_by_a_key_of_it_is_an_identifier() {
        assert_eq!(features("GET", "/carts/customer-id=red"), features("GET", "/carts/7"));
        assert_ne!(features("GET", "/carts/customer-id"), features("GET", "/carts/7"));
    }

    #[test]
    fn the_last_noun_of_a_compound_is_what_it_is_about() {
        assert_eq!(
            nouns("/cart-discounts"),
            ["cart.there", "coupon.there", "coupon.first", "coupon.last", "coupon.written"]
        );
        assert_eq!(
            nouns("/carts/7/discounts"),
            ["cart.there", "coupon.there", "cart.first", "coupon.last", "coupon.written"]
        );
    }

    #[test]
    fn two_strange_words_make_a_title_whose_nouns_do_not_count_and_one_does_not() {
        assert_eq!(nouns("/gifts-for-account-managers").len(), 0);
        assert_eq!(nouns("/acme-account").len(), 4);
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
