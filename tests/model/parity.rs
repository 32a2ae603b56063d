//! What a model is trained on is what it is asked: `plimsoll features` against the code that serves.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use http::Request;
use plimsoll::classify::features::{
    LocalTime, REQUEST_LEN, RequestFeatures, SESSION_LEN, request_names, schema_hash, watched_names,
    write_session,
};
use plimsoll::classify::head::Head;
use plimsoll::classify::path;
use plimsoll::classify::session::{Entry, SessionView, Stage};
use plimsoll::model::Scorer;
use serde_json::{Value, json};

/// What the training code would read for these rows.
fn trained_on(rows: &[Value]) -> Vec<f32> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["features", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let (numbers, rest) = output.stdout.as_chunks::<4>();
    assert!(rest.is_empty());
    numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Every field that a feature is read from.
const HEADERS: [(&str, &str); 8] = [
    ("user-agent", "Mozilla/5.0 (X11) Firefox/150.0"),
    ("cookie", "session=1"),
    ("accept", "application/json, text/plain, */*"),
    ("content-type", "application/json; charset=utf-8"),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-mode", "cors"),
    ("sec-purpose", "prefetch;prerender"),
    ("x-requested-with", "XMLHttpRequest"),
];

#[test]
fn training_reads_the_vectors_that_serving_computes() {
    let requests = [
        ("GET", "/", None),
        ("POST", "/De//Warenkorb/../Kasse/?a=b", None),
        ("GET", "/p/%C3%A4pfel-und-birnen-aus-dem-garten.html?utm_source=x", None),
        ("POST", "/graphql", Some("cartLinesAdd")),
        ("POST", "/?wc-ajax=get_refreshed_fragments", None),
        ("DELETE", "/api/v3/carts/0e4f-77/items/12", None),
    ];
    let row = |(method, url, operation): &(&str, &str, Option<&str>)| {
        json!({
            "method": method, "url": url, "operation": operation, "hour": 21, "weekday": 5,
            "headers": BTreeMap::from(HEADERS),
            "session": {"requests": 9, "views": 3, "carts": 1, "age_s": 75, "idle_s": 4, "stage": "cart",
                        "entry": "search", "returning": true},
        })
    };
    let view = SessionView {
        requests: 9,
        views: 3,
        carts: 1,
        age: Duration::from_secs(75),
        idle: Duration::from_secs(4),
        stage: Stage::Cart,
        entry: Entry::Search,
        returning: true,
        ..SessionView::default()
    };
    let mut served = Vec::new();
    for (method, url, operation) in requests {
        let request = Request::builder().method(method).uri(url);
        let request = HEADERS.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let head = Head::of(&parts);
        let (mut bits, mut session) = ([0.0; REQUEST_LEN], [0.0; SESSION_LEN]);
        RequestFeatures::of(&head, &path::key(head.path()), operation).write(&mut bits);
        write_session(&view, LocalTime { hour: 21, weekday: 5 }, &mut session);
        served.extend([bits.as_slice(), &session].concat());
    }
    assert_eq!(trained_on(&requests.iter().map(row).collect::<Vec<_>>()), served);
    for feature in ["accept.json", "content_type.json", "sec_fetch_mode.cors", "has.prefetch", "has.xhr"] {
        let place = request_names().iter().position(|name| name == feature).unwrap();
        assert_eq!(served[place], 1.0, "{feature}");
    }
}

#[test]
fn the_shipped_bundle_tells_how_all_that_is_watched_of_requests_was_distributed() {
    let scorer = Scorer::embedded().unwrap();
    let histograms = &scorer.manifest().histograms;
    for name in watched_names() {
        let bins = histograms.get(&name).map(|histogram| histogram.shares.len());
        let field = name.trim_start_matches("request.");
        let values = request_names().iter().filter(|name| name.starts_with(&format!("{field}."))).count();
        let expected = match field {
            "nouns" => 5,
            flag if flag.starts_with("has.") => 2,
            _ => values,
        };
        assert_eq!(bins, Some(expected), "{name}");
    }
}

#[test]
fn the_golden_vectors_are_of_bots_and_of_others() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/models/storefront/golden.json");
    let golden: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
    let flag = request_names().iter().position(|name| name == "agent.bot").unwrap();
    let is_bot = |vector: &&Value| vector["request"].as_array().unwrap().contains(&json!(flag));
    let bots = golden.iter().filter(is_bot).count();
    assert!((1..golden.len()).contains(&bots), "{bots} of {}", golden.len());
}

#[test]
fn the_shipped_model_was_trained_on_these_features() {
    assert_eq!(Scorer::embedded().unwrap().manifest().schema.hash, schema_hash());
}
