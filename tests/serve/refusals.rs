//! What a refusal looks like from outside: a status, a time to come back, and a connection that lives on.

use crate::harness::process::{Process, Setup};
use crate::harness::upstream::{Stalled, answering};
use crate::harness::wire::{Message, Wire};

/// A shop without a seat left: `order` has a queue, `page` may not even wait.
struct Full {
    proxy: Process,
    shop: Stalled,
    seated: Vec<Wire>,
}

fn policy(headers: &str) -> String {
    format!(
        "version: 1
classes:
  order: {{ rank: 0, patience: 30s, queue: {{ max_length: 1 }}, refuse: {{ retry_after: 3s..7s }} }}
  page: {{ rank: 5, queue: {{ max_wait: 0ms }}, refuse: {{ status: 529, retry_after: 30s..90s }} }}
  beacon: {{ rank: 7, queue: {{ max_wait: 0ms }}, refuse: {{ body: none }} }}
routes:
  - {{ methods: [POST], path: /order, class: order }}
  - {{ path: /collect, class: beacon }}
  - {{ path: /**, class: page }}
{headers}
"
    )
}

impl Full {
    async fn new(headers: &str) -> Full {
        let shop = Stalled::new().await;
        let proxy = Setup::before(&[shop.address]).policy(&policy(headers)).start().await;
        let seated = proxy.fill().await;
        Full { proxy, shop, seated }
    }

    async fn refused(&self, method_and_target: &str, headers: &str) -> Message {
        let refusal = self.proxy.ask(method_and_target, headers).await;
        assert!(refusal.status() >= 500, "{refusal:?}");
        refusal
    }

    /// Lets go, and sees that nothing is left behind.
    async fn reopen(&mut self) {
        self.shop.answer(1_000);
        for client in &mut self.seated {
            assert_eq!(client.message().await.unwrap().status(), 200);
        }
        self.proxy.until_idle().await;
    }
}

fn retry_after(refusal: &Message) -> u32 {
    refusal.header("retry-after").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back_and_is_not_cached() {
    let mut full = Full::new("").await;
    for _ in 0..20 {
        let refusal = full.refused("GET /", "").await;
        assert_eq!(refusal.status(), 529);
        assert!((30..=90).contains(&retry_after(&refusal)), "{refusal:?}");
        assert_eq!(refusal.header("cache-control").as_deref(), Some("no-store"));
        assert_eq!(refusal.header("content-length").as_deref(), Some("0"));
        assert_eq!(refusal.header("x-plimsoll-decision"), None);
        assert!(refusal.header("x-request-id").is_some_and(|id| id.len() == 32), "{refusal:?}");
    }
    let metrics = full.proxy.admin("GET /metrics").await;
    let shed = metrics.text().lines().filter(|line| line.contains("decision=\"shed\""));
    let shed: f64 = shed.filter(|line| line.contains("class=\"page\"")).map(value).sum();
    assert_eq!(shed, 20.0);
    full.reopen().await;
}

fn value(series: &str) -> f64 {
    series.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_full_queue_refuses_whom_it_would_have_let_wait() {
    let mut full = Full::new("").await;
    let mut waiting = full.proxy.client().await;
    waiting.send(ORDER).await;
    full.proxy.until_pool("queued", 1).await;
    let mut late = full.proxy.client().await;
    late.send(ORDER).await;
    let refusal = late.message().await.unwrap();
    assert_eq!(refusal.status(), 503);
    assert!((3..=7).contains(&retry_after(&refusal)), "{refusal:?}");
    full.shop.answer(1);
    full.reopen().await;
    assert_eq!(waiting.message().await.unwrap().status(), 200);
}

const ORDER: &str = "POST /order HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\npay";

#[tokio::test]
async fn a_person_gets_a_page_a_program_gets_json_and_a_beacon_nothing() {
    let mut full = Full::new("").await;
    let page = full.refused("GET /", "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n").await;
    assert_eq!(page.header("content-type").as_deref(), Some("text/html"));
    assert!(page.text().contains("try again"), "{page:?}");
    let problem = full.refused("GET /", "Accept: application/json\r\n").await;
    assert_eq!(problem.header("content-type").as_deref(), Some("application/problem+json"));
    let problem: serde_json::Value = serde_json::from_slice(&problem.body).unwrap();
    assert_eq!(problem["status"], 529);
    assert!((30..=90).contains(&problem["retry_after_s"].as_u64().unwrap()), "{problem}");
    let nothing = full.refused("GET /collect", "Accept: text/html\r\n").await;
    assert_eq!((nothing.status(), nothing.body.len()), (503, 0));
    full.reopen().await;
}

#[tokio::test]
async fn a_script_of_another_origin_may_read_its_refusal() {
    let mut full = Full::new("").await;
    let refusal = full.refused("GET /", "Origin: https://shop.test\r\n").await;
    assert_eq!(refusal.header("access-control-allow-origin").as_deref(), Some("https://shop.test"));
    assert_eq!(refusal.header("access-control-expose-headers").as_deref(), Some("Retry-After"));
    assert_eq!(refusal.header("vary").as_deref(), Some("Origin"));
    let refusal = full.refused("GET /", "").await;
    assert_eq!(refusal.header("access-control-allow-origin"), None);
    full.reopen().await;
}

#[tokio::test]
async fn the_connection_outlives_a_refusal_with_and_without_a_small_body() {
    let mut full = Full::new("").await;
    let mut client = full.proxy.client().await;
    for _ in 0..3 {
        assert_eq!(client.exchange("GET /", "").await.status(), 529);
        client.send("POST /search HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nshoes").await;
        assert_eq!(client.message().await.unwrap().status(), 529);
        assert_eq!(client.exchange("GET /", "Accept: text/html\r\n").await.status(), 529);
    }
    full.reopen().await;
    assert_eq!(client.exchange("GET /", "").await.status(), 200);
}

#[tokio::test]
async fn a_decision_is_told_where_the_policy_says_so() {
    let mut full = Full::new("headers: { decision: on }").await;
    let told = full.refused("GET /", "").await.header("x-plimsoll-decision").unwrap();
    assert!(told.starts_with("page; by=route; shed; reason="), "{told}");
    assert!(told.contains("generation=1; limit="), "{told}");
    full.reopen().await;
}

#[tokio::test]
async fn a_preflight_is_of_the_class_it_announces() {
    let shop = answering("HTTP/1.1 204 No Content\r\nAllow: POST\r\n\r\n").await;
    let proxy = Setup::before(&[shop]).policy(&policy("headers: { decision: on }")).start().await;
    for (announced, class) in [("POST", "order"), ("GET", "page")] {
        let headers = format!("Origin: https://shop.test\r\nAccess-Control-Request-Method: {announced}\r\n");
        let answer = proxy.ask("OPTIONS /order", &headers).await;
        let told = answer.header("x-plimsoll-decision").unwrap();
        assert!(told.starts_with(&format!("{class}; by=route; admit")), "{announced}: {told}");
    }
    proxy.until_idle().await;
}
