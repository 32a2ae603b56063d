//! Going back: by command, over a restart, and by itself.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use crate::harness::bounded;
use crate::harness::lasting::Lasting;
use crate::harness::process::{Process, Setup, complaint, plimsoll};
use crate::harness::upstream::{answering, echo, response};

/// Between requests of a client that keeps asking.
const PACE: Duration = Duration::from_millis(20);

fn policy(class: &str) -> String {
    format!("version: 1\nclasses: {{ {class}: {{}} }}\nheaders: {{ decision: on }}\n")
}

async fn command(arguments: &[&str]) -> Output {
    bounded("the command to end", plimsoll(arguments).output()).await.unwrap()
}

async fn class(proxy: &Process) -> String {
    let told = proxy.ask("GET /", "").await.header("x-plimsoll-decision").unwrap();
    told.split(';').next().unwrap().to_owned()
}

async fn apply(proxy: &Process, path: &Path, class: &str, generation: u64) {
    fs::write(path, policy(class)).unwrap();
    // Either the call or the watcher is first.
    assert_eq!(proxy.admin("POST /v1/reload").await.status(), 200);
    proxy.until_generation(generation).await;
}

#[tokio::test]
async fn a_command_goes_back_and_lists_what_there_is() {
    let proxy = Setup::before(&[echo().await]).policy(&policy("one")).start().await;
    apply(&proxy, &proxy.file("policy.yaml"), "two", 2).await;
    let gone_back = command(&["policy", "rollback", &proxy.admin_flag()]).await;
    assert!(gone_back.status.success(), "{gone_back:?}");
    assert_eq!(class(&proxy).await, "one");
    let listed = command(&["policy", "list", &proxy.admin_flag()]).await;
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.lines().count() == 4 && listed.contains("rollback (= 1)"), "{listed}");
    assert!(listed.lines().nth(3).unwrap().starts_with("*      3"), "{listed}");
    assert_eq!(proxy.metric("plimsoll_rollbacks_total{kind=\"rollback\"}").await, 1.0);
    let nowhere = command(&["policy", "rollback", &proxy.admin_flag()]).await;
    assert_eq!(nowhere.status.code(), Some(1));
    let message = String::from_utf8(nowhere.stderr).unwrap();
    assert!(message.contains("no generation before"), "{message}");
    let forward = command(&["policy", "rollback", "2", &proxy.admin_flag()]).await;
    assert!(forward.status.success(), "{forward:?}");
    assert_eq!(class(&proxy).await, "two");
}

#[tokio::test]
async fn what_was_rolled_back_from_stays_away_until_it_changes() {
    let lasting = Lasting::with(&policy("good")).await;
    let path = lasting.policy();
    let mut proxy = lasting.start().await;
    apply(&proxy, path, "bad", 2).await;
    assert_eq!(proxy.admin("POST /v1/rollback").await.status(), 200);
    let answer = proxy.admin("POST /v1/reload").await;
    assert_eq!(answer.status(), 409, "{}", answer.text());
    assert_eq!(class(&proxy).await, "good");
    proxy.signal("TERM").await;
    proxy.end().await;
    let proxy = lasting.start().await;
    assert_eq!((class(&proxy).await.as_str(), proxy.state().await["generation"].as_u64()), ("good", Some(3)));
    proxy.log.contain("stays in force").await;
    // Generations of the process before can be brought back, too.
    assert_eq!(proxy.admin("POST /v1/rollback?to=2").await.status(), 200);
    assert_eq!(class(&proxy).await, "bad");
    apply(&proxy, path, "better", 5).await;
    assert_eq!(class(&proxy).await, "better");
}

#[tokio::test]
async fn a_process_that_finds_mistakes_starts_with_what_was_in_force_last() {
    let lasting = Lasting::with(&policy("one")).await;
    let path = lasting.policy();
    let end = async |mut proxy: Process| {
        proxy.signal("TERM").await;
        proxy.end().await;
    };
    end(lasting.start().await).await;
    let broken_promise = "tests: [{ request: GET /, expect: { class: one } }]\n";
    for (text, says) in [
        (format!("{}rutes: []\n", policy("two")), "policy.yaml:4:1"),
        (format!("{}{broken_promise}", policy("one, two")), "breaks its own tests"),
    ] {
        fs::write(path, text).unwrap();
        let proxy = lasting.start().await;
        assert_eq!(class(&proxy).await, "one");
        assert_eq!(proxy.state().await["generation"], 1);
        assert!(proxy.log.text().contains(says), "{says}");
        proxy.log.contain("generation 1 stays in force: the files cannot be applied").await;
        assert_eq!(proxy.metric("plimsoll_reloads_total{kind=\"rejected\"}").await, 1.0);
        end(proxy).await;
    }
    fs::remove_file(path).unwrap();
    let proxy = lasting.start().await;
    assert_eq!(class(&proxy).await, "one");
    // It is noticed when it is there again.
    fs::write(path, policy("three")).unwrap();
    proxy.until_generation(2).await;
    assert_eq!(class(&proxy).await, "three");
    end(proxy).await;
    // Without anything kept there is nothing to start with.
    fs::write(path, "version: 1\n").unwrap();
    let (path, empty) = (path.to_str().unwrap(), lasting.file("empty"));
    let arguments =
        ["serve", "--listen=127.0.0.1:0", "--upstream=127.0.0.1:1", "--policy", path, "--state-dir"];
    let message = complaint(&[&arguments[..], &[empty.to_str().unwrap()]].concat()).await;
    assert!(message.contains("`classes` is missing"), "{message}");
}

#[tokio::test]
async fn a_reload_that_changes_nothing_is_no_generation() {
    let proxy = Setup::before(&[echo().await]).policy(&policy("one")).start().await;
    let answer = proxy.admin("POST /v1/reload").await;
    assert!(answer.text().contains("\"changed\": false"), "{}", answer.text());
    assert_eq!(proxy.state().await["generation"], 1);
    let again = proxy.admin("POST /v1/reload?again=yes").await;
    assert_eq!(again.status(), 422, "{}", again.text());
}

#[tokio::test]
async fn a_mode_set_by_hand_holds_until_the_files_say_something_else() {
    let lasting = Lasting::with(&policy("one")).await;
    let path = lasting.policy();
    let mode = async |proxy: &Process| proxy.admin("GET /v1/mode").await.text().to_owned();
    let mut proxy = lasting.start().await;
    let ordered = proxy.order("PUT /v1/mode", "", r#"{"mode":"observe"}"#).await;
    assert_eq!(ordered.status(), 200, "{}", ordered.text());
    // Whatever happens beside the policy, and the policy saved again as it is.
    fs::write(lasting.file("notes.txt"), "busy day").unwrap();
    fs::write(path, policy("one")).unwrap();
    let answer = proxy.admin("POST /v1/reload").await;
    assert!(answer.text().contains("\"changed\": false"), "{}", answer.text());
    assert!(mode(&proxy).await.contains("observe"));
    proxy.signal("TERM").await;
    proxy.end().await;
    let proxy = lasting.start().await;
    assert!(mode(&proxy).await.contains("observe"));
    assert_eq!(proxy.state().await["generation"], 2);
    proxy.log.contain("goes on to observe, as was said by hand").await;
    apply(&proxy, path, "two", 3).await;
    assert!(mode(&proxy).await.contains("enforce"));
    proxy.log.contain("begins to enforce: the mode set by hand held until now").await;
}

#[tokio::test]
async fn a_policy_that_ruins_a_protected_class_is_taken_back_by_itself() {
    // Slices of 100 ms; shop answers at once, so what fails is the policy's.
    let good = "version: 1\nclasses: { shop: {} }\nrollback: { window: 3s }\n";
    let shop = answering(response("200 OK", "", b"ok")).await;
    let proxy = Setup::before(&[shop]).policy(good).start().await;
    let mut client = proxy.client().await;
    for _ in 0..150 {
        assert_eq!(client.exchange("GET /", "").await.status(), 200);
        tokio::time::sleep(PACE).await;
    }
    let ruinous = format!("{good}clients: {{ limits: [{{ key: address, rate: 1/m }}] }}\n");
    fs::write(proxy.file("policy.yaml"), ruinous).unwrap();
    bounded("the rollback", async {
        while !proxy.log.text().contains("rolled back automatically, as generation 3") {
            let status = client.exchange("GET /", "").await.status();
            assert!(matches!(status, 200 | 429), "{status}");
            tokio::time::sleep(PACE).await;
        }
    })
    .await;
    proxy.log.contain("generation 2 made `shop` worse").await;
    assert_eq!(client.exchange("GET /", "").await.status(), 200);
    assert_eq!(proxy.metric("plimsoll_rollbacks_total{kind=\"automatic_rollback\"}").await, 1.0);
    // The file is as it was left, and stays away.
    assert_eq!(proxy.admin("POST /v1/reload").await.status(), 409);
}
