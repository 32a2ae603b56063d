//! The JSON Schema of a scenario, for editors: keys, types, units and bounds.
//!
//! Shapes come from the reader itself, which is run over nothing, so that the schema
//! is as right as the reading. Names that refer to each other are for the reader.

use super::read;
use plimsoll::yaml::outline::{Note, Outline};
use serde_json::{Value, json};
use std::path::Path;

/// The schema of a scenario file.
pub(crate) fn schema() -> Value {
    let outline = Outline::of(|root| _ = read(&root, Path::new("")));
    let mut schema = outline.schema("", &|_| Note::default());
    let fields = schema.as_object_mut().expect("a schema is an object");
    fields.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
    fields.insert("title".into(), json!("Plimsoll scenario"));
    schema
}
