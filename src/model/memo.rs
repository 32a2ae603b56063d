//! Remembers the class of request templates.
//!
//! A fixed table without locks, each template in the one place its low bits name; a newcomer takes
//! the place of whoever was there. Shops have some hundred templates, and a miss costs one run of
//! the model, so nothing cleverer pays.
//!
//! Two words are not written as one: a reader may see the key of one template and the guess of
//! another. Therefore the key is kept XORed with the guess, and does not fit a guess it was not
//! stored with (Hyatt and Mann, "A lock-less transposition table implementation for parallel search
//! chess engines", 2002).

use std::sync::atomic::{AtomicU64, Ordering};

use super::class::{Guess, ModelClass};

/// Places in the table: 128 KiB, an order of magnitude above the templates of a large shop.
const PLACES: usize = 8192;

/// Set in every stored guess, so that none is 0, which an empty place is.
const STORED: u64 = 1 << 63;

/// Guesses by template.
pub(super) struct Memo {
    places: Box<[Place]>,
}

#[derive(Default)]
struct Place {
    /// The template XOR the guess.
    sealed: AtomicU64,
    guess: AtomicU64,
}

impl Memo {
    /// An empty memo.
    pub(super) fn new() -> Memo {
        Memo { places: (0..PLACES).map(|_| Place::default()).collect() }
    }

    /// The guess stored last for this template, if its place has not been taken since.
    pub(super) fn get(&self, template: u64) -> Option<Guess> {
        let place = self.place(template);
        let packed = place.guess.load(Ordering::Relaxed);
        let sealed = place.sealed.load(Ordering::Relaxed);
        (packed != 0 && sealed ^ packed == template).then(|| unpack(packed))
    }

    /// Stores a guess.
    pub(super) fn put(&self, template: u64, guess: Guess) {
        let packed = pack(guess);
        let place = self.place(template);
        place.sealed.store(template ^ packed, Ordering::Relaxed);
        place.guess.store(packed, Ordering::Relaxed);
    }

    fn place(&self, template: u64) -> &Place {
        &self.places[template as usize % PLACES]
    }
}

fn pack(guess: Guess) -> u64 {
    STORED | (guess.class as u64) << 32 | u64::from(guess.confidence.to_bits())
}

/// The class takes bits 32 to 34, the confidence the 32 below.
fn unpack(packed: u64) -> Guess {
    let class = ModelClass::ALL[(packed >> 32) as usize % ModelClass::ALL.len()];
    Guess { class, confidence: f32::from_bits(packed as u32) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_guess_comes_back_as_it_was_stored() {
        let memo = Memo::new();
        for (template, class) in (1..).zip(ModelClass::ALL) {
            let guess = Guess { class, confidence: 1.0 / template as f32 };
            assert_eq!(memo.get(template), None);
            memo.put(template, guess);
            assert_eq!(memo.get(template), Some(guess));
        }
    }

    #[test]
    fn a_newcomer_takes_the_place_and_is_not_taken_for_the_old_one() {
        let memo = Memo::new();
        let (old, new) = (7, 7 + PLACES as u64);
        memo.put(old, Guess { class: ModelClass::Cart, confidence: 0.5 });
        memo.put(new, Guess { class: ModelClass::Browse, confidence: 0.5 });
        assert_eq!(memo.get(old), None);
        assert_eq!(memo.get(new).unwrap().class, ModelClass::Browse);
    }

    #[test]
    fn threads_that_share_a_place_never_read_each_others_guess() {
        let memo = Memo::new();
        let shared = |thread: usize| 1 + (thread * PLACES) as u64;
        let hits: usize = thread::scope(|scope| {
            let run = |thread: usize| {
                let mine = Guess { class: ModelClass::ALL[thread], confidence: thread as f32 };
                let memo = &memo;
                scope.spawn(move || {
                    let hit = |_: &u32| {
                        memo.put(shared(thread), mine);
                        memo.get(shared(thread)).inspect(|found| assert_eq!(*found, mine)).is_some()
                    };
                    (0..20_000).filter(hit).count()
                })
            };
            let threads: Vec<_> = (0..4).map(run).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!(hits > 0);
    }
}
