//! What cannot be started says why, once, and ends; what can be done without is done without.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::harness::bounded;
use crate::harness::process::{complaint, plimsoll};

const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1"];

async fn serve_complaint(flags: &[&str]) -> String {
    complaint(&[&SERVE[..], flags].concat()).await
}

/// A policy file must be refused by `serve` and by `check`, with the place of its mistake.
async fn assert_refused(path: &Path, says: &[&str]) {
    let path = path.to_str().unwrap();
    for message in [serve_complaint(&["--policy", path]).await, complaint(&["check", path]).await] {
        for expected in says {
            assert!(message.contains(expected), "{path}: `{expected}` is not in: {message}");
        }
    }
}

#[tokio::test]
async fn a_policy_with_a_mistake_is_refused_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let classes = "version: 1\nclasses:\n  order: { rank: 0 }\n";
    let mistakes = [
        ("typo", format!("{classes}rutes: []\n"), "4:1", "`routes`"),
        ("unit", format!("{classes}  page: {{ patience: 3 }}\n"), "4:21", "`3`"),
        ("rank", format!("{classes}  page: {{ rank: 0 }}\n"), "4:17", "belongs to `order`"),
        ("class", format!("{classes}routes:\n  - {{ path: /, class: ordr }}\n"), "5:23", "`order`"),
        ("empty", String::new(), "1:1", "empty"),
    ];
    for (name, text, place, says) in mistakes {
        let path = directory.path().join(format!("{name}.yaml"));
        fs::write(&path, text).unwrap();
        assert_refused(&path, &[&format!("{name}.yaml:{place}"), says]).await;
    }
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_is_refused_with_its_path() {
    let directory = tempfile::tempdir().unwrap();
    assert_refused(directory.path(), &[directory.path().to_str().unwrap(), "yaml"]).await;
    let absent = directory.path().join("absent.yaml");
    assert_refused(&absent, &["absent.yaml", "No such file"]).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_policy_without_permission_is_refused_with_its_path() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret.yaml");
    fs::write(&secret, "version: 1").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&secret).is_ok() {
        println!("skipped: this user may read every file");
        return;
    }
    assert_refused(&secret, &["secret.yaml", "ermission denied"]).await;
}

#[tokio::test]
async fn a_port_in_use_is_refused_with_its_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let message = complaint(&["serve", "--listen", &address, "--upstream", "127.0.0.1:1"]).await;
    assert!(message.contains(&address) && message.contains("in use"), "{message}");
    let message = serve_complaint(&["--admin", &address]).await;
    assert!(message.contains(&address) && message.contains("in use"), "{message}");
}

#[tokio::test]
async fn flags_that_lead_nowhere_are_refused_with_a_hint() {
    let message = complaint(&["serve", "--upstream", "127.0.0.1:1"]).await;
    assert!(message.contains("--listen 127.0.0.1:8080"), "{message}");
    let message = complaint(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert!(message.contains("--upstream 127.0.0.1:3000"), "{message}");
    for endpoint in ["shop", "127.0.0.1", "127.0.0.1:http", ":"] {
        let message = complaint(&["serve", "--listen", "127.0.0.1:0", "--upstream", endpoint]).await;
        assert!(message.contains("not a host with a port"), "{endpoint}: {message}");
    }
}

#[tokio::test]
async fn every_mistake_in_the_settings_is_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let settings = directory.path().join("plimsoll.yaml");
    fs::write(&settings, "admn: {}\ntrusted_hops: [everyone]\naccess_log: { sample: 3 }\n").unwrap();
    let message = serve_complaint(&["--config", settings.to_str().unwrap()]).await;
    for place in ["plimsoll.yaml:1:1", "plimsoll.yaml:2:16", "plimsoll.yaml:3:23"] {
        assert!(message.contains(place), "{place}: {message}");
    }
}

#[tokio::test]
async fn a_shipped_policy_checks_out() {
    for policy in ["storefront.yaml", "reference.yaml", "model-only.yaml"] {
        let path = root().join("policies").join(policy);
        let check = plimsoll(&["check", path.to_str().unwrap()]).output();
        let output = bounded("the check", check).await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
