//! What the parts of an expression's tree name: fields of `request` and `session`, entries of its objects, literals.
//!
//! It says what stands there, and nothing of what it is for a request.

use cel::common::ast::{Expr, IdedExpr, LiteralValue};

use super::facts::Name;

/// A text that an expression compares.
pub(super) type Text = Name<Box<str>>;

/// The object that `node` names as a field of `request`.
pub(super) fn object(node: &IdedExpr) -> Option<&str> {
    field_of("request", node)
}

/// The field of `session` that `node` names.
pub(super) fn field_of_session(node: &IdedExpr) -> Option<&str> {
    field_of("session", node)
}

fn field_of<'n>(object: &str, node: &'n IdedExpr) -> Option<&'n str> {
    let Expr::Select(select) = &node.expr else { return None };
    let is_of_object = matches!(&select.operand.expr, Expr::Ident(name) if name == object);
    (is_of_object && !select.test).then_some(&*select.field)
}

/// The entry of an object that `operand` names.
pub(super) fn entry(operand: &IdedExpr, name: &str) -> Option<Text> {
    match object(operand)? {
        "query" => Some(Name::Query(name.into())),
        "headers" => Some(Name::Header(name.into())),
        _ => None,
    }
}

/// The text that `node` names.
pub(super) fn text(node: &IdedExpr) -> Option<Text> {
    match &node.expr {
        Expr::Select(select) if !select.test => match &select.operand.expr {
            Expr::Ident(object) if object == "request" => Name::field(&select.field),
            Expr::Ident(object) if object == "session" => Name::of_session(&select.field),
            _ => entry(&select.operand, &select.field),
        },
        Expr::Call(call) if call.func_name == "_[_]" => match &call.args[..] {
            [object, name] => entry(object, literal(name)?),
            _ => None,
        },
        _ => None,
    }
}

/// The text that stands at `node`.
pub(super) fn literal(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// The whole number that stands at `node`.
pub(super) fn number(node: &IdedExpr) -> Option<i64> {
    match &node.expr {
        Expr::Literal(LiteralValue::Int(number)) => Some(*number.inner()),
        _ => None,
    }
}
