//! The keys of a policy file, and what holds where one is left out.
//!
//! Only `version` and `classes` are required. Names of classes stay names here.

use std::num::NonZeroU32;
use std::time::Duration;

use plimsoll_core::policy::{CLASSES_MAX, Mode, Share};

use super::class_file::{self, ClassEntry};
use super::includes;
use super::learning_file;
use super::leeway_file::{self, LeewayEntry};
use super::route_file::{self, ROUTES_MAX, RouteEntry};
use super::schedule_file::{self, SCHEDULES_MAX, ScheduleEntry};
use super::settings::{BundleSource, ClientRules, LearningRules, LimitKey, RateLimit, SessionRules};
use super::test_file::{self, TESTS_MAX, TestEntry};
use crate::classify::cookies::CookieNames;
use crate::classify::session::Stage;
use crate::yaml::diagnostic::Mistake;
use crate::yaml::field::{Field, Named, Section};
use crate::yaml::units::{DURATION, Kind, RATE, SHARE, duration, share};

/// The session cookies of well-known shops, where a policy names none.
const COOKIES: [&str; 8] = [
    "session",
    "sessionid",
    "PHPSESSID",
    "wp_woocommerce_session_*",
    "_shopify_s",
    "cart_token",
    "sw-context-token",
    "_session_id",
];
/// 6 MiB of slots: the shoppers of half an hour at some 70 new ones a second.
const SESSIONS_MAX: usize = 131_072;
/// Ten times what an inference takes on a slow machine.
const TIME_BUDGET: Duration = Duration::from_millis(2);
/// Some hundred orders before and after, at one or two a second: enough to tell 99 % from 95 %.
const ROLLBACK_WINDOW: Duration = Duration::from_secs(300);

/// A policy as its files describe it.
pub(super) struct PolicyFile<'n> {
    pub(super) mode: Mode,
    pub(super) canary: Option<Share>,
    pub(super) schedules: Vec<ScheduleEntry<'n>>,
    pub(super) sessions: SessionRules,
    pub(super) classes: Vec<ClassEntry<'n>>,
    pub(super) carry: Vec<(Stage, Named<'n>)>,
    pub(super) routes: Vec<RouteEntry<'n>>,
    pub(super) model: ModelEntry<'n>,
    pub(super) clients: ClientRules,
    pub(super) rollback: RollbackEntry<'n>,
    pub(super) learning: Option<LearningRules>,
    pub(super) decision_header: Share,
    pub(super) tests: Vec<TestEntry<'n>>,
}

/// The section `model:`, its classes not resolved yet.
pub(super) struct ModelEntry<'n> {
    pub(super) bundle: BundleSource,
    pub(super) decides_unrouted: bool,
    pub(super) decides_routed: bool,
    pub(super) leeway: LeewayEntry<'n>,
    pub(super) fallback: Option<Named<'n>>,
    pub(super) time_budget: Duration,
}

/// The section `rollback:`, its classes not resolved yet.
pub(super) struct RollbackEntry<'n> {
    pub(super) automatic: bool,
    pub(super) window: Duration,
    pub(super) protected: Vec<Named<'n>>,
}

/// Reads all sections; mistakes are on record and leave defaults behind.
pub(super) fn read(root: Field<'_>) -> Option<PolicyFile<'_>> {
    let policy = root.section()?;
    if let Some(version) = policy.require("version", "`version: 1`") {
        check_version(&version);
    }
    if let Some(include) = policy.get(includes::KEY) {
        // Whoever read the files has laid these below it; here it only is no unknown key.
        includes::included(&include);
    }
    let modes = [("enforce", Mode::Enforce), ("observe", Mode::Observe)];
    let classes = policy.require("classes", "`classes: { checkout: { rank: 0 } }`");
    let file = PolicyFile {
        mode: policy.get("mode").and_then(|field| field.choice(&modes)).unwrap_or(Mode::Enforce),
        canary: policy.get("canary").and_then(|field| canary(&field)),
        sessions: sessions(policy.get("sessions")),
        classes: classes.map(|field| read_classes(&field)).unwrap_or_default(),
        schedules: policy.get("schedules").map(|field| schedules(&field)).unwrap_or_default(),
        carry: policy.get("carry").map(|field| carry(&field)).unwrap_or_default(),
        routes: policy.get("routes").map(|field| routes(&field)).unwrap_or_default(),
        model: model(policy.get("model")),
        clients: clients(policy.get("clients")),
        rollback: rollback(policy.get("rollback")),
        learning: policy.get("learning").and_then(|field| learning_file::read(&field)),
        decision_header: headers(policy.get("headers")),
        tests: policy.get("tests").map(|field| tests(&field)).unwrap_or_default(),
    };
    policy.close();
    Some(file)
}

fn check_version(field: &Field<'_>) {
    if let Some(text) = field.text_unless("1") {
        let mistake = Mistake::new(format!("version `{text}` is unknown"));
        field.report(mistake.hint("this plimsoll reads `version: 1`"));
    }
}

fn canary(field: &Field<'_>) -> Option<Share> {
    if field.is_word("off") { None } else { field.read_as(&CANARY) }
}

/// A share of the sessions: some, and not most.
const CANARY: Kind<Share> = Kind { pattern: SHARE.pattern, read: canary_share };

fn canary_share(text: &str) -> Result<Share, Mistake> {
    let half = Share::from_percent(50).expect("a half is a share");
    match share(text)? {
        share if share > Share::NONE && share <= half => Ok(share),
        _ => Err(Mistake::new(format!("`{text}` is no share for a canary")).hint("up to 50%, or `off`")),
    }
}

fn section(field: Option<Field<'_>>) -> Option<Section<'_>> {
    field?.section()
}

fn sessions(field: Option<Field<'_>>) -> SessionRules {
    let mut rules = SessionRules { cookies: CookieNames::new(COOKIES), sessions_max: SESSIONS_MAX };
    let Some(sessions) = section(field) else { return rules };
    if let Some(cookies) = sessions.get("cookies") {
        rules.cookies = CookieNames::new(cookies.list_or_one().iter().filter_map(Field::text));
    }
    // Below a thousand, shoppers evict each other; above ten million it is 500 MB.
    let max = sessions.get("max").and_then(|field| field.number(1_024..=10_000_000));
    rules.sessions_max = max.unwrap_or(SESSIONS_MAX);
    sessions.close();
    rules
}

fn read_classes<'n>(field: &Field<'n>) -> Vec<ClassEntry<'n>> {
    let Some(entries) = field.entries() else { return Vec::new() };
    if entries.is_empty() || entries.len() > CLASSES_MAX {
        let mistake = Mistake::new(format!("{} classes", entries.len()));
        field.report(mistake.hint(format!("at least one and at most {CLASSES_MAX}")));
    }
    let read = |(position, (name, field))| class_file::read(name, position, field);
    (0..=u8::MAX).zip(entries).filter_map(read).collect()
}

fn schedules<'n>(field: &Field<'n>) -> Vec<ScheduleEntry<'n>> {
    let entries = field.entries().unwrap_or_default();
    if entries.len() > SCHEDULES_MAX {
        let mistake = Mistake::new(format!("{} schedules", entries.len()));
        field.report(mistake.hint(format!("at most {SCHEDULES_MAX}")));
    }
    entries.into_iter().filter_map(|(name, field)| schedule_file::read(name, field)).collect()
}

fn carry<'n>(field: &Field<'n>) -> Vec<(Stage, Named<'n>)> {
    let Some(carry) = field.section() else { return Vec::new() };
    let stages = [("browsing", Stage::Browsing), ("cart", Stage::Cart), ("checkout", Stage::Checkout)];
    let read = |(name, stage)| Some((stage, carry.get(name)?.named()?));
    let carried = stages.into_iter().filter_map(read).collect();
    carry.close();
    carried
}

fn routes<'n>(field: &Field<'n>) -> Vec<RouteEntry<'n>> {
    let routes = if field.is_null() { Vec::new() } else { field.list() };
    if routes.len() > ROUTES_MAX {
        field.report(Mistake::new(format!("{} routes", routes.len())).hint(format!("at most {ROUTES_MAX}")));
    }
    routes.into_iter().take(ROUTES_MAX).filter_map(route_file::read).collect()
}

fn tests<'n>(field: &Field<'n>) -> Vec<TestEntry<'n>> {
    let tests = if field.is_null() { Vec::new() } else { field.list() };
    if tests.len() > TESTS_MAX {
        field.report(Mistake::new(format!("{} tests", tests.len())).hint(format!("at most {TESTS_MAX}")));
    }
    tests.into_iter().take(TESTS_MAX).filter_map(test_file::read).collect()
}

/// The requests that the model may be asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Requests {
    Unrouted,
    Routed,
}

const REQUESTS: [(&str, Requests); 2] = [("unrouted", Requests::Unrouted), ("routed", Requests::Routed)];

fn model(field: Option<Field<'_>>) -> ModelEntry<'_> {
    let mut entry = ModelEntry {
        bundle: BundleSource::Embedded,
        decides_unrouted: true,
        decides_routed: true,
        leeway: LeewayEntry::default(),
        fallback: None,
        time_budget: TIME_BUDGET,
    };
    let Some(model) = section(field) else { return entry };
    if let Some(field) = model.get("bundle")
        && let Some(directory) = field.text().filter(|name| *name != "embedded")
    {
        // As an included file is: from where the file lies that names it.
        entry.bundle = BundleSource::Directory(field.file().with_file_name(directory));
    }
    if let Some(may_decide) = model.get("may_decide") {
        let chosen: Vec<Requests> =
            may_decide.list().iter().filter_map(|item| item.choice(&REQUESTS)).collect();
        entry.decides_unrouted = chosen.contains(&Requests::Unrouted);
        entry.decides_routed = chosen.contains(&Requests::Routed);
    }
    entry.leeway = leeway_file::read(&model);
    entry.fallback = model.get("fallback_class").and_then(Field::named);
    entry.time_budget =
        model.get("time_budget").and_then(|field| field.read_as(&DURATION)).unwrap_or(TIME_BUDGET);
    model.close();
    entry
}

fn clients(field: Option<Field<'_>>) -> ClientRules {
    let mut rules = ClientRules { usage_penalty: true, limits: Vec::new() };
    let Some(clients) = section(field) else { return rules };
    rules.usage_penalty = clients.get("usage_penalty").and_then(|field| field.switch()).unwrap_or(true);
    if let Some(limits) = clients.get("limits") {
        rules.limits = limits.list().iter().filter_map(limit).collect();
    }
    clients.close();
    rules
}

fn limit(field: &Field<'_>) -> Option<RateLimit> {
    let limit = field.section()?;
    let kinds = [("session", LimitKey::Session), ("address", LimitKey::Address)];
    let keys = limit.require("key", "`key: [session, address]`").map(|field| field.list_or_one());
    let keys = keys.unwrap_or_default().iter().filter_map(|field| field.choice(&kinds)).collect();
    let rate = limit.require("rate", "`rate: 30/s`").and_then(|field| field.read_as(&RATE));
    let burst = limit.get("burst").and_then(|field| field.number(1..=1_000_000));
    limit.close();
    let (count, period) = rate?;
    let count = NonZeroU32::new(count)?;
    Some(RateLimit { keys, count, period, burst: burst.and_then(NonZeroU32::new).unwrap_or(count) })
}

fn rollback(field: Option<Field<'_>>) -> RollbackEntry<'_> {
    let mut entry = RollbackEntry { automatic: true, window: ROLLBACK_WINDOW, protected: Vec::new() };
    let Some(field) = field else { return entry };
    if field.is_word("off") {
        entry.automatic = false;
        return entry;
    }
    let Some(rollback) = field.section_or("`off`") else { return entry };
    if let Some(window) = rollback.get("window").and_then(|field| field.read_as(&WINDOW)) {
        entry.window = window;
    }
    let protect = rollback.get("protect").map(|field| field.list_or_one());
    entry.protected = protect.into_iter().flatten().filter_map(Field::named).collect();
    rollback.close();
    entry
}

/// A time after an apply: shorter, too little happens to compare; longer, somebody has looked.
const WINDOW: Kind<Duration> = Kind { pattern: DURATION.pattern, read: window };

fn window(text: &str) -> Result<Duration, Mistake> {
    let window = duration(text)?;
    if (Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&window) {
        return Ok(window);
    }
    Err(Mistake::new(format!("`{text}` is no time to compare over")).hint("from 1s to 1h"))
}

fn headers(field: Option<Field<'_>>) -> Share {
    let Some(headers) = section(field) else { return Share::NONE };
    let decision = headers.get("decision").and_then(|field| {
        if field.is_word("on") {
            return Some(Share::ALL);
        }
        if field.is_word("off") { Some(Share::NONE) } else { field.read_as(&SHARE) }
    });
    headers.close();
    decision.unwrap_or(Share::NONE)
}
