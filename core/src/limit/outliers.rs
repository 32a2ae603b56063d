//! Classes that wait for something the others do not, told before their answers are there.
//!
//! A window of the limit compares classes by their mean latencies, so a class is slow there once it has
//! answered slowly. By then a payment provider that hangs has filled the shop with checkouts, nobody else
//! gets an answer any more, and there is nothing left to compare with. So a class *stalls* here if some of it
//! are out and none was answered in good time for several times what is healthy, while another class was
//! asked later and had its healthy answer. Where the pool as a whole is slow, no class is passed by.
//!
//! It says that a class has become slow by itself, and since when; when that is over, the windows say.

use crate::image::image;
use crate::policy::{CLASSES_MAX, ClassId, ClassSet};
use crate::time::Time;
use std::time::Duration;

/// As many of a class have to be out without an answer...
const OUT: u32 = 3;
/// ...for so many times its healthy latency. Of exponential times each is as long once in 55, of a
/// lognormal tail as heavy as a shop's once in 33; all three are once in 30,000.
const SLOW: f64 = 4.0;
/// An answer is healthy up to this many times the healthy latency.
const HEALTHY: f64 = 2.0;

/// A class that has been slow by itself for so long is so for good: a provider that hangs is mended within
/// minutes, a release that made a page slower is not.
const NEWS_FOR: Duration = Duration::from_secs(600);

/// The classes that are slow by themselves, and what tells that more of them are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outliers {
    classes: ClassSet,
    /// Since when each of these is.
    slow_since: [Time; CLASSES_MAX],
    /// Since when [`OUT`] or more of a class are out, or when one of it was answered in good time last.
    since: [Time; CLASSES_MAX],
    /// When the last request of a class was sent that got a healthy answer.
    healthy: [Time; CLASSES_MAX],
}

impl Outliers {
    /// The classes that are slow by themselves.
    pub(super) fn classes(&self) -> ClassSet {
        self.classes
    }

    /// From now on it is these.
    pub(super) fn set(&mut self, classes: ClassSet, now: Time) {
        for class in classes.filter(|class| !self.classes.contains(*class)) {
            self.slow_since[class.index()] = now;
        }
        self.classes = classes;
    }

    /// Whether a class has become slow by itself so lately that its latency must not be taken for healthy.
    pub(super) fn is_news(&self, class: ClassId, now: Time) -> bool {
        self.classes.contains(class) && now.since(self.slow_since[class.index()]) < NEWS_FOR
    }

    /// An answer came after `latency`, `ratio` times what is healthy for its class.
    pub(super) fn answered(&mut self, class: ClassId, latency: Duration, ratio: f64, now: Time) {
        if ratio <= HEALTHY {
            self.healthy[class.index()] = now.before(latency);
        }
        if ratio <= SLOW {
            self.since[class.index()] = now;
        }
    }

    /// A request of a class with this healthy latency, if that is known, was let in, and so many of it are
    /// out now.
    pub(super) fn seated(&mut self, class: ClassId, out: u32, healthy: Option<Duration>, now: Time) {
        let since = &mut self.since[class.index()];
        let Some(healthy) = healthy.filter(|_| out > OUT) else {
            *since = now;
            return;
        };
        if now.since(*since) > healthy.mul_f64(SLOW) && self.is_passed_by(class) {
            self.set(self.classes.with(class), now);
        }
    }

    /// Whether another class was asked later and had its answers.
    fn is_passed_by(&self, class: ClassId) -> bool {
        let since = self.since[class.index()];
        let others = self.healthy.iter().enumerate().filter(|(other, _)| *other != class.index());
        others.map(|(_, sent)| sent).any(|sent| *sent > since)
    }
}

image!(struct Outliers { classes, slow_since, since, healthy });

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY_LATENCY: Option<Duration> = Some(Duration::from_millis(100));

    fn id(index: usize) -> ClassId {
        ClassId::new(index).unwrap()
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    /// Three requests of class 0 that are out since the tenth second.
    fn three_out() -> Outliers {
        let mut outliers = Outliers::default();
        (1..=3).for_each(|out| outliers.seated(id(0), out, HEALTHY_LATENCY, at(10_000)));
        outliers
    }

    /// An answer of a class to a request that was sent and answered then.
    fn answer(outliers: &mut Outliers, class: usize, sent: u64, answered: u64) {
        let latency = Duration::from_millis(answered - sent);
        let ratio = latency.div_duration_f64(HEALTHY_LATENCY.unwrap());
        outliers.answered(id(class), latency, ratio, at(answered));
    }

    fn is_slow(outliers: &mut Outliers, now: u64) -> bool {
        outliers.seated(id(0), 4, HEALTHY_LATENCY, at(now));
        outliers.classes().contains(id(0))
    }

    #[test]
    fn class_without_answers_that_another_one_passes_by_is_slow_by_itself() {
        let mut outliers = three_out();
        answer(&mut outliers, 1, 10_001, 10_200);
        answer(&mut outliers, 0, 9_800, 10_300);
        assert!(!is_slow(&mut outliers, 10_400));
        assert!(is_slow(&mut outliers, 10_401));
    }

    #[test]
    fn answer_in_good_time_is_a_new_beginning() {
        let mut outliers = three_out();
        answer(&mut outliers, 0, 10_000, 10_399);
        answer(&mut outliers, 1, 10_400, 10_500);
        assert!(!is_slow(&mut outliers, 10_401));
        assert!(is_slow(&mut outliers, 10_800));
    }

    #[test]
    fn pool_that_is_slow_as_a_whole_has_no_outliers() {
        let mut outliers = three_out();
        answer(&mut outliers, 1, 9_999, 10_100);
        answer(&mut outliers, 1, 10_100, 10_301);
        assert!(!is_slow(&mut outliers, 20_000));
    }

    #[test]
    fn class_does_not_pass_itself_by() {
        let mut outliers = three_out();
        answer(&mut outliers, 0, 10_001, 10_100);
        assert!(!is_slow(&mut outliers, 20_000));
    }

    #[test]
    fn few_that_are_out_are_no_stall() {
        let mut outliers = three_out();
        answer(&mut outliers, 1, 10_100, 10_101);
        outliers.seated(id(0), 3, HEALTHY_LATENCY, at(20_000));
        assert_eq!(outliers.classes(), ClassSet::EMPTY);
    }

    #[test]
    fn class_of_which_nothing_is_known_begins_when_something_is() {
        let mut outliers = three_out();
        outliers.seated(id(0), 4, None, at(20_000));
        answer(&mut outliers, 1, 20_001, 20_100);
        assert!(!is_slow(&mut outliers, 20_400));
        assert!(is_slow(&mut outliers, 20_401));
    }

    #[test]
    fn slowness_is_news_until_it_has_lasted() {
        let mut outliers = Outliers::default();
        let classes = ClassSet::EMPTY.with(id(0));
        outliers.set(classes, at(1_000));
        outliers.set(classes.with(id(1)), at(300_000));
        assert!(outliers.is_news(id(0), at(600_999)));
        assert!(!outliers.is_news(id(0), at(601_000)));
        assert!(outliers.is_news(id(1), at(601_000)));
        outliers.set(ClassSet::EMPTY, at(601_000));
        assert!(!outliers.is_news(id(1), at(601_000)));
    }
}
