//! Expressions that the interpreter is not needed for: texts and numbers compared with those that the
//! expression states, and whatever `&&`, `||` and `!` make of that.
//!
//! Nearly all expressions of routes are such. What one costs is then what its comparisons
//! cost, without a value made or a name looked up; twenty on a request's way are not felt.
//! It means what the interpreter would say, to the point of what cannot be evaluated: a
//! comparison with a key that is absent is neither true nor false, and so is what hangs on it.
//!
//! An expression with anything else in it is the interpreter's as a whole.

use std::net::IpAddr;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};
use ipnet::IpNet;

use super::counts::{Count, Relation};
use super::facts::{Facts, Name};

/// A test of a request and its session.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plain {
    All(Box<[Plain; 2]>),
    Any(Box<[Plain; 2]>),
    Not(Box<Plain>),
    /// Whether there is such a text.
    Has(Text),
    HasCookie(Box<str>),
    Compare(Text, Comparison),
    Count(Count, Relation, i64),
    /// Whether the session brought its cookie along.
    Returning,
    Within(IpNet),
}

/// A text that an expression compares.
type Text = Name<Box<str>>;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Comparison {
    IsOneOf(Box<[Box<str>]>),
    IsNot(Box<str>),
    Starts(Box<str>),
    Ends(Box<str>),
    Contains(Box<str>),
}

impl Plain {
    /// What `node` says, if it is plain.
    pub(super) fn of(node: &IdedExpr) -> Option<Plain> {
        match &node.expr {
            Expr::Call(call) => Plain::of_call(call),
            Expr::Select(_) if field_of_session(node) == Some("returning") => Some(Plain::Returning),
            Expr::Select(select) if select.test => entry(&select.operand, &select.field).map(Plain::Has),
            _ => None,
        }
    }

    fn of_call(call: &CallExpr) -> Option<Plain> {
        if let Some(count) = Plain::of_count(call) {
            return Some(count);
        }
        let both = || Some(Box::new([Plain::of(&call.args[0])?, Plain::of(&call.args[1])?]));
        match (call.func_name.as_str(), &call.target, &call.args[..]) {
            ("_&&_", None, [_, _]) => both().map(Plain::All),
            ("_||_", None, [_, _]) => both().map(Plain::Any),
            ("!_", None, [inner]) => Plain::of(inner).map(|inner| Plain::Not(Box::new(inner))),
            ("_==_", None, [one, other]) => {
                let (text, literal) = text_and_literal(one, other)?;
                Some(Plain::Compare(text, Comparison::IsOneOf([literal].into())))
            }
            ("_!=_", None, [one, other]) => {
                let (text, literal) = text_and_literal(one, other)?;
                Some(Plain::Compare(text, Comparison::IsNot(literal)))
            }
            ("@in", None, [item, container]) => Plain::of_in(item, container),
            (function, Some(target), [argument]) => {
                Plain::of_method(function, text(target)?, literal(argument)?)
            }
            _ => None,
        }
    }

    fn of_count(call: &CallExpr) -> Option<Plain> {
        let relation = Relation::of(&call.func_name)?;
        let ([one, other], None) = (&call.args[..], &call.target) else { return None };
        let Expr::Literal(LiteralValue::Int(number)) = &other.expr else { return None };
        Some(Plain::Count(field_of_session(one).and_then(Count::named)?, relation, *number.inner()))
    }

    fn of_in(item: &IdedExpr, container: &IdedExpr) -> Option<Plain> {
        if let Expr::List(list) = &container.expr {
            let literals = list.elements.iter().map(literal).collect::<Option<_>>()?;
            let is_plain = list.optional_indices.is_empty();
            return is_plain.then_some(Plain::Compare(text(item)?, Comparison::IsOneOf(literals)));
        }
        let name = literal(item)?;
        match object(container)? {
            "cookies" => Some(Plain::HasCookie(name)),
            _ => entry(container, &name).map(Plain::Has),
        }
    }

    fn of_method(function: &str, text: Text, literal: Box<str>) -> Option<Plain> {
        let comparison = match function {
            "startsWith" => Comparison::Starts(literal),
            "endsWith" => Comparison::Ends(literal),
            "contains" => Comparison::Contains(literal),
            "within" if text == Name::Address => return literal.parse().ok().map(Plain::Within),
            _ => return None,
        };
        Some(Plain::Compare(text, comparison))
    }

    /// Whether it is true of a request; `None` if that cannot be told.
    pub(super) fn truth(&self, facts: &Facts<'_>) -> Option<bool> {
        match self {
            Plain::All(both) => match both[0].truth(facts) {
                Some(false) => Some(false),
                one => match both[1].truth(facts) {
                    Some(false) => Some(false),
                    other => one.and(other),
                },
            },
            Plain::Any(both) => match both[0].truth(facts) {
                Some(true) => Some(true),
                one => match both[1].truth(facts) {
                    Some(true) => Some(true),
                    other => one.and(other),
                },
            },
            Plain::Not(inner) => inner.truth(facts).map(|truth| !truth),
            Plain::Has(text) => Some(facts.text(text).is_some()),
            Plain::HasCookie(name) => Some(facts.has_cookie(name)),
            Plain::Compare(text, comparison) => facts.text(text).map(|text| comparison.is_true_of(text)),
            Plain::Count(count, relation, number) => Some(relation.holds(count.of(facts.session()), *number)),
            Plain::Returning => Some(facts.session().returning),
            Plain::Within(network) => facts.client().map(|client: IpAddr| network.contains(&client)),
        }
    }
}

impl Comparison {
    fn is_true_of(&self, text: &str) -> bool {
        match self {
            Comparison::IsOneOf(literals) => literals.iter().any(|literal| **literal == *text),
            Comparison::IsNot(literal) => **literal != *text,
            Comparison::Starts(literal) => text.starts_with(&**literal),
            Comparison::Ends(literal) => text.ends_with(&**literal),
            Comparison::Contains(literal) => text.contains(&**literal),
        }
    }
}

/// The object that `node` names as a field of `request`.
fn object(node: &IdedExpr) -> Option<&str> {
    let Expr::Select(select) = &node.expr else { return None };
    let is_of_request = matches!(&select.operand.expr, Expr::Ident(name) if name == "request");
    (is_of_request && !select.test).then_some(&*select.field)
}

/// The field of `session` that `node` names.
fn field_of_session(node: &IdedExpr) -> Option<&str> {
    let Expr::Select(select) = &node.expr else { return None };
    let is_of_session = matches!(&select.operand.expr, Expr::Ident(name) if name == "session");
    (is_of_session && !select.test).then_some(&*select.field)
}

/// The entry of an object that `operand` names.
fn entry(operand: &IdedExpr, name: &str) -> Option<Text> {
    match object(operand)? {
        "query" => Some(Name::Query(name.into())),
        "headers" => Some(Name::Header(name.into())),
        _ => None,
    }
}

fn text(node: &IdedExpr) -> Option<Text> {
    match &node.expr {
        Expr::Select(select) if !select.test => match &select.operand.expr {
            Expr::Ident(object) if object == "request" => Name::field(&select.field),
            Expr::Ident(object) if object == "session" => Name::of_session(&select.field),
            _ => entry(&select.operand, &select.field),
        },
        Expr::Call(call) if call.func_name == "_[_]" => match &call.args[..] {
            [object, name] => entry(object, &literal(name)?),
            _ => None,
        },
        _ => None,
    }
}

fn literal(node: &IdedExpr) -> Option<Box<str>> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner().into()),
        _ => None,
    }
}

/// A text and what it is compared with, in either order.
fn text_and_literal(one: &IdedExpr, other: &IdedExpr) -> Option<(Text, Box<str>)> {
    text(one).zip(literal(other)).or_else(|| text(other).zip(literal(one)))
}

#[cfg(test)]
mod tests {
    use cel::{Program, Value};
    use http::Method;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::super::head::Head;
    use super::super::super::session::Stage;
    use super::super::evaluate;
    use super::*;

    fn expression() -> impl Strategy<Value = String> {
        let text = select(vec![
            "request.method",
            "request.path",
            "request.host",
            "request.address",
            "session.stage",
            "session.entry",
            "request.query.a",
            "request.query['b']",
            "request.headers.cookie",
            "request.headers['X-A']",
            "request.headers['x-a']",
        ]);
        let literal = select(vec!["", "GET", "/a", "a", "b", "cart", "192.0.2.1", "shop.test"]);
        let comparison = (text, literal, 0..7).prop_map(|(text, literal, kind)| match kind {
            0 => format!("{text} == '{literal}'"),
            1 => format!("'{literal}' == {text}"),
            2 => format!("{text} != '{literal}'"),
            3 => format!("{text} in ['a', '{literal}']"),
            4 => format!("{text}.startsWith('{literal}')"),
            5 => format!("{text}.endsWith('{literal}')"),
            _ => format!("{text}.contains('{literal}')"),
        });
        let other = select(vec![
            "has(request.query.a)",
            "has(request.headers.x)",
            "'a' in request.cookies",
            "'b' in request.query",
            "'x-a' in request.headers",
            "request.address.within('192.0.2.0/24')",
            "request.address.within('2001:db8::/32')",
            "session.returning",
            "session.requests > 19",
            "session.views >= 5",
            "session.carts == 2",
            "session.searches != 0",
            "session.age_s <= 299",
            "session.idle_s < 10",
        ]);
        let leaf = prop_oneof![comparison, other.prop_map(str::to_owned)];
        leaf.prop_recursive(3, 8, 2, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} && {other})")),
                (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} || {other})")),
                inner.prop_map(|inner| format!("!({inner})")),
            ]
        })
    }

    fn request() -> impl Strategy<Value = http::Request<()>> {
        let target = select(vec!["/", "/a", "/a?a=a&a=b", "/b?b=cart&a", "/a/b?a=%2Fa&b=GET"]);
        let fields = proptest::collection::vec(
            select(vec![
                ("x-a", "a"),
                ("x-a", "b"),
                ("cookie", "a=1; b=2"),
                ("host", "Shop.test"),
                ("x", "/a"),
            ]),
            0..4,
        );
        (target, fields).prop_map(|(target, fields)| {
            let builder = http::Request::get(target);
            let add = |builder: http::request::Builder, (name, value)| builder.header(name, value);
            fields.into_iter().fold(builder, add).body(()).unwrap()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn a_plain_test_says_what_the_interpreter_says(
            source in expression(),
            request in request(),
            client in select(vec![None, Some("192.0.2.1"), Some("2001:db8::1")]),
            stage in select(vec![Stage::Arrived, Stage::Cart]),
        ) {
            let client = client.map(|text| text.parse::<IpAddr>().unwrap());
            let head = Head::of_request(&request).sent_by(client);
            let facts = Facts::of(head, Method::GET, head.path(), stage);
            let program = Program::compile(&source).unwrap();
            let plain = Plain::of(program.expression()).unwrap();
            let interpreted = match evaluate(&program, &facts) {
                Ok(Value::Bool(truth)) => Some(truth),
                _ => None,
            };
            prop_assert_eq!(plain.truth(&facts), interpreted, "{}", source);
        }
    }

    #[test]
    fn what_is_not_plain_is_the_interpreters() {
        for source in [
            "int(request.query.a) > 1",
            "request.query.a == request.query.b",
            "request.query.a.b == 'x'",
            "request['path'] == '/'",
            "request.path == '/' || size(request.cookies) > 1",
            "request.cookies.contains('a')",
            "session.carts > session.views",
            "session.carts > 1.5",
            "1 < session.carts",
        ] {
            assert_eq!(Plain::of(Program::compile(source).unwrap().expression()), None, "{source}");
        }
    }
}
