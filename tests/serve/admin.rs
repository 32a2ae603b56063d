//! The admin API against its own document, and who may ask it.

use std::fs;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::process::{Process, Setup, complaint, plimsoll};
use crate::harness::upstream::{Stalled, echo};
use crate::harness::wire::Wire;
use crate::harness::{bounded, until};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What is wrong with `value` by `schema`: types, required and unknown keys, choices. As much of JSON
/// Schema as the document uses, and a keyword it does not know is a mistake.
fn objections(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (keyword, said) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "$ref" => {
                let name = said.as_str().unwrap().strip_prefix("#").unwrap();
                found.extend(objections(document, document.pointer(name).unwrap(), value, at));
            }
            "type" if !types(said).iter().any(|name| is_of(name, value)) => {
                found.push(format!("{at}: {value} is no {said}"));
            }
            "enum" if !said.as_array().unwrap().contains(value) => found.push(format!("{at}: {value}?")),
            "minimum" if value.is_number() && value.as_f64() < said.as_f64() => {
                found.push(format!("{at}: {value} is too low"))
            }
            "required" if value.is_object() => {
                let missing =
                    said.as_array().unwrap().iter().filter(|key| value.get(key.as_str().unwrap()).is_none());
                found.extend(missing.map(|key| format!("{at}: {key} is missing")));
            }
            "items" => {
                let items = value.as_array().into_iter().flatten();
                found.extend(items.flat_map(|item| objections(document, said, item, &format!("{at}[]"))));
            }
            "properties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    let at = format!("{at}.{key}");
                    match (said.get(key), schema.get("additionalProperties")) {
                        (Some(schema), _) => found.extend(objections(document, schema, value, &at)),
                        (None, Some(Value::Bool(false))) => found.push(format!("{at} is not documented")),
                        (None, _) => {}
                    }
                }
            }
            "type" | "enum" | "minimum" | "required" | "additionalProperties" | "description" => {}
            unknown => panic!("the schema at {at} says `{unknown}`"),
        }
    }
    found
}

fn types(said: &Value) -> Vec<&str> {
    match said {
        Value::String(name) => vec![name],
        _ => said.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect(),
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        _ => panic!("no type: {name}"),
    }
}

#[tokio::test]
async fn every_path_of_the_document_answers_as_it_says() {
    let shop = Stalled::new().await;
    let policy = "version: 1\nclasses: { analytics: { queue: { max_wait: 0ms } } }\n";
    let proxy = Setup::before(&[shop.address]).policy(policy).start().await;
    let clients = proxy.fill().await;
    // So that there is a refusal to show.
    assert_eq!(proxy.ask("GET /orders/4711?secret=1", "").await.status(), 503);
    let document: Value = serde_json::from_slice(&proxy.admin("GET /v1/openapi.json").await.body).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let mut asked = 0;
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let content = &operation["requestBody"]["content"]["application/json"];
            let body = if content.is_null() { String::new() } else { content["example"].to_string() };
            let target = format!("{} {path}", method.to_uppercase());
            let answer = proxy.order(&target, "", &body).await;
            let status = answer.status().to_string();
            let documented = &operation["responses"][&status];
            assert!(documented.is_object(), "{target} answered {status}: {}", answer.text());
            let is_ended = path == "/v1/rollback" || path.starts_with("/v1/canary/");
            assert!(answer.status() == 200 || is_ended, "{target}: {}", answer.text());
            if let Some(schema) = documented.pointer("/content/application~1json/schema") {
                let value: Value = serde_json::from_slice(&answer.body).unwrap();
                let found = objections(&document, schema, &value, &target);
                assert!(found.is_empty(), "{found:#?}");
            }
            asked += 1;
        }
    }
    assert!(asked >= 22, "{asked} operations");
    let refusals: Value = serde_json::from_slice(&proxy.admin("GET /v1/refusals").await.body).unwrap();
    assert_eq!(refusals["refusals"][0]["path"], "/orders/*", "{refusals}");
    assert!(!refusals.to_string().contains("secret"));
    drop(clients);
}

#[tokio::test]
async fn an_order_that_is_none_changes_nothing_and_says_why() {
    let proxy = Setup::before(&[echo().await]).policy("version: 1\nclasses: { shop: {} }\n").start().await;
    for (target, body, status) in [
        ("PUT /v1/breakers", r#"{"class":"shop"}"#, 400),
        ("PUT /v1/breakers", r#"{"class":"shop","state":"ajar"}"#, 400),
        ("PUT /v1/breakers", r#"{"class":"none","state":"open"}"#, 422),
        ("PUT /v1/breakers", r#"{"pool":"none","class":"shop","state":"open"}"#, 422),
        ("PUT /v1/mode", r#"{"mode":"observe","for":"1h"}"#, 400),
        ("PUT /v1/log", r#"{"level":"loud"}"#, 422),
        ("POST /v1/rollback?to=7", "", 422),
        ("POST /v1/rollback", "", 409),
        ("POST /v1/explain", r#"{"method":"G T","url":"/"}"#, 422),
        ("POST /v1/explain", r#"{"method":"GET","url":"/","loads":[100]}"#, 422),
        ("POST /v1/explain", r#"{"method":"GET","url":"/","session":"basket"}"#, 422),
        ("POST /v1/explain", r#"{"method":"GET","url":"/","session":"cart,requests=many"}"#, 422),
        ("POST /v1/state", "", 405),
        ("GET /v1/nothing", "", 404),
    ] {
        let answer = proxy.order(target, "", body).await;
        assert_eq!(answer.status(), status, "{target} {body}: {}", answer.text());
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(told["error"].as_str().is_some_and(|error| !error.is_empty()), "{told}");
    }
    let answer = proxy.order("POST /v1/rollback?to=last", "", "").await;
    assert_eq!(answer.status(), 422);
    assert!(answer.text().contains("`last` is no generation"), "{}", answer.text());
    assert_eq!(proxy.order("PUT /v1/mode", "", &" ".repeat(70_000)).await.status(), 413);
    assert_eq!(proxy.state().await["generation"], 1);
}

#[tokio::test]
async fn orders_are_carried_out() {
    let proxy = Setup::before(&[echo().await]).policy("version: 1\nclasses: { shop: {} }\n").start().await;
    let order = async |target: &str, body: Value| -> Value {
        let answer = proxy.order(target, "", &body.to_string()).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    };
    let status = async || proxy.ask("GET /", "").await.status();
    order("PUT /v1/breakers", json!({ "class": "shop", "state": "open" })).await;
    assert_eq!(status().await, 503);
    order("PUT /v1/mode", json!({ "mode": "observe" })).await;
    assert_eq!(status().await, 200);
    order("PUT /v1/mode", json!({ "mode": "enforce" })).await;
    assert_eq!(status().await, 503, "the breaker is still forced");
    let breakers = order("PUT /v1/breakers", json!({ "class": "shop", "state": "auto" })).await;
    assert_eq!(breakers["breakers"][0]["forced"], Value::Null);
    assert_eq!(status().await, 200);
    order("PUT /v1/drain", json!({ "draining": true })).await;
    assert_eq!((proxy.admin("GET /readyz").await.status(), status().await), (503, 200));
    order("PUT /v1/drain", json!({ "draining": false })).await;
    assert_eq!(proxy.admin("GET /readyz").await.status(), 200);
    let session = "cart,requests=250";
    let explained =
        order("POST /v1/explain", json!({ "method": "GET", "url": "/", "session": session })).await;
    assert_eq!((&explained["session"]["requests"], &explained["session"]["carts"]), (&json!(250), &json!(2)));
    order("PUT /v1/log", json!({ "level": "error" })).await;
    order("PUT /v1/log", json!({ "level": "info" })).await;
    let told = proxy.log.text();
    assert!(told.contains("PUT /v1/drain") && told.matches("PUT /v1/log").count() == 1, "{told}");
}

#[tokio::test]
async fn a_page_in_a_browser_is_refused() {
    let proxy = Setup::before(&[echo().await]).start().await;
    let answer = proxy.order("POST /v1/reload", "Origin: http://evil.test\r\n", "").await;
    assert_eq!(answer.status(), 403);
    // One whose own name leads to this machine sends no origin.
    let answer = proxy.order("GET /v1/state", "Host: evil.test\r\n", "").await;
    assert_eq!(answer.status(), 403, "{}", answer.text());
}

#[tokio::test]
async fn a_token_is_asked_for_where_there_is_one() {
    let files = tempfile::tempdir().unwrap();
    let token = files.path().join("token");
    fs::write(&token, TOKEN).unwrap();
    let proxy = Setup::before(&[echo().await]).flag("--admin-token-file", &token).start().await;
    let ask = async |headers: &str| proxy.order("GET /v1/state", headers, "").await.status();
    assert_eq!(ask("").await, 401);
    assert_eq!(ask(&format!("Authorization: Bearer {}\r\n", TOKEN.replace('0', "1"))).await, 401);
    assert_eq!(ask(&format!("Authorization: Bearer {TOKEN}\r\n")).await, 200);
    let file = format!("--admin-token-file={}", token.display());
    let listed = plimsoll(&["policy", "list", &proxy.admin_flag(), &file]).output();
    assert!(bounded("the command to end", listed).await.unwrap().status.success());
}

#[tokio::test]
async fn a_unix_socket_needs_no_token_and_an_open_address_does() {
    let files = tempfile::tempdir().unwrap();
    let socket = files.path().join("admin.sock");
    let settings = format!("admin: {{ socket: \"{}\" }}\n", socket.display());
    let _proxy = Setup::before(&[echo().await]).config(&settings).start().await;
    until("the socket", async || socket.exists()).await;
    let flag = format!("--admin=unix:{}", socket.display());
    let listed = bounded("the command to end", plimsoll(&["policy", "list", &flag]).output()).await.unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let arguments = ["serve", "--listen=127.0.0.1:0", "--upstream=127.0.0.1:1", "--admin=0.0.0.0:0"];
    let message = complaint(&arguments).await;
    assert!(message.contains("--admin-token-file"), "{message}");
}

fn admin_address(proxy: &Process) -> SocketAddr {
    proxy.admin_flag().strip_prefix("--admin=").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_connection_too_many_is_closed_and_a_place_is_free_again() {
    let proxy = Process::before(echo().await).await;
    let address = admin_address(&proxy);
    let mut silent = Vec::new();
    // More than there are places; the first ones have them.
    for _ in 0..80 {
        silent.push(Wire::connect(address).await);
    }
    assert!(silent.pop().unwrap().rest().await.is_empty());
    assert_eq!(proxy.ask("GET /", "").await.status(), 200, "shoppers do not notice");
    drop(silent);
    until("a place", async || {
        let mut wire = Wire::connect(address).await;
        let asked = wire.try_send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        asked.is_ok() && wire.message().await.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
}

#[tokio::test]
async fn whoever_takes_all_places_of_an_address_does_not_shut_the_socket() {
    let files = tempfile::tempdir().unwrap();
    let socket = files.path().join("admin.sock");
    let settings = format!("admin: {{ socket: \"{}\" }}\n", socket.display());
    let proxy = Setup::before(&[echo().await]).config(&settings).start().await;
    let mut silent = Vec::new();
    for _ in 0..80 {
        silent.push(Wire::connect(admin_address(&proxy)).await);
    }
    assert!(silent.pop().unwrap().rest().await.is_empty(), "there is no place");
    let flag = format!("--admin=unix:{}", socket.display());
    let listed = bounded("the command to end", plimsoll(&["policy", "list", &flag]).output()).await.unwrap();
    assert!(listed.status.success(), "{listed:?}");
    drop(silent);
}

#[tokio::test]
async fn an_order_that_does_not_come_is_not_waited_for() {
    let proxy = Process::before(echo().await).await;
    let mut wire = Wire::connect(admin_address(&proxy)).await;
    wire.send("POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(wire.message().await.unwrap().status(), 408);
}
