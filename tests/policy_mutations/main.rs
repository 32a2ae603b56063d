//! Every key of the shipped policies, made wrong in every way an operator in a hurry does.
//!
//! The mistakes are generated, so that a key that is added later is covered without anyone
//! thinking of it. Each must be found in its line, with a message that says what to do, and
//! a policy that holds it must never be applied.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod keys;
mod mutants;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use plimsoll::policy::compile::compile;
use plimsoll::yaml::diagnostic::Diagnostic;
use plimsoll::yaml::source::Source;

use mutants::{Mutant, mutants};

/// The keys that the reference shows in comments only.
const EXAMPLES: &str = r#"version: 1
classes:
  checkout: { rank: 0, breaker: { window: 10s, probes: 3, min_requests: 20, failure_ratio: 50%, open_for: 5s } }
  browse: { rank: 5, queue: { max_length: 8, max_wait: 500ms, order: lifo }, ceiling: 80%, carried: off }
carry: { checkout: checkout, cart: browse }
routes:
  - methods: [POST]
    path: [/api/*/orders/**, /pay]
    host: "*.shop.test"
    headers: { x-app: "ios*" }
    query: { step: pay }
    cookies: [loyalty]
    graphql: ["checkout*"]
    when: session.stage == "cart"
    class: checkout
    model: { best_class: checkout, worst_class: browse, min_confidence: 0.5 }
    pool: payments
clients:
  usage_penalty: off
  limits:
    - { key: [session, address], rate: 30/s, burst: 90 }
headers: { decision: on }
model: { min_confidence: 0.5, best_class: browse, worst_class: browse }
canary: 5%
schedules:
  sale: { zone: Europe/Berlin, from: 10:00, to: 12:00, days: [fri], dates: [2026-11-27],
          classes: { checkout: { floor: 40% }, browse: { ceiling: 60% } } }
"#;

fn mistakes(text: &str) -> Vec<Diagnostic> {
    compile(&Source::of("policy.yaml", text)).map_or_else(|errors| errors.0, |_| Vec::new())
}

/// The shipped policies and the examples, by name.
fn policies() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut policies = vec![("examples".to_owned(), EXAMPLES.to_owned())];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // A file of tests is no policy by itself.
        if name.ends_with(".yaml") && !name.ends_with("_test.yaml") {
            policies.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    policies.sort();
    policies
}

/// What an operator misses in how `mutant` is answered, if anything.
fn complaint(mutant: &Mutant) -> Option<String> {
    let found = mistakes(&mutant.text);
    let told = || found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ");
    let Some(at_line) = found.iter().find(|one| one.position.is_some_and(|(line, _)| line == mutant.line))
    else {
        return Some(format!("not told in line {}:\n  {}", mutant.line, told()));
    };
    let is_silent = at_line.message.is_empty() || at_line.hint.as_deref().is_none_or(str::is_empty);
    if is_silent {
        return Some(format!("no advice:\n  {}", told()));
    }
    let jargon =
        ["Err(", "Some(", "None", "panicked", "u32", "u64", "usize", "ParseIntError", "invalid type"];
    if let Some(word) = jargon.iter().find(|word| told().contains(**word)) {
        return Some(format!("`{word}` is for programmers:\n  {}", told()));
    }
    (found.len() > 3).then(|| format!("one slip, {} mistakes:\n  {}", found.len(), told()))
}

#[test]
fn every_slip_in_every_key_is_told_in_its_line() {
    let mut kinds: BTreeSet<(&'static str, String)> = BTreeSet::new();
    let mut complaints = Vec::new();
    for (name, text) in policies() {
        assert!(mistakes(&text).is_empty(), "{name}");
        for mutant in mutants(&text) {
            if let Some(complaint) = complaint(&mutant) {
                complaints.push(format!("{name}: {} of {}: {complaint}", mutant.slip, mutant.key));
            }
            kinds.insert((mutant.slip, mutant.key));
        }
    }
    assert!(complaints.is_empty(), "{} complaints\n{}", complaints.len(), complaints.join("\n"));
    let slips: BTreeSet<&str> = kinds.iter().map(|(slip, _)| *slip).collect();
    println!("{} distinct mistakes, of the kinds {slips:?}", kinds.len());
    assert!(kinds.len() >= 60, "{}", kinds.len());
    let expected =
        ["duplicate", "misspelt", "missing", "out of range", "wrong nesting", "wrong type", "wrong unit"];
    assert_eq!(slips, BTreeSet::from(expected));
}
