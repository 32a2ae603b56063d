//! Hours at which classes are others: a sale from ten to twelve, by the clock of its shop.
//!
//! A schedule names its time zone, for the shop's noon is not the server's. It holds from a minute of the day to
//! another, on some days of the week or some dates if it says so, and every day otherwise; hours that end
//! before they begin go over midnight and belong to the day on which they begin. Where clocks are put
//! forward or back, it goes by what the clock on the wall shows.
//!
//! It reads no clock.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use plimsoll_core::policy::Policy;

/// Hours with a policy of their own.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// What its operator calls it.
    pub name: Box<str>,
    /// When it holds.
    pub hours: Hours,
    /// What the core decides under then.
    pub core: Arc<Policy>,
    /// Where it stands: `file:line`.
    pub defined_at: Box<str>,
}

/// Wherever they stand.
impl PartialEq for Schedule {
    fn eq(&self, other: &Schedule) -> bool {
        (&self.name, &self.hours, &self.core) == (&other.name, &other.hours, &other.core)
    }
}

/// Minutes of days, in a time zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Hours {
    pub(super) zone: TimeZone,
    /// The minute of the day with which they begin, and the one with which they are over: over midnight if that
    /// is the earlier one.
    pub(super) minutes: (u16, u16),
    /// Days of the week; all if there are none, and no dates.
    pub(super) days: Vec<Weekday>,
    pub(super) dates: Vec<Date>,
}

impl Hours {
    /// Whether they hold at this time, since 1970 in UTC.
    pub fn hold_at(&self, wall: Duration) -> bool {
        let Ok(now) = Timestamp::from_duration(wall.try_into().unwrap_or_default()) else { return false };
        let now = now.to_zoned(self.zone.clone());
        let minute = now.hour() as u16 * 60 + now.minute() as u16;
        let today = now.date();
        let (start, end) = self.minutes;
        if start < end {
            return (start..end).contains(&minute) && self.is_day(today);
        }
        let began_yesterday = || today.yesterday().is_ok_and(|yesterday| self.is_day(yesterday));
        minute >= start && self.is_day(today) || minute < end && began_yesterday()
    }

    /// Whether they hold whenever `other` does. Told only of hours within a day and on the same clock.
    pub(super) fn cover(&self, other: &Hours) -> bool {
        let are_within_a_day = |hours: &Hours| hours.minutes.0 < hours.minutes.1;
        let ((start, end), (begins, ends)) = (self.minutes, other.minutes);
        are_within_a_day(self)
            && are_within_a_day(other)
            && self.zone == other.zone
            && (start <= begins && ends <= end)
            && self.has_days_of(other)
    }

    fn has_days_of(&self, other: &Hours) -> bool {
        let are_of_every_day = |hours: &Hours| hours.days.is_empty() && hours.dates.is_empty();
        let has_each = || {
            other.days.iter().all(|day| self.days.contains(day))
                && other.dates.iter().all(|date| self.is_day(*date))
        };
        are_of_every_day(self) || !are_of_every_day(other) && has_each()
    }

    fn is_day(&self, date: Date) -> bool {
        self.days.is_empty() && self.dates.is_empty()
            || self.days.contains(&date.weekday())
            || self.dates.contains(&date)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(zone: &str, minutes: (u16, u16)) -> Hours {
        let zone = TimeZone::get(zone).unwrap();
        Hours { zone, minutes, days: Vec::new(), dates: Vec::new() }
    }

    fn at(text: &str) -> Duration {
        text.parse::<Timestamp>().unwrap().as_duration().try_into().unwrap()
    }

    #[test]
    fn hours_begin_and_end_at_the_minute_of_their_own_clock() {
        let sale = hours("Europe/Berlin", (600, 720));
        for (time, holds) in [
            ("2026-11-27T08:59:59Z", false),
            ("2026-11-27T09:00:00Z", true),
            ("2026-11-27T10:59:59Z", true),
            ("2026-11-27T11:00:00Z", false),
            // In summer the clock of Berlin is two hours ahead.
            ("2026-07-01T08:00:00Z", true),
            ("2026-07-01T10:00:00Z", false),
        ] {
            assert_eq!(sale.hold_at(at(time)), holds, "{time}");
        }
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_on_which_they_begin() {
        let night = Hours { days: vec![Weekday::Friday], ..hours("UTC", (1_380, 60)) };
        for (time, holds) in [
            ("2026-11-27T00:30:00Z", false),
            ("2026-11-27T23:00:00Z", true),
            ("2026-11-28T00:59:00Z", true),
            ("2026-11-28T01:00:00Z", false),
            ("2026-11-28T23:30:00Z", false),
        ] {
            assert_eq!(night.hold_at(at(time)), holds, "{time}");
        }
    }

    #[test]
    fn dates_and_days_are_added_to_each_other() {
        let sale = Hours {
            days: vec![Weekday::Sunday],
            dates: vec!["2026-11-27".parse().unwrap()],
            ..hours("Asia/Tokyo", (0, 1_439))
        };
        // A Friday that is named, in Tokyo; a Saturday; a Sunday.
        assert!(sale.hold_at(at("2026-11-26T15:00:00Z")) && !sale.hold_at(at("2026-11-26T14:59:00Z")));
        assert!(!sale.hold_at(at("2026-11-28T03:00:00Z")) && sale.hold_at(at("2026-11-29T03:00:00Z")));
    }

    #[test]
    fn an_hour_that_the_clock_skips_does_not_hold_and_one_that_it_repeats_holds_twice() {
        let small = hours("Europe/Berlin", (150, 180));
        // On 29 March 2026 it is 03:00 right after 01:59; on 25 October 02:30 comes twice.
        assert!(!small.hold_at(at("2026-03-29T01:30:00Z")));
        assert!(small.hold_at(at("2026-10-25T00:30:00Z")) && small.hold_at(at("2026-10-25T01:30:00Z")));
    }
}
