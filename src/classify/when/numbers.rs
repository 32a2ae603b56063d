//! Whole numbers that expressions make of a request and its session: counts, lengths of texts, stated ones, and their
//! sums, differences and products.
//!
//! They mean what the interpreter means by them: 64 bits with a sign, and no number at all where one would
//! overflow or a text is absent. Decimals, and numbers read out of a text, are the interpreter's.

use cel::common::ast::{CallExpr, Expr, IdedExpr};

use super::counts::Count;
use super::facts::Facts;
use super::parts::{Text, field_of_session, number, text};

/// A whole number of a request and its session.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Number {
    Stated(i64),
    Counted(Count),
    /// How many characters a text has.
    Length(Text),
    Sum(Box<[Number; 2]>),
    Difference(Box<[Number; 2]>),
    Product(Box<[Number; 2]>),
    Negated(Box<Number>),
}

impl Number {
    /// The number that `node` is, if it is such a one.
    pub(super) fn of(node: &IdedExpr) -> Option<Number> {
        if let Expr::Call(call) = &node.expr {
            return Number::of_call(call);
        }
        let stated = number(node).map(Number::Stated);
        stated.or_else(|| field_of_session(node).and_then(Count::named).map(Number::Counted))
    }

    fn of_call(call: &CallExpr) -> Option<Number> {
        let both = |one: &IdedExpr, other: &IdedExpr| Some(Box::new([Number::of(one)?, Number::of(other)?]));
        match (call.func_name.as_str(), call.target.as_deref(), &call.args[..]) {
            ("size", Some(measured), []) | ("size", None, [measured]) => text(measured).map(Number::Length),
            ("_+_", None, [one, other]) => both(one, other).map(Number::Sum),
            ("_-_", None, [one, other]) => both(one, other).map(Number::Difference),
            ("_*_", None, [one, other]) => both(one, other).map(Number::Product),
            ("-_", None, [inner]) => Number::of(inner).map(|inner| Number::Negated(Box::new(inner))),
            _ => None,
        }
    }

    /// What it is for a request; `None` if there is no such number.
    pub(super) fn value(&self, facts: &Facts<'_>) -> Option<i64> {
        let values = |both: &[Number; 2]| both[0].value(facts).zip(both[1].value(facts));
        match self {
            Number::Stated(number) => Some(*number),
            Number::Counted(count) => Some(count.of(facts.session())),
            Number::Length(text) => i64::try_from(facts.text(text)?.chars().count()).ok(),
            Number::Sum(both) => values(both).and_then(|(one, other)| one.checked_add(other)),
            Number::Difference(both) => values(both).and_then(|(one, other)| one.checked_sub(other)),
            Number::Product(both) => values(both).and_then(|(one, other)| one.checked_mul(other)),
            Number::Negated(inner) => inner.value(facts)?.checked_neg(),
        }
    }
}
