//! The words that a field of a request can be: a comparison with another one holds for nobody, or for everybody, and is
//! a slip of the pen that no operator would find.
//!
//! Of texts that may be anything it knows nothing.

use cel::common::ast::{CallExpr, Expr, IdedExpr};

use super::super::session::{Entry, Stage};
use super::facts::Name;
use super::parts::{literal, text};
use super::{WhenError, known};

/// Whether each word that `call` compares a field with is one that the field can be.
pub(super) fn check(call: &CallExpr) -> Result<(), WhenError> {
    match (call.func_name.as_str(), &call.args[..]) {
        ("_==_" | "_!=_", [one, other]) => check_word(one, other).and(check_word(other, one)),
        ("@in", [item, container]) => match &container.expr {
            Expr::List(list) => list.elements.iter().try_for_each(|word| check_word(item, word)),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn check_word(field: &IdedExpr, word: &IdedExpr) -> Result<(), WhenError> {
    let Some((field, word)) = text(field).zip(literal(word)) else { return Ok(()) };
    match field {
        Name::Stage => known(word, &Stage::ALL.map(Stage::name)),
        Name::Entry => known(word, &Entry::ALL.map(Entry::name)),
        Name::Method if word.bytes().any(|letter| letter.is_ascii_lowercase()) => {
            known(word, &["methods in upper case, like POST"])
        }
        _ => Ok(()),
    }
}
