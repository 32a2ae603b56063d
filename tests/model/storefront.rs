//! What the shipped model makes of requests: a shop's own, and a real shop's log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use flate2::read::GzDecoder;
use http::{HeaderMap, Method, Uri};
use plimsoll::classify::features::{LocalTime, RequestFeatures, SESSION_LEN, write_session};
use plimsoll::classify::head::Head;
use plimsoll::classify::path;
use plimsoll::classify::session::{Entry, SessionView, Stage};
use plimsoll::model::{Counters, Guess, ModelClass, Scorer, Status};

fn features(method: &str, target: &str, headers: &HeaderMap) -> Option<RequestFeatures> {
    let (method, uri) = (method.parse::<Method>().ok()?, target.parse::<Uri>().ok()?);
    let head = Head { method: &method, uri: &uri, headers, client: None };
    Some(RequestFeatures::of(&head, &path::key(uri.path()), None))
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
fn who_calls_itself_a_bot_is_flagged_counted_and_classed_like_anybody() {
    let scorer = Scorer::embedded().unwrap();
    let agents = [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", true),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) HeadlessChrome/138.0 Safari/537.36", true),
        ("Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0", false),
        ("curl/8.5.0", false),
    ];
    for (agent, is_bot) in agents {
        let headers = [(http::header::USER_AGENT, agent.parse().unwrap())].into_iter().collect();
        let cart = features("GET", "/cart", &headers).unwrap();
        assert_eq!(cart.is_bot(), is_bot, "{agent}");
        scorer.watch(&cart);
        assert_eq!(scorer.class(&cart).unwrap().class, ModelClass::Cart, "{agent}");
    }
    assert_eq!(scorer.counters().bots, 2);
}

#[test]
fn an_explanation_tells_whether_the_agent_calls_itself_a_bot() {
    let explained = |agent: &str| {
        let header = format!("User-Agent: {agent}");
        let arguments = ["explain", "--json", "GET", "/cart", "-H", &header];
        let output = Command::new(env!("CARGO_BIN_EXE_plimsoll")).args(arguments).output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (told["bot"].as_bool(), told["class"].as_str().map(str::to_owned))
    };
    let cart = Some("cart".to_owned());
    assert_eq!(explained("Mozilla/5.0 (compatible; bingbot/2.0)"), (Some(true), cart.clone()));
    assert_eq!(explained("Mozilla/5.0 (X11) Firefox/150.0"), (Some(false), cart));
}

#[test]
fn a_session_is_worth_more_the_further_it_is() {
    let scorer = Scorer::embedded().unwrap();
    let value = |stage, carts, checkouts| {
        let (age, idle) = (Duration::from_secs(240), Duration::from_secs(20));
        let known = SessionView { requests: 40, views: 8, age, idle, ..SessionView::default() };
        let session = SessionView { carts, checkouts, stage, ..known };
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

#[test]
fn a_cart_is_a_cart_and_a_checkout_a_checkout_in_many_languages() {
    let scorer = Scorer::embedded().unwrap();
    let carts =
        ["basket", "warenkorb", "panier", "carrito", "carrello", "bolsa", "sepet", "koszyk", "varukorg"];
    let checkouts = ["kasse", "caisse", "cassa", "odeme", "afrekenen", "pokladna"];
    let cases = carts.iter().map(|word| (word, ModelClass::Cart));
    for (word, class) in cases.chain(checkouts.iter().map(|word| (word, ModelClass::Checkout))) {
        for target in [format!("/{word}"), format!("/de/{word}/"), format!("/shop/{word}")] {
            let guess = guess(&scorer, "GET", &target, &HeaderMap::new());
            assert_eq!(guess.class, class, "{target}: {guess:?}");
        }
    }
}

#[test]
fn payment_callbacks_are_checkout_although_they_look_like_bots() {
    let scorer = Scorer::embedded().unwrap();
    let callbacks = [
        ("/?wc-api=WC_Gateway_Paypal", "PayPal IPN ( https://www.paypal.com/ipn )"),
        ("/paypal/ipn", "PayPal IPN ( https://www.paypal.com/ipn )"),
        ("/stripe/webhook", "Stripe/1.0 (+https://stripe.com/docs/webhooks)"),
        ("/webhooks/adyen", "Adyen HttpClient 1.0"),
        ("/api/klarna/callback", "Klarna/1.0 bot"),
        ("/mollie/webhook", ""),
    ];
    for (target, agent) in callbacks {
        let headers = [(http::header::USER_AGENT, agent.parse().unwrap())].into_iter().collect();
        let guess = guess(&scorer, "POST", target, &headers);
        assert_eq!(guess.class, ModelClass::Checkout, "{target}: {guess:?}");
    }
}

#[test]
fn no_beacon_of_a_well_known_tracker_is_shed_after_a_page() {
    let scorer = Scorer::embedded().unwrap();
    let beacons = [
        ("POST", "/g/collect?v=2&tid=G-1&cid=7&en=page_view"),
        ("GET", "/matomo.php?idsite=1&rec=1&action_name=Cart"),
        ("GET", "/tr/?id=7&ev=AddToCart&noscript=1"),
        ("POST", "/cdn-cgi/rum?"),
        ("GET", "/b/ss/shop/1/JS-2.22.0/s7?AQB=1&pageName=checkout"),
        ("POST", "/.well-known/shopify/monorail/unstable/produce_batch"),
        ("POST", "/api/7/envelope/?sentry_key=9f86d081"),
        ("GET", "/pixel.gif?event=purchase&order=7"),
        ("POST", "/track/checkout-step"),
    ];
    // What the shipped policy sheds with pages or before them.
    let allowed = [ModelClass::Analytics, ModelClass::Browse, ModelClass::Search];
    for (method, target) in beacons {
        let guess = guess(&scorer, method, target, &HeaderMap::new());
        assert!(allowed.contains(&guess.class), "{method} {target}: {guess:?}");
    }
}

#[test]
fn how_a_session_began_says_nothing_to_the_shipped_model() {
    let scorer = Scorer::embedded().unwrap();
    let value = |entry, returning, hour| {
        let session = SessionView { requests: 8, views: 1, entry, returning, ..SessionView::default() };
        let mut vector = [0.0; SESSION_LEN];
        write_session(&session, LocalTime { hour, weekday: hour % 7 }, &mut vector);
        scorer.value(&vector).unwrap()
    };
    let plain = value(Entry::Direct, false, 0);
    for (entry, returning, hour) in
        [(Entry::Campaign, false, 0), (Entry::Direct, true, 0), (Entry::Search, true, 20)]
    {
        assert!((value(entry, returning, hour) - plain).abs() < 1e-6, "{entry:?} {returning} {hour}");
    }
}

#[test]
fn the_hand_labels_are_of_every_class_that_the_log_has() {
    let labels = labels();
    assert_eq!(labels.len(), 400);
    let count = |class: &str| labels.values().filter(|label| *label == class).count();
    // The log has no beacons, and six requests of a checkout in all.
    assert_eq!((count("analytics"), count("checkout")), (0, 6));
    assert!(["cart", "account", "search", "browse", "static", "api"].iter().all(|class| count(class) >= 20));
}

/// Hand-made classes by line number; see `models/labels/README.md`.
fn labels() -> BTreeMap<usize, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/labels/woocommerce-store.tsv");
    let text = std::fs::read_to_string(path).unwrap();
    let labelled = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (number, class) = line.split_once('\t').unwrap();
        (number.parse().unwrap(), class.to_owned())
    });
    labelled.collect()
}

#[test]
fn a_real_shops_log_is_classed_as_a_person_does() {
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/logs/woocommerce-store.log.gz");
    let Ok(file) = File::open(&log) else {
        println!("skipped: {} is absent", log.display());
        return;
    };
    let (scorer, labels) = (Scorer::embedded().unwrap(), labels());
    let mut wrong: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let lines = BufReader::new(GzDecoder::new(file)).split(b'\n').map_while(Result::ok);
    let lines = (1..).zip(lines.map(|line| String::from_utf8_lossy(&line).into_owned()));
    for (class, line) in lines.filter_map(|(number, line)| Some((labels.get(&number)?, line))) {
        let guess = guess_of(&scorer, &line);
        if guess.class.name() != class {
            *wrong.entry((class, guess.class.name())).or_default() += 1;
        }
    }
    let total: u32 = wrong.values().sum();
    println!("{total} of {} wrong: {wrong:?}", labels.len());
    assert!(total as usize * 20 <= labels.len(), "over 5 % wrong: {wrong:?}");
    let lost = wrong.keys().find(|(class, guess)| *class == "checkout" && *guess != "cart");
    assert_eq!(lost, None, "a checkout below the cart");
}

/// What the model makes of a line in the combined log format.
fn guess_of(scorer: &Scorer, line: &str) -> Guess {
    let mut fields = line.split('"');
    let mut request = fields.nth(1).unwrap().split(' ');
    let agent = fields.nth(3).filter(|agent| *agent != "-").and_then(|agent| agent.parse().ok());
    let headers = agent.map(|agent| (http::header::USER_AGENT, agent)).into_iter().collect();
    guess(scorer, request.next().unwrap(), request.next().unwrap(), &headers)
}
