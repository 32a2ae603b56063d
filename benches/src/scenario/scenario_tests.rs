//! What a person who writes a scenario may rely on, most of all when it is wrong.

use super::threshold::{Measure, Subject};
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
    assert_eq!(error, "s.yaml:4:6: slo: `1 parsec` is not a duration (write it like 40ms, 2s or 1m 30s)");
}

#[test]
fn unknown_keys_are_refused_where_they_stand() {
    let error = edited("patience: 2s", "patiance: 2s");
    assert!(
        error.contains("s.yaml:5:1: patiance: unknown key `patiance` (did you mean `patience`?)"),
        "{error}"
    );
    let error = edited("weight: 1 }", "weight: 1, wait: 2 }");
    assert!(error.starts_with("s.yaml:7:") && error.contains("wait"), "{error}");
}

#[test]
fn values_out_of_range_are_refused() {
    for (from, to, expected) in [
        ("slo: 1s", "slo: 40", "`40` is not a duration"),
        ("slo: 1s", "slo: 0s", "`0s` is not a duration"),
        ("slo: 1s", "slo: 25h", "`25h` is more than a day"),
        ("workers: 2", "workers: 0", "0 is out of range"),
        ("weight: 1", "weight: 0", "no request is ever drawn"),
        ("weight: 1", "weight: .nan", "not a number of this kind"),
        ("mean: 20ms", "mean: 20ms, spread: 101%", "`101%` is not a percentage"),
        ("load: 2x", "load: 2", "`2` is not a load"),
        ("load: 2x", "load: -2x", "`-2x` is not a load"),
        ("\"/p/{3}\"", "\"/p/{0}\"", "`/p/{0}` is not a path"),
        ("\"/p/{3}\"", "p", "`p` is not a path"),
        ("[\"/p/{3}\", /]", "[]", "at least one path"),
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
        ("weight: 1", "weight: 1, needs: payment", "unknown dependency `payment`"),
        ("load: 2x", "load: 2x, slow: { payment: 2x }", "unknown place of the shop `payment`"),
        ("load: 2x", "load: 2x, failing: { endpoint 2: 50% }", "there is no endpoint 2: the origin has 1"),
        ("load: 2x", "load: 2x, weights: { cart: 10 }", "unknown class of the mix `cart`"),
        (
            "slo: 1s",
            "slo: 1s\nfunnels: [{ name: f, begin: 1, think: 1s, steps: [pay] }]",
            "unknown class or request of the mix `pay`",
        ),
        ("slo: 1s", "slo: 1s\nretries: { attempts: 0, backoff: 1s }", "a number from 1 to 100"),
        (
            "slo: 1s",
            "slo: 1s\nbursts: { on: 1s, off: 1s, peak: 3x }",
            "the bursts alone are more than the load",
        ),
        ("load: 2x", "load: 2x, workers: 2", "`2` is not a multiple (write it like 0.5x or 10x)"),
        ("mean: 20ms", "mean: 20ms, distribution: normal", "`normal` is not a distribution"),
        ("class: browse", "class: \"browse:all\"", "`browse:all` cannot be a class"),
        ("class: browse", "class: shed", "`shed` cannot be a class"),
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
        ("slo: 1s", "slo: 1s\nproxies: [1, 2]", "proxies"),
        ("weight: 1", "weight: 1, upload: 2s", "mix[].upload without upload_bytes"),
        ("weight: 1", "weight: 1, download: 2s", "mix[].download without download_bytes"),
        ("load: 2x", "load: 2x, misjudged: 2%", "phases[].misjudged"),
        ("load: 2x", "load: 2x, reload: true", "phases[].reload"),
        ("load: 2x", "load: 2x, clock_jump: 2s", "phases[].clock_jump"),
    ] {
        std::fs::write(&path, SMALL.replace(from, to)).unwrap();
        let error = Scenario::read_for_sockets(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("`{key}` can only be simulated")), "{to}: {error}");
    }
}

#[test]
fn slow_clients_are_two_hundred_of_either_kind_in_every_phase() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/slow-clients.yaml");
    let scenario = Scenario::read_for_sockets(&path).unwrap();
    for phase in &scenario.phases {
        let weights = scenario.weights(phase);
        let per_weight = scenario.rate(phase) / weights.iter().sum::<f64>();
        let slow = scenario.mix.iter().zip(&weights).filter_map(|(template, weight)| {
            let time = template.upload.or(template.download)?;
            Some(per_weight * weight * time.as_secs_f64())
        });
        let at_once: Vec<f64> = slow.collect();
        assert!(at_once.iter().all(|number| (number - 200.0).abs() < 0.1), "{}: {at_once:?}", phase.name);
        assert_eq!(at_once.len(), 2);
    }
}

#[test]
fn faults_cannot_be_simulated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.yaml");
    std::fs::write(&path, SMALL.replace("load: 2x", "load: 2x, faults: [{ fault: reset, share: 10% }]"))
        .unwrap();
    assert!(Scenario::read_for_simulation(&path).unwrap_err().to_string().contains("over sockets"));
    assert_eq!(Scenario::read_for_sockets(&path).unwrap().phases[0].faults[0].share, 0.1);
}

#[test]
fn every_mistake_is_told_at_once() {
    let text = SMALL.replace("slo: 1s", "slo: 1").replace("load: 2x", "load: fast, shap: [1x]");
    let error = error_of(&text);
    let places: Vec<&str> = error.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["s.yaml:4:6", "s.yaml:9:39", "s.yaml:9:45"], "{error}");
}

#[test]
fn requests_that_come_with_a_page_are_named() {
    let with = |loads: &str| {
        let more = "weight: 1 }\n  - { name: picture, class: static, paths: [/l.svg], weight: 0 }";
        SMALL.replace("weight: 1 }", &format!("loads: {loads}, {more}"))
    };
    let scenario = Scenario::parse(Path::new("s.yaml"), &with("[picture]")).unwrap();
    assert_eq!(scenario.mix[0].loads, [1]);
    assert_eq!(Scenario::parse(Path::new("s.yaml"), &with("picture")).unwrap().mix[0].loads, [1]);
    let error = error_of(&with("[pictures]"));
    assert!(error.contains("unknown request of the mix `pictures` (did you mean `picture`?)"), "{error}");
}

#[test]
fn step_of_a_funnel_is_a_request_or_a_class() {
    let mix = "weight: 1 }\n  - { name: other, class: browse, paths: [/o], weight: 3 }";
    let funnel = "slo: 1s\nfunnels: [{ name: f, begin: 1, think: 1s, steps: [browse, other] }]";
    let text = SMALL.replace("weight: 1 }", mix).replace("slo: 1s", funnel);
    let scenario = Scenario::parse(Path::new("s.yaml"), &text).unwrap();
    assert_eq!(scenario.funnels[0].steps, [vec![0, 1], vec![1]]);
}

#[test]
fn threshold_is_read_from_its_line() {
    let parse = |text: &str| {
        let text = format!("{SMALL}thresholds:\n  - {text}\n");
        Scenario::parse(Path::new("s.yaml"), &text).map(|scenario| scenario.thresholds[0].clone())
    };
    let good = parse("browse.good >= 99.9%").unwrap();
    assert_eq!((good.subject, good.bound, good.phase), (Subject::Class(0), 0.999, None));
    assert!(good.comparison.holds(0.999, good.bound) && !good.comparison.holds(0.9989, good.bound));
    let shed = parse("shed.p99 < 5ms in only").unwrap();
    assert_eq!((shed.subject, shed.measure, shed.bound), (Subject::Shed, Measure::Quantile(0.99), 5.0));
    assert_eq!(shed.phase, Some(0));
    assert!(!shed.comparison.holds(5.0, shed.bound) && shed.comparison.holds(4.9, shed.bound));
    assert_eq!(parse("all.p99.9 <= 2s").unwrap().measure, Measure::Quantile(0.999));
    assert!(parse("all.max >= 1m").is_ok(), "it can be missed");
    let beside = parse("all.p99 <= 1.05x direct in only").unwrap();
    assert_eq!((beside.bound, beside.is_of_direct, shed.is_of_direct), (1.05, true, false));
    for (text, expected) in [
        ("browse.good", "`browse.good` is not a threshold (write it like"),
        ("brows.good >= 1%", "unknown subject `brows` (did you mean `browse`?)"),
        ("browse.goo >= 1%", "unknown measure `goo` (did you mean `good`?)"),
        ("browse.good >= 1ms", "`1ms` is not a percentage"),
        ("browse.p99 < 5", "`5` is not a duration"),
        ("browse.p99 < 105% direct", "`105%` is not a multiple"),
        ("browse.good >= 1x direct", "`1x direct` is not a percentage"),
        ("browse.p99 < 2001ms", "it cannot be missed: nobody waits longer than 2s"),
        ("all.max <= 1m", "it cannot be missed"),
        ("shed.p99 < 1m", "it cannot be missed"),
        ("browse.good >= 1% in ony", "unknown phase `ony` (did you mean `only`?)"),
        ("shed.good >= 1%", "shed.p99 < 5ms"),
        ("all.useful_work >= 90%", "in one phase"),
        ("all.survived >= 90%", "sessions.survived"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with("s.yaml:11:5: thresholds[0]: ") && error.contains(expected), "{error}");
    }
}

#[test]
fn threshold_is_of_one_phase_and_not_of_the_first_of_that_name() {
    let again = "  - { name: only, duration: 1s, load: 1x }\n";
    let text = |phase: &str| format!("{SMALL}{again}thresholds: [browse.good >= 1%{phase}]\n");
    assert!(Scenario::parse(Path::new("s.yaml"), &text("")).is_ok());
    let error = error_of(&text(" in only"));
    assert!(error.contains("more than one phase is called `only`"), "{error}");
}

#[test]
fn committed_schema_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/scenario.schema.json");
    let generated = format!("{:#}\n", schema::schema());
    assert!(
        std::fs::read_to_string(path).unwrap() == generated,
        "run `plimsoll-bench schema > benches/scenarios/scenario.schema.json`"
    );
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
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    assert!(files.len() >= 2);
    for file in files {
        let scenario = Scenario::read(&file).unwrap();
        assert!(!scenario.description.is_empty(), "{}", scenario.name);
    }
}
