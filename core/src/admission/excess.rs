//! Whether a class asks for more than there is, or only seems to for a moment.
//!
//! Shoppers arrive by chance: of what is asked for on average in a second, more
//! comes in this one and less in the next. A demand that only just fits exceeds
//! what there is in every few measurements then, and one that does not fit drops
//! below it as often. So a verdict changes where the demand is more than chance
//! away from it (a Schmitt trigger, with the spread of a Poisson count for its
//! width): by less for those who are less important, by more for the class itself.
//!
//! Of carts and checkouts that ask for 93 % of sixteen workers at 5x, one measurement in nine says more than
//! 100 %. In simulation 1.3 % of the carts were refused where that was believed (0.1 % here), and in each moment
//! in which browsing seemed to fit, searches were let in past pages refused just before: 150 inversions in a
//! million at 2x (none here).
//!
//! It does not measure what is asked for; `demand` does.

use crate::image::image;
use std::ops::RangeInclusive;

/// So many standard deviations are hardly chance: one measurement in forty is further off on one side. Then
/// less important classes are kept out...
const DEVIATIONS: f64 = 2.0;
/// ...and so many are none: one in seven hundred. Then the class's own requests are refused for it.
const DEVIATIONS_SURE: f64 = 3.0;
/// Before a few workers, chance is as wide as all there is: it ends at this part of the seats, or a class would
/// be refused at four fifths of what the shop can do for having been refused in a flood.
const LEFT_OVER: f64 = 0.1;

/// The verdict on a class and those above it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Excess {
    is_there: bool,
    may_be_there: bool,
    might_have_been: bool,
}

impl Excess {
    /// Compares the seats that are asked for, which have this standard deviation, with those there are. What is asked
    /// for at the most keeps others out, and what is asked for at the least has the class's own requests refused.
    pub(super) fn judge(&mut self, asked_for: RangeInclusive<f64>, deviation: f64, seats: f64) {
        let is_over = |asked_for: f64, was_over: bool, deviations: f64| {
            let chance = deviations * deviation;
            asked_for > if was_over { seats - chance.min(LEFT_OVER * seats) } else { seats + chance }
        };
        let is_there = is_over(*asked_for.start(), self.is_there, DEVIATIONS_SURE);
        self.set(is_there, is_there || is_over(*asked_for.end(), self.may_be_there, DEVIATIONS));
    }

    /// Sets the verdict where nobody knows how many seats there are.
    pub(super) fn presume(&mut self) {
        self.set(true, true);
    }

    fn set(&mut self, is_there: bool, may_be_there: bool) {
        self.might_have_been = self.may_be_there;
        self.may_be_there = may_be_there;
        self.is_there = is_there;
    }

    /// Whether more is asked for than there is.
    pub(super) fn is_there(self) -> bool {
        self.is_there
    }

    /// Whether it may have been so at one of the last two measurements. Who is less important is let in that much
    /// later, or he would pass those who were refused for the excess a moment ago.
    pub(super) fn is_hardly_over(self) -> bool {
        self.may_be_there || self.might_have_been
    }
}

image!(struct Excess { is_there, may_be_there, might_have_been });

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdicts on a row of demands for twenty seats, each with a deviation of one: whether more is asked for
    /// than there is, and whether less important classes are to be kept out.
    fn verdicts(demands: &[f64]) -> Vec<(bool, bool)> {
        let mut excess = Excess::default();
        let judge = |demand: &f64| {
            excess.judge(*demand..=*demand, 1.0, 20.0);
            (excess.is_there(), excess.is_hardly_over())
        };
        demands.iter().map(judge).collect()
    }

    const ENOUGH: (bool, bool) = (false, false);
    const PERHAPS: (bool, bool) = (false, true);
    const TOO_MUCH: (bool, bool) = (true, true);

    #[test]
    fn what_may_be_chance_changes_no_verdict() {
        assert_eq!(verdicts(&[19.0, 21.9, 20.5]), [ENOUGH; 3]);
        assert_eq!(verdicts(&[23.1, 19.0, 18.1]), [TOO_MUCH; 3]);
    }

    #[test]
    fn others_are_kept_out_before_the_class_itself_is_refused() {
        assert_eq!(verdicts(&[22.1, 22.9, 23.1]), [PERHAPS, PERHAPS, TOO_MUCH]);
    }

    #[test]
    fn what_is_more_than_chance_changes_it_at_once_and_others_come_in_a_measurement_later() {
        assert_eq!(verdicts(&[23.1, 17.9, 17.9]), [TOO_MUCH, PERHAPS, ENOUGH]);
    }

    #[test]
    fn a_tenth_of_the_seats_is_free_again_however_wide_chance_is() {
        let mut excess = Excess::default();
        excess.presume();
        excess.judge(3.7..=3.7, 5.0, 4.0);
        assert!(excess.is_there());
        excess.judge(3.5..=3.5, 5.0, 4.0);
        assert!(!excess.is_there());
        assert!(excess.is_hardly_over(), "for one measurement more");
        excess.judge(3.5..=3.5, 5.0, 4.0);
        assert!(!excess.is_hardly_over());
    }
}
