//! Upstreams that fail in every way: the client gets an answer in time, and the seat comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::process::{Process, Setup};
use crate::harness::until;
use crate::harness::upstream::{self, DRIP, answering, response, scripted};

fn impatient(timeouts: &str, upstream: std::net::SocketAddr) -> Setup {
    let pool = format!("pools: {{ default: {{ endpoints: [\"{upstream}\"], timeouts: {timeouts} }} }}\n");
    Setup::before(&[]).config(&pool)
}

async fn assert_answered(proxy: &Process, status: u16) {
    let answer = proxy.ask("GET /", "Accept: application/json\r\n").await;
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"), "{answer:?}");
    proxy.until_idle().await;
}

#[tokio::test]
async fn an_upstream_that_refuses_is_a_bad_gateway() {
    let (_socket, address) = upstream::refusing();
    let proxy = Process::before(address).await;
    assert_answered(&proxy, 502).await;
    assert_eq!(proxy.metric("plimsoll_connect_failures_total").await, 1.0);
}

#[tokio::test]
async fn an_upstream_that_resets_is_a_bad_gateway_and_no_order_is_sent_twice() {
    let orders = Arc::new(AtomicUsize::new(0));
    let seen = orders.clone();
    let shop = scripted(move |mut wire| {
        let seen = seen.clone();
        async move {
            wire.message().await.unwrap();
            seen.fetch_add(1, Ordering::Relaxed);
            wire.reset();
        }
    });
    let proxy = Process::before(shop.await).await;
    let mut client = proxy.client().await;
    client.send("POST /checkout HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\npay").await;
    assert_eq!(client.message().await.unwrap().status(), 502);
    assert_eq!(orders.load(Ordering::Relaxed), 1);
    proxy.until_idle().await;
}

#[tokio::test]
async fn an_upstream_that_hangs_is_a_gateway_timeout() {
    let shop = upstream::Stalled::new().await;
    let proxy = impatient("{ read: 300ms }", shop.address).start().await;
    assert_answered(&proxy, 504).await;
}

#[tokio::test]
async fn an_upstream_that_talks_garbage_is_a_bad_gateway() {
    for garbage in ["\0\u{1}\u{2} garbage\r\n\r\n", "HTTP/1.1 banana\r\n\r\n", "220 smtp.test ready\r\n"] {
        let proxy = Process::before(answering(garbage).await).await;
        assert_answered(&proxy, 502).await;
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off_for_the_client() {
    for head in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        let shop = scripted(move |mut wire| async move {
            wire.message().await.unwrap();
            wire.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n3\r\nabc")).await;
        });
        let proxy = Process::before(shop.await).await;
        let mut client = proxy.client().await;
        client.ask("GET /", "").await;
        match client.message().await {
            Ok(answer) => assert_eq!(answer.status(), 502, "{answer:?}"),
            Err(broken) => drop(broken),
        }
        proxy.until_idle().await;
    }
}

#[tokio::test]
async fn an_upstream_that_drips_its_head_is_a_gateway_timeout() {
    let proxy = impatient("{ read: 300ms }", upstream::dripping_head().await).start().await;
    assert_answered(&proxy, 504).await;
    // Whoever has said the next thing already cannot be told while he is not listened to; it ends all the same.
    let mut hasty = proxy.client().await;
    hasty.send("GET /one HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    proxy.until_pool("inflight", 1).await;
    hasty.send("GET /two HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    hasty.rest().await;
    proxy.until_idle().await;
}

#[tokio::test]
async fn an_upstream_that_continues_for_ever_is_a_gateway_timeout() {
    let shop = scripted(|mut wire| async move {
        wire.message().await.unwrap();
        while wire.try_send("HTTP/1.1 102 Processing\r\n\r\n").await.is_ok() {
            tokio::time::sleep(DRIP).await;
        }
    });
    let proxy = impatient("{ read: 300ms }", shop.await).start().await;
    let mut client = proxy.client().await;
    client.ask("GET /", "").await;
    let last = loop {
        let head = client.message().await.unwrap();
        if head.status() != 102 {
            break head.status();
        }
    };
    assert_eq!(last, 504);
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_download_without_an_end_goes_on_in_a_place_among_the_streams_and_ends_without_one() {
    let shop = scripted(|mut wire| async move {
        wire.message().await.unwrap();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let large = [b"50000\r\n", &vec![b'x'; 0x50000][..], b"\r\n"].concat();
        let _ = wire.try_send(large).await;
        while wire.try_send("4\r\ndrip\r\n").await.is_ok() {
            tokio::time::sleep(DRIP).await;
        }
    });
    let settings = format!(
        "streams_max: 1\npools: {{ default: {{ endpoints: [\"{}\"], timeouts: {{ total: 600ms }} }} }}\n",
        shop.await
    );
    let proxy = Setup::before(&[]).config(&settings).start().await;
    let mut first = proxy.client().await;
    first.ask("GET /", "").await;
    assert_eq!(first.head().await.unwrap().status(), 200);
    // It gives its seat back.
    while !first.chunk().await.unwrap().ends_with(b"drip") {}
    proxy.until_pool("inflight", 0).await;
    // The only place is taken now.
    let mut second = proxy.client().await;
    second.ask("GET /", "").await;
    assert!(second.message().await.is_err(), "a download without an end has ended well");
    proxy.until_idle().await;
    // The total time has passed for the first one, too.
    while first.chunk().await.unwrap() != b"drip" {}
}

#[tokio::test]
async fn of_two_upstreams_the_one_that_resets_is_left_alone_after_five_requests() {
    let alive = answering(response("200 OK", "", b"ok")).await;
    let proxy = Setup::before(&[upstream::resetting().await, alive]).start().await;
    let mut failed = 0;
    for _ in 0..40 {
        // A connection of its own, for one is closed after a failure.
        let status = proxy.ask("POST /checkout", "Content-Length: 0\r\n").await.status();
        assert!(matches!(status, 200 | 502), "{status}");
        failed += usize::from(status == 502);
    }
    assert_eq!(failed, 5);
    assert_eq!(proxy.metric("plimsoll_ejections_total").await, 1.0);
    proxy.until_idle().await;
}

#[tokio::test]
async fn of_four_upstreams_of_which_three_reset_two_are_left_alone() {
    let mut pool = vec![answering(response("200 OK", "", b"ok")).await];
    for _ in 0..3 {
        pool.push(upstream::resetting().await);
    }
    // Observed: no breaker is to answer in their place.
    let policy = "version: 1\nmode: observe\nclasses: { all: {} }\n";
    let proxy = Setup::before(&pool).policy(policy).start().await;
    let mut statuses = Vec::new();
    for _ in 0..80 {
        statuses.push(proxy.ask("POST /checkout", "Content-Length: 0\r\n").await.status());
    }
    assert_eq!(proxy.metric("plimsoll_ejections_total").await, 2.0);
    // Half of the pool is asked, whatever it answers.
    let last = &statuses[40..];
    assert!(last.contains(&200) && last.contains(&502), "{last:?}");
    proxy.until_idle().await;
}

#[tokio::test]
async fn the_only_upstream_is_never_left_alone() {
    let proxy = Process::before(upstream::resetting().await).await;
    for _ in 0..7 {
        assert_eq!(proxy.ask("GET /collect", "").await.status(), 502);
    }
    assert_eq!(proxy.metric("plimsoll_ejections_total").await, 0.0);
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_head_without_an_end_is_a_bad_gateway() {
    let shop = scripted(|mut wire| async move {
        wire.message().await.unwrap();
        let _ = wire.try_send("HTTP/1.1 200 OK\r\n").await;
        let field = format!("X-Flood: {}\r\n", "x".repeat(8_000));
        while wire.try_send(&field).await.is_ok() {}
    });
    let proxy = Process::before(shop.await).await;
    assert_answered(&proxy, 502).await;
}

#[tokio::test]
async fn a_head_of_too_many_fields_or_with_a_length_that_is_none_is_a_bad_gateway() {
    let many = "X-Flood: 1\r\n".repeat(1_000);
    let lengths = ["-1", "+2", "0x2", "two", "2, 5", "2 5", "99999999999999999999", ""];
    let lengths = lengths.map(|length| format!("Content-Length: {length}\r\n"));
    for fields in [many].into_iter().chain(lengths) {
        let proxy = Process::before(answering(format!("HTTP/1.1 200 OK\r\n{fields}\r\nok")).await).await;
        assert_answered(&proxy, 502).await;
    }
}

/// A shop that answers in `answer`, whose first word on each connection is the connection's number.
async fn numbered(answer: &'static str) -> std::net::SocketAddr {
    let connections = Arc::new(AtomicUsize::new(0));
    scripted(move |mut wire| {
        let number = connections.fetch_add(1, Ordering::Relaxed);
        async move {
            while wire.message().await.is_ok() {
                if wire.try_send(answer.replace('#', &number.to_string())).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_connection_is_used_again_only_if_nothing_is_left_on_it() {
    for (answer, is_kept) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n#", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n#more", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n#", false),
    ] {
        let proxy = Process::before(numbered(answer).await).await;
        // The client has its answer a moment before the connection is put back: more than two must not overtake that.
        let mut numbers = Vec::new();
        for _ in 0..4 {
            let got = proxy.ask("GET /", "").await;
            assert_eq!(got.status(), 200, "{answer}");
            numbers.push(got.text().to_owned());
        }
        let was_kept = numbers.windows(2).any(|two| two[0] == two[1]);
        assert_eq!(was_kept, is_kept, "{answer}: {numbers:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_kept_for_nothing_is_let_go_of() {
    let closed = Arc::new(AtomicUsize::new(0));
    let seen = closed.clone();
    let shop = scripted(move |mut wire| {
        let seen = seen.clone();
        async move {
            while wire.message().await.is_ok() {
                wire.send(response("200 OK", "", b"ok")).await;
            }
            seen.fetch_add(1, Ordering::Relaxed);
        }
    });
    let proxy = impatient("{ idle: 300ms }", shop.await).start().await;
    assert_eq!(proxy.ask("GET /", "").await.status(), 200);
    until("the end of the connection", async || closed.load(Ordering::Relaxed) == 1).await;
    // There is another one for whoever comes next.
    assert_eq!(proxy.ask("GET /", "").await.status(), 200);
    proxy.until_idle().await;
}

#[tokio::test]
async fn two_upstreams_that_are_both_dead_are_a_bad_gateway() {
    let ((_one, first), (_other, second)) = (upstream::refusing(), upstream::refusing());
    let proxy = Setup::before(&[first, second]).start().await;
    assert_answered(&proxy, 502).await;
    assert_eq!(proxy.metric("plimsoll_connect_failures_total").await, 2.0);
}

#[tokio::test]
async fn an_upstream_that_half_closes_is_read_to_its_end_or_a_bad_gateway() {
    for (answer, status) in
        [("", 502), ("HTTP/1.1 200 OK\r\n", 502), ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200)]
    {
        let shop = scripted(move |mut wire| async move {
            wire.message().await.unwrap();
            wire.send(answer).await;
            wire.half_close().await;
            // It still reads.
            wire.rest().await;
        });
        let proxy = Process::before(shop.await).await;
        assert_eq!(proxy.ask("GET /", "").await.status(), status, "{answer:?}");
        proxy.until_idle().await;
    }
}

#[tokio::test]
async fn an_upstream_that_floods_with_interim_answers_is_a_gateway_timeout() {
    let shop = scripted(|mut wire| async move {
        wire.message().await.unwrap();
        let flood = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n".repeat(100);
        while wire.try_send(&flood).await.is_ok() {}
    });
    let proxy = impatient("{ read: 300ms }", shop.await).start().await;
    let mut client = proxy.client().await;
    client.ask("GET /", "").await;
    let last = loop {
        let Ok(head) = client.message().await else { break None };
        if head.status() != 103 {
            break Some(head.status());
        }
    };
    // Whoever reads more slowly than it floods finds the connection closed.
    assert!(matches!(last, None | Some(502 | 504)), "{last:?}");
    proxy.until_idle().await;
    until("all to be gone", async || proxy.metric("plimsoll_connections").await == 0.0).await;
}

#[tokio::test]
async fn an_answer_of_two_lengths_is_passed_on_as_one_or_not_at_all() {
    for head in ["Content-Length: 2\r\nContent-Length: 5", "Content-Length: 2\r\nTransfer-Encoding: chunked"]
    {
        let shop = answering(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n2\r\nok\r\n0\r\n\r\n"));
        let proxy = Process::before(shop.await).await;
        let mut client = proxy.client().await;
        client.ask("GET /", "Connection: close\r\n").await;
        let answer = client.head().await.unwrap();
        let lengths = [answer.header("content-length"), answer.header("transfer-encoding")];
        let is_one =
            lengths.iter().flatten().count() == 1 && !lengths.iter().flatten().any(|one| one.contains(','));
        assert!(is_one, "{head:?}: {answer:?}");
        proxy.until_idle().await;
    }
}

#[tokio::test]
async fn an_endpoint_may_be_named() {
    let shop = answering(response("200 OK", "", b"ok")).await;
    let named = format!("localhost:{}", shop.port());
    let pool = format!("pools: {{ default: {{ endpoints: [\"{named}\"], resolve_interval: 20ms }} }}\n");
    let proxy = Setup::before(&[]).config(&pool).start().await;
    for _ in 0..10 {
        assert_eq!(proxy.ask("GET /", "").await.status(), 200);
    }
    assert_eq!(proxy.metric("plimsoll_lookup_failures_total").await, 0.0);
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_asked_for_again_and_its_requests_are_refused() {
    let pool = "pools: { default: { endpoints: [\"shop.invalid:80\"], resolve_interval: 20ms } }\n";
    let proxy = Setup::before(&[]).config(pool).start().await;
    assert_answered(&proxy, 503).await;
    let failures = async || proxy.metric("plimsoll_lookup_failures_total").await;
    until("another look", async || failures().await > 2.0).await;
    assert!(proxy.log.text().contains("shop.invalid:80 cannot be looked up"), "{}", proxy.log.text());
}

#[tokio::test]
async fn whatever_an_upstream_does_wrong_opens_the_breaker_of_the_class() {
    let policy = "version: 1
classes: { all: { breaker: { window: 10s, failure_ratio: 50%, min_requests: 5, open_for: 60s, probes: 1 } } }
";
    let (_socket, refusing) = upstream::refusing();
    let broken = [
        refusing,
        upstream::resetting().await,
        answering("220 smtp.test ready\r\n").await,
        answering("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n").await,
        upstream::dripping_head().await,
    ];
    for shop in broken {
        let proxy = impatient("{ read: 100ms }", shop).policy(policy).start().await;
        for _ in 0..5 {
            assert!(matches!(proxy.ask("GET /", "").await.status(), 500 | 502 | 504));
        }
        proxy.until_idle().await;
        assert_eq!(proxy.state().await["pools"][0]["classes"][0]["breaker"], "open", "{shop}");
        assert_eq!(proxy.ask("GET /", "").await.status(), 503);
    }
}
