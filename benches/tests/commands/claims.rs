//! What was measured, as `claims` writes it into a document.

use super::{bench, file, stderr};
use serde_json::{Value, json};
use tempfile::TempDir;

const DOCUMENT: &str = "head\n<!-- claims: begin -->\nold\n<!-- claims: end -->\ntail\n";

/// The document after `claims` was run over these results.
fn claimed(results: &[(&str, Value)]) -> String {
    let directory = TempDir::new().unwrap();
    for (name, result) in results {
        file(&directory, name, result.to_string());
    }
    let document = file(&directory, "RESULTS.md", DOCUMENT);
    let output = bench(&["claims", directory.path().to_str().unwrap(), &document]);
    assert!(output.status.success(), "{}", stderr(&output));
    std::fs::read_to_string(document).unwrap()
}

/// A run at twice the load, in which browsing takes `browse_p50_ms`.
fn measured(valid: bool, browse_p50_ms: f64) -> Value {
    let class = |name: &str, p50_ms: f64| {
        json!({
            "class": name, "offered": 1_000, "good": 999, "late": 0, "refused": {"503": 1}, "refused_late": 0,
            "errors": {}, "failed": 0, "timed_out": 0, "served_p50_ms": p50_ms, "refused_p99_ms": 5.04,
        })
    };
    let classes = [class("checkout", 50.0), class("browse", browse_p50_ms)];
    json!({
        "source": "spike", "target": "plimsoll", "seeds": [1, 2], "valid": valid, "send_lag_p99_ms": 1.5,
        "phases": [{"name": "double", "load": "2x", "useful_work": 0.97, "classes": classes}],
    })
}

/// A run that is calm again after an overload; `last_s` is when the last of `refused` was.
fn calm_again(refused: &Value, last_s: Option<f64>) -> Value {
    let mut run = measured(true, 50.0);
    let phase = &mut run["phases"][0];
    phase["name"] = json!("calm again");
    phase["classes"].as_array_mut().unwrap().iter_mut().for_each(|class| class["refused"] = refused.clone());
    if let Some(last_s) = last_s {
        phase["refused_last_s"] = json!(last_s);
    }
    run
}

fn assert_has(document: &str, row: &str) {
    assert!(document.contains(row), "{row}\nis not in\n{document}");
}

#[test]
fn figure_that_misses_its_target_says_so_in_its_row() {
    let document = claimed(&[("measure.json", measured(true, 81.2))]);
    assert!(document.starts_with("head\n") && document.ends_with("tail\n"), "{document}");
    for row in [
        "| Checkouts in time at twice that | >= 99.9 % | 99.90 % (999/1000) | held | `make measure` |",
        "| Useful work at twice | >= 97 % | 97.00 % | held | `make measure` |",
        "| Browsing, p50 of who is let in at twice | <= 70 ms | 81.20 ms | **missed** | `make measure` |",
        "| A refusal, p99 at twice | <= 5 ms | 5.04 ms | **missed** | `make measure` |",
        "| A refusal, p99 at five times | <= 5 ms | not measured |  | `make measure` |",
    ] {
        assert_has(&document, row);
    }
    assert_has(&claimed(&[("measure.json", measured(true, 70.0))]), "| <= 70 ms | 70.00 ms | held |");
}

#[test]
fn refusals_after_an_overload_end_within_a_second_of_it() {
    let told = |refused: Value, last_s: Option<f64>| {
        let document = claimed(&[("measure.json", calm_again(&refused, last_s))]);
        let claim = "| After 5x, at 0.8 again: the last refusal for want of seats ";
        document.lines().find_map(|line| line.strip_prefix(claim)).unwrap().to_owned()
    };
    let refused = || json!({"503": 20});
    assert_eq!(told(refused(), Some(0.99)), "| < 1 s | 0.990 s | held | `make measure` |");
    assert_eq!(told(refused(), Some(1.0)), "| < 1 s | 1.000 s | **missed** | `make measure` |");
    assert_eq!(told(refused(), None), "| < 1 s | not measured |  | `make measure` |", "an older result");
    for nobody in [json!({}), json!({"429": 3})] {
        assert_eq!(told(nobody, None), "| < 1 s | none | held | `make measure` |");
    }
    let document = claimed(&[("measure.json", calm_again(&refused(), Some(0.5)))]);
    let share = "| After 5x, at 0.8 again, refused |  | 2.00 % (40/2000) |  | `make measure` |";
    assert_has(&document, share);
}

#[test]
fn run_that_was_not_on_time_holds_and_misses_nothing() {
    let document = claimed(&[("measure.json", measured(false, 81.2))]);
    assert_has(&document, "| <= 70 ms | 81.20 ms | invalid run |");
    assert!(!document.contains("held") && !document.contains("missed"), "{document}");
}

#[test]
fn costs_of_everybody_are_told_with_their_spread() {
    let row = |name: &str, median: f64, times: f64| {
        let spread = json!({"min": median - 1.0, "median": median, "max": median + 2.0});
        json!({
            "name": name, "cpu_per_request_us": spread, "times_bare_pingora": times, "cpu_per_refusal_us": spread,
            "memory_per_idle_connection_kib": spread, "added_p50_ms": spread, "added_p99_ms": null,
        })
    };
    let rows = [row("plimsoll", 32.6, 1.63), row("bare-pingora", 20.0, 1.0), row("haproxy", 14.0, 0.7)];
    let machine = json!({"processor": "a processor", "cores": 2, "memory_mib": 4_096, "system": "Linux"});
    let overhead = json!({"machine": machine, "rounds": 3, "idle_connections": 10_000, "rows": rows});
    let document = claimed(&[("overhead.json", overhead)]);
    for row in [
        "| CPU per proxied request |  | 32.60 us (bare Pingora 20.0) |  | `make overhead` |",
        "| over bare Pingora's | <= 1.35 times | 1.63 times | **missed** | `make overhead` |",
        "| haproxy | 14.0 (13.0 to 16.0) | 0.70 | 14.0 (13.0 to 16.0) | 14.0 (13.0 to 16.0) | 14.00 (13.00 to 16.00) | - |",
        "Measured on a processor, 2 cores, 4.0 GiB, Linux.",
    ] {
        assert_has(&document, row);
    }
}

#[test]
fn model_is_claimed_as_its_manifest_states_it() {
    let directory = TempDir::new().unwrap();
    let document = file(&directory, "RESULTS.md", DOCUMENT);
    let bundle = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/storefront");
    let output = bench(&["claims", directory.path().to_str().unwrap(), &document, "--bundle", bundle]);
    assert!(output.status.success(), "{}", stderr(&output));
    let document = std::fs::read_to_string(document).unwrap();
    let manifest = std::fs::read(format!("{bundle}/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let measure = |name: &str| manifest["measures"][name].as_f64().unwrap();
    let recall = measure("class_vendor_left_out_cart_recall");
    assert_has(
        &document,
        &format!("| Carts among them, recall | >= 0.95 | {recall} | held | `make model` |"),
    );
    let gap = measure("value_auc_held_back_over_lightgbm");
    assert_has(&document, &format!("| over LightGBM's on the same features | >= -0.01 | {gap} ("));
    assert_has(&document, "What parts of a decision cost (`make micro`): not measured.");
    assert!(document.contains("| The bundle on disk | <= 1024 KiB | "), "{document}");
}
