//! Policies as files on a command line. Here: their own tests; what else is told of them has a file each.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod diff;
mod explanations;
mod includes;
mod layout;
mod model;

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
