//! Who sends what, told by a plan that is answered by hand.

use super::*;
use http::Method;
use hyper::body::Body;
use std::collections::HashSet;
use std::path::Path;
use std::time::SystemTime;

const SCENARIO: &str = "\
name: small
description: pages with pictures, buyers and bots
origin: { workers: 10, service: { mean: 100ms } }
slo: 1s
patience: 2s
retries: { attempts: 2, backoff: 100ms }
funnels:
  - { name: buyer, begin: 20, think: 10ms, steps: [page, order] }
mix:
  - { name: page, class: browse, paths: [\"/p/{9}\"], weight: 1, loads: [picture, beacon] }
  - { name: order, class: checkout, method: POST, paths: [/checkout], weight: 0 }
  - { name: picture, class: static, paths: [/l.svg], weight: 0 }
  - { name: beacon, class: analytics, method: POST, paths: [/collect], weight: 0 }
  - { name: crawl, class: bots, paths: [/], weight: 1, shopper: bot }
phases:
  - { name: only, duration: 20s, load: 20/s }
";

fn target() -> Target {
    Target::local(([127, 0, 0, 1], 80).into())
}

/// Sends everything, each answered after 10 ms as `judge` says; returns what was sent, and the sessions.
fn play(text: &str, judge: impl Fn(&Shot) -> Verdict) -> (Vec<Shot>, Vec<Survival>) {
    let (sent, survival, _) = played(text, judge);
    (sent, survival)
}

/// The same, and who passed the steps of its funnel.
fn played(text: &str, judge: impl Fn(&Shot) -> Verdict) -> (Vec<Shot>, Vec<Survival>, Vec<Passage>) {
    let scenario = Scenario::parse(Path::new("s.yaml"), text).unwrap();
    let target = target();
    let mut plan = Shoppers::new(&scenario, 1, &target, Arc::default());
    let mut sent: Vec<Shot> = Vec::new();
    while let Some(at) = plan.next_at() {
        let shot = plan.next_shot().unwrap();
        assert_eq!(shot.at, at);
        assert!(sent.last().is_none_or(|last| last.at <= at + Duration::from_millis(10)), "in order of time");
        plan.hear(shot.wish.unwrap(), judge(&shot), at + Duration::from_millis(10));
        sent.push(shot);
    }
    let passages = plan.passages().first().cloned().unwrap_or_default();
    (sent, plan.survival(), passages)
}

#[test]
fn steps_tell_where_sessions_are_lost_and_leave_the_warm_up_out() {
    let orders_fail = |shot: &Shot| match shot.request.uri().path() {
        "/checkout" => Verdict::Unserved,
        _ => Verdict::Good,
    };
    let (_, survival, passages) = played(SCENARIO, orders_fail);
    assert_eq!(passages[1], Passage { served: 0, lost: survival[0].lost });
    assert!(passages[0].lost == 0 && passages[0].served == survival[0].admitted, "{passages:?}");
    let (_, _, passages) = played(&SCENARIO.replace("load: 20/s", "load: 20/s, warm_up: true"), orders_fail);
    assert_eq!(passages, [Passage::default(); 2]);
}

fn count(sent: &[Shot], path: &str) -> usize {
    sent.iter().filter(|shot| shot.request.uri().path().starts_with(path)).count()
}

#[test]
fn page_that_is_there_brings_its_pictures_and_beacons() {
    let (sent, survival) = play(SCENARIO, |_| Verdict::Good);
    let pages = count(&sent, "/p/");
    assert!(pages > 200, "{pages}");
    // Those of the last moment would come after the end.
    assert!(count(&sent, "/l.svg").abs_diff(pages) <= 2 && count(&sent, "/collect").abs_diff(pages) <= 2);
    assert!(survival[0].begun > 10 && survival[0].lost == 0, "{survival:?}");
    assert!(sent.iter().all(|shot| shot.at < Duration::from_secs(20)));
}

#[test]
fn one_who_is_not_served_insists_and_then_leaves() {
    let (sent, survival) = play(SCENARIO, |shot| match shot.request.method() == Method::POST {
        true => Verdict::Refused,
        false => Verdict::Good,
    });
    let Survival { begun, completed, lost, .. } = survival[0];
    assert_eq!(completed, 0);
    assert!(lost > 0 && lost.abs_diff(begun) <= 8, "{survival:?}");
    // Each order thrice, and no beacon again.
    assert!(count(&sent, "/checkout").abs_diff(3 * lost as usize) <= 16);
    assert!(count(&sent, "/collect") <= count(&sent, "/p/"));
}

#[test]
fn browsers_keep_their_cookie_and_bots_do_not() {
    let scenario = Scenario::parse(Path::new("s.yaml"), SCENARIO).unwrap();
    let cookies: Arc<CookieJar> = Arc::default();
    let target = target();
    let mut plan = Shoppers::new(&scenario, 1, &target, Arc::clone(&cookies));
    let answer = HeaderMap::from_iter([(header::SET_COOKIE, HeaderValue::from_static("session=a; Path=/"))]);
    let (mut with, mut without) = (0, 0);
    while let Some(shot) = plan.next_shot() {
        let agent = shot.request.headers()[header::USER_AGENT].to_str().unwrap();
        assert_eq!(agent.contains("bot/"), shot.shopper.is_none(), "{agent}");
        let has_cookie = shot.request.headers().contains_key(header::COOKIE);
        assert!(shot.shopper.is_some() || !has_cookie);
        (with, without) = if has_cookie { (with + 1, without) } else { (with, without + 1) };
        cookies.keep(shot.shopper, &answer, SystemTime::UNIX_EPOCH);
        plan.hear(shot.wish.unwrap(), Verdict::Good, shot.at);
    }
    assert!(with > 100 && without > 100, "{with} {without}");
}

#[test]
fn seed_decides_the_plan() {
    let target = target();
    let sent = |seed| {
        let scenario = Scenario::parse(Path::new("s.yaml"), SCENARIO).unwrap();
        let mut plan = Shoppers::new(&scenario, seed, &target, Arc::default());
        let shots = std::iter::from_fn(|| plan.next_shot());
        shots.map(|shot| (shot.at, shot.request.uri().clone())).collect::<Vec<_>>()
    };
    assert_eq!(sent(1), sent(1));
    assert_ne!(sent(1), sent(2));
}

#[test]
fn transfers_have_the_length_and_the_time_that_the_scenario_gives_them() {
    let order = "paths: [/checkout], body: card, upload: 2s, upload_bytes: 1000, download_bytes: 500,";
    let text = SCENARIO.replace("paths: [/checkout],", order);
    let (sent, _) = play(&text, |_| Verdict::Good);
    for shot in &sent {
        let length = shot.request.body().size_hint().exact();
        let (up, down) = (shot.line.up, shot.line.down);
        match shot.request.uri().path() {
            "/checkout" => assert_eq!((length, up, down), (Some(1_000), Some(500.0), None)),
            _ => assert_eq!((length, up, down), (Some(0), None, None)),
        }
    }
    assert!(count(&sent, "/checkout") > 10);
}

#[test]
fn every_client_has_an_address_of_its_own_where_the_target_is_told() {
    let scenario = Scenario::parse(Path::new("s.yaml"), SCENARIO).unwrap();
    let address = |shot: &Shot| shot.request.headers().get("x-forwarded-for").cloned();
    let named = target();
    let mut plan = Shoppers::new(&scenario, 1, &named, Arc::default());
    let (mut clients, mut addresses) = (HashSet::new(), HashSet::new());
    while let Some(shot) = plan.next_shot() {
        clients.insert(shot.wish.unwrap().shopper);
        addresses.insert(address(&shot).unwrap());
    }
    assert!(clients.len() > 100 && clients.len() == addresses.len(), "{} {}", clients.len(), addresses.len());

    let mut silent = target();
    silent.names_clients = false;
    let mut plan = Shoppers::new(&scenario, 1, &silent, Arc::default());
    assert_eq!(address(&plan.next_shot().unwrap()), None);

    let own = SCENARIO.replace("weight: 1", "weight: 1, headers: { X-Forwarded-For: 192.0.2.7 }");
    let scenario = Scenario::parse(Path::new("s.yaml"), &own).unwrap();
    let mut plan = Shoppers::new(&scenario, 1, &named, Arc::default());
    let shot =
        std::iter::from_fn(|| plan.next_shot()).find(|shot| shot.request.uri().path().starts_with("/p/"));
    assert_eq!(address(&shot.unwrap()).unwrap(), "192.0.2.7");
}
