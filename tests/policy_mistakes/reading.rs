//! What is told of a file as a whole: all its mistakes at once, why it cannot be read, and of no text a panic.

use std::fs;
use std::path::Path;

use plimsoll::policy::check;
use plimsoll::policy::compile::compile;
use plimsoll::yaml::source::Source;
use proptest::prelude::{ProptestConfig, prop_assert, proptest};

use super::{good_but, mistakes};

#[test]
fn several_mistakes_are_told_at_once_in_the_order_of_the_text() {
    let found = mistakes(
        "version: 1\nmod: enforce\nclasses:\n  checkout: { rank: 0, patience: 800 }\n  cart: { rank: 0 }\n\
         routes:\n  - { path: /a, class: crat }\n",
    );
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "policy.yaml:2:1: mod: unknown key `mod` (did you mean `mode`?)",
            "policy.yaml:4:34: classes.checkout.patience: `800` has no unit (write 800ms or 800s)",
            "policy.yaml:5:17: classes.cart.rank: rank 0 belongs to `checkout` (rank 1 is free)",
            "policy.yaml:7:24: routes[0].class: unknown class `crat` (did you mean `cart`?)",
        ]
    );
}

#[test]
fn every_unknown_class_of_a_schedule_and_of_a_route_is_told() {
    let text = good_but(
        "schedules:
  sale: { zone: UTC, from: 10:00, to: 12:00, classes: { brows: { floor: 1% }, chekout: { floor: 1% } } }
routes: [{ path: /, class: brows, model: { best_class: chekout } }]",
    );
    let found = mistakes(&text);
    let keys: Vec<&str> = found.iter().map(|one| one.key.as_str()).collect();
    let of_schedule = ["schedules.sale.classes.brows", "schedules.sale.classes.chekout"];
    let of_route = ["routes[0].class", "routes[0].model.best_class"];
    assert_eq!(keys, [of_schedule, of_route].concat(), "{found:#?}");
}

#[test]
fn names_are_looked_at_beside_other_mistakes() {
    let text = good_but(
        "schedules:
  sale: { zone: Europe/Berln, from: 10:00, to: 12:00, classes: { chekout: { floor: 1% } } }
tests: [{ request: get /, expect: { class: brows } }]",
    );
    let found = mistakes(&text);
    let keys: Vec<&str> = found.iter().map(|one| one.key.as_str()).collect();
    let of_schedule = ["schedules.sale.zone", "schedules.sale.classes.chekout"];
    let of_test = ["tests[0].request", "tests[0].expect.class"];
    assert_eq!(keys, [of_schedule, of_test].concat(), "{found:#?}");
}

#[test]
fn files_that_cannot_be_read_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let told = |path: &Path| check(path).unwrap_err().to_string();

    assert!(told(&directory.path().join("absent.yaml")).contains("check the path"));
    assert!(told(directory.path()).contains("no policy in this directory"));

    let latin = directory.path().join("latin.yaml");
    fs::write(&latin, b"version: 1\n# caf\xe9\n").unwrap();
    assert!(told(&latin).contains("latin.yaml:2:1: not UTF-8"));

    let huge = directory.path().join("huge.yaml");
    fs::write(&huge, "#".repeat(4 * 1024 * 1024 + 1)).unwrap();
    assert!(told(&huge).contains("too long"));
}

#[cfg(unix)]
#[test]
fn a_file_without_permission_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret.yaml");
    fs::write(&path, "version: 1").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&path).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    assert!(check(&path).unwrap_err().to_string().contains("let the user plimsoll runs as read it"));
}

#[test]
fn deep_nesting_is_refused_not_followed() {
    let text = format!("version: 1\nclasses: {}{}", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(mistakes(&text).len(), 1);
}

#[test]
fn a_policy_that_lost_a_line_is_good_or_says_where_it_is_not() {
    let lines: Vec<&str> = plimsoll::policy::STOREFRONT.lines().collect();
    for lost in 0..lines.len() {
        let text = [&lines[..lost], &lines[lost + 1..]].concat().join("\n");
        for mistake in mistakes(&text) {
            let (line, column) = mistake.position.expect("a mistake in a text has a place");
            assert!((1..=lines.len()).contains(&line) && column >= 1, "without line {}: {mistake}", lost + 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_upsets_the_reader(
        text in "(version|classes|routes|path|class|: |, |[{}\\[\\]]|- |\n|\n  |\t|&a |\\*a|!!x |'|\"|%|1|é|#|---|\\|){0,60}",
    ) {
        let compiled = compile(&Source::of("policy.yaml", &text));
        prop_assert!(compiled.is_ok() || compiled.is_err_and(|errors| !errors.0.is_empty()));
    }
}
