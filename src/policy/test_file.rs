//! One entry under `tests:`: a request, and what the policy should make of it.
//!
//! Tests are part of a policy, so that what it promises stands beside what it says and is read in
//! the same way, with every mistake at once. Names of classes are resolved in `compile`; running
//! the tests takes a model and a shop, and is not done here.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request};

use super::cases::{ClassBy, DECIDERS, DECISIONS, Expected};
use crate::classify::session::{Entry, SessionView, Stage};
use crate::yaml::diagnostic::Mistake;
use crate::yaml::field::{Field, Named, Section};
use crate::yaml::units::{DURATION, Kind, MULTIPLE};

/// Two for each route of the longest policy.
pub(super) const TESTS_MAX: usize = 20_000;

/// A test as its file describes it, names of classes not resolved yet.
pub(super) struct TestEntry<'n> {
    pub(super) field: Field<'n>,
    /// Unless there is a mistake in it: the rest is read all the same.
    pub(super) request: Option<Request<()>>,
    pub(super) client: Option<IpAddr>,
    pub(super) operation: Option<String>,
    pub(super) session: SessionView,
    pub(super) at: Option<Duration>,
    pub(super) load: Option<LoadEntry<'n>>,
    pub(super) expect: ExpectEntry<'n>,
}

/// The section `expect:`.
#[derive(Default)]
pub(super) struct ExpectEntry<'n> {
    pub(super) class: Option<Named<'n>>,
    pub(super) class_by: Option<ClassBy>,
    pub(super) value: Option<RangeInclusive<f32>>,
    pub(super) pool: Option<String>,
    pub(super) schedule: Option<Named<'n>>,
    pub(super) decision: Option<Expected>,
}

/// What the shop is offered, in multiples of its capacity.
pub(super) enum LoadEntry<'n> {
    /// All classes offer the same.
    Even(f64),
    /// These classes offer so much, and the others nothing.
    Of(Vec<(Named<'n>, f64)>),
}

/// `GET /path`, as in a log.
const REQUEST: Kind<Request<()>> = Kind { pattern: "^[A-Z]+ +/", read: request };
/// A value, or the lowest and the highest.
const VALUES: Kind<RangeInclusive<f32>> =
    Kind { pattern: r"^[01](\.[0-9]+)?( *\.\. *[01](\.[0-9]+)?)?$", read: values };

/// How far a session has come.
const STAGE: Kind<Stage> = Kind { pattern: "^(none|browsing|cart|checkout)$", read: stage };
/// Where a session came from.
const ENTRIES: [(&str, Entry); 5] = [
    (Entry::Direct.name(), Entry::Direct),
    (Entry::Search.name(), Entry::Search),
    (Entry::Social.name(), Entry::Social),
    (Entry::Referral.name(), Entry::Referral),
    (Entry::Campaign.name(), Entry::Campaign),
];
/// More requests than a session makes in the half hour after which it begins anew.
const SESSION_COUNT_MAX: u32 = 1_000_000;

/// The address of a client. What the pattern lets through that is none, the reader tells.
const ADDRESS: Kind<IpAddr> = Kind { pattern: "^[0-9a-fA-F.:]+$", read: address };

/// A moment with its offset or its zone. What the pattern lets through that is none, the reader tells.
const MOMENT: Kind<Duration> = Kind {
    pattern: r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+|([+-][0-9:]+)?\[[A-Za-z0-9_+/-]+\])$",
    read: moment,
};

/// Reads a test.
pub(super) fn read(field: Field<'_>) -> Option<TestEntry<'_>> {
    let test = field.section()?;
    let request = test.require("request", "`request: POST /checkout`");
    let mut request = request.and_then(|field| field.read_as(&REQUEST));
    for (name, value) in test.get("headers").map(|field| headers(&field)).unwrap_or_default() {
        request.as_mut().map(|request| request.headers_mut().append(name, value));
    }
    let client = test.get("address").and_then(|field| field.read_as(&ADDRESS));
    let operation = test.get("graphql").and_then(|field| field.text()).map(str::to_owned);
    let session = test.get("session").and_then(|field| session(&field)).unwrap_or_default();
    let at = test.get("at");
    let load = test.get("load");
    let expect = test.require("expect", "`expect: { class: checkout }`").and_then(|field| something(&field));
    let expect = expect.map(|section| expected(section, load.is_some()));
    if let Some(schedule) =
        expect.as_ref().and_then(|expect| expect.schedule.as_ref()).filter(|_| at.is_none())
    {
        let mistake = Mistake::new("which schedule holds depends on the time, and the test states none");
        schedule.field.report(mistake.hint("add `at: 2026-11-27T10:30:00+01:00` to the test"));
    }
    let at = at.and_then(|field| field.read_as(&MOMENT));
    let load = load.and_then(|field| load_entry(&field));
    test.close();
    let expect = expect.unwrap_or_default();
    Some(TestEntry { field, request, client, operation, session, at, load, expect })
}

/// A stage, or what is known; the rest is as it is with those who have come so far.
fn session(field: &Field<'_>) -> Option<SessionView> {
    if let Some(stage) = field.single(&STAGE) {
        return stage.map(SessionView::usual);
    }
    let section = field.section()?;
    let stage = section.get("stage").and_then(|field| field.read_as(&STAGE));
    let usual = SessionView::usual(stage.unwrap_or_default());
    let count = |key| section.get(key).and_then(|field| field.number(0..=SESSION_COUNT_MAX));
    let time = |key| section.get(key).and_then(|field| field.read_as(&DURATION));
    let known = SessionView {
        entry: section.get("entry").and_then(|field| field.choice(&ENTRIES)).unwrap_or(usual.entry),
        returning: section.get("returning").and_then(|field| field.switch()).unwrap_or(usual.returning),
        requests: count("requests").unwrap_or(usual.requests),
        views: count("views").unwrap_or(usual.views),
        searches: count("searches").unwrap_or(usual.searches),
        carts: count("carts").unwrap_or(usual.carts),
        checkouts: count("checkouts").unwrap_or(usual.checkouts),
        age: time("age").unwrap_or(usual.age),
        idle: time("idle").unwrap_or(usual.idle),
        ..usual
    };
    section.close();
    Some(known)
}

fn stage(text: &str) -> Result<Stage, Mistake> {
    let names = Stage::ALL.into_iter().map(Stage::name);
    Stage::named(text).ok_or_else(|| Mistake::unknown("stage", text, names))
}

/// A section in which something is expected: a test that cannot fail says nothing.
fn something<'n>(field: &Field<'n>) -> Option<Section<'n>> {
    let section = field.section()?;
    if section.is_empty() {
        field.report(
            Mistake::new("the test expects nothing").hint("for example `expect: { class: checkout }`"),
        );
    }
    Some(section)
}

fn expected(expect: Section<'_>, has_load: bool) -> ExpectEntry<'_> {
    let decision = expect.get("decision");
    let entry = ExpectEntry {
        class: expect.get("class").and_then(Field::named),
        class_by: expect.get("class_by").and_then(|field| field.choice(&DECIDERS)),
        value: expect.get("value").and_then(|field| field.read_as(&VALUES)),
        pool: expect.get("pool").and_then(|field| field.text()).map(str::to_owned),
        schedule: expect.get("schedule").and_then(Field::named),
        decision: decision.as_ref().and_then(|field| field.choice(&DECISIONS)),
    };
    if let Some(field) = decision.filter(|_| !has_load) {
        let mistake = Mistake::new("what becomes of a request depends on the load, and the test states none");
        field.report(mistake.hint("add `load: 4x` to the test"));
    }
    expect.close();
    entry
}

fn load_entry<'n>(field: &Field<'n>) -> Option<LoadEntry<'n>> {
    if let Some(load) = field.single(&MULTIPLE) {
        return load.map(LoadEntry::Even);
    }
    let of = |(name, field): (&'n str, Field<'n>)| {
        let load = field.read_as(&MULTIPLE)?;
        Some((Named { field, name }, load))
    };
    Some(LoadEntry::Of(field.entries()?.into_iter().filter_map(of).collect()))
}

fn headers(field: &Field<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let read = |(name, value): (&str, Field<'_>)| {
        let Ok(name) = name.parse::<HeaderName>() else {
            let mistake = Mistake::new(format!("`{name}` is not a header name"));
            value.report(mistake.hint("write it like user-agent"));
            return None;
        };
        let header = HeaderValue::from_str(value.text()?);
        let mistake = || Mistake::new("not a header value").hint("visible ASCII letters");
        Some((name, header.map_err(|_| value.report(mistake())).ok()?))
    };
    field.entries().into_iter().flatten().filter_map(read).collect()
}

fn request(text: &str) -> Result<Request<()>, Mistake> {
    let not_one =
        || Mistake::new(format!("`{text}` is not a request")).hint("write it like POST /checkout?step=pay");
    let (method, target) = text.split_once(' ').ok_or_else(not_one)?;
    let target = target.trim_start();
    let is_upper = method.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_upper || !target.starts_with('/') {
        return Err(not_one());
    }
    Request::builder().method(method).uri(target).body(()).map_err(|_| not_one())
}

fn address(text: &str) -> Result<IpAddr, Mistake> {
    let not_one =
        |_| Mistake::new(format!("`{text}` is not an address")).hint("like 192.0.2.7 or 2001:db8::7");
    text.parse().map_err(not_one)
}

fn moment(text: &str) -> Result<Duration, Mistake> {
    // With a zone in brackets the two must agree; a timestamp would take the offset alone.
    let moment = if text.ends_with(']') {
        text.parse::<jiff::Zoned>().ok().map(|zoned| zoned.timestamp())
    } else {
        text.parse::<jiff::Timestamp>().ok()
    };
    moment.and_then(|moment| moment.as_duration().try_into().ok()).ok_or_else(|| {
        let mistake = Mistake::new(format!("`{text}` is not a moment"));
        mistake.hint(
            "with its offset or its zone, like 2026-11-27T10:30:00+01:00 or \
             \"2026-11-27T10:30:00[Europe/Berlin]\", and since 1970",
        )
    })
}

fn values(text: &str) -> Result<RangeInclusive<f32>, Mistake> {
    let not_one =
        || Mistake::new(format!("`{text}` is not a value")).hint("from 0 to 1, or a range: 0.5..0.9");
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let value = |text: &str| text.trim().parse::<f32>().ok().filter(|value| (0.0..=1.0).contains(value));
    let (from, to) = (value(from).ok_or_else(not_one)?, value(to).ok_or_else(not_one)?);
    if from > to { Err(not_one()) } else { Ok(from..=to) }
}
