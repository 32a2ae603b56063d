//! A canary: a share of the sessions under another policy, until somebody is content with it or not.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::bounded;
use crate::harness::lasting::Lasting;
use crate::harness::process::{Process, Setup, plimsoll};
use crate::harness::upstream::echo;

fn policy(class_of_offers: &str, more: &str) -> String {
    format!(
        "version: 1\nclasses: {{ shop: {{ floor: 10% }}, offers: {{}} }}\nheaders: {{ decision: on }}\n\
         routes: [{{ path: /offers, class: {class_of_offers} }}]\n{more}"
    )
}

/// How a session's request was judged: its class and its generation.
async fn judged(proxy: &Process, session: u32) -> (String, u64) {
    let cookie = format!("Cookie: session=s{session}\r\n");
    let told = proxy.ask("GET /offers", &cookie).await.header("x-plimsoll-decision").unwrap();
    let (_, generation) = told.split_once("generation=").unwrap();
    let class = told.split(';').next().unwrap().to_owned();
    (class, generation.split(';').next().unwrap().parse().unwrap())
}

async fn command(proxy: &Process, name: &str) -> (Option<i32>, String) {
    let arguments = ["policy", "canary", name, "--json", &proxy.admin_flag()];
    let output = bounded("the command", plimsoll(&arguments).output()).await.unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
    )
}

async fn begin(proxy: &Process, path: &Path, text: &str) -> Value {
    fs::write(path, text).unwrap();
    // The watch may have been there first.
    let answer = proxy.admin("POST /v1/reload").await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    serde_json::from_slice(&proxy.admin("GET /v1/canary").await.body).unwrap()
}

#[tokio::test]
async fn a_share_of_the_sessions_is_decided_by_the_canary_until_it_is_promoted() {
    let proxy = Setup::before(&[echo().await]).policy(&policy("shop", "")).start().await;
    let status = begin(&proxy, &proxy.file("policy.yaml"), &policy("offers", "canary: 50%\n")).await;
    assert_eq!((&status["canary"]["generation"], &status["canary"]["running"]), (&2.into(), &1.into()));
    let mut arms = [0_u64; 2];
    for session in 0..40 {
        let first = judged(&proxy, session).await;
        assert!([("shop".into(), 1), ("offers".into(), 2)].contains(&first), "{first:?}");
        assert_eq!(judged(&proxy, session).await, first, "a session stays in its arm");
        arms[usize::from(first.1 == 2)] += 2;
    }
    assert!(arms[0] > 10 && arms[1] > 10, "{arms:?}");
    for (arm, class, count) in
        [("rest", "shop", arms[0]), ("canary", "offers", arms[1]), ("canary", "shop", 0)]
    {
        let series =
            format!("plimsoll_canary_requests_total{{arm=\"{arm}\",class=\"{class}\",result=\"admitted\"}}");
        assert_eq!(proxy.metric(&series).await, count as f64, "{series}");
    }
    let (code, text) = command(&proxy, "status").await;
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, &shown["canary"]["classes"][1]["canary"]["admitted"]),
        (Some(0), &arms[1].into()),
        "{text}"
    );
    let (code, text) = command(&proxy, "promote").await;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(judged(&proxy, 0).await, ("offers".into(), 3));
    assert_eq!(judged(&proxy, 1).await.1, 3);
    let (code, text) = command(&proxy, "abort").await;
    assert!(code == Some(1) && text.contains("there is no canary"), "{text}");
    // The file still says `canary`, and is in force already.
    assert_eq!(
        begin(&proxy, &proxy.file("policy.yaml"), &policy("offers", "canary: 50%\n")).await["canary"],
        Value::Null
    );
}

#[tokio::test]
async fn the_journal_tells_by_which_route_of_a_canary_a_request_got_its_class() {
    let files = tempfile::tempdir().unwrap();
    let journal = files.path().join("journal");
    let setup = Setup::before(&[echo().await]).policy(&policy("shop", "")).flag("--journal", &journal);
    let mut proxy = setup.start().await;
    // Its route stands one line below that of the policy in force.
    let text = policy("offers", "canary: 50%\n").replace("routes:", "carry: {}\nroutes:");
    begin(&proxy, &proxy.file("policy.yaml"), &text).await;
    let mut sides = [None, None];
    for session in 0..40 {
        let cookie = format!("Cookie: session=s{session}\r\n");
        let told = proxy.ask("GET /offers", &cookie).await.header("x-plimsoll-decision").unwrap();
        let (class, id) = (told.split(';').next().unwrap(), told.split_once("id=").unwrap().1);
        sides[usize::from(class == "offers")] = Some(id.to_owned());
    }
    proxy.until_idle().await;
    proxy.signal("TERM").await;
    assert!(proxy.end().await.success());
    let directory = journal.to_str().unwrap();
    for (id, class, line, generation, beside) in
        [(&sides[0], "shop", 4, 1, Value::Null), (&sides[1], "offers", 5, 2, 1.into())]
    {
        let arguments = ["explain", "--json", "--journal", directory, "--id", id.as_deref().unwrap()];
        let output = bounded("the explanation", plimsoll(&arguments).output()).await.unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(told["route"].as_str().unwrap().ends_with(&format!("policy.yaml:{line}")), "{told}");
        assert_eq!(
            (&told["class"], &told["generation"], &told["canary_beside"], &told["reproduced"]),
            (&class.into(), &generation.into(), &beside, &true.into())
        );
    }
    // Under the canary's policy as a whole, its requests keep the class that its route gave them.
    let new = proxy.file("new.yaml");
    fs::write(&new, policy("offers", "")).unwrap();
    let arguments = ["replay", "--json", "--policy", new.to_str().unwrap(), directory];
    let output = bounded("the rerun", plimsoll(&arguments).output()).await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let pool = &report["pools"][0];
    assert_eq!(
        (&pool["classes"]["offers"]["new"]["requests"], &pool["without_route"]),
        (&40.into(), &0.into())
    );
}

#[tokio::test]
async fn an_aborted_canary_stays_away_and_the_next_one_may_come() {
    let lasting = Lasting::with(&policy("shop", "")).await;
    let path = lasting.policy();
    let mut proxy = lasting.start().await;
    begin(&proxy, path, &policy("offers", "canary: 50%\n")).await;
    // It is there after a restart, and under another number.
    proxy.signal("TERM").await;
    proxy.end().await;
    let proxy = lasting.start().await;
    proxy.log.contain("stays in force: the files hold a canary").await;
    let status: Value = serde_json::from_slice(&proxy.admin("GET /v1/canary").await.body).unwrap();
    assert_eq!(status["canary"]["running"], 1, "{status}");
    let (code, text) = command(&proxy, "abort").await;
    assert_eq!(code, Some(0), "{text}");
    for session in 0..10 {
        assert_eq!(judged(&proxy, session).await, ("shop".into(), 1));
    }
    assert_eq!(proxy.admin("POST /v1/reload").await.status(), 409);
    let status = begin(&proxy, path, &policy("offers", "canary: 10%\n")).await;
    assert_eq!(status["canary"]["share"], 0.1, "{status}");
    // Whatever else comes into force ends it.
    begin(&proxy, path, &policy("offers", "")).await;
    assert_eq!(judged(&proxy, 3).await.0, "offers");
    let status: Value = serde_json::from_slice(&proxy.admin("GET /v1/canary").await.body).unwrap();
    assert_eq!(status["canary"], Value::Null);
}

#[tokio::test]
async fn a_canary_that_would_share_other_seats_is_refused_and_says_why() {
    let proxy = Setup::before(&[echo().await]).policy(&policy("shop", "")).start().await;
    let other = policy("shop", "canary: 5%\nmode: observe\n").replace("floor: 10%", "floor: 20%");
    fs::write(proxy.file("policy.yaml"), other).unwrap();
    let answer = proxy.admin("POST /v1/reload").await;
    assert_eq!(answer.status(), 422);
    let text = answer.text();
    assert!(text.contains("`floor` of class `shop` differs") && text.contains("mode is observe"), "{text}");
    assert_eq!(judged(&proxy, 1).await, ("shop".into(), 1));
}
