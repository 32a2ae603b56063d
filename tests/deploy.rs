//! What stands beside the binary: the systemd unit, and the list of what the binary is made of.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plimsoll::config::{Connections, Drain};
use serde_json::Value;

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

/// What the unit says for a key; the last word counts.
fn unit(key: &str) -> String {
    let text = fs::read_to_string(deploy("plimsoll.service")).unwrap();
    let mut values = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.next_back().unwrap_or_else(|| panic!("no `{key}`")).to_owned()
}

#[test]
fn the_unit_leaves_a_process_the_time_and_the_descriptors_that_its_defaults_need() {
    let stop: u64 = unit("TimeoutStopSec").parse().unwrap();
    assert!(stop > Drain::default().stop.as_secs(), "killed while it drains, after {stop} s");
    // A client's, and one to the shop for its request.
    let descriptors: usize = unit("LimitNOFILE").parse().unwrap();
    assert!(descriptors >= 2 * Connections::default().max, "{descriptors}");
    // The process that serves tells that it does, and after an upgrade it is another one.
    assert_eq!((unit("Type").as_str(), unit("NotifyAccess").as_str()), ("notify", "all"));
}

#[test]
fn the_list_of_parts_has_all_that_is_linked_with_digests_and_nothing_that_only_builds_or_tests() {
    let has_toml = Command::new("python3").args(["-c", "import tomllib"]).status();
    if !has_toml.is_ok_and(|status| status.success()) {
        println!("skipped: there is no Python that reads TOML");
        return;
    }
    let list = Command::new("python3").arg(deploy("sbom.py")).current_dir(deploy("..")).output().unwrap();
    assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!((list["bomFormat"].as_str(), list["specVersion"].as_str()), (Some("CycloneDX"), Some("1.5")));
    let named = |part: &Value| (part["name"].as_str().unwrap().to_owned(), part.clone());
    let parts: BTreeMap<String, Value> = list["components"].as_array().unwrap().iter().map(named).collect();
    for linked in ["plimsoll-core", "pingora-core", "pingora-proxy", "rustls", "ring", "tract-onnx", "tokio"]
    {
        assert!(parts.contains_key(linked), "{linked}");
    }
    for tool in ["plimsoll-bench", "proptest", "criterion", "rcgen", "cmake", "cc"] {
        assert!(!parts.contains_key(tool), "{tool}");
    }
    for (name, part) in &parts {
        let digest = part["hashes"][0]["content"].as_str().map_or(0, str::len);
        assert_eq!(digest, if name == "plimsoll-core" { 0 } else { 64 }, "{name}");
        assert!(part["licenses"][0]["expression"].is_string(), "{name}");
    }
}
