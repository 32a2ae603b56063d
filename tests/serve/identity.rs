//! Who a client is taken to be, what the upstream is told of it, and what the log keeps to itself.

use serde_json::Value;

use crate::harness::process::{Process, Setup};
use crate::harness::upstream::{answering, echo, response};
use crate::harness::wire::Message;

/// Two requests in an hour for each address.
const LIMITED: &str = "version: 1
classes: { all: {} }
clients: { limits: [{ key: address, rate: 2/h }] }
";

async fn ask_for(proxy: &Process, forwarded_for: &str) -> Message {
    proxy.ask("GET /", &format!("X-Forwarded-For: {forwarded_for}\r\n")).await
}

async fn limited(settings: &str) -> Process {
    Setup::before(&[echo().await]).policy(LIMITED).config(settings).start().await
}

#[tokio::test]
async fn a_hard_limit_is_told_with_the_time_to_come_back() {
    let proxy = limited("trusted_hops: [192.0.2.1]").await;
    for expected in [200, 200, 429] {
        let answer = ask_for(&proxy, "203.0.113.1").await;
        assert_eq!(answer.status(), expected);
        let wait = answer.header("retry-after").map(|wait| wait.parse().unwrap());
        assert_eq!(wait.is_some(), expected == 429);
        assert!(wait.is_none_or(|wait: u32| (1..=1_800).contains(&wait)), "{wait:?}");
    }
    // Another name for the same peer makes it nobody else.
    assert_eq!(ask_for(&proxy, "203.0.113.2").await.status(), 429);
    assert_eq!(proxy.metric("plimsoll_rejections_total{kind=\"rate_limited\"}").await, 2.0);
    proxy.until_idle().await;
}

#[tokio::test]
async fn support_can_tell_who_was_held_to_a_limit() {
    let policy = LIMITED.to_owned() + "headers: { decision: 100% }\n";
    let proxy = Setup::before(&[echo().await]).policy(&policy).start().await;
    proxy.ask("GET /", "").await;
    proxy.ask("GET /", "").await;
    let refused = proxy.ask("GET /", "X-Request-Id: a-shopper-in-haste\r\n").await;
    let told = refused.header("x-plimsoll-decision").unwrap();
    assert!(told.starts_with("all; by=") && told.contains("reject; reason=rate_limited"), "{told}");
    proxy.until_idle().await;
    let refusals: Value = serde_json::from_slice(&proxy.admin("GET /v1/refusals").await.body).unwrap();
    let refusal = &refusals["refusals"][0];
    assert_eq!(
        (&refusal["class"], &refusal["reason"]),
        (&"all".into(), &"rate_limited".into()),
        "{refusals}"
    );
    assert!(refusal["evidence"].as_str().unwrap().contains("at a limit of the policy"), "{refusal}");
}

#[tokio::test]
async fn nobody_escapes_the_limit_of_a_session_by_another_name_for_himself() {
    let policy = "version: 1\nsessions: { cookies: [sid] }\nclasses: { all: {} }\n\
                  clients: { limits: [{ key: session, rate: 2/h }] }\n";
    let shop = answering(response("200 OK", "Set-Cookie: sid=own; Path=/\r\n", b"")).await;
    let proxy = Setup::before(&[shop]).policy(policy).start().await;
    let named =
        async |number: u32| proxy.ask("GET /", &format!("User-Agent: agent-{number}\r\n")).await.status();
    assert_eq!((named(1).await, named(2).await, named(3).await), (200, 200, 429));
    // Nor by a cookie that the shop has not set; with that which it has set, he is himself.
    for (cookie, expected) in [("invented", 429), ("own", 200), ("own", 200), ("own", 429)] {
        let answer = proxy.ask("GET /", &format!("Cookie: sid={cookie}\r\n")).await;
        assert_eq!(answer.status(), expected, "{cookie}");
    }
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_trusted_hop_tells_clients_apart() {
    let proxy = limited("trusted_hops: [127.0.0.0/8]").await;
    for (client, expected) in [
        ("203.0.113.1", 200),
        ("203.0.113.1", 200),
        ("203.0.113.1", 429),
        ("203.0.113.2", 200),
        // The hop appends: what stands before the last address is the client's own claim.
        ("198.51.100.7, 203.0.113.1", 429),
    ] {
        assert_eq!(ask_for(&proxy, client).await.status(), expected, "{client}");
    }
    proxy.until_idle().await;
}

#[tokio::test]
async fn the_default_policy_limits_nobody() {
    let proxy = Process::before(echo().await).await;
    let mut client = proxy.client().await;
    for _ in 0..300 {
        assert_eq!(client.exchange("GET /checkout", "").await.status(), 200);
    }
    proxy.until_idle().await;
}

/// The value of a field in the request that the upstream saw.
fn seen(answer: &Message, name: &str) -> Option<String> {
    let fields = answer.text().lines().filter_map(|line| line.split_once(": "));
    let named = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name));
    let values: Vec<&str> = named.map(|(_, value)| value).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

#[tokio::test]
async fn the_upstream_learns_the_peer_an_id_and_a_trace() {
    let proxy = Process::before(echo().await).await;
    let claims = "X-Forwarded-For: 203.0.113.1\r\nForwarded: for=203.0.113.1\r\nX-Real-IP: 203.0.113.1\r\n";
    let answer = proxy.ask("GET /", claims).await;
    assert_eq!(seen(&answer, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(seen(&answer, "forwarded"), None);
    assert_eq!(seen(&answer, "x-real-ip"), None);
    assert_eq!(seen(&answer, "host").as_deref(), Some("shop.test"));
    assert_eq!(seen(&answer, "x-request-id").unwrap().len(), 32);
    assert_eq!(seen(&answer, "traceparent").unwrap().len(), 55);
    let given =
        "X-Request-Id: order-7\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    let answer = proxy.ask("GET /", given).await;
    assert_eq!(seen(&answer, "x-request-id").as_deref(), Some("order-7"));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(seen(&answer, "traceparent").as_deref(), Some(trace));
}

#[tokio::test]
async fn a_trusted_hop_is_appended_to_whom_it_forwards_for() {
    let proxy = limited("trusted_hops: [127.0.0.1]").await;
    let answer = ask_for(&proxy, "203.0.113.1").await;
    assert_eq!(seen(&answer, "x-forwarded-for").as_deref(), Some("203.0.113.1, 127.0.0.1"));
}

#[tokio::test]
async fn the_access_log_keeps_secrets_out() {
    let setup =
        Setup::before(&[echo().await]).config("access_log: { sample: 100% }\ntrusted_hops: [127.0.0.1]\n");
    let proxy = setup.start().await;
    let secrets = "Cookie: session=crumbs\r\nAuthorization: Bearer token-7\r\nX-Forwarded-For: 203.0.113.77\r\n\
                   X-Request-Id: logged-1\r\n";
    assert_eq!(proxy.ask("GET /checkout?card=4111", secrets).await.status(), 200);
    let mut client = proxy.client().await;
    client.send("GET /no-host?card=4111 HTTP/1.1\r\nX-Request-Id: logged-2\r\n\r\n").await;
    assert_eq!(client.message().await.unwrap().status(), 400);
    proxy.output.contain("logged-1").await;
    proxy.output.contain("logged-2").await;
    let log = proxy.output.text();
    let records: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 2, "{log}");
    let (admitted, rejected) = (&records[0], &records[1]);
    assert_eq!(admitted["method"], "GET");
    assert_eq!(admitted["path"], "/checkout");
    assert_eq!(admitted["class"], "checkout");
    assert_eq!((&admitted["decision"], &admitted["status"]), (&"admit".into(), &200.into()));
    assert_eq!((&rejected["decision"], &rejected["reason"]), (&"reject".into(), &"missing_host".into()));
    for secret in ["crumbs", "token-7", "4111", "203.0.113", "127.0.0.1"] {
        assert!(
            !log.contains(secret) && !proxy.log.text().lines().skip(2).any(|line| line.contains(secret)),
            "{secret}: {log}"
        );
    }
}

#[tokio::test]
async fn there_is_no_access_log_unless_it_is_asked_for() {
    let mut proxy = Process::before(echo().await).await;
    assert_eq!(proxy.ask("GET /checkout", "").await.status(), 200);
    proxy.signal("TERM").await;
    proxy.end().await;
    assert_eq!(proxy.output.text(), "");
}
