//! The JSON Schema of a policy, for editors: keys, types, units, bounds, and what each key is for.
//!
//! Shapes come from the reader itself (see `outline`), words and defaults
//! from `policies/reference.yaml`, whose defaults the tests hold against the reader's. So neither
//! is written a second time. Names that refer to each other, sums of floors and the like are for
//! `plimsoll check`.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::file;
use crate::yaml::outline::{Note, Outline};

/// Where the words and the defaults come from.
const REFERENCE: &str = include_str!("../../policies/reference.yaml");

/// The schema of a policy file.
pub fn schema() -> Value {
    let outline = Outline::of(|root| _ = file::read(root));
    let notes = notes(REFERENCE);
    let mut schema = outline.schema("", &|path| notes.get(path).cloned().unwrap_or_default());
    let fields = schema.as_object_mut().expect("a schema is an object");
    fields.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
    fields.insert("title".into(), json!("Plimsoll policy"));
    // An overlay in a directory holds some keys only; `plimsoll check` misses what none of them holds.
    fields.remove("required");
    schema
}

/// What the reference says of each path: behind a key, or in the comment above it. Keys of a list's
/// items stand in an example in the comments above the list, which is empty.
fn notes(reference: &str) -> HashMap<String, Note> {
    let mut notes = HashMap::new();
    let (mut path, mut example_path) = (Path::default(), Path::default());
    let mut examples: Vec<(String, Note)> = Vec::new();
    let mut above = Vec::new();
    for line in reference.lines() {
        let example = line.strip_prefix("#   - ").or_else(|| line.strip_prefix("#     "));
        let Some(stated) = Stated::of(example.unwrap_or(line)) else {
            match line.trim().strip_prefix("# ") {
                Some(text) => above.push(text.trim().to_owned()),
                None => above.clear(),
            }
            continue;
        };
        if example.is_some() {
            let note = Note { description: stated.comment, default: None };
            examples.push((example_path.at(stated.indent, stated.key), note));
            continue;
        }
        let place = path.at(stated.indent, stated.key).replace("classes.example", "classes.*");
        let comments = Some(std::mem::take(&mut above).join(" ")).filter(|text| !text.is_empty());
        let default =
            Some(stated.value).filter(|value| !value.is_empty() && !value.starts_with(['[', '{', '"']));
        let note = Note { description: stated.comment.or(comments), default: default.map(str::to_owned) };
        if stated.value == "[]" {
            let of_items = |(key, note): (String, Note)| (format!("{place}[].{key}"), note);
            notes.extend(examples.drain(..).map(of_items));
        }
        notes.insert(place, note);
    }
    notes
}

/// The keys above a line, by how far each is indented.
#[derive(Default)]
struct Path(Vec<(usize, String)>);

impl Path {
    /// The path of `key`, from here on the last one seen.
    fn at(&mut self, indent: usize, key: &str) -> String {
        self.0.retain(|(outer, _)| *outer < indent);
        self.0.push((indent, key.to_owned()));
        let names: Vec<&str> = self.0.iter().map(|(_, key)| key.as_str()).collect();
        names.join(".")
    }
}

/// A line `key: value # comment`.
struct Stated<'l> {
    indent: usize,
    key: &'l str,
    value: &'l str,
    comment: Option<String>,
}

impl<'l> Stated<'l> {
    fn of(text: &'l str) -> Option<Stated<'l>> {
        let indent = text.len() - text.trim_start().len();
        let (key, rest) = text.trim_start().split_once(':')?;
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if !is_key || !(rest.is_empty() || rest.starts_with(' ')) {
            return None;
        }
        let (value, comment) =
            rest.split_once(" # ").map_or((rest, None), |(value, text)| (value, Some(text)));
        Some(Stated { indent, key, value: value.trim(), comment: comment.map(|text| text.trim().to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_described_by_the_reference() {
        let text = "# Above.\nmode: on   # behind\nclasses:\n  example:\n    # Of the queue.\n    queue:\n      \
                    order: fifo\n#   - methods: [A]   # which\n#     expect:\n#       class: a   # what\n#\n# All.\nroutes: []\n";
        let notes = notes(text);
        let note = |path: &str| notes[path].clone();
        let described = |path: &str| note(path).description.unwrap_or_default();
        assert_eq!(note("mode"), Note { description: Some("behind".into()), default: Some("on".into()) });
        assert_eq!(described("classes.*.queue"), "Of the queue.");
        assert_eq!(note("classes.*.queue.order").default.as_deref(), Some("fifo"));
        assert_eq!(described("routes[].methods"), "which");
        assert_eq!(described("routes[].expect.class"), "what");
        assert_eq!(described("routes"), "All.");
    }
}
