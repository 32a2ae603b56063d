//! What `plimsoll explain` tells of a request under a policy: class, pool, schedule, session, and its fate at a load.

use std::fs;

use super::{POLICY, plimsoll, text};

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
