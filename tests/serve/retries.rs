//! Which requests are asked again, and where: never an order that a shop may have heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::process::{Process, Setup};
use crate::harness::until;
use crate::harness::upstream::{self, answering, response, scripted};

/// A shop that answers the first request on each connection, and resets it when it has read the second.
async fn answering_once(status: &'static str) -> std::net::SocketAddr {
    scripted(move |mut wire| async move {
        wire.message().await.unwrap();
        wire.send(response(status, "", b"ok")).await;
        // The second request on a connection finds it closing.
        let _ = wire.message().await;
        wire.reset();
    })
    .await
}

/// The breaker of the only class takes probes.
async fn until_half_open(proxy: &Process) {
    let breaker = async || proxy.state().await["pools"][0]["classes"][0]["breaker"].clone();
    until("the breaker to be half open", async || breaker().await == "half_open").await;
}

#[tokio::test]
async fn what_a_closing_connection_left_unanswered_is_asked_again_unless_it_was_an_order() {
    let proxy = Process::before(answering_once("200 OK").await).await;
    let mut client = proxy.client().await;
    for _ in 0..4 {
        assert_eq!(client.exchange("GET /", "").await.status(), 200);
    }
    proxy.until_idle().await;
    let order = "POST /checkout HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\npay";
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let mut client = proxy.client().await;
        client.send(order).await;
        statuses.push(client.message().await.unwrap().status());
    }
    // One of both came upon a fresh connection, the other upon the one it left behind.
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502]);
    proxy.until_idle().await;
}

#[tokio::test]
async fn what_a_closing_connection_left_unanswered_is_not_asked_again_where_the_class_has_no_retries() {
    let policy = "version: 1\nclasses: { once: { retries: off }, again: {} }\n\
                  routes: [{ path: /once, class: once }, { class: again }]\n";
    for (target, status, retries) in [("GET /once", 502, 0.0), ("GET /again", 200, 1.0)] {
        let proxy = Setup::before(&[answering_once("200 OK").await]).policy(policy).start().await;
        let mut client = proxy.client().await;
        assert_eq!(client.exchange("GET /again", "").await.status(), 200);
        assert_eq!(client.exchange(target, "").await.status(), status, "{target}");
        assert_eq!(proxy.metric("plimsoll_retries_total").await, retries, "{target}");
        proxy.until_idle().await;
    }
}

#[tokio::test]
async fn a_probe_of_a_breaker_is_not_asked_again_unless_that_is_only_observed() {
    let classes = "classes: { all: { breaker: { min_requests: 1, open_for: 10ms, probes: 1 } } }\n";
    for (mode, status, retries) in [("enforce", 502, 0.0), ("observe", 500, 1.0)] {
        let policy = format!("version: 1\nmode: {mode}\n{classes}");
        let proxy = Setup::before(&[answering_once("500 Oh").await]).policy(&policy).start().await;
        assert_eq!(proxy.ask("GET /", "").await.status(), 500);
        until_half_open(&proxy).await;
        // It comes upon the connection that the first has left behind: any other would be sent once more.
        assert_eq!(proxy.ask("GET /", "").await.status(), status, "{mode}");
        assert_eq!(proxy.metric("plimsoll_retries_total").await, retries, "{mode}");
        proxy.until_idle().await;
    }
}

#[tokio::test]
async fn a_probe_of_a_breaker_goes_elsewhere_where_nobody_has_seen_it() {
    let policy =
        "version: 1\nclasses: { all: { breaker: { min_requests: 1, open_for: 10ms, probes: 1 } } }\n";
    let (_socket, dead) = upstream::refusing();
    let mut retries = 0.0;
    for is_dead_first in [true, false] {
        let has_failed = Arc::new(AtomicBool::new(false));
        let alive = scripted(move |mut wire| {
            let has_failed = Arc::clone(&has_failed);
            async move {
                while wire.message().await.is_ok() {
                    let is_well = has_failed.swap(true, Ordering::Relaxed);
                    wire.send(response(if is_well { "200 OK" } else { "500 Oh" }, "", b"")).await;
                }
            }
        });
        let alive = alive.await;
        let upstreams = if is_dead_first { [dead, alive] } else { [alive, dead] };
        let proxy = Setup::before(&upstreams).policy(policy).start().await;
        assert_eq!(proxy.ask("GET /", "").await.status(), 500);
        until_half_open(&proxy).await;
        let before = proxy.metric("plimsoll_retries_total").await;
        assert_eq!(proxy.ask("GET /", "").await.status(), 200);
        retries += proxy.metric("plimsoll_retries_total").await - before;
        proxy.until_idle().await;
    }
    assert!(retries > 0.0, "one of both probes came upon the dead one first");
}

#[tokio::test]
async fn a_preflight_of_an_order_and_a_body_on_its_way_probe_a_breaker_alone_as_an_order_does() {
    let policy =
        "version: 1\nclasses: { all: { breaker: { min_requests: 1, open_for: 10ms, probes: 2 } } }\n";
    let shop = scripted(|mut wire| async move {
        while wire.message().await.is_ok_and(|request| request.start.starts_with("GET")) {
            wire.send(response("500 Oh", "", b"")).await;
        }
        std::future::pending::<()>().await;
    });
    let shop = shop.await;
    let announced = "Origin: https://shop.test\r\nAccess-Control-Request-Method: POST\r\n";
    let preflight = format!("OPTIONS /pay HTTP/1.1\r\nHost: shop.test\r\n{announced}\r\n");
    // As much as is read before a seat is asked for.
    let begun = "x".repeat((48 << 10) + 1);
    let upload = format!("PUT /pay HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100000\r\n\r\n{begun}");
    for request in [preflight, upload] {
        let proxy = Setup::before(&[shop]).policy(policy).start().await;
        assert_eq!(proxy.ask("GET /", "").await.status(), 500);
        until_half_open(&proxy).await;
        let (mut first, mut second) = (proxy.client().await, proxy.client().await);
        first.send(&request).await;
        proxy.until_pool("inflight", 1).await;
        // Two pages would probe at once.
        second.send(&request).await;
        assert_eq!(second.message().await.unwrap().status(), 503);
    }
}

#[tokio::test]
async fn a_class_without_retries_is_not_tried_at_another_upstream() {
    let ((_one, first), (_other, second)) = (upstream::refusing(), upstream::refusing());
    let policy = "version: 1\nclasses: { once: { retries: off }, again: {} }\n\
                  routes: [{ path: /once, class: once }, { class: again }]\n";
    let proxy = Setup::before(&[first, second]).policy(policy).start().await;
    for (target, failures, retries) in [("GET /once", 1.0, 0.0), ("GET /again", 3.0, 1.0)] {
        assert_eq!(proxy.ask(target, "").await.status(), 502);
        assert_eq!(proxy.metric("plimsoll_connect_failures_total").await, failures);
        assert_eq!(proxy.metric("plimsoll_retries_total").await, retries);
    }
}

#[tokio::test]
async fn of_two_upstreams_one_dead_the_other_answers_everything() {
    let (_socket, dead) = upstream::refusing();
    let alive = answering(response("200 OK", "", b"ok")).await;
    let proxy = Setup::before(&[dead, alive]).start().await;
    let mut client = proxy.client().await;
    for _ in 0..10 {
        assert_eq!(client.exchange("GET /", "").await.status(), 200);
        // Nothing was sent to the dead one, so that even an order may go to the other.
        client.send("POST /checkout HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\npay").await;
        assert_eq!(client.message().await.unwrap().status(), 200);
    }
    let failures = proxy.metric("plimsoll_connect_failures_total").await;
    assert!(failures > 0.0);
    assert_eq!(proxy.metric("plimsoll_retries_total").await, failures, "each was tried at the other one");
    proxy.until_idle().await;
}

#[tokio::test]
async fn an_upstream_that_comes_and_goes_costs_no_answer_while_another_is_well() {
    let alive = answering(response("200 OK", "", b"ok")).await;
    let (flapping, address) = upstream::refusing();
    drop(flapping);
    let proxy = Setup::before(&[address, alive]).start().await;
    for round in 0..6 {
        let listener = (round % 2 == 0).then(|| upstream::answering_at(address));
        let mut client = proxy.client().await;
        for _ in 0..10 {
            let answer = client.exchange("GET /", "").await;
            assert_eq!(answer.status(), 200, "round {round}: {answer:?}");
        }
        drop(listener);
        proxy.until_idle().await;
    }
}
