//! What a class asks for, and the line within it at which the seats it can count on are used up.
//!
//! Refusing at random kills sessions: 10 % of refusals over 20 requests leave 12 % of them whole. So
//! where a class gets less than it asks for, its cohorts are served in their order, from a histogram of
//! what was asked lately, and within the cohort that fits in part a session's lot decides: a session
//! keeps its side of the line for as long as the line stays. (DAGOR's cursor over business and user
//! priority, Zhou et al. 2018; here it moves by measured demand instead of by trial.)
//!
//! It refuses nobody; `admission` does.

use crate::decision::{COHORTS, Side, Standing};
use crate::image::image;
use crate::standing::cohort_of;
use std::time::Duration;

/// Load is measured this often, or sooner where many more come than did: `admission` tells when.
pub(crate) const REFRESH: Duration = Duration::from_millis(100);
/// Weight of a measurement of what is asked for: whether it fits is no matter of one burst.
const WEIGHT: f64 = 0.2;
/// The seconds whose plain mean varies as little as that of a measurement every `REFRESH` with this weight.
const SPAN: f64 = REFRESH.as_secs_f64() * (2.0 - WEIGHT) / WEIGHT;
/// So many standard deviations below what is asked for usually is hardly chance: one measurement in forty is further
/// off. (With three the checkouts of a flood count for half a second after it, and others are refused for them.)
const DEVIATIONS: f64 = 2.0;
/// So many above it are none: a rush, which need not be smoothed for a second before it is believed. (With three, every
/// hour has some bursts of carts that are refused for being one: 99.89 % in time at five times the load, 99.95 so.)
const DEVIATIONS_RUSH: f64 = 4.0;
/// The part of a class's seats that those above the line ask for. The rest is for the bursts of their
/// arrivals: at a utilisation of `u` a queue is as long as `u / (1 - u)`, two here and nine at 90 %. (Pages at twice the
/// load take 68 ms in the mean of thirty simulated runs, 72 with eight tenths, and as many are served.)
const ABOVE_LINE: f64 = 0.7;
/// Lots to draw.
const LOTS: f64 = 256.0;

/// What a class asks for.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    /// Requests that asked since the last measurement, by cohort.
    asked: [u32; COHORTS as usize],
    /// The same per second, smoothed.
    rates: [f64; COHORTS as usize],
    /// What all cohorts asked for in the last measurement, and its seconds.
    last_asked: u32,
    last_seconds: f64,
    /// For how many seconds it has been measured.
    age: f64,
    line: Line,
    /// Where those end who fill the gaps. Beyond it nobody is let in: whoever comes in by chance today is
    /// turned away by lot tomorrow.
    end: Line,
}

/// Where in a class the seats are used up: in this cohort, after so many of its lots.
#[derive(Clone, Copy, Debug)]
struct Line {
    cohort: u8,
    lots: u16,
}

impl Line {
    fn comes_after(self, standing: Standing, lot: u8) -> bool {
        let cohort = cohort_of(standing);
        cohort < self.cohort || cohort == self.cohort && u16::from(lot) < self.lots
    }
}

const ABOVE_ALL: Line = Line { cohort: 0, lots: 0 };
/// The line of a class that has enough.
const BELOW_ALL: Line = Line { cohort: COHORTS as u8, lots: 0 };

impl Demand {
    /// A request asks.
    pub(crate) fn ask(&mut self, standing: Standing) {
        self.asked[usize::from(cohort_of(standing))] += 1;
    }

    /// Measures the last `seconds`.
    pub(crate) fn measure(&mut self, seconds: f64) {
        let asked: u32 = self.asked.iter().sum();
        for (rate, asked) in self.rates.iter_mut().zip(&mut self.asked) {
            *rate += (f64::from(std::mem::take(asked)) / seconds - *rate) * WEIGHT;
        }
        self.age += seconds;
        self.follow(f64::from(asked + self.last_asked), seconds + self.last_seconds);
        (self.last_asked, self.last_seconds) = (asked, seconds);
    }

    /// A rush is noticed at once, and its end: where more or fewer asked in the last two measurements than chance
    /// explains, that is what is asked for. Who has just begun to measure does not know what is usual. (To take the
    /// lesser of what is usual and what was lately each time is a tenth too low in the mean, and lets in as many too
    /// many.)
    fn follow(&mut self, asked: f64, seconds: f64) {
        let usual = self.per_second();
        let lately = asked / seconds;
        let deviation = (usual / seconds).sqrt();
        let is_over = lately < usual - DEVIATIONS * deviation;
        let is_rush = self.age > SPAN && lately > usual + DEVIATIONS_RUSH * deviation;
        if is_over || is_rush {
            self.rates.iter_mut().for_each(|rate| *rate *= lately / usual);
        }
    }

    /// Requests per second of all cohorts.
    pub(crate) fn per_second(&self) -> f64 {
        self.rates.iter().sum()
    }

    /// The variance of that where requests arrive by chance: of a Poisson count, its mean.
    pub(crate) fn variance(&self) -> f64 {
        self.per_second() / SPAN
    }

    /// Draws the line for so many `seats`, each held for `hold` seconds.
    pub(crate) fn draw_line(&mut self, seats: f64, hold: f64) {
        // A class that holds its seats for no time has enough of any.
        let fits = seats / hold;
        (self.line, self.end) = (BELOW_ALL, BELOW_ALL);
        if self.per_second() <= fits {
            return;
        }
        self.line = self.line_at(fits * ABOVE_LINE);
        self.end = self.line_at(fits);
    }

    /// While nobody knows how many seats there are, all fill gaps.
    pub(crate) fn draw_no_line(&mut self) {
        (self.line, self.end) = (ABOVE_ALL, BELOW_ALL);
    }

    /// Where those who ask for `per_second` end.
    fn line_at(&self, per_second: f64) -> Line {
        let mut left = per_second;
        for (cohort, rate) in self.rates.iter().enumerate() {
            if *rate > left {
                return Line { cohort: cohort as u8, lots: (left / rate * LOTS) as u16 };
            }
            left -= rate;
        }
        BELOW_ALL
    }

    /// How many cohorts have any who are let in, the best ones first.
    pub(crate) fn cohorts_let_in(&self) -> u16 {
        u16::from(self.end.cohort) + u16::from(self.end.lots > 0)
    }

    /// On which side of the line a request of that standing and lot is.
    pub(crate) fn side(&self, standing: Standing, lot: u8) -> Side {
        if self.line.comes_after(standing, lot) {
            Side::AboveLine
        } else if self.end.comes_after(standing, lot) {
            Side::BelowLine
        } else {
            Side::Beyond
        }
    }
}

impl Default for Demand {
    fn default() -> Demand {
        Demand {
            asked: [0; COHORTS as usize],
            rates: [0.0; COHORTS as usize],
            last_asked: 0,
            last_seconds: 0.0,
            age: 0.0,
            line: BELOW_ALL,
            end: BELOW_ALL,
        }
    }
}

image!(struct Demand { asked, rates, last_asked, last_seconds, age, line, end });
image!(struct Line { cohort, lots });

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Standing = Standing(0);
    const POOR: Standing = Standing(1);

    /// Asked for by so many of two neighbouring cohorts in a tenth of a second, again and again.
    fn demand(good: u32, poor: u32) -> Demand {
        let mut demand = Demand::default();
        for _ in 0..100 {
            (0..good).for_each(|_| demand.ask(GOOD));
            (0..poor).for_each(|_| demand.ask(POOR));
            demand.measure(0.1);
        }
        demand
    }

    /// Asked for in one more measurement.
    fn rate_after(demand: &mut Demand, asked: u32) -> f64 {
        (0..asked).for_each(|_| demand.ask(POOR));
        demand.measure(0.1);
        demand.per_second()
    }

    #[test]
    fn rush_and_its_end_are_believed_at_once_and_what_may_be_chance_is_not() {
        let mut calm = demand(0, 10);
        let mut follows = |asked, rate: f64| assert!((rate_after(&mut calm, asked) - rate).abs() < 1e-3);
        follows(15, 110.0);
        // What two measurements say together is less than four deviations above what was usual, and then more.
        follows(40, 168.0);
        follows(40, 400.0);
        follows(10, 250.0);
        follows(10, 100.0);
    }

    #[test]
    fn demand_that_fits_is_above_the_line_whole() {
        let mut demand = demand(1, 6);
        // 70 a second keep seven seats busy, and seven of ten are for those above the line.
        demand.draw_line(10.0, 0.1);
        assert_eq!(demand.side(POOR, 255), Side::AboveLine);
        assert_eq!(demand.side(Standing(127), 255), Side::AboveLine, "nobody of it asked, but there is room");
        assert_eq!(demand.cohorts_let_in(), COHORTS);
    }

    #[test]
    fn better_cohort_goes_first_and_the_next_is_divided_by_lot() {
        let mut demand = demand(4, 8);
        demand.draw_line(10.0, 0.1);
        assert_eq!(demand.side(GOOD, 255), Side::AboveLine);
        // Of its seven seats three are left for those who ask for eight: 96 of their lots.
        assert_eq!(demand.side(POOR, 94), Side::AboveLine);
        assert_eq!(demand.side(POOR, 98), Side::BelowLine);
        assert_eq!(demand.side(Standing(2), 0), Side::Beyond);
        assert_eq!(demand.cohorts_let_in(), 2, "of the second some");
    }

    #[test]
    fn class_without_seats_has_nobody_above_the_line() {
        let mut demand = demand(1, 1);
        demand.draw_line(0.0, 0.1);
        assert_eq!(demand.side(GOOD, 0), Side::Beyond);
        assert_eq!(demand.cohorts_let_in(), 0);
    }

    #[test]
    fn gaps_are_filled_by_those_who_fit_only() {
        let mut demand = demand(0, 20);
        // Ten seats for twice as many: 35 % above the line, and half of them to the end.
        demand.draw_line(10.0, 0.1);
        let sides = [88, 92, 126, 130].map(|lot| demand.side(POOR, lot));
        assert_eq!(sides, [Side::AboveLine, Side::BelowLine, Side::BelowLine, Side::Beyond]);
        demand.draw_no_line();
        assert_eq!(demand.side(POOR, 255), Side::BelowLine, "nobody knows how many seats there are");
    }

    #[test]
    fn class_that_was_never_served_has_no_line() {
        let mut demand = demand(100, 100);
        demand.draw_line(1.0, 0.0);
        assert_eq!(demand.side(POOR, 255), Side::AboveLine);
    }

    #[test]
    fn end_of_a_flood_is_noticed_at_once_and_one_burst_is_no_flood() {
        let mut demand = demand(100, 0);
        assert!((demand.per_second() - 1_000.0).abs() < 1.0);
        demand.measure(0.1);
        demand.measure(0.1);
        assert_eq!(demand.per_second(), 0.0);
        (0..100).for_each(|_| demand.ask(GOOD));
        demand.measure(0.1);
        assert!(demand.per_second() <= 500.0);
    }

    #[test]
    fn measurement_that_is_short_says_as_little() {
        let mut demand = demand(20, 0);
        demand.measure(0.01);
        assert!(demand.per_second() > 150.0, "nobody asks in 10 ms, of 200 a second, once in seven");
        demand.measure(0.1);
        assert!(demand.per_second() < 50.0, "nor in a tenth of a second more");
    }
}
