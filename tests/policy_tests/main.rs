//! Policies as files on a command line: their own tests, what they include, and what a diff over a log tells.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod diff;
mod includes;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// One class for each answer that a test may expect.
const POLICY: &str = "version: 1
classes:
  checkout: { rank: 0, visit: checkout, floor: 20% }
  browse: { rank: 5, visit: page }
  beacon: { rank: 7, queue: { max_wait: 100ms } }
carry: { checkout: checkout }
routes:
  - { path: /pay, headers: { x-app: ios }, class: checkout, pool: payments }
  - { path: /graphql, graphql: [pay], class: checkout }
  - { path: /collect, class: beacon }
  - { path: /never, class: beacon }
model: { may_decide: [], fallback_class: browse }
";

fn plimsoll(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll")).current_dir(directory).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `tests` against the policy above.
fn run(tests: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("shop.yaml"), format!("{POLICY}tests:\n{tests}")).unwrap();
    plimsoll(directory.path(), &["policy", "test", "--coverage", "shop.yaml"])
}

#[test]
fn what_holds_is_counted_and_what_no_test_takes_is_listed() {
    let output = run(
        "  - { request: POST /pay, headers: { x-app: ios }, expect: { class: checkout, pool: payments } }
  - { request: POST /graphql, graphql: pay, expect: { class: checkout, class_by: route } }
  - { request: GET /, expect: { class: browse, class_by: fallback, pool: default, value: 0..1 } }
  - { request: GET /, session: checkout, expect: { class: checkout } }
  - { request: POST /collect, load: 3x, expect: { decision: shed } }
  - { request: POST /collect, load: 0.5x, expect: { decision: admit } }
  - { request: GET /, session: checkout, load: { browse: 4x }, expect: { decision: admit } }
",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "shop.yaml: 7 of 7 tests hold, 3 of 4 routes are tested\n  not tested: shop.yaml:11\n"
    );
}

#[test]
fn each_expectation_that_fails_says_what_is_so() {
    let output =
        run("  - { request: POST /collect, expect: { class: checkout, class_by: model, pool: payments } }
  - { request: POST /collect, load: 4x, expect: { decision: admit } }
  - { request: POST /pay, headers: { x-app: ios }, load: 2x, expect: { decision: shed } }
  - { request: GET /, expect: { value: 0..0 } }
");
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    for line in [
        "shop.yaml:14: POST /collect: expected class `checkout`, got `beacon` (by route, shop.yaml:10)",
        "shop.yaml:14: POST /collect: expected its class by model, got it by route, shop.yaml:10",
        "shop.yaml:14: POST /collect: expected pool `payments`, got `default`",
        "shop.yaml:15: POST /collect: expected to be admitted, but only ",
        "shop.yaml:16: POST /pay: expected to be shed, but ",
        "shop.yaml:17: GET /: expected a value of 0..0, got ",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    assert!(text(&output.stdout).contains("0 of 4 tests hold"), "{}", text(&output.stdout));
}

#[test]
fn tests_that_share_a_line_are_counted_each() {
    let directory = tempfile::tempdir().unwrap();
    let test = |class: &str| format!("{{ request: POST /collect, expect: {{ class: {class} }} }}");
    let tests = format!("tests: [{}, {}, {}]\n", test("checkout"), test("browse"), test("beacon"));
    fs::write(directory.path().join("shop.yaml"), format!("{POLICY}{tests}")).unwrap();
    let output = plimsoll(directory.path(), &["policy", "test", "shop.yaml"]);
    assert!(text(&output.stdout).contains("1 of 3 tests hold"), "{output:?}");
}

#[test]
fn tests_may_stand_beside_the_policy_and_change_nothing_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("shop.yaml", POLICY);
    write("shop_test.yaml", "tests: [{ request: POST /collect, expect: { class: checkout } }]\n");
    let output = plimsoll(directory.path(), &["policy", "test", "shop.yaml"]);
    assert!(text(&output.stderr).contains("shop_test.yaml:1: POST /collect: expected class"), "{output:?}");
    // As a directory of overlays: the test file is none of them.
    assert!(plimsoll(directory.path(), &["check", "."]).status.success());
    let output = plimsoll(directory.path(), &["policy", "test", "."]);
    assert_eq!(output.status.code(), Some(1));

    write("shop_test.yaml", "mode: observe\n");
    let output = plimsoll(directory.path(), &["policy", "test", "shop.yaml"]);
    assert!(text(&output.stderr).contains("it holds `tests:` and nothing else"), "{output:?}");
}

#[test]
fn a_file_of_tests_stands_for_its_policy() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    let run = |arguments: &[&str]| plimsoll(directory.path(), arguments);
    write("shop.yaml", POLICY);
    write("shop_test.yaml", "tests: [{ request: POST /collect, expect: { class: beacon } }]\n");
    for command in [&["check"][..], &["policy", "test"]] {
        let output = run(&[command, &["shop.yaml", "shop_test.yaml"]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout).lines().count(), 1, "{output:?}");
    }
    write("shop_test.yaml", "tests: [{ request: POST /collect, expect: { class: becon } }]\n");
    assert!(text(&run(&["check", "shop_test.yaml"]).stderr).contains("unknown class `becon`"));
    assert!(run(&["check", "shop.yaml"]).status.success(), "it can be applied");
    fs::remove_file(directory.path().join("shop.yaml")).unwrap();
    let output = run(&["check", "shop_test.yaml"]);
    assert!(!output.status.success() && text(&output.stderr).contains("tests alone are no policy"));
}

#[test]
fn the_tests_of_an_overlay_take_the_place_of_those_below_it() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write(
        "00.yaml",
        &format!("{POLICY}tests: [{{ request: POST /collect, expect: {{ class: beacon }} }}]\n"),
    );
    write("50.yaml", "routes: [{ path: /collect, class: browse }]\n");
    let output = plimsoll(directory.path(), &["policy", "test", "."]);
    assert!(text(&output.stderr).contains("expected class `beacon`, got `browse`"), "{output:?}");
    write("50.yaml", "routes: [{ path: /collect, class: browse }]\ntests: []\n");
    assert!(plimsoll(directory.path(), &["policy", "test", "."]).status.success());
}

#[test]
fn a_policy_that_breaks_its_own_tests_is_not_served() {
    let directory = tempfile::tempdir().unwrap();
    let tests = "tests: [{ request: POST /collect, expect: { class: checkout } }]\n";
    fs::write(
        directory.path().join("shop.yaml"),
        format!("{}{tests}", POLICY.replace(", pool: payments", "")),
    )
    .unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--policy", "shop.yaml"];
    let output = plimsoll(directory.path(), &serve);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("expected class `checkout`, got `beacon`") && told.contains("own tests"), "{told}");
}

#[test]
fn an_explanation_tells_what_becomes_of_a_request_at_a_load() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("shop.yaml"), POLICY).unwrap();
    let explain = |flags: &[&str]| {
        let arguments = [&["explain", "--policy", "shop.yaml"], flags, &["POST", "/collect"]].concat();
        text(&plimsoll(directory.path(), &arguments).stdout)
    };
    let told = explain(&["--load", "0.5x", "--load", "3x"]);
    assert!(told.contains("at 0.5x   100% of such requests are served"), "{told}");
    let json: serde_json::Value = serde_json::from_str(&explain(&["--load", "3x", "--json"])).unwrap();
    let served = json["forecasts"][0]["served"].as_f64().unwrap();
    assert!(json["forecasts"][0]["load"] == 3.0 && served < 0.2, "{json}");
    let told = explain(&[]);
    for load in ["at 0.5x   ", "at 1x     ", "at 2x     "] {
        assert!(told.contains(load), "{told}");
    }
}

#[test]
fn an_explanation_is_of_a_session_that_has_come_so_far_and_of_an_operation() {
    let directory = tempfile::tempdir().unwrap();
    let policy = POLICY.replace("carry: { checkout:", "carry: { cart:");
    fs::write(directory.path().join("shop.yaml"), policy).unwrap();
    let explain = |flags: &[&str], target: &str| {
        let arguments =
            [&["explain", "--policy", "shop.yaml", "--load", "1x"], flags, &["POST", target]].concat();
        let output = plimsoll(directory.path(), &arguments);
        (text(&output.stdout), text(&output.stderr))
    };
    let standing = |told: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix("standing  ")).unwrap();
        line.parse::<u16>().unwrap()
    };
    let (fresh, _) = explain(&[], "/any");
    let (shopper, _) = explain(&["--session", "cart"], "/any");
    assert!(fresh.contains("session   a fresh one\nclass     browse "), "{fresh}");
    assert!(shopper.contains("session   cart: 20 requests in 300 s, 5 pages, 2 to the cart"), "{shopper}");
    assert!(shopper.contains("\nclass     checkout "), "{shopper}");
    assert!(standing(&shopper) < standing(&fresh), "{shopper}{fresh}");
    assert!(explain(&["--graphql", "pay"], "/graphql").0.contains("class     checkout (by route"));
    assert!(explain(&["--graphql", "look"], "/graphql").0.contains("class     browse "));
    let (many, _) = explain(&["--session", "none,requests=250,age_s=60"], "/any");
    assert!(many.contains("session   none: 250 requests in 60 s, 0 pages, 0 to the cart"), "{many}");
    let (_, mistake) = explain(&["--session", "cart,request=250"], "/any");
    assert!(mistake.contains("`request=250` is nothing that is known of a session"), "{mistake}");
    let (_, mistake) = explain(&["--session", "basket"], "/any");
    assert!(mistake.contains("none, browsing, cart, checkout"), "{mistake}");
}

#[test]
fn a_test_may_say_when_it_comes() {
    let directory = tempfile::tempdir().unwrap();
    let sale = "schedules:
  sale: { zone: Europe/Berlin, from: 10:00, to: 12:00, classes: { beacon: { floor: 60% } } }
";
    let test = |at: &str, decision: &str| {
        format!(
            "  - {{ request: POST /collect, {at}load: {{ browse: 3x, beacon: 0.2x }}, expect: {{ decision: {decision} }} }}\n"
        )
    };
    let policy_test = |tests: &[String]| {
        let text = format!("{POLICY}{sale}tests:\n{}", tests.concat());
        fs::write(directory.path().join("shop.yaml"), text).unwrap();
        plimsoll(directory.path(), &["policy", "test", "shop.yaml"])
    };
    let output = policy_test(&[
        test("", "shed"),
        test("at: 2026-11-27T10:30:00+01:00, ", "admit"),
        test("at: 2026-11-27T09:30:00Z, ", "admit"),
        test("at: 2026-11-27T12:00:00+01:00, ", "shed"),
    ]);
    assert!(text(&output.stdout).contains("4 of 4 tests hold"), "{output:?}");
    let at_noon = "at: \"2026-11-27T12:00:00[Europe/Berlin]\", ";
    let in_sale = "at: \"2026-11-27T11:59:59+01:00[Europe/Berlin]\", ";
    let output = policy_test(&[test(at_noon, "shed"), test(in_sale, "admit")]);
    assert!(text(&output.stdout).contains("2 of 2 tests hold"), "{output:?}");
    let output = policy_test(&[test("at: \"2026-11-27T10:30:00+05:00[Europe/Berlin]\", ", "admit")]);
    assert!(text(&output.stderr).contains("is not a moment"), "{output:?}");
    let output = policy_test(&[test("at: 2026-11-27T10:30:00, ", "admit")]);
    assert!(text(&output.stderr).contains("is not a moment"), "{output:?}");
}

#[test]
fn a_test_may_say_what_its_session_has_done() {
    let directory = tempfile::tempdir().unwrap();
    let policy_test = |session: &str| {
        let policy = POLICY.replace(
            "routes:\n",
            "routes:\n  - { when: 'session.requests > 200 && session.carts == 0 && session.age_s < 60', class: beacon }\n",
        );
        let tests =
            format!("tests: [{{ request: GET /, session: {session}, expect: {{ class: beacon }} }}]\n");
        fs::write(directory.path().join("shop.yaml"), policy + &tests).unwrap();
        plimsoll(directory.path(), &["policy", "test", "shop.yaml"])
    };
    assert!(policy_test("{ stage: browsing, requests: 201, age: 59s }").status.success());
    for session in [
        "browsing",
        "{ requests: 201, age: 1m }",
        "{ requests: 200, age: 59s }",
        "{ stage: cart, requests: 201, age: 59s }",
    ] {
        let output = policy_test(session);
        assert!(text(&output.stderr).contains("expected class `beacon`, got `browse`"), "{output:?}");
    }
    let unknown = text(&policy_test("{ stage: crat }").stderr);
    assert!(unknown.contains("unknown stage `crat`") && unknown.contains("`cart`"), "{unknown}");
}

#[test]
fn a_test_may_say_which_schedule_holds() {
    let directory = tempfile::tempdir().unwrap();
    let policy_test = |at: &str, schedule: &str| {
        let policy = format!(
            "{POLICY}schedules:\n  \
             sale: {{ zone: Europe/Berlin, from: 10:00, to: 12:00, classes: {{ beacon: {{ floor: 60% }} }} }}\n\
             tests: [{{ request: GET /, {at}expect: {{ schedule: {schedule} }} }}]\n"
        );
        fs::write(directory.path().join("shop.yaml"), policy).unwrap();
        plimsoll(directory.path(), &["policy", "test", "shop.yaml"])
    };
    assert!(policy_test("at: 2026-11-27T10:00:00+01:00, ", "sale").status.success());
    assert!(policy_test("at: 2026-11-27T12:00:00+01:00, ", "none").status.success());
    let wrong = text(&policy_test("at: 2026-11-27T09:59:59+01:00, ", "sale").stderr);
    assert!(wrong.contains("expected the schedule `sale`, got `none`"), "{wrong}");
    let unknown = text(&policy_test("at: 2026-11-27T10:00:00+01:00, ", "sle").stderr);
    assert!(unknown.contains("unknown schedule `sle`") && unknown.contains("`sale`"), "{unknown}");
    let timeless = text(&policy_test("", "sale").stderr);
    assert!(timeless.contains("which schedule holds depends on the time"), "{timeless}");
}

#[cfg(unix)]
#[test]
fn a_link_to_a_policy_stays_one_when_it_is_laid_out() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("shared")).unwrap();
    fs::write(at("shared/shop.yaml"), "version:  1\nclasses:\n    a: {rank: 0}\n").unwrap();
    std::os::unix::fs::symlink("shared/shop.yaml", at("shop.yaml")).unwrap();
    assert!(plimsoll(directory.path(), &["policy", "fmt", "shop.yaml"]).status.success());
    assert!(fs::symlink_metadata(at("shop.yaml")).unwrap().is_symlink());
    let laid_out = fs::read_to_string(at("shared/shop.yaml")).unwrap();
    assert!(laid_out.starts_with("version: 1\n"), "{laid_out}");
    assert_eq!(fs::read_dir(at("shared")).unwrap().count(), 1);
}

#[test]
fn a_policy_is_laid_out_once_and_a_check_tells_whether_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.yaml");
    fs::write(&path, "version:  1   # the first\nclasses:\n    a: {rank: 0}\n").unwrap();
    let checked = plimsoll(directory.path(), &["policy", "fmt", "--check", "."]);
    assert_eq!((checked.status.code(), text(&checked.stdout).trim()), (Some(1), "./shop.yaml"));
    assert!(plimsoll(directory.path(), &["policy", "fmt", "."]).status.success());
    let laid_out = fs::read_to_string(&path).unwrap();
    assert!(
        laid_out.starts_with("version: 1") && laid_out.ends_with("classes:\n  a: { rank: 0 }\n"),
        "{laid_out}"
    );
    assert!(laid_out.contains("# the first"), "{laid_out}");
    let again = plimsoll(directory.path(), &["policy", "fmt", "--check", "shop.yaml"]);
    assert!(again.status.success() && again.stdout.is_empty(), "{again:?}");
    fs::write(&path, "version: [1\n").unwrap();
    let refused = plimsoll(directory.path(), &["policy", "fmt", "shop.yaml"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("not YAML"), "{refused:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "version: [1\n");
}

#[test]
fn an_explanation_names_the_pool_of_its_route() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("shop.yaml"), POLICY).unwrap();
    let explain = |more: &[&str]| {
        let stated = ["explain", "--policy", "shop.yaml", "--load", "0.5x", "POST", "/pay"];
        text(&plimsoll(directory.path(), &[&stated[..], more].concat()).stdout)
    };
    assert!(explain(&["-H", "x-app: ios"]).contains("pool      payments\n"));
    let of_default = explain(&[]);
    assert!(of_default.contains("class     browse") && !of_default.contains("pool "), "{of_default}");
    let json: serde_json::Value = serde_json::from_str(&explain(&["--json", "-H", "x-app: ios"])).unwrap();
    assert_eq!(json["pool"], "payments", "{json}");
}

#[test]
fn whoever_means_each_file_of_a_directory_is_told_how_they_are_read() {
    let directory = tempfile::tempdir().unwrap();
    for (name, class) in [("one.yaml", "checkout"), ("two.yaml", "pay")] {
        let policy = format!("version: 1\nclasses: {{ {class}: {{ rank: 0 }} }}\n");
        fs::write(directory.path().join(name), policy).unwrap();
    }
    for command in [&["check"][..], &["policy", "test"]] {
        let of_directory = plimsoll(directory.path(), &[command, &["."]].concat());
        let told = text(&of_directory.stderr);
        assert!(!of_directory.status.success() && told.contains("laid over each other"), "{told}");
        let of_files = plimsoll(directory.path(), &[command, &["one.yaml", "two.yaml"]].concat());
        assert!(of_files.status.success(), "{}", text(&of_files.stderr));
    }
}

#[test]
fn an_explanation_names_the_schedule_of_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let sale = "schedules:\n  sale: { zone: Europe/Berlin, from: 10:00, to: 12:00, classes: { beacon: { mode: observe } } }\n";
    fs::write(directory.path().join("shop.yaml"), format!("{POLICY}{sale}")).unwrap();
    let explain = |at: &str| {
        let arguments = ["explain", "--policy", "shop.yaml", "--at", at, "POST", "/collect"];
        text(&plimsoll(directory.path(), &arguments).stdout)
    };
    assert!(explain("2026-11-27T10:30:00+01:00").contains("schedule  sale (shop.yaml:14)"));
    assert!(!explain("2026-11-27T12:00:00+01:00").contains("schedule"));
}

#[test]
fn a_model_gives_no_better_class_than_it_may_and_none_that_it_is_unsure_of() {
    let directory = tempfile::tempdir().unwrap();
    let explain = |rules: &str, target: &str| {
        let text = format!(
            "version: 1\nclasses: {{ checkout: {{}}, cart: {{}}, browse: {{}} }}\nmodel: {{ {rules} }}\n"
        );
        fs::write(directory.path().join("shop.yaml"), text).unwrap();
        let arguments = ["explain", "--policy", "shop.yaml", "--json", "POST", target];
        let output = plimsoll(directory.path(), &arguments);
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (told["class"].as_str().unwrap().to_owned(), told["class_by"].as_str().unwrap().to_owned())
    };
    let told = |class: &str, by: &str| (class.to_owned(), by.to_owned());
    assert_eq!(explain("", "/checkout/pay"), told("checkout", "model"));
    assert_eq!(explain("best_class: cart", "/checkout/pay"), told("cart", "model"));
    assert_eq!(explain("min_confidence: 1", "/xyzzy/1").1, "fallback");
}

#[test]
fn a_route_may_leave_what_it_takes_to_the_model_within_bounds() {
    let directory = tempfile::tempdir().unwrap();
    // The model takes what is added to something for a cart, and is not sure of a word that it never saw.
    let explain = |class: &str, rules: &str, target: &str, flags: &[&str]| {
        let policy = format!(
            "version: 1\nclasses: {{ checkout: {{}}, cart: {{}}, browse: {{}} }}\n\
             routes: [{{ path: /**, class: {class}{rules} }}]\n"
        );
        fs::write(directory.path().join("shop.yaml"), policy).unwrap();
        let arguments = [&["explain", "--policy", "shop.yaml", "POST", target][..], flags].concat();
        text(&plimsoll(directory.path(), &arguments).stdout)
    };
    let told = |class: &str, rules: &str, target: &str| {
        let told = explain(class, rules, target, &["--json"]);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["route"], "shop.yaml:3", "{told}");
        assert_eq!(told["model_may"].is_null(), rules.is_empty(), "{told}");
        format!("{} by {}", told["class"].as_str().unwrap(), told["class_by"].as_str().unwrap())
    };
    assert_eq!(told("browse", "", "/foo/add"), "browse by route");
    assert_eq!(told("browse", ", model: on", "/foo/add"), "cart by model");
    assert_eq!(told("checkout", ", model: on", "/foo/add"), "cart by model");
    assert_eq!(told("browse", ", model: { best_class: browse }", "/foo/add"), "browse by model");
    assert_eq!(told("checkout", ", model: { worst_class: checkout }", "/foo/add"), "checkout by model");
    assert_eq!(told("checkout", ", model: { min_confidence: 1 }", "/xyzzy/1"), "checkout by route");
    let bounds = explain("checkout", ", model: { worst_class: cart, min_confidence: 0.5 }", "/foo/add", &[]);
    assert!(bounds.contains("bounds    the model may give checkout to cart, from 50% sure on\n"), "{bounds}");
}

#[test]
fn what_a_route_leaves_to_the_model_is_its_own_where_models_decide_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let policy_test = |may_decide: &str| {
        let policy = format!(
            "version: 1\nclasses: {{ checkout: {{}}, cart: {{}}, browse: {{}} }}\n\
             model: {{ may_decide: {may_decide} }}\n\
             routes: [{{ path: /foo/**, class: browse, model: on }}]\n\
             tests: [{{ request: POST /foo/add, expect: {{ class: cart, class_by: model }} }}]\n"
        );
        fs::write(directory.path().join("shop.yaml"), policy).unwrap();
        plimsoll(directory.path(), &["policy", "test", "shop.yaml"])
    };
    assert!(policy_test("[routed]").status.success());
    let output = policy_test("[unrouted]");
    let told = text(&output.stderr);
    assert!(told.contains("expected class `cart`, got `browse` (by route, shop.yaml:4)"), "{output:?}");
}

#[test]
fn an_explanation_names_the_features_that_a_score_hangs_on() {
    let directory = tempfile::tempdir().unwrap();
    let explain = |target: &str| text(&plimsoll(directory.path(), &["explain", "POST", target]).stdout);
    let told = explain("/foo/add");
    assert!(told.contains("(add): without it cart would be 0."), "{told}");
    assert!(told.contains("worth by  ") && told.matches("because   ").count() <= 5, "{told}");
    let certain = explain("/checkout/payment");
    assert!(certain.contains("because   no one feature"), "{certain}");
}

#[test]
fn tests_and_explanations_state_the_address_of_a_client() {
    let directory = tempfile::tempdir().unwrap();
    let policy = POLICY.replace("routes:\n", "routes:\n  - { addresses: 10.0.0.0/8, class: checkout }\n");
    let tests = "tests:
  - { request: GET /any, address: 10.1.2.3, expect: { class: checkout } }
  - { request: GET /any, expect: { class: browse } }
";
    fs::write(directory.path().join("shop.yaml"), format!("{policy}{tests}")).unwrap();
    let output = plimsoll(directory.path(), &["policy", "test", "shop.yaml"]);
    assert!(text(&output.stdout).contains("2 of 2 tests hold"), "{output:?}");
    for (address, class) in [("10.1.2.3", "checkout"), ("11.1.2.3", "browse")] {
        let arguments = ["explain", "--policy", "shop.yaml", "--address", address, "GET", "/any"];
        let told = text(&plimsoll(directory.path(), &arguments).stdout);
        assert!(told.contains(&format!("class     {class} ")), "{address}: {told}");
    }
}

#[test]
fn a_route_may_ask_for_cookies_by_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let policy =
        POLICY.replace("routes:\n", "routes:\n  - { cookies: [\"cart_*\", loyalty], class: checkout }\n");
    fs::write(directory.path().join("shop.yaml"), policy).unwrap();
    for (cookies, class) in
        [("loyalty=1; cart_token=x", "checkout"), ("loyalty=1", "browse"), ("cart=1; loyalty=2", "browse")]
    {
        let header = format!("Cookie: {cookies}");
        let arguments = ["explain", "--policy", "shop.yaml", "GET", "/any", "-H", &header];
        let told = text(&plimsoll(directory.path(), &arguments).stdout);
        assert!(told.contains(&format!("class     {class} ")), "{cookies}: {told}");
    }
}
