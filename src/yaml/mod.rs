//! Operators' YAML files, read so that every mistake is told at once, with its file, line, column and a hint.
//!
//! `source` (the text) -> `document` (a tree that knows its lines) -> `field` (typed reading, with the mistakes
//! collected) -> the schema of whoever reads, of which `outline` makes a JSON Schema. serde stops at the first
//! mistake and forgets where a value stood; an operator on a busy day needs all of them.
//!
//! It knows no schema: `policy`, `config` and the harness's scenarios bring theirs.

pub mod diagnostic;
pub mod source;
pub(crate) mod document;
pub mod units;
pub mod outline;
pub mod field;
pub mod format;

use diagnostic::{Diagnostics, Mistakes};
use field::Field;
use source::Source;

/// What `reader` makes of `source`.
///
/// # Errors
/// Every mistake on record when it has read.
pub fn read<T>(source: &Source, reader: impl FnOnce(Field<'_>) -> Option<T>) -> Result<T, Diagnostics> {
    let mistakes = Mistakes::new(source);
    let root = document::read(source, &mistakes);
    let value = root.as_ref().and_then(|root| reader(Field::root(root, &mistakes)));
    match value {
        Some(value) if !mistakes.has_errors() => Ok(value),
        _ => Err(mistakes.into_diagnostics()),
    }
}
