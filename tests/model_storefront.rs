//! What the shipped model makes of requests: a shop's own, and a real shop's log.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use flate2::read::GzDecoder;
use http::{HeaderMap, Method, Uri};
use plimsoll::classify::features::{LocalTime, RequestFeatures, SESSION_LEN, write_session};
use plimsoll::classify::head::Head;
use plimsoll::classify::session::{SessionView, Stage};
use plimsoll::model::{Counters, Guess, ModelClass, Scorer, Status};

fn features(method: &str, target: &str, headers: &HeaderMap) -> Option<RequestFeatures> {
    let (method, uri) = (method.parse::<Method>().ok()?, target.parse::<Uri>().ok()?);
    let head = Head { method: &method, uri: &uri, headers };
    Some(RequestFeatures::of(&head, &uri.path().to_ascii_lowercase(), None))
}

fn guess(scorer: &Scorer, method: &str, target: &str, headers: &HeaderMap) -> Guess {
    scorer.class(&features(method, target, headers).unwrap()).unwrap()
}

fn browser(accept: &str, destination: &str, mode: &str) -> HeaderMap {
    let fields = [
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0"),
        ("cookie", "session=1"),
        ("accept", accept),
        ("sec-fetch-dest", destination),
        ("sec-fetch-mode", mode),
    ];
    fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[test]
fn a_plain_shop_is_classed_right_without_any_route() {
    use ModelClass::{Account, Analytics, Browse, Cart, Checkout, Search, Static};
    let shop = [
        ("GET", "/", Browse),
        ("GET", "/category/shoes", Browse),
        ("GET", "/product/17", Browse),
        ("GET", "/search?q=red", Search),
        ("GET", "/cart", Cart),
        ("POST", "/cart/add", Cart),
        ("GET", "/checkout", Checkout),
        ("POST", "/checkout", Checkout),
        ("POST", "/collect", Analytics),
        ("GET", "/account", Account),
        ("GET", "/static/app.js", Static),
    ];
    let scorer = Scorer::embedded().unwrap();
    let clients = [
        HeaderMap::new(),
        browser("text/html,*/*;q=0.8", "document", "navigate"),
        browser("*/*", "empty", "cors"),
    ];
    for (method, target, class) in shop {
        for headers in &clients {
            let guess = guess(&scorer, method, target, headers);
            assert_eq!(guess.class, class, "{method} {target} {headers:?}: {guess:?}");
            assert!(guess.confidence > 0.5, "{method} {target} {headers:?}: {guess:?}");
        }
    }
}

#[test]
fn a_scored_template_is_recalled_without_a_run() {
    let scorer = Scorer::embedded().unwrap();
    let (one, other) = (
        features("GET", "/product/17", &HeaderMap::new()),
        features("GET", "/product/18", &HeaderMap::new()),
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(scorer.recall(&one), None);
    let guess = scorer.class(&one);
    assert!(guess.is_some());
    assert_eq!(scorer.recall(&other), guess);
    assert_eq!(scorer.counters(), Counters { recalled: 1, runs: 1, ..Counters::default() });
}

#[test]
fn a_session_is_worth_more_the_further_it_is() {
    let scorer = Scorer::embedded().unwrap();
    let value = |stage, carts, checkouts| {
        let session =
            SessionView { requests: 40, views: 8, carts, checkouts, stage, ..SessionView::default() };
        let mut vector = [0.0; SESSION_LEN];
        write_session(&session, LocalTime { hour: 20, weekday: 2 }, &mut vector);
        scorer.value(&vector).unwrap()
    };
    let values = [value(Stage::Browsing, 0, 0), value(Stage::Cart, 1, 0), value(Stage::Checkout, 1, 1)];
    assert!(values.is_sorted_by(|less, more| less + 0.05 < *more), "{values:?}");
}

#[test]
fn numbers_that_are_not_finite_get_no_value() {
    let scorer = Scorer::embedded().unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut vector = [0.0; SESSION_LEN];
        vector[3] = bad;
        assert_eq!(scorer.value(&vector), None);
    }
    assert_eq!(scorer.counters().failures, 3);
    let mut vector = [0.0; SESSION_LEN];
    vector[3] = f32::MAX;
    assert!(scorer.value(&vector).is_none_or(|value| (0.0..=1.0).contains(&value)));
}

#[test]
fn a_model_over_its_budget_eight_times_in_a_row_answers_no_more() {
    let scorer = Scorer::embedded().unwrap();
    let cart = features("GET", "/cart", &HeaderMap::new()).unwrap();
    assert!(scorer.class(&cart).is_some());
    let told = (0..8).filter(|_| scorer.observe(Duration::from_secs(1), Duration::from_millis(2))).count();
    assert_eq!((told, scorer.status()), (1, Status::Disabled));
    assert_eq!(scorer.recall(&cart), None);
    assert_eq!(scorer.class(&cart), None);
    assert_eq!(scorer.value(&[0.0; SESSION_LEN]), None);
}

/// What can be told for sure of a line of that shop's log.
fn sure_class(method: &str, target: &str) -> Option<ModelClass> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let has_extension = [".js", ".css", ".png", ".jpg", ".gif", ".woff", ".woff2", ".ico", ".svg", ".ttf"];
    if has_extension.iter().any(|extension| path.ends_with(extension)) {
        return Some(ModelClass::Static);
    }
    if path.starts_with("/wp-login.php") || path.starts_with("/my-account") {
        return Some(ModelClass::Account);
    }
    if path.starts_with("/xmlrpc.php") || path.starts_with("/wp-cron.php") || path.starts_with("/wp-json") {
        return Some(ModelClass::Api);
    }
    if query.contains("wc-ajax=checkout") || path.trim_end_matches('/') == "/checkout" {
        return Some(ModelClass::Checkout);
    }
    if query.contains("cart") || query.contains("get_refreshed_fragments") || path == "/cart/" {
        return Some(ModelClass::Cart);
    }
    let page = method == "GET" && query.is_empty() && path.ends_with('/') && !path.starts_with("/wp-");
    page.then_some(ModelClass::Browse)
}

#[test]
fn a_real_shops_log_is_classed_mostly_right() {
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/logs/woocommerce-store.log.gz");
    let Ok(file) = File::open(&log) else {
        println!("skipped: {} is absent", log.display());
        return;
    };
    let scorer = Scorer::embedded().unwrap();
    let mut counts: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    let mut guessed: BTreeMap<&str, u32> = BTreeMap::new();
    for line in BufReader::new(GzDecoder::new(file)).lines().map_while(Result::ok) {
        let mut request = line.split('"').nth(1).unwrap_or("").split(' ');
        let (Some(method), Some(target)) = (request.next(), request.next()) else { continue };
        let agent = line.split('"').nth(5).and_then(|agent| agent.parse().ok());
        let headers = agent.map(|agent| (http::header::USER_AGENT, agent)).into_iter().collect();
        let Some(features) = features(method, target, &headers) else { continue };
        let guess = scorer.recall(&features).or_else(|| scorer.class(&features)).unwrap();
        *guessed.entry(guess.class.name()).or_default() += 1;
        if let Some(sure) = sure_class(method, target) {
            let (right, all) = counts.entry(sure.name()).or_default();
            *right += u32::from(guess.class == sure);
            *all += 1;
        }
    }
    let (right, all) = counts.values().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    println!("right of sure lines, by class: {counts:?}\nguesses: {guessed:?}\n{:?}", scorer.counters());
    assert!(all > 10_000 && right * 10 > all * 9, "{right} of {all}");
}
