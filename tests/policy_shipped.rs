//! The shipped policies keep what their tests promise, and the WooCommerce one knows a real shop's requests.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Request;
use plimsoll::access_log::AccessLog;
use plimsoll::classify::head::Head;
use plimsoll::classify::path;
use plimsoll::classify::session::Stage;
use plimsoll::clock::Clock;
use plimsoll::generation::Generation;
use plimsoll::model::Scorer;
use plimsoll::policy::cases::{ClassBy, Expected, PolicyTest};
use plimsoll::policy::compiled::CompiledPolicy;
use plimsoll::policy::{check, check_with_tests};
use plimsoll::trial;

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

#[test]
fn every_shipped_policy_keeps_its_promises_and_tests_all_its_routes() {
    let mut tested = 0;
    for entry in fs::read_dir(policies()).unwrap() {
        let path = entry.unwrap().path();
        // A file of tests is read with its policy.
        let is_policy = |name: &str| name.ends_with(".yaml") && !name.ends_with("_test.yaml");
        if !is_policy(&path.to_string_lossy()) {
            continue;
        }
        let policy = check_with_tests(&path).unwrap_or_else(|errors| panic!("{errors}"));
        let name = path.file_name().unwrap().to_string_lossy();
        let runs_alone = name != "reference.yaml";
        assert!(!runs_alone || policy.warnings.0.is_empty(), "{}", policy.warnings);
        let generation = Generation::new(1, policy, Some(Scorer::embedded().unwrap()));
        let report = trial::run(&generation, &Clock::start());
        assert!(report.failures.is_empty(), "{:#?}", report.failures);
        if report.tests > 0 {
            assert!(report.taken.iter().all(|taken| *taken), "{name}: {:?}", report.taken);
            tested += 1;
        }
    }
    assert!(tested >= 7, "{tested}");
}

/// The shops that an overlay may come over.
const SHOPS: [&str; 5] = ["storefront", "woocommerce", "magento", "shopify-headless", "medusa"];
/// What comes over them for some hours.
const OVERLAYS: [&str; 2] = ["flash-sale", "emergency-checkout-only"];

/// A shop's policy with an overlay over it, as a directory has them.
fn overlaid(shop: &str, overlay: &str) -> Generation {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let put = |from: &str, to: &str| {
        fs::copy(policies().join(format!("{from}.yaml")), directory.path().join(to))
            .expect("a shipped policy can be copied");
    };
    put(shop, "00-shop.yaml");
    put(overlay, "90-overlay.yaml");
    let policy = check(directory.path()).unwrap_or_else(|errors| panic!("{overlay} over {shop}: {errors}"));
    Generation::new(1, policy, Some(Scorer::embedded().expect("the tests load the embedded model")))
}

fn over_every_shop() -> impl Iterator<Item = (&'static str, &'static str)> {
    SHOPS.into_iter().flat_map(|shop| OVERLAYS.map(|overlay| (shop, overlay)))
}

#[test]
fn every_emergency_overlay_can_be_laid_over_every_shop() {
    for (shop, overlay) in over_every_shop() {
        let report = trial::run(&overlaid(shop, overlay), &Clock::start());
        assert!(
            report.tests > 0 && report.failures.is_empty(),
            "{overlay} over {shop}: {:#?}",
            report.failures
        );
    }
}

#[test]
fn an_overlay_takes_no_request_out_of_the_class_that_its_shop_gives_it() {
    for (shop, overlay) in over_every_shop() {
        let own = check(&policies().join(format!("{shop}.yaml"))).unwrap();
        let mut generation = overlaid(shop, overlay);
        let core = generation.policy.core.clone();
        let mut policy = CompiledPolicy::clone(&generation.policy);
        // What is promised of a load is not the shop's to promise under an overlay, nor whom its owner's stage lifts.
        let is_of_class = |test: &&PolicyTest| test.class.is_some() && test.session.stage == Stage::Arrived;
        policy.tests = own
            .tests
            .iter()
            .filter(is_of_class)
            .map(|test| {
                let name = &own.core.class(test.class.unwrap()).name;
                let class = core.class_named(name);
                PolicyTest { class, load: Vec::new(), value: None, decision: None, ..test.clone() }
            })
            .collect();
        let expected = policy.tests.len();
        assert!(expected >= 10, "{shop} has {expected} tests of classes");
        generation.policy = Arc::new(policy);
        let report = trial::run(&generation, &Clock::start());
        assert!(report.failures.is_empty(), "{overlay} over {shop}: {:#?}", report.failures);
    }
}

#[test]
fn in_an_emergency_whoever_only_looks_is_shed_in_every_shop() {
    for shop in SHOPS {
        let mut generation = overlaid(shop, "emergency-checkout-only");
        let mut policy = CompiledPolicy::clone(&generation.policy);
        let class = |name: &str| policy.core.class_named(name).unwrap();
        let load = vec![(class("checkout"), 0.6), (class("cart"), 0.5), (class("browse"), 5.0)];
        let page = match shop {
            "medusa" => "/store/products/shoe",
            "magento" => "/shoe.html",
            "woocommerce" => "/product/shoe",
            _ => "/products/shoe",
        };
        let test = PolicyTest {
            request: Request::get(page).body(()).unwrap(),
            load,
            class: Some(class("browse")),
            class_by: Some(ClassBy::Route),
            decision: Some(Expected::Shed),
            ..policy.tests[0].clone()
        };
        policy.tests = vec![test];
        generation.policy = Arc::new(policy);
        let report = trial::run(&generation, &Clock::start());
        assert!(report.failures.is_empty(), "{shop}: {:#?}", report.failures);
    }
}

#[test]
fn a_real_woocommerce_shop_is_told_apart_as_its_policy_says() {
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/logs/woocommerce-store.log.gz");
    if !log.exists() {
        println!("skipped: no access log of a real shop at hand");
        return;
    }
    let policy = check(&policies().join("woocommerce.yaml")).unwrap_or_else(|errors| panic!("{errors}"));
    let log = AccessLog::read(&log).unwrap();
    let (mut payments, mut routed, mut background) = (0, 0, 0);
    for entry in &log.entries {
        let mut request = Request::builder().method(&entry.method).uri(entry.target.as_str());
        if let Some(agent) = entry.user_agent.as_ref().filter(|agent| agent.is_ascii()) {
            request = request.header("user-agent", agent);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let head = Head::of(&parts);
        let route = policy.routes.find(&head, &path::key(head.path()), None);
        let class = route.map(|route| policy.core.class(route.class).name.as_str());
        let expected = match (head.path(), head.query()) {
            (_, query) if query.contains("wc-api=") => Some("checkout"),
            (_, query) if query.contains("wc-ajax=get_refreshed_fragments") => Some("api"),
            (_, query) if query.contains("wc-ajax=add_to_cart") => Some("cart"),
            (path, _) if path.ends_with("wp-cron.php") || path.ends_with("wp-login.php") => {
                Some("background")
            }
            _ => class,
        };
        assert_eq!(class, expected, "{} {}", entry.method, entry.target);
        payments += usize::from(head.query().contains("wc-api="));
        routed += usize::from(route.is_some());
        background += usize::from(class == Some("background"));
    }
    println!("{routed} of {} requests take a route, {background} of them background work", log.entries.len());
    assert_eq!(payments, 2);
    assert!(background > 20_000 && routed > log.entries.len() / 2);
}
