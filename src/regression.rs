//! Whether a class keeps its SLO significantly less often after a change than before it.
//!
//! Requests are no coins: they fail together, in a burst or an outage, and a test that takes them for
//! independent finds a change in every bad minute. So what is compared is slices of time. If the change did
//! nothing, the slices after it are a draw from all slices; the probability of a draw whose ranks add up to
//! as much or more is counted out exactly, ties included (Wilcoxon's rank-sum test, 1945, as a permutation
//! test). One terrible slice therefore weighs no more than a bad one, and a lasting change is found after
//! some slices. The probability of being wrong is shared by all looks at all classes (Bonferroni).
//!
//! It tells that things are worse, not why: load that came with the change looks like the change, and
//! slices of one slow hour are more alike than draws.

/// Results of one slice of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Requests that had a good answer in time.
    pub kept: u64,
    /// Those that had not.
    pub missed: u64,
}

/// What became worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worsened {
    /// The share of requests that missed the SLO before, in [0, 1].
    pub before: f64,
    /// The same since.
    pub after: f64,
}

/// The probability that any of all looks is mistaken: one change in a thousand is taken back in vain.
const MISTAKEN_MAX: f64 = 0.001;
/// Misses since the change below which nobody need be woken, however regular they are.
const MISSES_MIN: u64 = 10;

impl Slice {
    fn results(self) -> u64 {
        self.kept + self.missed
    }

    fn share(self) -> f64 {
        self.missed as f64 / self.results() as f64
    }

    fn plus(self, other: Slice) -> Slice {
        Slice { kept: self.kept + other.kept, missed: self.missed + other.missed }
    }
}

/// Whether more of `after` missed the SLO than of `before`, beyond chance and beyond `missed_max`, the
/// share that may. `looks` is how often, with all classes, the question is asked about one change.
pub fn worsened(before: &[Slice], after: &[Slice], missed_max: f64, looks: usize) -> Option<Worsened> {
    let shares = |slices: &[Slice]| -> Vec<f64> {
        slices.iter().filter(|slice| slice.results() > 0).map(|slice| slice.share()).collect()
    };
    let all = |slices: &[Slice]| slices.iter().fold(Slice::default(), |sum, slice| sum.plus(*slice));
    let (sum_before, sum_after) = (all(before), all(after));
    if sum_before.results() == 0 || sum_after.missed < MISSES_MIN || sum_after.share() <= missed_max {
        return None;
    }
    let is_chance = probability(&shares(before), &shares(after)) * looks as f64 > MISTAKEN_MAX;
    (!is_chance).then(|| Worsened { before: sum_before.share(), after: sum_after.share() })
}

/// The probability that so many slices, drawn from both periods, rank as high as those of `after`.
fn probability(before: &[f64], after: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = before.iter().chain(after).copied().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    // Twice the rank, so that the mean rank of equals is whole.
    let rank = |share: f64| {
        sorted.partition_point(|other| *other < share) + sorted.partition_point(|other| *other <= share) + 1
    };
    let seen: usize = after.iter().map(|share| rank(*share)).sum();
    let ranks: Vec<usize> = sorted.iter().map(|share| rank(*share)).collect();
    let draws = draws(&ranks, after.len());
    draws[seen..].iter().sum::<f64>() / draws.iter().sum::<f64>()
}

/// How many draws of `count` ranks there are, by their sum.
fn draws(ranks: &[usize], count: usize) -> Vec<f64> {
    let most: usize = ranks.iter().sum();
    let mut ways = vec![vec![0.0; most + 1]; count + 1];
    ways[0][0] = 1.0;
    for rank in ranks {
        for drawn in (0..count).rev() {
            let (fewer, more) = ways.split_at_mut(drawn + 1);
            for sum in *rank..=most {
                more[0][sum] += fewer[drawn][sum - rank];
            }
        }
    }
    ways.swap_remove(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `vigil` asks: thirty slices, three classes.
    const LOOKS: usize = 90;
    const MISSED_MAX: f64 = 0.01;

    fn slices(count: usize, kept: u64, missed: u64) -> Vec<Slice> {
        vec![Slice { kept, missed }; count]
    }

    #[test]
    fn a_class_that_is_refused_now_and_was_not_has_worsened() {
        let found = worsened(&slices(30, 20, 0), &slices(5, 10, 10), MISSED_MAX, LOOKS).unwrap();
        assert_eq!((found.before, found.after), (0.0, 0.5));
        // One draw in C(34, 4) = 46376 is chance enough at the ninetieth look.
        assert_eq!(worsened(&slices(30, 20, 0), &slices(4, 10, 10), MISSED_MAX, LOOKS), None);
    }

    #[test]
    fn what_is_within_the_objective_has_not_worsened_enough() {
        let (before, after) = (slices(30, 10_000, 0), slices(30, 9_910, 90));
        assert_eq!(worsened(&before, &after, MISSED_MAX, LOOKS), None);
        assert!(worsened(&before, &after, 0.001, LOOKS).is_some());
    }

    #[test]
    fn few_misses_and_nothing_before_are_no_evidence() {
        let before = slices(30, 20, 0);
        assert_eq!(worsened(&before, &slices(9, 0, 1), MISSED_MAX, LOOKS), None, "9 misses");
        assert!(worsened(&before, &slices(10, 0, 1), MISSED_MAX, LOOKS).is_some(), "10 misses");
        assert_eq!(worsened(&[], &slices(30, 0, 100), MISSED_MAX, LOOKS), None);
        assert_eq!(worsened(&slices(30, 0, 0), &slices(30, 0, 100), MISSED_MAX, LOOKS), None);
    }

    #[test]
    fn the_probability_is_that_of_the_draws() {
        // Of the six ways to draw two of four, one has the two highest, and two have as much as 1 and 4.
        assert!((probability(&[0.1, 0.2], &[0.3, 0.4]) - 1.0 / 6.0).abs() < 1e-12);
        assert!((probability(&[0.3, 0.4], &[0.1, 0.2]) - 1.0).abs() < 1e-12);
        assert!((probability(&[0.2, 0.3], &[0.1, 0.4]) - 4.0 / 6.0).abs() < 1e-12);
        assert!((probability(&[0.0, 0.0], &[0.0, 0.0]) - 1.0).abs() < 1e-12, "all alike");
    }

    #[test]
    fn one_bad_slice_among_good_ones_is_a_burst() {
        let before = slices(30, 100, 0);
        let mut after = slices(10, 100, 0);
        after[4] = Slice { kept: 40, missed: 60 };
        assert_eq!(worsened(&before, &after, MISSED_MAX, LOOKS), None);
        assert!(worsened(&before, &slices(10, 94, 6), MISSED_MAX, LOOKS).is_some(), "as many, but steadily");
    }

    /// Numbers that look random (SplitMix64), in [0, 1).
    fn random(state: &mut u64) -> f64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    #[test]
    fn shops_that_fail_in_bursts_are_hardly_ever_taken_for_worse() {
        const SHOPS: usize = 200;
        const SLICES: usize = 12;
        let mut state = 7;
        let mut alarms = 0;
        for _ in 0..SHOPS {
            // One slice in ten is bad, and a bad one fails by anything up to a half.
            let mut slice = || {
                let share = if random(&mut state) < 0.1 { random(&mut state) / 2.0 } else { 0.005 };
                let missed = (0..100).filter(|_| random(&mut state) < share).count() as u64;
                Slice { kept: 100 - missed, missed }
            };
            let before: Vec<Slice> = (0..SLICES).map(|_| slice()).collect();
            let after: Vec<Slice> = (0..SLICES).map(|_| slice()).collect();
            let asks = |seen: usize| worsened(&before, &after[..seen], MISSED_MAX, SLICES).is_some();
            alarms += usize::from((1..=SLICES).any(asks));
        }
        assert!(alarms <= 1, "{alarms} alarms of {SHOPS}");
    }
}
