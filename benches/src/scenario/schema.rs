//! The JSON Schema of a scenario, for editors: keys, types, units, bounds, and what each key is for.
//!
//! Shapes come from the reader itself, which is run over nothing, and words and defaults
//! from the tables in `benches/README.md`. So neither is written a second time. Names that
//! refer to each other are for the reader.

use super::read;
use plimsoll::yaml::outline::{Note, Outline};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;

/// Where the words and the defaults come from.
const DOCUMENT: &str = include_str!("../../README.md");
/// What the document says of a key that has no default, or one that depends on other keys.
const NO_DEFAULTS: [&str; 8] =
    ["", "required", "none", "nothing", "all", "one", "its cost", "as at its start"];

/// The schema of a scenario file.
pub(crate) fn schema() -> Value {
    let outline = Outline::of(|root| _ = read(&root, Path::new("")));
    let notes = notes(DOCUMENT);
    let mut schema = outline.schema("", &|path| notes.get(path).cloned().unwrap_or_default());
    let fields = schema.as_object_mut().expect("a schema is an object");
    fields.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
    fields.insert("title".into(), json!("Plimsoll scenario"));
    schema
}

/// What the document's tables say of each path: rows of `key`, meaning and default, in its part about scenarios.
fn notes(document: &str) -> HashMap<&str, Note> {
    let part = document.split("\n## ").find(|part| part.starts_with("Scenarios\n")).unwrap_or_default();
    part.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<(&str, Note)> {
    let cells = line.strip_prefix("| `")?.strip_suffix('|')?;
    let (path, cells) = cells.split_once("` | ")?;
    let (meaning, default) = cells.rsplit_once('|')?;
    let default = Some(default.trim()).filter(|default| !NO_DEFAULTS.contains(default));
    Some((path, Note { description: Some(meaning.trim().to_owned()), default: default.map(str::to_owned) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that `schema` has below `path` and that have no description.
    fn undescribed(schema: &Value, path: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (key, value) in schema["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if value["description"].as_str().is_none_or(str::is_empty) {
                found.push(path.clone());
            }
            found.extend(undescribed(value, &path));
        }
        let values = [("additionalProperties", ".*"), ("items", "[]")];
        for (key, step) in values.into_iter().filter(|(key, _)| schema[key].is_object()) {
            found.extend(undescribed(&schema[key], &format!("{path}{step}")));
        }
        for form in schema["anyOf"].as_array().into_iter().flatten() {
            found.extend(undescribed(form, path));
        }
        found
    }

    #[test]
    fn every_key_is_described_by_the_document_and_every_description_is_of_a_key() {
        let schema = schema();
        assert_eq!(undescribed(&schema, ""), Vec::<String>::new());
        let text = schema.to_string();
        for (path, note) in notes(DOCUMENT) {
            let words = Value::from(note.description).to_string();
            assert!(text.contains(&words), "`{path}` is no key of a scenario");
        }
    }

    #[test]
    fn switch_is_a_truth_for_an_editor_and_no_word() {
        let warm_up = &schema()["properties"]["phases"]["items"]["properties"]["warm_up"];
        assert_eq!((&warm_up["enum"], &warm_up["default"]), (&json!([true, false]), &json!(false)));
    }

    #[test]
    fn row_of_the_document_is_a_note() {
        let (path, note) = row("| `a[].b` | Either `x` or `y` | 20 |").unwrap();
        let described = Some("Either `x` or `y`".to_owned());
        assert_eq!((path, note), ("a[].b", Note { description: described, default: Some("20".into()) }));
        assert_eq!(row("| `a` | What it is | required |").unwrap().1.default, None);
        assert_eq!(row("| key | meaning | default |"), None);
    }
}
