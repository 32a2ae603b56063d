//! Operators' YAML files, read so that every mistake is told at once, with its file, line, column and a hint.
//!
//! `source` (the text) -> `document` (a tree that knows its lines) -> `field` (typed reading, with
//! the mistakes collected) -> the schema of whoever reads, of which `outline` makes a JSON Schema. serde stops at the first mistake and
//! forgets where a value stood; an operator on a busy day needs all of them.
//!
//! It knows no schema: `policy` and `config` bring theirs.

pub mod diagnostic;
pub mod source;
pub(crate) mod document;
pub(crate) mod units;
pub(crate) mod outline;
pub(crate) mod field;
