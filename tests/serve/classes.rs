//! The class that a request is told it is of, from the socket to the decision header.

use crate::harness::process::Setup;
use crate::harness::upstream::{answering, echo, response};
use crate::harness::wire::Message;

/// The built-in policy, with the decision told.
fn storefront() -> String {
    let policy = include_str!("../../policies/storefront.yaml");
    assert!(policy.contains("decision: off"));
    policy.replace("decision: off", "decision: on")
}

fn decision(answer: &Message) -> String {
    answer.header("x-plimsoll-decision").unwrap_or_else(|| panic!("nothing told: {answer:?}"))
}

fn post(target: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: shop.test\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn a_post_is_classified_by_path_query_and_operation() {
    let proxy = Setup::before(&[echo().await]).policy(&storefront()).start().await;
    let form = "application/x-www-form-urlencoded";
    let json = "application/json";
    let place_order =
        r#"{"query":"mutation placeOrder { placeOrder { order { id } } }","operationName":"placeOrder"}"#;
    let add_to_cart = r#"{"operationName":"addToCart","query":"mutation addToCart { id }"}"#;
    let requests = [
        (post("/?wc-ajax=checkout", form, "billing_first_name=A"), "checkout"),
        (post("/%63heckout//pay", form, "a=b"), "checkout"),
        (post("/graphql", json, place_order), "checkout"),
        (post("/graphql", json, add_to_cart), "cart"),
    ];
    for (request, class) in requests {
        let mut client = proxy.client().await;
        client.send(&request).await;
        let answer = client.message().await.unwrap();
        let told = decision(&answer);
        assert!(told.starts_with(&format!("{class}; by=route; admit; ")), "{request}: {told}");
        // What was peeked at is passed on all the same, and the path as it was sent.
        let (start, body) = (request.lines().next().unwrap(), request.lines().last().unwrap());
        assert!(answer.text().starts_with(start) && answer.text().ends_with(body), "{}", answer.text());
    }
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_session_in_checkout_is_carried_with_its_pages() {
    // A cookie counts once the shop has set it; before, its client is known by his address.
    let shop = answering(response("200 OK", "Set-Cookie: PHPSESSID=shopper; Path=/\r\n", b""));
    let proxy = Setup::before(&[shop.await]).policy(&storefront()).start().await;
    let visits = [
        ("/product/shoes", "shopper", "browse"),
        ("/checkout/", "shopper", "checkout"),
        ("/product/shoes", "shopper", "account"),
        ("/product/shoes", "other", "browse"),
    ];
    for (path, session, class) in visits {
        let answer = proxy.ask(&format!("GET {path}"), &format!("Cookie: PHPSESSID={session}\r\n")).await;
        let told = decision(&answer);
        assert!(told.starts_with(&format!("{class}; ")), "{path} of {session}: {told}");
    }
    proxy.until_idle().await;
}

#[tokio::test]
async fn what_no_route_takes_is_the_models() {
    let policy = include_str!("../../policies/model-only.yaml").to_owned() + "\nheaders: { decision: on }\n";
    let proxy = Setup::before(&[echo().await]).policy(&policy).start().await;
    for (target, class) in
        [("POST /checkout/pay", "checkout"), ("GET /collect?tid=UA-1&v=1&t=pageview", "analytics")]
    {
        let told = decision(&proxy.ask(target, "Content-Length: 0\r\n").await);
        assert!(told.starts_with(&format!("{class}; by=model; ")), "{target}: {told}");
    }
    assert!(proxy.metric("plimsoll_model_runs").await >= 2.0);
    assert_eq!(proxy.metric("plimsoll_model_seconds_count").await, proxy.metric("plimsoll_model_runs").await);
    assert!(proxy.metric("plimsoll_model_seconds_sum").await > 0.0);
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_checkout_that_the_shop_refused_lifts_nobody() {
    for (status, class) in [("404 Not Found", "browse"), ("200 OK", "account")] {
        let shop = answering(response(status, "", b"answer")).await;
        let proxy = Setup::before(&[shop]).policy(&storefront()).start().await;
        let mut client = proxy.client().await;
        client.send(post("/checkout", "text/plain", "order")).await;
        client.message().await.unwrap();
        let told = decision(&client.exchange("GET /", "").await);
        assert!(told.starts_with(&format!("{class}; ")), "after {status}: {told}");
    }
}
