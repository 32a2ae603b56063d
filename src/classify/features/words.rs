//! Cuts paths, queries and operation names into words, and hashes them.
//!
//! Words, not whole paths: `add-to-cart`, `cart_items` and `/cart/add` then have something in
//! common, on a shop no one trained on. Numbers and identifiers become one word, so that a
//! catalogue of a million products is one template.
//!
//! The hash is FNV-1a (Fowler, Noll, Vo), written out because its value is part of the model's
//! schema: it must not change with a library's version.

/// What stands for a number, a UUID, a token.
pub(super) const ID: &[u8] = b"{id}";

/// A word longer than this is no word of a language but a key or a hash.
const WORD_LEN_MAX: usize = 24;

/// A digit in a word this short belongs to it: `v2`, `p1`, `h5`.
const VERSIONED_LEN_MAX: usize = 3;

/// FNV-1a, 64 bits, over lower-cased ASCII.
#[derive(Clone, Copy)]
pub(super) struct Fnv(u64);

impl Fnv {
    /// The empty hash.
    pub(super) const fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            *self = self.with(*byte);
        }
    }

    /// The hash with one more byte.
    pub(super) const fn with(self, byte: u8) -> Fnv {
        Fnv((self.0 ^ byte.to_ascii_lowercase() as u64).wrapping_mul(0x0100_0000_01b3))
    }

    /// The hash, mixed once more: the low bits of FNV-1a alone spread short words badly.
    pub(super) const fn finish(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }
}

/// The words of a path segment or a query value: cut at punctuation, percent-escapes included.
pub(super) fn words(text: &str) -> impl Iterator<Item = &[u8]> {
    Words { rest: text.as_bytes(), at_humps: false }
}

/// The words of a GraphQL operation name: cut at its humps too.
pub(super) fn operation_words(name: &str) -> impl Iterator<Item = &[u8]> {
    Words { rest: name.as_bytes(), at_humps: true }
}

struct Words<'a> {
    rest: &'a [u8],
    at_humps: bool,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while let Some(&first) = self.rest.first() {
            if is_wordy(first) {
                let (word, rest) = self.rest.split_at(self.word_len());
                self.rest = rest;
                return Some(if is_id(word) { ID } else { word });
            }
            let separator = if is_escape(self.rest) { 3 } else { 1 };
            self.rest = &self.rest[separator..];
        }
        None
    }
}

impl Words<'_> {
    fn word_len(&self) -> usize {
        let ends = |pair: &[u8]| {
            let hump = self.at_humps && pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
            hump || !is_wordy(pair[1])
        };
        self.rest.windows(2).position(ends).map_or(self.rest.len(), |last| last + 1)
    }
}

/// Letters and digits; a byte of a non-ASCII character counts as a letter.
fn is_wordy(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

fn is_escape(text: &[u8]) -> bool {
    matches!(text, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

fn is_id(word: &[u8]) -> bool {
    let digits = word.iter().filter(|byte| byte.is_ascii_digit()).count();
    digits == word.len() || (digits > 0 && word.len() > VERSIONED_LEN_MAX) || word.len() > WORD_LEN_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        words(text).map(|word| std::str::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn segments_fall_into_words_and_identifiers() {
        assert_eq!(cut("add-to_cart.js"), ["add", "to", "cart", "js"]);
        assert_eq!(cut("red-shoes-42"), ["red", "shoes", "{id}"]);
        assert_eq!(cut("v2"), ["v2"]);
        assert_eq!(cut("7"), ["{id}"]);
        assert_eq!(cut("9f86d081"), ["{id}"]);
        assert_eq!(cut("checkout%2Fcart"), ["checkout", "cart"]);
        assert_eq!(cut("100%"), ["{id}"]);
        assert_eq!(cut("--"), [""; 0]);
    }

    #[test]
    fn a_word_of_25_letters_is_an_identifier_and_one_of_24_is_not() {
        assert_eq!(cut(&"a".repeat(24)), ["a".repeat(24)]);
        assert_eq!(cut(&"a".repeat(25)), ["{id}"]);
    }

    #[test]
    fn operation_names_are_cut_at_their_humps() {
        let words: Vec<&[u8]> = operation_words("AddToCart_v2").collect();
        assert_eq!(words, [b"Add".as_slice(), b"To", b"Cart", b"v2"]);
    }

    #[test]
    fn the_hash_is_fnv_1a_and_blind_to_case() {
        let mut hash = Fnv::new();
        hash.write(b"FooBar");
        // The published test value of FNV-1a for "foobar".
        assert_eq!(hash.0, 0x8594_4171_f739_67e8);
    }
}
