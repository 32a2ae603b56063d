//! One slip per mutant: a key misspelt, doubled, lost or put elsewhere; a value of the wrong type, unit or range.
//!
//! What is wrong with a value is told from how it looks, as a reader would.

use std::collections::BTreeSet;

use crate::keys::{Behind, Key, Scalar, keys};

/// A policy with one slip.
pub(crate) struct Mutant {
    pub(crate) slip: &'static str,
    pub(crate) key: String,
    pub(crate) text: String,
    /// Where it should be told.
    pub(crate) line: usize,
}

/// Keys whose value may be any text, so that no word is misspelt.
const FREE_TEXT: [&str; 8] = ["cookies", "host", "*", "graphql", "pool", "bundle", "name", "request"];
/// Keys that have to be there.
const REQUIRED: [&str; 5] =
    ["version", "routes[].class", "clients.limits[].rate", "clients.limits[].key", "tests[].request"];

/// Every slip in every key of `text`; a key that stands often is taken once.
pub(crate) fn mutants(text: &str) -> Vec<Mutant> {
    let mut seen = BTreeSet::new();
    let keys = keys(text);
    let root: BTreeSet<&str> =
        keys.iter().filter(|key| !key.path.contains('.')).map(|key| key.path.as_str()).collect();
    let fresh = keys.iter().filter(|key| seen.insert(key.path.clone()));
    fresh.flat_map(|key| of_key(text, key, &root).into_iter().chain(of_value(text, key))).collect()
}

fn replaced(text: &str, scalar: &Scalar, by: &str) -> String {
    format!("{}{by}{}", &text[..scalar.start], &text[scalar.end..])
}

fn last_word(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn of_key(text: &str, key: &Key, root: &BTreeSet<&str>) -> Vec<Mutant> {
    let word = last_word(&key.path);
    let mutant = |slip, text, line| Mutant { slip, key: key.path.clone(), text, line };
    let mut mutants = Vec::new();
    if word != "*" {
        // The second letter is lost, or the only one doubled.
        let misspelt =
            format!("{}{}", &word[..1], word.get(2..).filter(|rest| !rest.is_empty()).unwrap_or("x"));
        mutants.push(mutant("misspelt", replaced(text, &key.key, &misspelt), key.key.line));
    }
    if let Behind::Scalar(value) = &key.behind {
        let pair = &text[key.key.start..value.end];
        let is_flow = text[..key.key.start].rsplit('\n').next().is_some_and(|before| before.contains('{'));
        let between = if is_flow { ", ".to_owned() } else { format!("\n{}", indent(text, key.key.start)) };
        let doubled = format!("{}{pair}{between}{}", &text[..key.key.start], &text[key.key.start..]);
        let line = key.key.line + usize::from(!is_flow);
        mutants.push(mutant("duplicate", doubled, line));
        if key.path.contains('.') && word != "*" && !root.contains(word) {
            let elsewhere = format!("{}\n{pair}\n", text.trim_end());
            mutants.push(mutant("wrong nesting", elsewhere, text.trim_end().lines().count() + 1));
        }
    }
    if REQUIRED.contains(&key.path.as_str()) {
        let told_in =
            |text: &str| if key.path.contains('.') { key.parent_line } else { keys(text)[0].key.line };
        mutants.extend(lost(text, key).map(|text| {
            let line = told_in(&text);
            mutant("missing", text, line)
        }));
    }
    mutants
}

/// The spaces, or `- `, before a key of a block mapping.
fn indent(text: &str, at: usize) -> String {
    let before = text[..at].rsplit('\n').next().unwrap_or_default();
    " ".repeat(before.chars().count())
}

/// The text without a key and its scalar, if what remains is still a mapping.
fn lost(text: &str, key: &Key) -> Option<String> {
    let Behind::Scalar(value) = &key.behind else { return None };
    let (before, after) = (&text[..key.key.start], &text[value.end..]);
    if let Some(after) = after.strip_prefix(", ") {
        return Some(format!("{before}{after}"));
    }
    if let Some(before) = before.strip_suffix(", ") {
        return Some(format!("{before}{after}"));
    }
    let is_own_line = before.ends_with('\n') || before.rsplit('\n').next()?.trim().is_empty();
    is_own_line.then(|| format!("{before}# {after}"))
}

fn of_value(text: &str, key: &Key) -> Vec<Mutant> {
    let mutant = |slip, text, line| Mutant { slip, key: key.path.clone(), text, line };
    let word = last_word(&key.path);
    match &key.behind {
        Behind::Scalar(value) if !value.text.is_empty() => {
            let is_list_too = ["path", "methods", "graphql", "cookies", "key"].contains(&word);
            let other = if is_list_too { "{ a: b }" } else { "[a, b]" };
            let mut mutants = vec![mutant("wrong type", replaced(text, value, other), key.key.line)];
            let slips = slips(word, &value.text);
            mutants.extend(slips.map(|(slip, by)| mutant(slip, replaced(text, value, &by), value.line)));
            mutants
        }
        Behind::Scalars(items) => {
            let Some(first) = items.first() else { return Vec::new() };
            let mut mutants = vec![mutant("wrong type", replaced(text, first, "{ a: b }"), first.line)];
            let slips = slips(word, &first.text);
            mutants.extend(slips.map(|(slip, by)| mutant(slip, replaced(text, first, &by), first.line)));
            mutants
        }
        Behind::Scalar(_) | Behind::Other => Vec::new(),
    }
}

/// What to write instead of `value`, so that it is wrong.
fn slips<'v>(word: &str, value: &'v str) -> impl Iterator<Item = (&'static str, String)> + use<'v> {
    let digits = value.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = value.split_at(digits);
    let owned = |slips: &[(&'static str, String)]| slips.to_vec();
    let slips = match (digits, unit) {
        _ if FREE_TEXT.contains(&word) => Vec::new(),
        (1.., "ms" | "s" | "m" | "h") => owned(&[
            ("wrong unit", number.to_owned()),
            ("wrong unit", format!("{number}%")),
            ("wrong unit", format!("{number}sec")),
            ("out of range", "9999999h".to_owned()),
        ]),
        (1.., _) if value.contains("..") => {
            owned(&[("wrong unit", value.replace('s', "")), ("out of range", "9s..1s".to_owned())])
        }
        (1.., _) if value.ends_with('%') => owned(&[
            ("wrong unit", value.trim_end_matches('%').to_owned()),
            ("wrong unit", format!("{number}s")),
            ("out of range", "101%".to_owned()),
        ]),
        (1.., _) if value.contains('/') => {
            owned(&[("wrong unit", number.to_owned()), ("out of range", "0/s".to_owned())])
        }
        (1.., "") => owned(&[
            ("wrong unit", format!("{value}s")),
            ("out of range", "-1".to_owned()),
            ("out of range", "99999999999".to_owned()),
        ]),
        (1.., _) if unit.starts_with('.') => owned(&[("out of range", "1.5".to_owned())]),
        _ if value.starts_with('/') => {
            owned(&[("wrong type", value.trim_start_matches('/').to_owned() + "x")])
        }
        _ => owned(&[("misspelt", format!("{value}x"))]),
    };
    slips.into_iter()
}
