//! What a person who writes a scenario may rely on, most of all when it is wrong.

use super::*;

const SMALL: &str = "\
name: small
description: one request
origin: { workers: 2, service: { mean: 20ms } }
slo: 1s
patience: 2s
mix:
  - { name: page, class: browse, paths: [\"/p/{3}\", /], weight: 1 }
phases:
  - { name: only, duration: 1s, load: 2x }
";

fn error_of(text: &str) -> String {
    Scenario::parse(Path::new("s.yaml"), text).unwrap_err().to_string()
}

fn edited(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from} is in the text");
    error_of(&SMALL.replace(from, to))
}

#[test]
fn load_is_a_multiple_of_capacity_or_a_rate() {
    let scenario = Scenario::parse(Path::new("s.yaml"), SMALL).unwrap();
    assert_eq!(scenario.origin.capacity(), 100.0);
    assert_eq!(scenario.rate(&scenario.phases[0]), 200.0);
    let scenario = Scenario::parse(Path::new("s.yaml"), &SMALL.replace("2x", "30/s")).unwrap();
    assert_eq!(scenario.rate(&scenario.phases[0]), 30.0);
}

#[test]
fn pattern_stands_for_its_paths() {
    let scenario = Scenario::parse(Path::new("s.yaml"), SMALL).unwrap();
    let paths = &scenario.mix[0].paths;
    assert_eq!((paths[0].variants(), paths[0].fill(3).as_str()), (3, "/p/3"));
    assert_eq!((paths[1].variants(), paths[1].fill(1).as_str()), (1, "/"));
}

#[test]
fn error_names_file_line_and_column() {
    let error = edited("slo: 1s", "slo: 1 parsec");
    assert!(error.starts_with("s.yaml:4:6: `1 parsec` is not a duration"), "{error}");
}

#[test]
fn unknown_keys_are_refused_where_they_stand() {
    let error = edited("patience: 2s", "patiance: 2s");
    assert!(error.starts_with("s.yaml:5:1: "), "{error}");
    assert!(error.contains("patiance"), "{error}");
    let error = edited("weight: 1 }", "weight: 1, wait: 2 }");
    assert!(error.starts_with("s.yaml:7:") && error.contains("wait"), "{error}");
}

#[test]
fn values_out_of_range_are_refused() {
    for (from, to, expected) in [
        ("slo: 1s", "slo: 40", "`40` is not a duration"),
        ("slo: 1s", "slo: 0s", "`0s` is not a duration"),
        ("slo: 1s", "slo: 25h", "`25h` is more than a day"),
        ("workers: 2", "workers: 0", "at least one worker"),
        ("weight: 1", "weight: 0", "above zero"),
        ("weight: 1", "weight: .nan", "above zero"),
        ("mean: 20ms", "mean: 20ms, spread: 101%", "`101%` is not a percentage"),
        ("load: 2x", "load: 2", "`2` is not a load"),
        ("load: 2x", "load: -2x", "`-2x` is not a load"),
        ("\"/p/{3}\"", "\"/p/{0}\"", "`/p/{0}` is not a path"),
        ("\"/p/{3}\"", "p", "`p` is not a path"),
        ("[\"/p/{3}\", /]", "[]", "at least one item"),
        ("weight: 1", "weight: 1, method: \"G T\"", "`G T` is not a request method"),
    ] {
        let error = edited(from, to);
        assert!(error.contains(expected), "{to}: {error}");
        assert!(!error.starts_with("s.yaml:0:0"), "{to}: {error}");
    }
}

#[test]
fn names_that_name_nothing_are_refused_where_they_stand() {
    for (from, to, expected) in [
        ("weight: 1", "weight: 1, needs: payment", "the origin has no `payment`"),
        ("load: 2x", "load: 2x, slow: { payment: 2x }", "the origin has no `payment`"),
        ("load: 2x", "load: 2x, failing: { endpoint 2: 50% }", "there is no endpoint 2: the origin has 1"),
        ("load: 2x", "load: 2x, weights: { cart: 10 }", "no request of the mix has the class `cart`"),
        ("slo: 1s", "slo: 1s\nfunnels: [{ name: f, begin: 1, think: 1s, steps: [pay] }]", "the class `pay`"),
        ("slo: 1s", "slo: 1s\nretries: { attempts: 0, backoff: 1s }", "0 is no number of retries"),
        (
            "slo: 1s",
            "slo: 1s\nbursts: { on: 1s, off: 1s, peak: 3x }",
            "the bursts alone are more than the load",
        ),
        ("load: 2x", "load: 2x, workers: 2", "`2` is not a multiple: write `0.5x`"),
        ("mean: 20ms", "mean: 20ms, distribution: normal", "`normal` is not a distribution"),
    ] {
        let error = edited(from, to);
        assert!(error.contains(expected), "{to}: {error}");
        assert!(!error.starts_with("s.yaml:0:"), "{to}: {error}");
    }
}

#[test]
fn weights_of_a_phase_replace_the_shares_of_the_classes() {
    let mix = "weight: 1 }\n  - { name: other, class: browse, paths: [/o], weight: 3 }\n  \
               - { name: order, class: checkout, paths: [/c], weight: 6 }";
    let text = SMALL.replace("weight: 1 }", mix).replace("load: 2x", "load: 2x, weights: { browse: 20 }");
    let scenario = Scenario::parse(Path::new("s.yaml"), &text).unwrap();
    assert_eq!(scenario.weights(&scenario.phases[0]), [5.0, 15.0, 0.0]);
}

#[test]
fn what_can_only_be_simulated_is_refused_over_sockets() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.yaml");
    std::fs::write(&path, SMALL).unwrap();
    assert!(Scenario::read_for_sockets(&path).is_ok());
    for (from, to, key) in [
        ("workers: 2", "workers: 2, endpoints: 2", "origin.endpoints"),
        ("slo: 1s", "slo: 1s\nwire: { client: 1ms }", "wire"),
        ("slo: 1s", "slo: 1s\nretries: { attempts: 1, backoff: 1s }", "retries"),
        ("slo: 1s", "slo: 1s\nproxies: [1, 2]", "proxies"),
        ("slo: 1s", "slo: 1s\nfunnels: [{ name: f, begin: 1, think: 1s, steps: [browse] }]", "funnels"),
        ("weight: 1", "weight: 1, upload: 2s", "mix[].upload"),
        ("weight: 1", "weight: 1, download: 2s", "mix[].download"),
        ("load: 2x", "load: 2x, misjudged: 2%", "phases[].misjudged"),
        ("load: 2x", "load: 2x, reload: true", "phases[].reload"),
        ("load: 2x", "load: 2x, clock_jump: 2s", "phases[].clock_jump"),
        ("load: 2x", "load: 2x, workers: 0.5x", "phases[].workers"),
        ("load: 2x", "load: 2x, slow: { origin: 2x }", "phases[].slow"),
        ("load: 2x", "load: 2x, failing: { origin: 2% }", "phases[].failing"),
    ] {
        std::fs::write(&path, SMALL.replace(from, to)).unwrap();
        let error = Scenario::read_for_sockets(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("`{key}` can only be simulated")), "{to}: {error}");
    }
}

#[test]
fn missing_key_and_empty_file_are_errors() {
    assert!(edited("patience: 2s\n", "").contains("patience"));
    assert!(error_of("").starts_with("s.yaml:"));
}

#[test]
fn shipped_scenarios_are_valid() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    assert!(files.len() >= 2);
    for file in files {
        let scenario = Scenario::read(&file).unwrap();
        assert!(!scenario.description.is_empty(), "{}", scenario.name);
    }
}
