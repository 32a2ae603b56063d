//! A journal of a real process: decided again, and asked why somebody was refused.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::bounded;
use crate::harness::process::{Setup, complaint, plimsoll};
use crate::harness::upstream::Stalled;

const POLICY: &str = "version: 1
classes: { shop: { queue: { max_wait: 0ms } } }
routes: [{ path: /cart, class: shop }]
headers: { decision: on }
";

fn id_in(header: &str) -> String {
    let (_, id) = header.split_once("id=").unwrap();
    id.to_owned()
}

/// Runs a command that answers in JSON.
async fn answer_of(arguments: &[&str]) -> Value {
    let output = bounded("an answer", plimsoll(arguments).output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_journal_is_decided_again_and_explains_a_refusal() {
    let files = tempfile::tempdir().unwrap();
    let journal = files.path().join("journal");
    let shop = Stalled::new().await;
    let mut proxy = Setup::before(&[shop.address]).policy(POLICY).flag("--journal", &journal).start().await;
    let clients = proxy.fill().await;
    let refused = proxy.ask("GET /cart", "").await;
    assert_eq!(refused.status(), 503);
    let id = id_in(&refused.header("x-plimsoll-decision").unwrap());
    let request_id = refused.header("x-request-id").unwrap();
    assert!(request_id.starts_with(&id), "{request_id}");
    // A generation comes in between, and everything that was begun ends.
    fs::write(proxy.file("policy.yaml"), format!("{POLICY}mode: observe\n")).unwrap();
    proxy.until_generation(2).await;
    assert_eq!(proxy.order("PUT /v1/breakers", "", r#"{"class":"shop","state":"open"}"#).await.status(), 200);
    let seats = clients.len();
    shop.answer(seats);
    for mut client in clients {
        assert_eq!(bounded("an answer", client.message()).await.unwrap().status(), 200);
    }
    proxy.until_idle().await;
    proxy.signal("TERM").await;
    assert!(proxy.end().await.success());

    let directory = journal.to_str().unwrap();
    assert_decided_again(directory, seats + 1).await;
    assert_decided_under_another_policy(directory, files.path(), seats + 1).await;
    for id in [id.as_str(), request_id.as_str()] {
        assert_explained(directory, id).await;
    }
    assert_read_after_an_upgrade(&journal, seats + 1, &id).await;
    let message = complaint(&["explain", "--journal", directory, "--id", "00000000000000aa"]).await;
    assert!(message.contains("no request 00000000000000aa"), "{message}");
    let message = complaint(&["replay", "/no/such/journal"]).await;
    assert_eq!(message.matches("No such file").count(), 1, "{message}");
}

async fn assert_decided_again(journal: &str, decisions: usize) {
    let report = answer_of(&["replay", "--json", journal]).await;
    let pool = &report["pools"][0];
    assert_eq!(pool["decisions"], decisions, "{report}");
    assert_eq!((&pool["missing"], &pool["difference"]), (&Value::from(0), &Value::Null));
}

/// Files that another version has left are named, and the others are read.
async fn assert_read_after_an_upgrade(journal: &Path, decisions: usize, id: &str) {
    let of_format = journal.join("00000000001-0000000001-00000000-0.plj");
    let of_version = journal.join("00000000002-0000000001-00000000-0.plj");
    fs::write(&of_format, "PLJRNL4\nwhatever it was").unwrap();
    let header = r#"{"pool":"default","version":"0.0.1","started":2,"more":[]}"#;
    let length = u32::try_from(header.len()).unwrap().to_le_bytes();
    fs::write(&of_version, [b"PLJRNL7\n", &length[..], header.as_bytes()].concat()).unwrap();
    let directory = journal.to_str().unwrap();
    let report = answer_of(&["replay", "--json", directory]).await;
    assert_eq!(report["pools"][0]["decisions"], decisions, "{report}");
    let skipped = report["skipped"].as_array().unwrap();
    assert!(skipped.len() == 2 && skipped[0].as_str().unwrap().contains("another format"), "{report}");
    assert!(skipped[1].as_str().unwrap().contains("written by version 0.0.1"), "{report}");
    let arguments = ["explain", "--journal", directory, "--id", id];
    let explained = bounded("an answer", plimsoll(&arguments).output()).await.unwrap();
    let told = String::from_utf8(explained.stderr).unwrap();
    assert!(explained.status.success() && told.contains("2 files"), "{told}");
    // Where there are no others, that is what is told.
    let message = complaint(&["replay", of_format.to_str().unwrap()]).await;
    assert!(message.contains("another format"), "{message}");
}

/// The same requests, under a policy that lets one wait: the shop has no more seats than it had.
async fn assert_decided_under_another_policy(journal: &str, files: &Path, requests: usize) {
    let patient = files.join("patient.yaml");
    fs::write(&patient, POLICY.replace("max_wait: 0ms", "max_wait: 500ms")).unwrap();
    let report = answer_of(&["replay", "--json", "--policy", patient.to_str().unwrap(), journal]).await;
    let shop = &report["pools"][0]["classes"]["shop"];
    for told in [&shop["then"], &shop["again"]] {
        assert_eq!((&told["requests"], &told["shed"]), (&requests.into(), &1.into()), "{report}");
    }
    let without_route = &report["pools"][0]["without_route"];
    assert_eq!((&shop["new"]["requests"], without_route), (&requests.into(), &0.into()));
    // A class that is observed by itself is not refused there either.
    let observed = files.join("observed.yaml");
    fs::write(&observed, POLICY.replace("{ queue:", "{ mode: observe, queue:")).unwrap();
    let report = answer_of(&["replay", "--json", "--policy", observed.to_str().unwrap(), journal]).await;
    assert_eq!(report["pools"][0]["classes"]["shop"]["new"]["shed"], 0, "{report}");
    assert_untold_is_named(journal, files, requests).await;
    let broken = files.join("broken.yaml");
    fs::write(&broken, "version: 1\n").unwrap();
    let message = complaint(&["replay", "--policy", broken.to_str().unwrap(), journal]).await;
    assert!(message.contains("`classes` is missing"), "{message}");
}

/// What a journal cannot tell, for it has no paths, is said with the lines of the routes concerned.
async fn assert_untold_is_named(journal: &str, files: &Path, requests: usize) {
    let route = "{ path: /cart, class: shop }";
    let routes = "{ path: /cart, class: shop, model: on },\n  { path: /new, class: shop }";
    let moved = files.join("moved.yaml");
    fs::write(&moved, format!("{}model: {{ may_decide: [routed] }}\n", POLICY.replace(route, routes)))
        .unwrap();
    let moved = moved.to_str().unwrap();
    let report = answer_of(&["replay", "--json", "--policy", moved, journal]).await;
    let untold = &report["pools"][0]["untold"];
    assert_eq!(untold["routes"], serde_json::json!([{ "route": format!("{moved}:3"), "requests": 1 }]));
    assert_eq!(untold["unrouted"], requests - 1, "{report}");
    assert_eq!(untold["new_routes"], serde_json::json!([format!("{moved}:4")]));
    let output =
        bounded("an answer", plimsoll(&["replay", "--policy", moved, journal]).output()).await.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    for part in [
        "not told, for a journal has no paths",
        format!("1 came by {moved}:3, ").as_str(),
        "1 routes are new: ",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    // Where nothing of that kind differs, nothing is said.
    let same = files.join("same.yaml");
    fs::write(&same, POLICY).unwrap();
    let arguments = ["replay", "--policy", same.to_str().unwrap(), journal];
    let output = bounded("an answer", plimsoll(&arguments).output()).await.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("value kept") && !told.contains("not told"), "{told}");
}

async fn assert_explained(journal: &str, id: &str) {
    let told = answer_of(&["explain", "--json", "--journal", journal, "--id", id]).await;
    assert_eq!(
        (&told["class"], &told["generation"], &told["reproduced"]),
        (&"shop".into(), &1.into(), &true.into())
    );
    assert!(told["route"].as_str().unwrap().ends_with("policy.yaml:3"), "{told}");
    let sentence = told["decisions"][0]["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("refused at the door"), "{sentence}");
}
