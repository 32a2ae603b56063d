//! What a policy hardly means is pointed out, where it stands; what it may well mean is not.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::process::{Command, Output};

use plimsoll::policy::compile::compile;
use plimsoll::yaml::source::Source;
use serde_json::Value;

/// The rules that warn of `text`, each with its line.
fn warnings(text: &str) -> Vec<(usize, &'static str)> {
    let policy =
        compile(&Source::of("policy.yaml", text)).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let placed = |one: &plimsoll::yaml::diagnostic::Diagnostic| (one.position.unwrap().0, one.rule.name);
    policy.warnings.0.iter().map(placed).collect()
}

fn with_routes(routes: &str) -> Vec<(usize, &'static str)> {
    let classes =
        "version: 1\nclasses: { checkout: {}, cart: {}, search: { visit: search }, browse: {} }\nroutes:\n";
    warnings(&format!("{classes}{routes}"))
}

#[test]
fn a_route_that_an_earlier_one_covers_is_unreachable() {
    for routes in [
        "  - { path: /cart/**, class: cart }\n  - { path: /cart/add, class: cart }\n",
        "  - { class: cart }\n  - { methods: [GET], path: /a, class: browse }\n",
        "  - { methods: [GET], path: /a, class: cart }\n  - { methods: [HEAD], path: /a/, class: browse }\n",
        "  - { query: { a: }, class: cart }\n  - { path: /x, query: { a: b, c: }, class: browse }\n",
        "  - { headers: { x-app: 'ios*' }, class: cart }\n  - { headers: { x-app: 'IOS 17' }, class: browse }\n",
        "  - { graphql: ['cart*'], class: cart }\n  - { graphql: [cartAdd, cartSet], class: browse }\n",
        "  - { host: '*.test', class: cart }\n  - { host: shop.test, path: /, class: browse }\n",
        "  - { cookies: ['cart_*'], class: cart }\n  - { cookies: [cart_token, vip], class: browse }\n",
        "  - { addresses: 10.0.0.0/8, class: cart }\n  - { addresses: [10.1.0.0/16, 10.2.0.1], class: browse }\n",
    ] {
        assert_eq!(with_routes(routes), [(5, "unreachable-route")], "{routes}");
    }
}

#[test]
fn a_route_that_takes_anything_of_its_own_is_not() {
    for routes in [
        "  - { path: /cart/*, class: cart }\n  - { path: /cart/**, class: browse }\n",
        "  - { cookies: [vip], class: cart }\n  - { cookies: ['v*'], class: browse }\n",
        "  - { addresses: 10.0.0.0/8, class: cart }\n  - { addresses: [10.1.0.0/16, '::1'], class: browse }\n",
        "  - { addresses: 10.0.0.0/8, class: cart }\n  - { path: /a, class: browse }\n",
        "  - { methods: [GET], class: cart }\n  - { path: /a, class: browse }\n",
        "  - { methods: [HEAD], path: /a, class: cart }\n  - { methods: [GET], path: /a, class: browse }\n",
        "  - { query: { a: b }, class: cart }\n  - { query: { a: }, class: browse }\n",
        "  - { graphql: [cartAdd], class: cart }\n  - { path: /graphql, class: browse }\n",
        "  - { host: shop.test, class: cart }\n  - { path: /, class: browse }\n",
        "  - { when: 'request.path == \"/a\"', class: cart }\n  - { path: /a, class: browse }\n",
    ] {
        assert_eq!(with_routes(routes), [], "{routes}");
    }
}

#[test]
fn a_path_that_is_taken_earlier_is_shadowed() {
    let routes = "  - { path: /cart/**, class: cart }\n  - path:\n      - /basket\n      - /cart/add\n    class: cart\n";
    assert_eq!(with_routes(routes), [(7, "shadowed-path")]);
}

#[test]
fn a_payment_that_goes_before_a_search_is_at_risk() {
    assert_eq!(with_routes("  - { path: /payments/**, class: browse }\n"), [(4, "payment-at-risk")]);
    assert_eq!(
        with_routes("  - { query: { wc-ajax: checkout }, class: browse }\n"),
        [(4, "payment-at-risk")]
    );
    assert_eq!(with_routes("  - { path: /payments/**, class: cart }\n"), []);
    let ranks =
        "version: 1\nclasses:\n  search: { visit: search }\n  checkout:\n    rank: 5\n    visit: checkout\n";
    assert_eq!(warnings(ranks), [(5, "payment-at-risk")]);
}

#[test]
fn payments_and_searches_are_known_by_the_names_of_their_classes_too() {
    let classes = |rest: &str| warnings(&format!("version: 1\nclasses:\n  search: {{}}\n{rest}"));
    let paths = "  - { path: /x, class: card-payments }\n  - { path: /pay, class: card-payments }\n";
    let named = format!("  card-payments: {{}}\nroutes:\n  - {{ path: /s, class: search }}\n{paths}");
    // Once for the class, and not again for each of its routes.
    assert_eq!(classes(&named), [(4, "payment-at-risk")]);
    let other = "  shop: {}\nroutes:\n  - { path: /s, class: search }\n  - { path: /pay, class: shop }\n";
    assert_eq!(classes(other), [(7, "payment-at-risk")]);
    // Who says which class is that of searches is believed.
    let stated = "  shop: { visit: search }
  pay: {}
routes:
  - { path: /s, class: search }
  - { path: /t, class: shop }
  - { path: /pay, class: pay }
";
    assert_eq!(classes(stated), [(5, "payment-at-risk")]);
}

#[test]
fn a_method_that_is_nearly_another_is_pointed_out() {
    assert_eq!(
        with_routes("  - { methods: [PSOT, GET], path: /cart, class: cart }\n"),
        [(4, "unknown-name")]
    );
    assert_eq!(with_routes("  - { methods: [PURGE, PROPFIND, XYZZY], path: /cart, class: cart }\n"), []);
}

#[test]
fn a_payment_that_the_model_may_take_for_less_than_a_search_is_at_risk() {
    let payments =
        |rules: &str| with_routes(&format!("  - {{ path: /payments/**, class: checkout{rules} }}\n"));
    assert_eq!(payments(""), []);
    assert_eq!(payments(", model: on"), [(4, "payment-at-risk")]);
    assert_eq!(payments(", model: { worst_class: cart }"), []);
    assert_eq!(payments(", model: { worst_class: search }"), []);
    assert_eq!(with_routes("  - { path: /a, class: checkout, model: on }\n"), [(4, "payment-at-risk")]);
    assert_eq!(with_routes("  - { path: /a, class: cart, model: on }\n"), []);
}

#[test]
fn a_model_that_may_move_nothing_is_void() {
    let route = "  - { path: /a, class: cart, model: on }\n";
    assert_eq!(with_routes(route), []);
    let unrouted = format!("{route}model: {{ may_decide: [unrouted] }}\n");
    assert_eq!(with_routes(&unrouted), [(4, "void-value")]);
    let nowhere = "  - { path: /a, class: cart, model: { best_class: cart, worst_class: cart } }\n";
    assert_eq!(with_routes(nowhere), [(4, "void-value")]);
}

#[test]
fn a_condition_that_holds_for_no_request_of_the_tests_is_never_true() {
    let policy = |when: &str, tests: &str| {
        let routes = format!("routes:\n  - {{ when: '{when}', class: a }}\n");
        warnings(&format!(
            "version: 1\nclasses: {{ a: {{}}, b: {{}} }}\nmodel: {{ fallback_class: b }}\n{routes}{tests}"
        ))
    };
    let tests = "tests: [{ request: GET /cart?step=pay, session: cart, expect: { class: a } }]\n";
    assert_eq!(policy("request.query.step == \"pya\"", tests), [(5, "never-true")]);
    assert_eq!(policy("session.stage == \"checkout\"", tests), [(5, "never-true")]);
    assert_eq!(policy("request.query.step == \"pay\" && session.stage == \"cart\"", tests), []);
    assert_eq!(policy("request.query.step == \"pya\"", ""), [], "nothing is known of its requests");
}

#[test]
fn a_schedule_during_whose_hours_an_earlier_one_holds_is_shadowed() {
    let schedules = |one: &str, other: &str| {
        let classes = "classes: { a: { ceiling: 50% } }";
        warnings(&format!(
            "version: 1\nclasses: {{ a: {{}} }}\nschedules:\n  one: {{ zone: UTC, {one}, {classes} }}\n  other: {{ zone: UTC, {other}, {classes} }}\n"
        ))
    };
    let sale = "from: 10:00, to: 12:00";
    for (one, other) in [
        (sale, "from: 10:30, to: 12:00"),
        (sale, "from: 10:00, to: 11:00, days: [fri]"),
        // A Friday.
        ("from: 10:00, to: 12:00, days: [fri, sat]", "from: 10:00, to: 12:00, dates: [2026-11-27]"),
    ] {
        assert_eq!(schedules(one, other), [(5, "shadowed-schedule")], "{one}, {other}");
    }
    for (one, other) in [
        (sale, "from: 11:59, to: 12:01"),
        ("from: 10:00, to: 12:00, days: [fri]", sale),
        ("from: 10:00, to: 12:00, days: [fri]", "from: 10:00, to: 12:00, dates: [2026-11-28]"),
        // Over midnight.
        (sale, "from: 11:00, to: 10:00"),
    ] {
        assert_eq!(schedules(one, other), [], "{one}, {other}");
    }
}

fn with_class(keys: &str) -> Vec<(usize, &'static str)> {
    warnings(&format!("version: 1\nclasses:\n  checkout: {{ {keys} }}\n"))
}

#[test]
fn a_breaker_that_waits_for_more_than_comes_can_never_trip() {
    assert_eq!(with_class("breaker: { window: 1s, min_requests: 5001 }"), [(3, "idle-breaker")]);
    assert_eq!(with_class("breaker: { window: 1s, min_requests: 5000 }"), []);
}

#[test]
fn a_time_that_another_one_ends_is_void() {
    assert_eq!(with_class("patience: 999ms"), [(3, "void-value")]);
    assert_eq!(with_class("patience: 1s"), []);
    assert_eq!(with_class("queue: { max_wait: 1001ms }"), [(3, "void-value")]);
    assert_eq!(with_class("queue: { max_wait: 1s }"), []);
}

#[test]
fn a_class_that_nothing_leads_to_is_unused() {
    let policy = |rest: &str| warnings(&format!("version: 1\nclasses: {{ vip: {{}}, other: {{}} }}\n{rest}"));
    assert_eq!(policy(""), [(2, "unused-class")]);
    assert_eq!(policy("routes: [{ path: /, class: vip }]"), []);
    assert_eq!(policy("carry: { checkout: vip }"), []);
    assert_eq!(policy("model: { fallback_class: vip }"), [(2, "unused-class")]);
    // The model speaks of a class `cart`, if it may speak at all.
    assert_eq!(warnings("version: 1\nclasses: { cart: {}, other: {} }\n"), []);
    assert_eq!(
        warnings("version: 1\nclasses: { cart: {}, other: {} }\nmodel: { may_decide: [] }\n"),
        [(2, "unused-class")]
    );
    // What it takes for the cart gets the best class that it may give.
    assert_eq!(
        warnings("version: 1\nclasses:\n  cart: {}\n  vip: {}\n  other: {}\nmodel: { best_class: vip }\n"),
        [(3, "unused-class")]
    );
}

fn check(arguments: &[&str], text: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.yaml");
    std::fs::write(&path, text).unwrap();
    Command::new(env!("CARGO_BIN_EXE_plimsoll")).arg("check").args(arguments).arg(path).output().unwrap()
}

#[test]
fn warnings_fail_a_check_only_if_it_is_strict() {
    let odd = "version: 1\nclasses: { checkout: { patience: 10ms } }\n";
    assert!(check(&[], odd).status.success());
    assert_eq!(check(&["--strict"], odd).status.code(), Some(1));
    assert!(check(&["--strict"], "version: 1\nclasses: { checkout: {} }\n").status.success());
}

/// A policy whose routes are met, or not, by the requests of the log below.
const ROUTES: &str = "version: 1
classes: { cart: { visit: cart }, browse: {} }
routes:
  - { path: /cart, class: cart }
  - { path: /never, class: browse }
  - { path: /shop, when: 'request.query.step == \"pya\"', class: cart }
  - { path: /shop, when: 'session.stage == \"cart\"', class: cart }
  - { path: /app, headers: { x-app: ios }, class: browse }
  - { path: /app, when: '\"loyalty\" in request.cookies', class: cart }
  - { path: /cart, methods: [GET], class: browse }
";

/// A shopper who fills a cart and goes on to look at things, and a line that is no request.
const LOG: &str = "c1 - - [30/Apr/2017:04:28:11 +0000] \"GET /shop?step=pay HTTP/1.1\" 200 1
c1 - - [30/Apr/2017:04:28:12 +0000] \"POST /cart HTTP/1.1\" 200 1
c1 - - [30/Apr/2017:04:28:13 +0000] \"GET /shop HTTP/1.1\" 200 1
junk
";

#[test]
fn a_corpus_tells_which_routes_and_conditions_no_request_meets() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    std::fs::write(&log, LOG).unwrap();
    let log = log.to_str().unwrap();
    let output = check(&["--format", "json", "--corpus", log], ROUTES);
    assert!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let warnings = told["diagnostics"].as_array().unwrap().iter();
    let warnings: Vec<_> =
        warnings.map(|one| (one["line"].as_u64().unwrap(), one["rule"].as_str().unwrap())).collect();
    // What logs do not tell, as headers and cookies, is not held against a route; nor is one told of twice.
    assert_eq!(warnings, [(5, "unreached-route"), (6, "never-true"), (10, "unreachable-route")]);
    let corpus = &told["files"][0]["corpus"];
    assert_eq!((&corpus["requests"], &corpus["bad_lines"]), (&Value::from(3), &Value::from(1)));
    assert_eq!((&corpus["routes_reached"], &corpus["routes_untold"]), (&Value::from(2), &Value::from(2)));

    let output = check(&["--corpus", log], ROUTES);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("3 requests (1 more lines are none) reach 2 routes; 2 ask for what"), "{told}");
    assert_eq!(check(&["--strict", "--corpus", log], ROUTES).status.code(), Some(1));
    assert_eq!(check(&["--corpus", "/nowhere/at/all.log"], ROUTES).status.code(), Some(1));
}

/// The lines and rules of what a check with this log finds, and how many routes ask for more than it tells.
fn checked_against(log: &str, text: &str) -> (Vec<(u64, String)>, Value) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    std::fs::write(&path, log).unwrap();
    let output = check(&["--format", "json", "--corpus", path.to_str().unwrap()], text);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = told["diagnostics"].as_array().unwrap().iter();
    let found =
        found.map(|one| (one["line"].as_u64().unwrap(), one["rule"].as_str().unwrap().to_owned())).collect();
    (found, told["files"][0]["corpus"]["routes_untold"].clone())
}

#[test]
fn what_a_log_does_not_tell_is_held_against_no_route() {
    let policy = "version: 1
classes: { checkout: { visit: checkout }, search: { visit: search }, browse: { visit: page } }
routes:
  - { path: /a, when: session.returning, class: browse }
  - { path: /b, when: 'session.entry == \"search\"', class: browse }
  - { path: /c, headers: { user-agent: '*bot*' }, class: browse }
  - { path: /pay, class: browse }
";
    let common = "c1 - - [30/Apr/2017:04:28:11 +0000] \"GET /shop HTTP/1.1\" 200 1";
    let combined = format!("{common} \"https://elsewhere.test/\" \"Mozilla/5.0\"\n");
    let of = |line: u64, rule: &str| (line, rule.to_owned());
    // What else is odd about a route is no reason not to say that nothing reaches it.
    let payment = [of(7, "payment-at-risk"), of(7, "unreached-route")];
    let (found, untold) = checked_against(common, policy);
    assert_eq!((found, untold), (payment.to_vec(), Value::from(3)));
    let (found, untold) = checked_against(&combined, policy);
    let told = [of(5, "never-true"), of(6, "unreached-route")];
    assert_eq!((found, untold), ([told, payment].concat(), Value::from(1)));
}

#[test]
fn a_real_shops_log_tells_which_of_its_routes_it_does_not_need() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let log = root.join("../shared/data/logs/woocommerce-store.log.gz");
    if !log.exists() {
        println!("skipped: no access log of a real shop at hand");
        return;
    }
    let policy = std::fs::read_to_string(root.join("policies/woocommerce.yaml")).unwrap();
    let output = check(&["--format", "json", "--corpus", log.to_str().unwrap()], &policy);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (corpus, routes) = (&told["files"][0]["corpus"], &told["files"][0]["routes"]);
    assert!(corpus["requests"].as_u64().unwrap() > 70_000 && corpus["routes_untold"] == 0, "{corpus}");
    let found = told["diagnostics"].as_array().unwrap();
    assert!(found.iter().all(|one| one["rule"] == "unreached-route"), "{told}");
    let reached = corpus["routes_reached"].as_u64().unwrap();
    assert_eq!(reached + found.len() as u64, routes.as_u64().unwrap());
    let lines: Vec<&str> = policy.lines().collect();
    let unreached: Vec<&str> =
        found.iter().map(|one| lines[one["line"].as_u64().unwrap() as usize - 1]).collect();
    let is_unreached = |route: &str| unreached.iter().any(|line| line.contains(route));
    // It has no customers' accounts and no buttons of Stripe; its payments are called back, and it is attacked.
    for route in ["/my-account/**", "wc_stripe_*", "undo_item:"] {
        assert!(is_unreached(route), "{route}: {unreached:#?}");
    }
    for route in ["query: { wc-api: }", "/wp-login.php", "/wp-cron.php", "add-to-cart:"] {
        assert!(!is_unreached(route), "{route}: {unreached:#?}");
    }
}

#[test]
fn without_a_corpus_nothing_is_said_of_one() {
    let output = check(&["--format", "json"], ROUTES);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["warnings"], &told["files"][0]["corpus"]), (&Value::from(1), &Value::Null));
}

#[test]
fn programs_get_the_same_mistakes_as_json_and_as_sarif() {
    let wrong = "version: 1\nclasses:\n  checkout: { patience: 10 }\n";
    let json = check(&["--format", "json"], wrong);
    assert_eq!(json.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["errors"], &json["warnings"]), (&Value::from(1), &Value::from(0)));
    let one = &json["diagnostics"][0];
    assert_eq!((&one["line"], &one["column"]), (&Value::from(3), &Value::from(25)));
    assert_eq!((one["rule"].as_str(), one["severity"].as_str()), (Some("invalid-value"), Some("error")));

    let sarif: Value = serde_json::from_slice(&check(&["--format", "sarif"], wrong).stdout).unwrap();
    let run = &sarif["runs"][0];
    assert_eq!(sarif["version"], "2.1.0");
    assert_eq!(run["results"][0]["ruleId"], run["tool"]["driver"]["rules"][0]["id"]);
    let region = &run["results"][0]["locations"][0]["physicalLocation"]["region"];
    assert_eq!((&region["startLine"], &region["startColumn"]), (&Value::from(3), &Value::from(25)));
}
