//! The nouns of one request, in the order they were read.
//!
//! Which noun comes first and which last tells what a request is about better than which ones
//! there are: `/account/orders` is the account's, `/carts/{id}/payments` is a payment. Of a compound
//! only the last counts for that: `cart-discounts` are discounts, of a kind.
//!
//! It keeps a bounded number: a request that names more is no route of a shop.

/// Nouns kept. The routes of ten platforms have four at most.
const NOUNS_MAX: usize = 8;

/// Nouns by their index in the lexicon; the latest take the last place once it is full.
#[derive(Default)]
pub(super) struct Nouns {
    kept: [usize; NOUNS_MAX],
    len: usize,
    /// A bit for every noun named, by its index.
    named: u32,
}

// A noun is a bit of `named`.
const _: () = assert!(super::lexicon::NOUNS_LEN <= u32::BITS as usize);

impl Nouns {
    /// Takes the noun of a word, if it is one.
    pub(super) fn push(&mut self, noun: Option<usize>) {
        let Some(noun) = noun else { return };
        self.mention(noun);
        self.len = (self.len + 1).min(NOUNS_MAX);
        self.kept[self.len - 1] = noun;
    }

    /// Takes a noun that only says of which kind another one is.
    pub(super) fn mention(&mut self, noun: usize) {
        self.named |= 1 << noun;
    }

    /// Calls `tell` with every noun named.
    pub(super) fn each(&self, tell: impl FnMut(usize)) {
        (0..u32::BITS as usize).filter(|noun| self.named >> noun & 1 == 1).for_each(tell);
    }

    /// Calls `tell` with every noun and the one after it.
    pub(super) fn pairs(&self, mut tell: impl FnMut(usize, usize)) {
        self.kept().windows(2).for_each(|pair| tell(pair[0], pair[1]));
    }

    /// The first and the last one.
    pub(super) fn ends(&self) -> Option<(usize, usize)> {
        Some((*self.kept().first()?, *self.kept().last()?))
    }

    fn kept(&self) -> &[usize] {
        &self.kept[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(nouns: impl IntoIterator<Item = usize>) -> Nouns {
        let mut kept = Nouns::default();
        nouns.into_iter().for_each(|noun| kept.push(Some(noun)));
        kept
    }

    #[test]
    fn the_ends_are_the_first_and_the_latest_even_of_too_many() {
        assert_eq!(pushed([]).ends(), None);
        assert_eq!(pushed([3]).ends(), Some((3, 3)));
        assert_eq!(pushed(0..NOUNS_MAX).ends(), Some((0, NOUNS_MAX - 1)));
        assert_eq!(pushed(0..=NOUNS_MAX).ends(), Some((0, NOUNS_MAX)));
    }

    #[test]
    fn a_mentioned_noun_is_named_but_stands_nowhere() {
        let mut nouns = pushed([3]);
        nouns.mention(1);
        let mut named = Vec::new();
        nouns.each(|noun| named.push(noun));
        assert_eq!((named, nouns.ends()), (vec![1, 3], Some((3, 3))));
    }

    #[test]
    fn a_word_that_is_no_noun_leaves_no_trace() {
        let mut nouns = pushed([1]);
        nouns.push(None);
        assert_eq!(nouns.kept(), [1]);
    }
}
