//! The refusals of late, for whoever is asked why: a bounded ring for each class.
//!
//! A shop in overload refuses thousands a second, all for one reason. So of each class at most a hundred a
//! second are noted, at the cost of one comparison for the others, and a rare refusal of checkout is not
//! lost among those of beacons.
//!
//! Nothing that tells who asked is kept: no address, cookie, session or query, and of the path only what
//! looks like words.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use plimsoll_core::policy::{CLASSES_MAX, ClassId};
use plimsoll_core::time::Time;
use serde::Serialize;

/// Refusals of a class that are kept.
const KEPT_MAX: usize = 32;
/// The least time between two of a class.
const SPACING: Duration = Duration::from_millis(10);
/// A longer part of a path is an identifier, or nonsense.
const WORD_BYTES_MAX: usize = 24;
/// Parts of a path that are shown.
const PARTS_MAX: usize = 6;

/// One refusal.
#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    /// Seconds since 1970, in UTC.
    pub time: f64,
    /// The request's id, which its answer carries.
    pub request_id: String,
    /// Its class.
    pub class: String,
    /// Its pool.
    pub pool: String,
    /// The generation it was decided under.
    pub generation: u64,
    /// Its method.
    pub method: String,
    /// Its path, as far as it is made of words.
    pub path: String,
    /// Why it was refused.
    pub reason: &'static str,
    /// The same as a sentence, with what the core saw.
    pub evidence: String,
}

#[derive(Debug, Default)]
struct Ring {
    /// Nanoseconds: when the next one is noted.
    next: AtomicU64,
    kept: Mutex<VecDeque<Refusal>>,
}

/// The refusals of late.
#[derive(Debug, Default)]
pub struct Refusals {
    rings: [Ring; CLASSES_MAX],
}

impl Refusals {
    /// Notes a refusal, unless one of its class was noted a moment ago.
    pub fn note(&self, class: ClassId, now: Time, refusal: impl FnOnce() -> Refusal) {
        let ring = &self.rings[class.index()];
        if now.as_nanos() < ring.next.load(Ordering::Relaxed) {
            return;
        }
        ring.next.store(now.after(SPACING).as_nanos(), Ordering::Relaxed);
        let refusal = refusal();
        let mut kept = ring.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(refusal);
    }

    /// All that are kept, the latest first.
    pub fn recent(&self) -> Vec<Refusal> {
        let kept = |ring: &Ring| ring.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut all: Vec<Refusal> = self.rings.iter().flat_map(kept).collect();
        all.sort_by(|one, other| other.time.total_cmp(&one.time));
        all
    }
}

/// A path with everything replaced by `*` that does not look like a word.
pub fn redacted(path: &str) -> String {
    let is_word = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_' | b'.');
        part.len() <= WORD_BYTES_MAX && part.bytes().all(plain)
    };
    let mut parts = path.split('/').skip(1);
    let shown = parts.by_ref().take(PARTS_MAX).map(|part| if is_word(part) { part } else { "*" });
    let shown: String = shown.flat_map(|part| ["/", part]).collect();
    if parts.next().is_some() { shown + "/*" } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(time: f64) -> Refusal {
        Refusal {
            time,
            request_id: String::new(),
            class: String::new(),
            pool: String::new(),
            generation: 1,
            method: String::new(),
            path: String::new(),
            reason: "",
            evidence: String::new(),
        }
    }

    #[test]
    fn each_class_keeps_its_latest_ones() {
        let refusals = Refusals::default();
        let id = |index| ClassId::new(index).unwrap();
        refusals.note(id(0), Time::ZERO, || refusal(0.5));
        for step in 1..100_u32 {
            refusals.note(id(1), Time::ZERO.after(SPACING * step), || refusal(f64::from(step)));
        }
        let times: Vec<f64> = refusals.recent().iter().map(|refusal| refusal.time).collect();
        assert_eq!(times.len(), KEPT_MAX + 1);
        assert_eq!((times[0], times[KEPT_MAX - 1], times[KEPT_MAX]), (99.0, 68.0, 0.5));
    }

    #[test]
    fn one_that_comes_a_moment_after_another_is_not_noted() {
        let refusals = Refusals::default();
        let class = ClassId::new(3).unwrap();
        refusals.note(class, Time::from_millis(5), || refusal(1.0));
        refusals.note(class, Time::from_millis(14), || refusal(2.0));
        assert_eq!(refusals.recent().len(), 1);
        refusals.note(class, Time::from_millis(15), || refusal(3.0));
        assert_eq!(refusals.recent().len(), 2);
    }

    #[test]
    fn a_path_keeps_its_words_and_nothing_else() {
        assert_eq!(redacted("/"), "/");
        assert_eq!(redacted("/cart/add"), "/cart/add");
        assert_eq!(redacted("/orders/10023/ada@shop.test/pay"), "/orders/*/*/pay");
        assert_eq!(redacted("/reset/abcdefghijklmnopqrstuvwxyz"), "/reset/*");
        assert_eq!(redacted("/a/b/c/d/e/f/g"), "/a/b/c/d/e/f/*");
    }
}
