//! Reads the features of a request from its head, its path and its GraphQL operation.
//!
//! Words are read through the lexicon: those it lists stand for one another, and the nouns among
//! them have bits of their own (there, first, last, last of a write), for `cart` and `payment` say
//! more than any other word.
//!
//! Values of query parameters stay out unless their key says that they name an action: a shopper
//! who searches for "checkout" is searching.

use std::array;

use http::Method;

use super::{FIELDS_AT, Place, REQUEST_LEN, RequestFeatures};
use crate::classify::features::fields;
use crate::classify::features::lexicon::{self, Sense};
use crate::classify::features::nouns::Nouns;
use crate::classify::features::words::{Fnv, ID, operation_words, words};
use crate::classify::head::Head;

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
    use super::super::NOUNS_AT;
    use super::super::tests::features;
    use crate::classify::features::request_names;

    #[test]
    fn what_is_searched_for_is_no_feature_but_what_is_done_is() {
        assert_eq!(features("GET", "/search?q=red"), features("GET", "/search?q=checkout"));
        assert_ne!(
            features("POST", "/?wc-ajax=checkout"),
            features("POST", "/?wc-ajax=get_refreshed_fragments")
        );
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

    /// The names of the noun features that hold.
    fn nouns(target: &str) -> Vec<String> {
        let features = features("POST", target);
        let names = request_names().into_iter().enumerate();
        let holding = names.filter(|(index, _)| *index >= NOUNS_AT && features.holds(*index));
        holding.map(|(_, name)| name.trim_start_matches("noun.").to_owned()).collect()
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
}
