//! What can be applied, but hardly does what its author wants.
//!
//! A policy comes here without errors, so that nothing is guessed about half of one. Each check is
//! about the shop, not about YAML: a line that takes no request, a payment that is given up before
//! a search. It warns and never refuses: on a busy day the operator may know better.

use plimsoll_core::policy::{BreakerPolicy, ClassId};

use super::cases::PolicyTest;
use super::class_file::ClassEntry;
use super::schedule_file::ScheduleEntry;
use super::settings::ModelRules;
use crate::classify::cover::{Covered, covered};
use crate::classify::glob::Glob;
use crate::classify::head::Head;
use crate::classify::leeway::Leeway;
use crate::classify::path;
use crate::classify::routes::{Conditions, Route};
use crate::classify::session::Visit;
use crate::classify::when::When;
use crate::classify::when::facts::Facts;
use crate::model::ModelClass;
use crate::yaml::diagnostic::{Mistake, Rule};
use crate::yaml::field::Field;

/// No line of the route can ever decide.
pub(super) const UNREACHABLE_ROUTE: Rule =
    Rule { name: "unreachable-route", means: "Earlier routes take every request of this route." };
/// One path of a route is taken earlier.
const SHADOWED_PATH: Rule =
    Rule { name: "shadowed-path", means: "An earlier route takes every request of this path." };
/// A payment that is shed before a search.
const PAYMENT_AT_RISK: Rule =
    Rule { name: "payment-at-risk", means: "What looks like a payment may be shed before a search." };
/// A breaker that never opens.
const IDLE_BREAKER: Rule = Rule { name: "idle-breaker", means: "The breaker can never trip." };
/// A schedule that never holds.
const SHADOWED_SCHEDULE: Rule =
    Rule { name: "shadowed-schedule", means: "An earlier schedule holds during all hours of this one." };
/// A class that no request gets.
const UNUSED_CLASS: Rule = Rule { name: "unused-class", means: "No request ever gets this class." };
/// A value that another one always overrides.
const VOID_VALUE: Rule = Rule { name: "void-value", means: "Another value makes this one meaningless." };

/// A condition that nothing known meets.
pub(super) const NEVER_TRUE: Rule =
    Rule { name: "never-true", means: "The condition holds for no request of the policy's tests or corpus." };

/// Words of paths, queries and operations by which shops and payment providers name a payment.
const PAYMENT_WORDS: [&str; 12] = [
    "checkout",
    "checkouts",
    "payment",
    "payments",
    "pay",
    "order-pay",
    "paypal",
    "stripe",
    "klarna",
    "adyen",
    "mollie",
    "ipn",
];
/// More results a second than one class of the largest shops has.
const RESULTS_PER_SECOND_MAX: u128 = 5_000;

/// Where a route and its paths stand.
pub(super) struct RoutePlace<'n> {
    pub(super) field: Field<'n>,
    pub(super) paths: Vec<Field<'n>>,
    /// Where it says what the model may do with it.
    pub(super) model: Option<Field<'n>>,
}

/// A policy without errors.
pub(super) struct Whole<'a, 'n> {
    /// In order of rank.
    pub(super) classes: &'a [ClassEntry<'n>],
    pub(super) routes: &'a [Route],
    /// In the order of `routes`.
    pub(super) places: &'a [RoutePlace<'n>],
    pub(super) model: &'a ModelRules,
    pub(super) carry: &'a [Option<ClassId>],
    /// In the order in which they are asked.
    pub(super) schedules: &'a [&'a ScheduleEntry<'n>],
    /// The requests that are known to come.
    pub(super) tests: &'a [PolicyTest],
}

/// Reports everything that is odd about `policy`.
pub(super) fn warn(policy: &Whole<'_, '_>) {
    warn_of_covered(policy);
    warn_of_payments(policy);
    warn_of_conditions(policy);
    warn_of_leeways(policy);
    warn_of_hours(policy);
    for (index, entry) in policy.classes.iter().enumerate() {
        warn_of_times(entry);
        warn_of_breaker(entry);
        if ClassId::new(index).is_some_and(|class| !is_used(policy, class)) {
            let mistake = Mistake::of(UNUSED_CLASS, "no route, no carry and no model leads to this class");
            entry.field.warn(mistake.hint("add a route with `class: ...`, or remove the class"));
        }
    }
}

fn warn_of_covered(policy: &Whole<'_, '_>) {
    let covered = covered(policy.routes);
    for of_route in covered.chunk_by(|one, other| one.route == other.route) {
        let Covered { route, by, .. } = of_route[0];
        let is_whole = of_route.len() >= policy.routes[route].conditions.paths.len();
        if is_whole {
            let mistake = Mistake::of(UNREACHABLE_ROUTE, "no request ever reaches this route");
            let by = &policy.routes[by].defined_at;
            policy.places[route].field.warn(mistake.hint(format!("{by} takes them all: move this one up")));
            continue;
        }
        for Covered { path, by, .. } in of_route {
            let Some(field) = path.and_then(|path| policy.places[route].paths.get(path)) else { continue };
            let mistake = Mistake::of(SHADOWED_PATH, "no request ever reaches this path of the route");
            field.warn(mistake.hint(format!("{} takes them all", policy.routes[*by].defined_at)));
        }
    }
}

/// A policy without tests knows of no request.
fn warn_of_conditions(policy: &Whole<'_, '_>) {
    for (route, place) in policy.routes.iter().zip(policy.places).filter(|_| !policy.tests.is_empty()) {
        let Some(when) = &route.conditions.when else { continue };
        if !policy.tests.iter().any(|test| holds_for(when, test)) {
            let mistake = Mistake::of(NEVER_TRUE, "no request of this policy's tests makes `when` true");
            place.field.warn(mistake.hint("correct the expression, or add a test whose request it is for"));
        }
    }
}

fn holds_for(when: &When, test: &PolicyTest) -> bool {
    let head = Head::of_request(&test.request).sent_by(test.client);
    when.holds(&Facts::of(head, head.method.clone(), &path::key(head.path()), test.session))
}

/// The class of searches: the one that says so, or else the one that is called so.
fn search_class<'p, 'n>(policy: &'p Whole<'_, 'n>) -> Option<&'p ClassEntry<'n>> {
    let visits_a_search = |entry: &&ClassEntry<'_>| entry.settings.visit == Visit::Search;
    let is_called_so = |entry: &&ClassEntry<'_>| words_of(&entry.class.name).any(|word| word == "search");
    policy.classes.iter().find(visits_a_search).or_else(|| policy.classes.iter().find(is_called_so))
}

/// Whether a class is that of payments: it says so, or is called so.
fn is_of_payments(entry: &ClassEntry<'_>) -> bool {
    let is_called_so = || words_of(&entry.class.name).any(|word| PAYMENT_WORDS.contains(&word));
    entry.settings.visit == Visit::Checkout || is_called_so()
}

fn words_of(name: &str) -> impl Iterator<Item = &str> {
    name.split(['-', '_'])
}

fn warn_of_payments(policy: &Whole<'_, '_>) {
    let Some(search) = search_class(policy) else { return };
    let (name, rank) = (&search.class.name, search.class.rank);
    let at_risk = |what: String| {
        let mistake =
            Mistake::of(PAYMENT_AT_RISK, format!("{what} may be shed before `{name}` (rank {rank})"));
        mistake.hint(format!("rank 0 is shed last: it needs a rank below {rank}"))
    };
    for entry in policy.classes.iter().filter(|entry| is_of_payments(entry)) {
        if entry.class.rank > rank {
            let place = entry.rank.as_ref().unwrap_or(&entry.field);
            place.warn(at_risk(format!("the class `{}` (rank {})", entry.class.name, entry.class.rank)));
        }
    }
    for (route, place) in policy.routes.iter().zip(policy.places) {
        let class = &policy.classes[route.class.index()];
        // Of those that are known to be payments' it is said once, at the class.
        let is_new = class.class.rank > rank && !is_of_payments(class);
        if let Some(word) = payment_word(&route.conditions).filter(|_| is_new) {
            let what = format!("`{word}` (class `{}`, rank {})", class.class.name, class.class.rank);
            place.field.warn(at_risk(what));
        }
    }
}

/// Of schedules that hold at the same time the first counts.
fn warn_of_hours(policy: &Whole<'_, '_>) {
    for (place, later) in policy.schedules.iter().enumerate() {
        let covers = |earlier: &ScheduleEntry<'_>| {
            earlier
                .hours
                .as_ref()
                .zip(later.hours.as_ref())
                .is_some_and(|(earlier, later)| earlier.cover(later))
        };
        if let Some(earlier) = policy.schedules[..place].iter().find(|earlier| covers(earlier)) {
            let mistake = Mistake::of(SHADOWED_SCHEDULE, "the schedule never holds");
            let (name, place) = (earlier.name, earlier.field.place());
            later.field.warn(
                mistake.hint(format!("`{name}` ({place}) holds during all its hours: move this one up")),
            );
        }
    }
}

/// What a route says of the model, and how that ends.
fn warn_of_leeways(policy: &Whole<'_, '_>) {
    for (route, place) in policy.routes.iter().zip(policy.places) {
        let Some(field) = &place.model else { continue };
        let Some(leeway) = &route.leeway else {
            let mistake = Mistake::of(VOID_VALUE, "the model does not decide what a route takes");
            field.warn(mistake.hint("add `routed` to `may_decide` of the section `model`, or remove this"));
            continue;
        };
        if leeway.best == leeway.worst {
            let mistake = Mistake::of(VOID_VALUE, "the model can move it nowhere");
            field.warn(mistake.hint("`best_class` and `worst_class` are the route's own class"));
        }
        warn_of_demotion(policy, route, leeway, field);
    }
}

/// A payment that the model may take for something that goes before a search.
fn warn_of_demotion(policy: &Whole<'_, '_>, route: &Route, leeway: &Leeway, field: &Field<'_>) {
    let Some(search) = search_class(policy) else { return };
    let (own, worst) = (&policy.classes[route.class.index()], &policy.classes[leeway.worst.index()]);
    let is_payment = is_of_payments(own) || payment_word(&route.conditions).is_some();
    let (name, rank) = (&search.class.name, search.class.rank);
    if is_payment && own.class.rank <= rank && worst.class.rank > rank {
        let worst = &worst.class.name;
        let message = format!("what the model takes for `{worst}` may be shed before `{name}` (rank {rank})");
        let hint = format!("add a `worst_class` that is shed after `{name}`");
        field.warn(Mistake::of(PAYMENT_AT_RISK, message).hint(hint));
    }
}

/// The word by which a route looks like one for payments.
fn payment_word(conditions: &Conditions) -> Option<&'static str> {
    let in_paths = conditions.paths.iter().flat_map(|path| path.literals());
    let in_query = conditions.query.iter().map(|(_, value)| value.pattern());
    let in_operations = conditions.operations.iter().map(Glob::pattern);
    let mut words = in_paths.chain(in_query).chain(in_operations);
    words.find_map(|word| PAYMENT_WORDS.into_iter().find(|known| *known == word.trim_end_matches('*')))
}

fn warn_of_times(entry: &ClassEntry<'_>) {
    let class = &entry.class;
    if class.patience < class.slo_latency {
        let mistake = Mistake::of(VOID_VALUE, "the patience ends before an answer is late");
        let hint = format!("`patience` is {:?}, `slo.latency` {:?}", class.patience, class.slo_latency);
        entry.field.warn(mistake.hint(hint));
    }
    if class.queue.wait_max > class.patience {
        let mistake = Mistake::of(VOID_VALUE, "`queue.max_wait` is longer than the patience, which ends it");
        let hint = format!("`max_wait` is {:?}, `patience` {:?}", class.queue.wait_max, class.patience);
        entry.field.warn(mistake.hint(hint));
    }
}

fn warn_of_breaker(entry: &ClassEntry<'_>) {
    let Some(BreakerPolicy { window, requests_min, .. }) = entry.class.breaker else { return };
    let reachable = window.as_millis() * RESULTS_PER_SECOND_MAX / 1_000;
    if u128::from(requests_min) > reachable.max(1) {
        let mistake = Mistake::of(IDLE_BREAKER, "the breaker can never trip: it waits for too many results");
        let hint =
            format!("`min_requests` is {requests_min} within {window:?}; write fewer, or `breaker: off`");
        entry.field.warn(mistake.hint(hint));
    }
}

fn is_used(policy: &Whole<'_, '_>, class: ClassId) -> bool {
    let of_routes = policy.routes.iter().filter_map(|route| route.leeway);
    let of_others = policy.model.decides_unrouted.then_some(policy.model.leeway);
    let mut leeways = of_routes.chain(of_others);
    let mut by_model =
        || leeways.any(|leeway| known_to_model(policy).any(|known| leeway.bound(known) == class));
    policy.model.fallback == class
        || policy.carry.contains(&Some(class))
        || policy.routes.iter().any(|route| route.class == class)
        || by_model()
}

/// The classes that the model knows by their names.
fn known_to_model(policy: &Whole<'_, '_>) -> impl Iterator<Item = ClassId> {
    let place = |name: &str| policy.classes.iter().position(|entry| entry.class.name == name);
    ModelClass::ALL.into_iter().filter_map(move |known| ClassId::new(place(known.name())?))
}
