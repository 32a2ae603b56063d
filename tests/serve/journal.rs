//! A journal of a real process: decided again, and asked why somebody was refused.

use std::fs;

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
    let replayed = bounded("the replay", plimsoll(&["replay", "--json", directory]).output()).await.unwrap();
    assert!(replayed.status.success(), "{replayed:?}");
    let report: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    let pool = &report["pools"][0];
    assert_eq!(pool["decisions"], seats + 1, "{report}");
    assert_eq!((&pool["missing"], &pool["difference"]), (&Value::from(0), &Value::Null));

    // The same requests, under a policy that lets one wait: the shop has no more seats than it had.
    let patient = proxy.file("patient.yaml");
    fs::write(&patient, POLICY.replace("max_wait: 0ms", "max_wait: 500ms")).unwrap();
    let arguments = ["replay", "--json", "--policy", patient.to_str().unwrap(), directory];
    let rerun = bounded("the rerun", plimsoll(&arguments).output()).await.unwrap();
    assert!(rerun.status.success(), "{rerun:?}");
    let report: Value = serde_json::from_slice(&rerun.stdout).unwrap();
    let shop = &report["pools"][0]["classes"]["shop"];
    assert_eq!(
        (&shop["then"]["requests"], &shop["then"]["shed"]),
        (&(seats + 1).into(), &1.into()),
        "{report}"
    );
    assert_eq!(
        (&shop["again"]["requests"], &shop["again"]["shed"]),
        (&(seats + 1).into(), &1.into()),
        "{report}"
    );
    assert_eq!(
        (&shop["new"]["requests"], &report["pools"][0]["without_route"]),
        (&(seats + 1).into(), &0.into())
    );
    let broken = proxy.file("broken.yaml");
    fs::write(&broken, "version: 1\n").unwrap();
    let message = complaint(&["replay", "--policy", broken.to_str().unwrap(), directory]).await;
    assert!(message.contains("`classes` is missing"), "{message}");

    for id in [id.as_str(), request_id.as_str()] {
        let arguments = ["explain", "--json", "--journal", directory, "--id", id];
        let explained = bounded("the explanation", plimsoll(&arguments).output()).await.unwrap();
        assert!(explained.status.success(), "{explained:?}");
        let told: Value = serde_json::from_slice(&explained.stdout).unwrap();
        assert_eq!(
            (&told["class"], &told["generation"], &told["reproduced"]),
            (&"shop".into(), &1.into(), &true.into())
        );
        assert!(told["route"].as_str().unwrap().ends_with("policy.yaml:3"), "{told}");
        let sentence = told["decisions"][0]["sentence"].as_str().unwrap();
        assert!(sentence.starts_with("refused at the door"), "{sentence}");
    }
    let message = complaint(&["explain", "--journal", directory, "--id", "00000000000000aa"]).await;
    assert!(message.contains("no request 00000000000000aa"), "{message}");
}
