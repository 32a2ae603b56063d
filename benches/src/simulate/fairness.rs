//! How evenly the sessions of a class are served.
//!
//! Jain's index over the sessions that asked for something of a class in a phase, of the
//! shares of it that each got in time: `(sum)^2 / (n x sum of squares)` (Jain, Chiu and Hawe
//! 1984). It is 1 where all get the same, and `k / n` where `k` of `n` get all and the others
//! nothing. Where a class is served in part, a door that serves whole sessions is as
//! uneven as can be, on purpose: an order that ends half way is no order.
//!
//! It does not say who was left out.

use crate::arrivals::ShopperId;
use crate::tally::{Account, Verdict};
use std::collections::HashMap;

/// What a session asked for of a class in a phase, and how much of that it got in time.
#[derive(Clone, Copy, Debug, Default)]
struct Portion {
    asked: u32,
    good: u32,
}

/// The portions of all sessions of a run.
#[derive(Debug, Default)]
pub(crate) struct Portions {
    /// By phase, class and session.
    by_session: HashMap<(usize, usize, ShopperId), Portion>,
}

impl Portions {
    /// A request of a session has ended.
    pub(crate) fn settle(&mut self, account: &Account, shopper: ShopperId, verdict: Verdict) {
        let portion = self.by_session.entry((account.phase, account.class, shopper)).or_default();
        portion.asked += 1;
        portion.good += u32::from(verdict == Verdict::Good);
    }

    /// How even they are, by phase and class.
    pub(crate) fn evenness(&self, phases: usize, classes: usize) -> Vec<Vec<Evenness>> {
        let mut shares: Vec<Vec<Vec<f64>>> = vec![vec![Vec::new(); classes]; phases];
        for ((phase, class, _), portion) in &self.by_session {
            shares[*phase][*class].push(f64::from(portion.good) / f64::from(portion.asked));
        }
        let of_phase = |classes: Vec<Vec<f64>>| classes.into_iter().map(Evenness::of).collect();
        shares.into_iter().map(of_phase).collect()
    }
}

/// The sums that the index is made of; those of several runs add up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Evenness {
    sessions: u64,
    shares: f64,
    squares: f64,
}

impl Evenness {
    fn of(mut shares: Vec<f64>) -> Evenness {
        // In another order they add up to another last digit, and a seed has one result.
        shares.sort_unstable_by(f64::total_cmp);
        Evenness {
            sessions: shares.len() as u64,
            shares: shares.iter().sum(),
            squares: shares.iter().map(|share| share * share).sum(),
        }
    }

    /// Adds the sessions of another run.
    pub(crate) fn add(&mut self, other: &Evenness) {
        self.sessions += other.sessions;
        self.shares += other.shares;
        self.squares += other.squares;
    }

    /// Jain's index; none where no session got anything.
    pub(crate) fn index(&self) -> Option<f64> {
        (self.squares > 0.0).then(|| self.shares * self.shares / (self.sessions as f64 * self.squares))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// The index where session `n` of a class asks `asked[n].0` times and is served `asked[n].1` times.
    fn index(asked: &[(usize, usize)]) -> Option<f64> {
        let account = Account { phase: 1, class: 0, cost: 1.0, slo: Duration::from_secs(1) };
        let mut portions = Portions::default();
        for (session, (asked, served)) in asked.iter().enumerate() {
            for request in 0..*asked {
                let verdict = if request < *served { Verdict::Good } else { Verdict::Refused };
                portions.settle(&account, ShopperId(session), verdict);
            }
        }
        let evenness = portions.evenness(2, 1);
        assert_eq!(evenness[0][0].index(), None, "nobody asked for anything in the first phase");
        evenness[1][0].index()
    }

    #[test]
    fn same_share_for_all_is_one_however_small_and_whoever_asks_more() {
        assert_eq!(index(&[(2, 2), (8, 8)]), Some(1.0));
        assert_eq!(index(&[(2, 1), (8, 4)]), Some(1.0));
    }

    #[test]
    fn all_for_one_of_four_is_a_quarter() {
        assert_eq!(index(&[(3, 3), (3, 0), (3, 0), (3, 0)]), Some(0.25));
        assert_eq!(index(&[(3, 0), (3, 0)]), None, "nothing for anybody is no share");
    }

    #[test]
    fn runs_add_up() {
        let mut all = Evenness::of(vec![1.0]);
        all.add(&Evenness::of(vec![0.0]));
        assert_eq!(all.index(), Some(0.5));
    }
}
