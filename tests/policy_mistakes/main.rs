//! Every mistake a policy can hold is found, where it stands, with what to write instead.
//!
//! One table, because an operator's experience is the message: a row is a policy,
//! the place of its mistake, and words that message and hint must contain.

mod reading;
mod routes;

use plimsoll::policy::compile::compile;
use plimsoll::yaml::diagnostic::Diagnostic;
use plimsoll::yaml::source::Source;

fn mistakes(text: &str) -> Vec<Diagnostic> {
    compile(&Source::of("policy.yaml", text)).map_or_else(|errors| errors.0, |_| Vec::new())
}

/// A policy that would be good without its last lines.
fn good_but(rest: &str) -> String {
    format!("version: 1\nclasses:\n  checkout: {{ rank: 0 }}\n  browse: {{ rank: 5 }}\n{rest}\n")
}

struct Row {
    text: String,
    place: (usize, usize),
    key: &'static str,
    says: &'static str,
    hints: &'static str,
}

fn row(
    text: impl Into<String>,
    place: (usize, usize),
    key: &'static str,
    says: &'static str,
    hints: &'static str,
) -> Row {
    Row { text: text.into(), place, key, says, hints }
}

fn check_rows(rows: impl IntoIterator<Item = Row>) {
    for Row { text, place, key, says, hints } in rows {
        let found = mistakes(&text);
        let [only] = found.as_slice() else { panic!("{text}\nhas {} mistakes: {found:#?}", found.len()) };
        assert_eq!((only.position, only.key.as_str()), (Some(place), key), "{text}\n{only}");
        assert!(only.message.contains(says), "{text}\n{only}");
        assert!(only.hint.as_deref().is_some_and(|hint| hint.contains(hints)), "{text}\n{only}");
    }
}

#[test]
fn mistakes_in_the_file_are_found() {
    check_rows([
        row("", (1, 1), "", "empty", "the keys it needs"),
        row("# nothing but a comment\n", (1, 1), "", "empty", "the keys it needs"),
        row("classes: { a: {} }", (1, 1), "", "`version` is missing", "version: 1"),
        row("version: 1", (1, 1), "", "`classes` is missing", "classes:"),
        row("version: 2\nclasses: { a: {} }", (1, 10), "version", "`2` is unknown", "version: 1"),
        row("version: 1\nclasses: {}", (2, 1), "classes", "0 classes", "at least one"),
        row("just words", (1, 1), "", "expected a mapping", "key: value"),
        row("- version", (1, 1), "", "expected a mapping", "key: value"),
        row("version: 1\nclasses:\n\ta: {}\n", (3, 2), "", "not YAML", "spaces"),
        row("version: 1\nversion: 1\nclasses: { a: {} }", (2, 1), "version", "second time", "line 1"),
        row("version: 1\nclasses: { a: {} }\n---\nversion: 1", (4, 1), "", "second document", "---"),
        row("version: 1\nclasses: { a: &x {}, b: *x }", (2, 25), "", "alias", "write the value out"),
        row(good_but("mode: observ"), (5, 7), "mode", "unknown value `observ`", "`observe`"),
        row(good_but("route: []"), (5, 1), "route", "unknown key `route`", "`routes`"),
        row(good_but("xyzzy: 1"), (5, 1), "xyzzy", "unknown key", "one of: version"),
    ]);
}

fn schedule(keys: &str) -> String {
    good_but(&format!("schedules:\n  sale: {{ {keys} }}"))
}

#[test]
fn mistakes_in_a_schedule_or_a_canary_are_found() {
    let hours = "zone: UTC, from: 10:00, to: 12:00";
    let floors = format!("{hours}, classes: {{ checkout: {{ floor: 50% }}, browse: {{ floor: 60% }} }}");
    check_rows([
        row(good_but("canary: 51%"), (5, 9), "canary", "no share for a canary", "up to 50%"),
        row(good_but("canary: 0%"), (5, 9), "canary", "no share for a canary", "up to 50%"),
        row(
            schedule("zone: Europe/Berlni, from: 10:00, to: 12:00, classes: { browse: { floor: 1% } }"),
            (6, 17),
            "schedules.sale.zone",
            "unknown time zone",
            "`Europe/Berlin`",
        ),
        row(
            schedule("zone: UTC, from: 24:00, to: 12:00, classes: { browse: { floor: 1% } }"),
            (6, 28),
            "schedules.sale.from",
            "`24:00` is not a time of day",
            "like 10:00",
        ),
        row(
            schedule("zone: UTC, from: 10:00, to: 10:00, classes: { browse: { floor: 1% } }"),
            (6, 3),
            "schedules.sale",
            "ends when it begins",
            "two times",
        ),
        row(schedule(hours), (6, 3), "schedules.sale", "`classes` is missing", "floor: 40%"),
        row(
            schedule(&format!("{hours}, classes: {{ brows: {{ floor: 1% }} }}")),
            (6, 57),
            "schedules.sale.classes.brows",
            "unknown class `brows`",
            "`browse`",
        ),
        row(schedule(&floors), (6, 3), "schedules.sale", "floors add up to 110%", "100% at most"),
        row(
            schedule(&format!("{hours}, classes: {{ browse: {{ floor: 1% }} }}")).replace("sale", "none"),
            (6, 3),
            "schedules.none",
            "where no schedule holds",
            "something else",
        ),
    ]);
}

#[test]
fn a_test_that_cannot_fail_is_a_mistake() {
    let test = |expect: &str| good_but(&format!("tests:\n  - {{ request: GET /, expect: {expect} }}"));
    let of =
        |expect: &str| row(test(expect), (6, 23), "tests[0].expect", "expects nothing", "class: checkout");
    check_rows([of("{}"), of("")]);
    assert!(mistakes(&test("{ class: browse }")).is_empty());
}

fn class(keys: &str) -> String {
    good_but(&format!("  cart: {{ {keys} }}"))
}

#[test]
fn mistakes_in_a_class_are_found() {
    check_rows([
        row(class("rank: 0"), (5, 17), "classes.cart.rank", "belongs to `checkout`", "rank 1 is free"),
        row(class("rank: first"), (5, 17), "classes.cart.rank", "not a number", "0 to 255"),
        row(class("rank: 256"), (5, 17), "classes.cart.rank", "not a number", "0 to 255"),
        row(class("rang: 1"), (5, 11), "classes.cart.rang", "unknown key", "`rank`"),
        row(class("slo: { latency: 800 }"), (5, 27), "classes.cart.slo.latency", "no unit", "800ms"),
        row(
            class("slo: { latency: 8 sec }"),
            (5, 27),
            "classes.cart.slo.latency",
            "unknown unit `sec`",
            "ms, s",
        ),
        row(class("slo: { objective: 99.9 }"), (5, 29), "classes.cart.slo.objective", "percentage", "99.9%"),
        row(class("slo: 800ms"), (5, 16), "classes.cart.slo", "expected a mapping", "key: value"),
        row(class("patience: 0s"), (5, 21), "classes.cart.patience", "no time", "1ms"),
        row(class("patience: [2s]"), (5, 11), "classes.cart.patience", "found a list", "key: value"),
        row(class("floor: 120%"), (5, 18), "classes.cart.floor", "more than all", "100%"),
        row(class("floor: 30%, ceiling: 20%"), (5, 3), "classes.cart", "below the floor", "raise"),
        row(class("ceiling: 0%"), (5, 3), "classes.cart", "ceiling of 0%", "leave"),
        row(
            class("queue: { max_length: 0 }"),
            (5, 32),
            "classes.cart.queue.max_length",
            "out of range",
            "1 to 65536",
        ),
        row(class("queue: { order: filo }"), (5, 27), "classes.cart.queue.order", "unknown value", "fifo"),
        row(
            class("breaker: no"),
            (5, 20),
            "classes.cart.breaker",
            "`off` or a mapping, found `no`",
            "key: value",
        ),
        row(class("breaker: { probes: 0 }"), (5, 30), "classes.cart.breaker.probes", "out of range", "1 to"),
        row(
            class("breaker: { slow_ratio: 0% }"),
            (5, 34),
            "classes.cart.breaker.slow_ratio",
            "always",
            "off",
        ),
        row(
            class("refuse: { status: 200 }"),
            (5, 29),
            "classes.cart.refuse.status",
            "out of range",
            "400 to 599",
        ),
        row(
            class("refuse: { retry_after: 6s..2s }"),
            (5, 34),
            "classes.cart.refuse.retry_after",
            "ends",
            "shorter",
        ),
        row(class("visit: checkot"), (5, 18), "classes.cart.visit", "unknown value", "`checkout`"),
        row(class("value: 1.5"), (5, 18), "classes.cart.value", "out of range", "0 to 1"),
        row(class("value: NaN"), (5, 18), "classes.cart.value", "out of range", "0 to 1"),
        row(good_but("  Cart!: {}"), (5, 3), "classes.Cart!", "no name", "lower-case"),
    ]);
}

#[test]
fn mistakes_elsewhere_are_found() {
    check_rows([
        row(good_but("carry: { checkout: crat }"), (5, 20), "carry.checkout", "unknown class", "checkout"),
        row(good_but("carry: { pay: browse }"), (5, 10), "carry.pay", "unknown key", "checkout"),
        row(
            good_but("model: { fallback_class: brows }"),
            (5, 26),
            "model.fallback_class",
            "unknown class",
            "`browse`",
        ),
        row(
            good_but("model: { may_decide: [all] }"),
            (5, 23),
            "model.may_decide[0]",
            "unknown value",
            "unrouted",
        ),
        row(
            good_but("model: { best_class: browse, worst_class: checkout }"),
            (5, 43),
            "model.worst_class",
            "`checkout` is better than `browse`",
            "write `browse` or a class that is shed before it",
        ),
        row(good_but("sessions: { max: 10 }"), (5, 18), "sessions.max", "out of range", "1024"),
        row(
            good_but("clients: { usage_penalty: yes }"),
            (5, 27),
            "clients.usage_penalty",
            "unknown value",
            "on",
        ),
        row(
            good_but("clients: { limits: [{ key: ip, rate: 1/s }] }"),
            (5, 28),
            "clients.limits[0].key",
            "`ip`",
            "address",
        ),
        row(
            good_but("clients: { limits: [{ key: address, rate: 30 }] }"),
            (5, 43),
            "clients.limits[0].rate",
            "rate",
            "30/s",
        ),
        row(good_but("headers: { decision: maybe }"), (5, 22), "headers.decision", "not a percentage", "20%"),
    ]);
}

#[test]
fn floors_that_promise_more_than_all_are_found_where_they_exceed_it() {
    let text = "version: 1\nclasses:\n  a: { floor: 60% }\n  b: { floor: 40% }\n  c: { floor: 1% }\n";
    check_rows([row(text, (5, 3), "classes.c", "101%", "100% at most")]);
}

#[test]
fn seventeen_classes_are_one_too_many() {
    let classes = |count: usize| (0..count).map(|class| format!("  c{class}: {{}}\n")).collect::<String>();
    assert!(mistakes(&format!("version: 1\nclasses:\n{}", classes(16))).is_empty());
    let found = mistakes(&format!("version: 1\nclasses:\n{}", classes(17)));
    assert!(found.len() == 1 && found[0].message == "17 classes", "{found:?}");
}
