//! A policy of several files: what is laid over what, how mistakes in the way are told, and which commands follow.

use std::fs;
use std::path::Path;

use plimsoll::policy::check;
use plimsoll::policy::settings::BundleSource;
use plimsoll::yaml::diagnostic::Diagnostic;
use tempfile::TempDir;

use super::{plimsoll, text};

const BASE: &str = "version: 1
classes:
  checkout: { rank: 0, floor: 20% }
  browse: { rank: 5, patience: 2s }
routes:
  - { path: /pay, class: checkout }
";

/// A directory with these files.
fn files(of: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in of {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

/// The lines of the routes, in the order in which they are tried.
fn routes(path: &Path) -> Vec<String> {
    let policy = check(path).unwrap_or_else(|errors| panic!("{errors}"));
    let routes = policy.routes.routes().iter();
    routes.map(|route| route.defined_at.rsplit('/').next().unwrap().to_owned()).collect()
}

/// The one mistake of the policy at `path`.
fn mistake(path: &Path) -> Diagnostic {
    let found = check(path).unwrap_err().0;
    let [only] = found.as_slice() else { panic!("{found:#?}") };
    only.clone()
}

#[test]
fn a_site_lies_over_its_base_and_an_emergency_over_the_site() {
    let directory = files(&[
        ("base/shop.yaml", BASE),
        (
            "site.yaml",
            "include: base/shop.yaml\nclasses: { browse: { patience: 3s } }\nroutes: [{ path: /s, class: browse }]\n",
        ),
        (
            "emergency.yaml",
            "include: [site.yaml]\nmode: observe\nclasses: { checkout: { floor: 70% } }\nroutes: [{ path: /e, class: checkout }]\n",
        ),
    ]);
    let path = directory.path().join("emergency.yaml");
    let policy = check(&path).unwrap_or_else(|errors| panic!("{errors}"));
    let class = |name| policy.core.class(policy.core.class_named(name).unwrap());
    assert_eq!(class("checkout").floor.millionths(), 700_000);
    assert_eq!(class("browse").patience.as_secs(), 3);
    assert_eq!(policy.core.mode(), plimsoll_core::policy::Mode::Observe);
    assert_eq!(routes(&path), ["emergency.yaml:4", "site.yaml:3", "shop.yaml:6"]);
}

#[test]
fn a_key_left_alone_in_an_overlay_leaves_what_is_below_it() {
    let base = format!(
        "{BASE}tests: [{{ request: GET /pay, expect: {{ class: checkout }} }}]\nrollback: {{ window: 10s }}\n"
    );
    let over = "include: base.yaml\nroutes:\n#  - { path: /s, class: browse }\nclasses:\n  browse:\n  checkout: { floor: }\n\
                tests:\nrollback:\n";
    let directory = files(&[
        ("base.yaml", &base),
        ("over.yaml", over),
        ("empty.yaml", "include: base.yaml\ntests: []\nrollback: {}\n"),
        ("off.yaml", "include: base.yaml\nrollback: off\n"),
        ("still-off.yaml", "include: off.yaml\nrollback:\n"),
    ]);
    let at = |name: &str| directory.path().join(name);
    let read = |name: &str| check(&at(name)).unwrap_or_else(|errors| panic!("{errors}"));
    let policy = read("over.yaml");
    let class = |name| policy.core.class(policy.core.class_named(name).unwrap());
    assert_eq!((class("browse").patience.as_secs(), class("browse").rank), (2, 5));
    assert_eq!(class("checkout").floor.millionths(), 200_000);
    assert_eq!(routes(&at("over.yaml")), ["base.yaml:6"]);
    assert_eq!((policy.tests.len(), policy.rollback.window.as_secs()), (1, 10));
    // A single value that was forgotten is told: it may be the one that was to change.
    let told = policy.warnings.to_string();
    assert!(told.contains("over.yaml:6:15: floor: no value, so `20%` below it stays"), "{told}");
    assert!(told.contains("base.yaml:3)") && !told.contains("browse:"), "{told}");
    let emptied = read("empty.yaml");
    assert_eq!(
        (emptied.tests.len(), emptied.rollback.window.as_secs()),
        (0, 10),
        "`{{}}` merges, `[]` replaces"
    );
    assert!(!read("still-off.yaml").rollback.automatic, "nothing is not `on`");
}

#[test]
fn a_bundle_is_found_from_where_the_file_lies_that_names_it() {
    let base = |bundle: &str| format!("{BASE}model: {{ bundle: {bundle} }}\n");
    let directory = files(&[
        ("base/shop.yaml", &base("models/shop")),
        ("base/absolute.yaml", &base("/srv/models/shop")),
        ("site.yaml", "include: base/shop.yaml\n"),
        ("absolute.yaml", "include: base/absolute.yaml\n"),
        ("own.yaml", "include: base/shop.yaml\nmodel: { bundle: ../shop }\n"),
        ("none.yaml", "include: base/shop.yaml\nmodel: { bundle: embedded }\n"),
    ]);
    let bundle = |name: &str| {
        let policy = check(&directory.path().join(name)).unwrap_or_else(|errors| panic!("{errors}"));
        policy.model.bundle
    };
    let at = |path: &str| BundleSource::Directory(directory.path().join(path));
    assert_eq!(bundle("site.yaml"), at("base/models/shop"));
    assert_eq!(bundle("own.yaml"), at("../shop"));
    assert_eq!(bundle("absolute.yaml"), at("/srv/models/shop"));
    assert_eq!(bundle("none.yaml"), BundleSource::Embedded);
}

#[test]
fn what_several_files_include_is_laid_once_and_below_them() {
    let over = |path: &str| format!("include: base.yaml\nroutes: [{{ path: {path}, class: browse }}]\n");
    let directory =
        files(&[("10-one.yaml", &over("/one")), ("20-two.yaml", &over("/two")), ("base.yaml", BASE)]);
    assert_eq!(routes(directory.path()), ["20-two.yaml:2", "10-one.yaml:2", "base.yaml:6"]);
}

#[test]
fn what_cannot_be_included_is_told_where_it_is_named() {
    let directory = files(&[
        ("absent.yaml", &format!("{BASE}include:\n  - base.yaml\n  - no/such.yaml\n")),
        ("base.yaml", BASE),
        ("directory.yaml", "include: .\n"),
        ("mapping.yaml", "include: { file: base.yaml }\n"),
        ("shop_test.yaml", "tests: []\n"),
        ("tests.yaml", "include: shop_test.yaml\n"),
    ]);
    for (file, place, key, says) in [
        ("absent.yaml", (9, 5), "include[1]", "no/such.yaml: cannot be read"),
        ("directory.yaml", (1, 10), "include", "cannot be read"),
        ("mapping.yaml", (1, 1), "include", "expected a list"),
        ("tests.yaml", (1, 10), "include", "a file of tests is not included"),
    ] {
        let path = directory.path().join(file);
        let told = mistake(&path);
        assert_eq!((told.position, told.key.as_str()), (Some(place), key), "{told}");
        assert_eq!(told.file, path.display().to_string());
        assert!(told.message.contains(says) && told.hint.is_some(), "{told}");
        assert!(told.line_text.is_some(), "{told:?}");
    }
}

#[test]
fn a_file_that_is_missing_hides_no_mistake_of_the_others() {
    // What a base may have is not missed, and names that it may have are not unknown.
    let site = "include: no/such.yaml
mod: observe
classes: { cart: { patience: 800, rank: 0 } }
routes: [{ path: cart, class: checkout }]
";
    let directory = files(&[("site.yaml", site)]);
    let told = check(&directory.path().join("site.yaml")).unwrap_err();
    let keys: Vec<&str> = told.0.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["include", "mod", "classes.cart.patience", "routes[0].path"], "{told}");
}

#[test]
fn a_circle_is_told_where_it_closes() {
    let directory = files(&[
        ("a.yaml", &format!("include: b.yaml\n{BASE}")),
        ("b.yaml", "mode: observe\ninclude:\n  - c.yaml\n"),
        ("c.yaml", "include: [b.yaml]\n"),
        ("self.yaml", "include: ./self.yaml\n"),
    ]);
    let told = mistake(&directory.path().join("a.yaml"));
    assert!(told.file.ends_with("/c.yaml") && told.position == Some((1, 11)), "{told}");
    assert!(told.message.contains("includes itself: b.yaml -> c.yaml -> b.yaml"), "{told}");
    let told = mistake(&directory.path().join("self.yaml"));
    assert!(told.message.contains("includes itself: self.yaml -> self.yaml"), "{told}");
}

#[test]
fn sixty_four_files_are_a_policy_and_one_more_is_not() {
    let chain = |last: usize| {
        let directory = files(&[("0.yaml", BASE)]);
        for number in 1..=last {
            let text = format!("include: {}.yaml\n", number - 1);
            fs::write(directory.path().join(format!("{number}.yaml")), text).unwrap();
        }
        let path = directory.path().join(format!("{last}.yaml"));
        check(&path).map_err(|errors| (errors.to_string(), directory))
    };
    assert!(chain(63).is_ok());
    let (told, _directory) = chain(64).unwrap_err();
    assert!(told.contains("/1.yaml:1:10: include: ") && told.contains("at most 64"), "{told}");
}

#[test]
fn a_mistake_in_an_included_file_stands_under_its_name() {
    let directory = files(&[
        ("base.yaml", &BASE.replace("2s", "2 weeks")),
        ("site.yaml", "include: base.yaml\nmode: observ\n"),
    ]);
    let output = plimsoll(directory.path(), &["check", "site.yaml"]);
    let told = text(&output.stderr);
    assert!(told.contains("base.yaml:4:32") && told.contains("site.yaml:2:7"), "{told}");
}

#[test]
fn every_command_follows_what_a_policy_includes() {
    let directory = files(&[
        ("base.yaml", BASE),
        (
            "site.yaml",
            "include:   base.yaml\ntests: [{ request: GET /pay, expect: { class: checkout, class_by: route } }]\n",
        ),
        ("site_test.yaml", "tests: [{ request: GET /pay, expect: { class: browse } }]\n"),
        ("access.log", "c - - [30/Apr/2017:04:00:00 +0000] \"GET /pay HTTP/1.1\" 200 1\n"),
        ("other.yaml", "include: base.yaml\nroutes: [{ path: /pay, class: browse }]\n"),
    ]);
    let run = |arguments: &[&str]| plimsoll(directory.path(), arguments);
    assert!(run(&["check", "site.yaml"]).status.success());
    let tested = run(&["policy", "test", "site.yaml"]);
    assert!(text(&tested.stderr).contains("expected class `browse`, got `checkout` (by route, base.yaml:6)"));
    assert!(text(&tested.stdout).contains("1 of 2 tests hold, 1 of 1 routes are tested"), "{tested:?}");
    let diff = run(&["policy", "diff", "site.yaml", "other.yaml", "--replay", "access.log"]);
    assert!(text(&diff.stdout).contains("base.yaml:6 -> other.yaml:2"), "{diff:?}");
    let explained = run(&["explain", "--policy", "site.yaml", "GET", "/pay"]);
    assert!(text(&explained.stdout).contains("route     base.yaml:6"), "{explained:?}");
    fs::write(directory.path().join("base.yaml"), BASE.replace("/pay,", "/pay  ,")).unwrap();
    let formatted = run(&["policy", "fmt", "site.yaml"]);
    assert_eq!(text(&formatted.stdout), "base.yaml\nsite.yaml\n", "{formatted:?}");
    assert!(run(&["policy", "fmt", "--check", "site.yaml"]).status.success());
    assert!(text(&fs::read(directory.path().join("base.yaml")).unwrap()).contains("{ path: /pay, class"));
}
