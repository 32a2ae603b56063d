//! One entry under `classes:`: its keys, their defaults, their bounds.
//!
//! It looks at one class alone; what concerns several is checked in `compile`.

use std::time::Duration;

use http::StatusCode;
use plimsoll_core::policy::{BreakerPolicy, Class, QUEUE_LENGTH_MAX, QueueOrder, QueuePolicy, Share};

use super::settings::{ClassSettings, Refusal, RefusalBody};
use crate::classify::session::Visit;
use crate::yaml::diagnostic::Mistake;
use crate::yaml::field::{Field, Section};
use crate::yaml::units::{DURATION, DURATIONS, Kind, SHARE, SIZE, duration, share};

/// A second is what shoppers put up with; the default where nothing is written.
const LATENCY: Duration = Duration::from_secs(1);
/// Nine in ten would be felt; three nines need a shop with spare capacity.
const OBJECTIVE_PERCENT: u32 = 99;
/// Beyond any burst that patience allows: the wait to expect refuses earlier, this bounds what is held.
const QUEUE_LENGTH: u32 = 1024;
/// The value in the middle: neither better nor worse than the unknown.
const VALUE: f32 = 0.5;

/// A class as its file describes it.
pub(super) struct ClassEntry<'n> {
    pub(super) field: Field<'n>,
    pub(super) rank: Option<Field<'n>>,
    /// Whether it is observed whatever the policy's mode is.
    pub(super) is_observed: bool,
    pub(super) class: Class,
    pub(super) settings: ClassSettings,
}

/// Reads the class `name`, the `position`-th of its file, which is its rank by default.
pub(super) fn read<'n>(name: &str, position: u8, field: Field<'n>) -> Option<ClassEntry<'n>> {
    check_name(name, &field);
    let section = field.section()?;
    let (slo_latency, objective) = slo(&section);
    let patience = section.get("patience").and_then(|field| field.read_as(&POSITIVE)).unwrap_or(slo_latency);
    let rank = section.get("rank");
    let class = Class {
        name: name.to_owned(),
        rank: rank.as_ref().and_then(|field| field.number(0..=u8::MAX)).unwrap_or(position),
        slo_latency,
        patience,
        floor: section.get("floor").and_then(|field| field.read_as(&SHARE)).unwrap_or(Share::NONE),
        ceiling: section.get("ceiling").and_then(|field| field.read_as(&SHARE)).unwrap_or(Share::ALL),
        queue: queue(&section, patience),
        breaker: breaker(&section, patience),
    };
    let modes = [("enforce", false), ("observe", true)];
    let is_observed = section.get("mode").and_then(|field| field.choice(&modes)).unwrap_or(false);
    let settings = ClassSettings {
        objective,
        visit: section.get("visit").and_then(|field| field.choice(&VISITS)).unwrap_or_default(),
        value: section.get("value").and_then(|field| field.number(0.0..=1.0)).unwrap_or(VALUE),
        carried: section.get("carried").and_then(|field| field.switch()).unwrap_or(true),
        body_bytes_max: section.get("body_limit").and_then(|field| body_limit(&field)),
        retried: section.get("retries").and_then(|field| field.switch()).unwrap_or(true),
        may_upgrade: section.get("upgrades").and_then(|field| field.switch()).unwrap_or(true),
        refusal: refusal(&section),
    };
    section.close();
    Some(ClassEntry { field, rank, is_observed, class, settings })
}

const VISITS: [(&str, Visit); 5] = [
    ("page", Visit::Page),
    ("search", Visit::Search),
    ("cart", Visit::Cart),
    ("checkout", Visit::Checkout),
    ("none", Visit::Other),
];

/// A name becomes a metric's label, so it must be short and plain.
fn check_name(name: &str, field: &Field<'_>) {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        let mistake = Mistake::new(format!("`{name}` is no name for a class"));
        field.report(mistake.hint("up to 64 lower-case letters, digits, `-` and `_`"));
    }
}

/// A time that is not nothing.
const POSITIVE: Kind<Duration> = Kind { pattern: DURATION.pattern, read: positive };

fn positive(text: &str) -> Result<Duration, Mistake> {
    match duration(text)? {
        Duration::ZERO => Err(Mistake::new(format!("`{text}` is no time at all")).hint("at least 1ms")),
        duration => Ok(duration),
    }
}

fn subsection<'n>(section: &Section<'n>, key: &'static str) -> Option<Section<'n>> {
    section.get(key)?.section()
}

/// `off` is what the process's settings allow.
fn body_limit(field: &Field<'_>) -> Option<u64> {
    if field.is_word("off") { None } else { field.read_as(&SIZE) }
}

fn slo(class: &Section<'_>) -> (Duration, Share) {
    let Some(slo) = subsection(class, "slo") else { return (LATENCY, percent(OBJECTIVE_PERCENT)) };
    let latency = slo.get("latency").and_then(|field| field.read_as(&POSITIVE));
    let objective = slo.get("objective").and_then(|field| field.read_as(&SHARE));
    slo.close();
    (latency.unwrap_or(LATENCY), objective.unwrap_or(percent(OBJECTIVE_PERCENT)))
}

fn queue(class: &Section<'_>, patience: Duration) -> QueuePolicy {
    let default = QueuePolicy { length_max: QUEUE_LENGTH, wait_max: patience, order: QueueOrder::Fifo };
    let Some(queue) = subsection(class, "queue") else { return default };
    let orders = [("fifo", QueueOrder::Fifo), ("lifo", QueueOrder::Lifo)];
    let length_max = queue.get("max_length").and_then(|field| field.number(1..=QUEUE_LENGTH_MAX));
    let wait_max = queue.get("max_wait").and_then(|field| field.read_as(&DURATION));
    let order = queue.get("order").and_then(|field| field.choice(&orders));
    queue.close();
    QueuePolicy {
        length_max: length_max.unwrap_or(default.length_max),
        wait_max: wait_max.unwrap_or(default.wait_max),
        order: order.unwrap_or(default.order),
    }
}

fn breaker(class: &Section<'_>, patience: Duration) -> Option<BreakerPolicy> {
    // The customary thresholds of circuit breakers; a call slower than patience was for nothing.
    let default = BreakerPolicy {
        window: Duration::from_secs(10),
        failure_ratio: percent(50),
        slow_call: patience,
        slow_ratio: percent(90),
        requests_min: 20,
        open_for: Duration::from_secs(5),
        probes: 3,
    };
    let Some(field) = class.get("breaker") else { return Some(default) };
    if field.is_word("off") {
        return None;
    }
    let breaker = field.section_or("`off`")?;
    let time = |key| breaker.get(key).and_then(|field| field.read_as(&POSITIVE));
    let ratio = |key| breaker.get(key).and_then(|field| field.read_as(&SOME_SHARE));
    let count = |key| breaker.get(key).and_then(|field| field.number(1..=100_000));
    let policy = BreakerPolicy {
        window: time("window").unwrap_or(default.window),
        failure_ratio: ratio("failure_ratio").unwrap_or(default.failure_ratio),
        slow_call: time("slow_call").unwrap_or(default.slow_call),
        slow_ratio: ratio("slow_ratio").unwrap_or(default.slow_ratio),
        requests_min: count("min_requests").unwrap_or(default.requests_min),
        open_for: time("open_for").unwrap_or(default.open_for),
        probes: count("probes").unwrap_or(default.probes),
    };
    breaker.close();
    Some(policy)
}

/// A share that is not nothing: a breaker at 0 % would open on success.
const SOME_SHARE: Kind<Share> = Kind { pattern: SHARE.pattern, read: some_share };

fn some_share(text: &str) -> Result<Share, Mistake> {
    match share(text)? {
        Share::NONE => Err(Mistake::new("0% is always reached").hint("more than 0%, or `breaker: off`")),
        share => Ok(share),
    }
}

fn refusal(class: &Section<'_>) -> Refusal {
    let default = Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        retry_after: Duration::from_secs(2)..=Duration::from_secs(6),
        body: RefusalBody::Auto,
    };
    let Some(refuse) = subsection(class, "refuse") else { return default };
    let bodies = [("auto", RefusalBody::Auto), ("none", RefusalBody::None)];
    let status = refuse.get("status").and_then(|field| field.number(400..=599_u16));
    let retry_after = refuse.get("retry_after").and_then(|field| field.read_as(&DURATIONS));
    let body = refuse.get("body").and_then(|field| field.choice(&bodies));
    refuse.close();
    Refusal {
        status: status.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(default.status),
        retry_after: retry_after.unwrap_or(default.retry_after),
        body: body.unwrap_or(default.body),
    }
}

fn percent(percent: u32) -> Share {
    Share::from_percent(percent).expect("a literal of at most 100")
}
