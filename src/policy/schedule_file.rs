//! One entry under `schedules:`: its hours, and what its classes are then.
//!
//! Names of classes stay names; `compile` knows which exist, and makes a policy of each schedule.

use jiff::civil::{Date, Weekday};
use jiff::tz::{self, TimeZone};
use plimsoll_core::policy::Share;

use super::schedule::Hours;
use crate::yaml::diagnostic::{Mistake, nearest};
use crate::yaml::field::{Field, Named};
use crate::yaml::units::{Kind, SHARE};

/// One for every day of a month; what is longer is a calendar, and its own program.
pub(super) const SCHEDULES_MAX: usize = 32;

/// A schedule as its file describes it.
pub(super) struct ScheduleEntry<'n> {
    pub(super) field: Field<'n>,
    pub(super) name: &'n str,
    /// Unless there is a mistake in them: what its classes are is read all the same.
    pub(super) hours: Option<Hours>,
    pub(super) changes: Vec<ClassChange<'n>>,
}

/// What a class is then; what is `None` stays as it is.
pub(super) struct ClassChange<'n> {
    pub(super) class: Named<'n>,
    pub(super) floor: Option<Share>,
    pub(super) ceiling: Option<Share>,
    pub(super) is_observed: Option<bool>,
}

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];
/// A minute of the day, and the last one.
const MINUTE: Kind<u16> = Kind { pattern: "^([01][0-9]|2[0-3]):[0-5][0-9]$", read: minute };
const DATE: Kind<Date> = Kind { pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", read: date };
/// A name of the IANA database.
const ZONE: Kind<TimeZone> = Kind { pattern: "", read: zone };

/// Reads the schedule `name`.
pub(super) fn read<'n>(name: &'n str, field: Field<'n>) -> Option<ScheduleEntry<'n>> {
    let schedule = field.section()?;
    let zone = schedule.require("zone", "`zone: Europe/Berlin`").and_then(|field| field.read_as(&ZONE));
    let from = schedule.require("from", "`from: 10:00`").and_then(|field| field.read_as(&MINUTE));
    let to = schedule.require("to", "`to: 12:00`").and_then(|field| field.read_as(&MINUTE));
    let days = schedule.get("days").map(|field| field.list_or_one()).unwrap_or_default();
    let days = days.iter().filter_map(|field| field.choice(&DAYS)).collect();
    let dates = schedule.get("dates").map(|field| field.list_or_one()).unwrap_or_default();
    let dates = dates.iter().filter_map(|field| field.read_as(&DATE)).collect();
    let classes = schedule.require("classes", "`classes: { checkout: { floor: 40% } }`");
    let changes = classes.map(|field| changes(&field)).unwrap_or_default();
    schedule.close();
    if from.is_some() && from == to {
        field.report(Mistake::new("the schedule ends when it begins").hint("`from` and `to` are two times"));
    }
    let minutes = from.zip(to);
    let hours = zone.zip(minutes).map(|(zone, minutes)| Hours { zone, minutes, days, dates });
    Some(ScheduleEntry { field, name, hours, changes })
}

fn changes<'n>(field: &Field<'n>) -> Vec<ClassChange<'n>> {
    let entries = field.entries().unwrap_or_default();
    if entries.is_empty() {
        field.report(
            Mistake::new("the schedule changes nothing").hint("`classes: { checkout: { floor: 40% } }`"),
        );
    }
    entries.into_iter().filter_map(change).collect()
}

fn change<'n>((name, field): (&'n str, Field<'n>)) -> Option<ClassChange<'n>> {
    let class = field.section()?;
    let modes = [("enforce", false), ("observe", true)];
    let change = ClassChange {
        floor: class.get("floor").and_then(|field| field.read_as(&SHARE)),
        ceiling: class.get("ceiling").and_then(|field| field.read_as(&SHARE)),
        is_observed: class.get("mode").and_then(|field| field.choice(&modes)),
        class: Named { field, name },
    };
    class.close();
    Some(change)
}

fn minute(text: &str) -> Result<u16, Mistake> {
    let not_one =
        || Mistake::new(format!("`{text}` is not a time of day")).hint("write it like 10:00 or 23:30");
    let (hour, minute) = text.split_once(':').filter(|_| text.len() == 5).ok_or_else(not_one)?;
    let (hour, minute): (u16, u16) = hour.parse().ok().zip(minute.parse().ok()).ok_or_else(not_one)?;
    if hour < 24 && minute < 60 { Ok(hour * 60 + minute) } else { Err(not_one()) }
}

fn date(text: &str) -> Result<Date, Mistake> {
    text.parse().map_err(|_| Mistake::new(format!("`{text}` is not a date")).hint("write it like 2026-11-27"))
}

fn zone(text: &str) -> Result<TimeZone, Mistake> {
    TimeZone::get(text).map_err(|_| {
        let known: Vec<String> = tz::db().available().map(|name| name.as_str().to_owned()).collect();
        let mistake = Mistake::new(format!("unknown time zone `{text}`"));
        match nearest(text, &known.iter().map(String::as_str).collect::<Vec<_>>()) {
            Some(near) => mistake.hint(format!("did you mean `{near}`?")),
            None => mistake.hint("a name of the IANA database, like Europe/Berlin or UTC"),
        }
    })
}
