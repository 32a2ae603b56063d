//! What an expression asks, answered without the interpreter as far as it is plain: texts and whole numbers compared
//! with others, and whatever `&&`, `||` and `!` make of that.
//!
//! Nearly all expressions of routes are plain. What one costs is then what its comparisons
//! cost, without a value made or a name looked up; twenty on a request's way are not felt.
//! It means what the interpreter would say, to the point of what cannot be evaluated: a
//! comparison with a key that is absent is neither true nor false, and so is what hangs on it.
//!
//! What is not plain is the interpreter's, as small a part as there is between two operators. It is asked last,
//! and only where the plain parts leave the answer open: in CEL, too, neither side of `&&` and `||` comes before
//! the other.

use std::net::IpAddr;

use cel::Value;
use cel::common::ast::{CallExpr, Expr, IdedExpr};
use ipnet::IpNet;

use super::counts::Relation;
use super::evaluate;
use super::facts::{Facts, Name};
use super::numbers::Number;
use super::parts::{Text, entry, field_of_session, literal, object, text};

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
    /// Whether the first number is so to the second.
    Numbers(Box<[Number; 2]>, Relation),
    /// Whether the session brought its cookie along.
    Returning,
    Within(IpNet),
    /// What only the interpreter can say.
    Interpreted(Box<IdedExpr>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Comparison {
    IsOneOf(Box<[Box<str>]>),
    IsNot(Box<str>),
    Starts(Box<str>),
    Ends(Box<str>),
    Contains(Box<str>),
}

impl Plain {
    /// What `node` asks.
    pub(super) fn of(node: &IdedExpr) -> Plain {
        let found = match &node.expr {
            Expr::Call(call) => Plain::of_operator(call).or_else(|| Plain::of_call(call)),
            Expr::Select(_) if field_of_session(node) == Some("returning") => Some(Plain::Returning),
            Expr::Select(select) if select.test => entry(&select.operand, &select.field).map(Plain::Has),
            _ => None,
        };
        found.unwrap_or_else(|| Plain::Interpreted(Box::new(node.clone())))
    }

    /// What `&&`, `||` and `!` make of other tests.
    fn of_operator(call: &CallExpr) -> Option<Plain> {
        let cheap_first = |one: &IdedExpr, other: &IdedExpr| {
            let (one, other) = (Plain::of(one), Plain::of(other));
            Box::new(if one.is_interpreted() { [other, one] } else { [one, other] })
        };
        match (call.func_name.as_str(), &call.args[..]) {
            ("_&&_", [one, other]) => Some(Plain::All(cheap_first(one, other))),
            ("_||_", [one, other]) => Some(Plain::Any(cheap_first(one, other))),
            ("!_", [inner]) => Some(Plain::Not(Box::new(Plain::of(inner)))),
            _ => None,
        }
    }

    /// Whether anything in it is the interpreter's.
    fn is_interpreted(&self) -> bool {
        match self {
            Plain::Interpreted(_) => true,
            Plain::All(both) | Plain::Any(both) => both.iter().any(Plain::is_interpreted),
            Plain::Not(inner) => inner.is_interpreted(),
            _ => false,
        }
    }

    fn of_call(call: &CallExpr) -> Option<Plain> {
        if let Some(compared) = Plain::of_numbers(call) {
            return Some(compared);
        }
        match (call.func_name.as_str(), &call.target, &call.args[..]) {
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
                Plain::of_method(function, text(target)?, literal(argument)?.into())
            }
            _ => None,
        }
    }

    fn of_numbers(call: &CallExpr) -> Option<Plain> {
        let relation = Relation::of(&call.func_name)?;
        let ([one, other], None) = (&call.args[..], &call.target) else { return None };
        Some(Plain::Numbers(Box::new([Number::of(one)?, Number::of(other)?]), relation))
    }

    fn of_in(item: &IdedExpr, container: &IdedExpr) -> Option<Plain> {
        if let Expr::List(list) = &container.expr {
            let literals = list.elements.iter().map(|item| literal(item).map(Box::<str>::from));
            let literals = literals.collect::<Option<_>>()?;
            let is_plain = list.optional_indices.is_empty();
            return is_plain.then_some(Plain::Compare(text(item)?, Comparison::IsOneOf(literals)));
        }
        let name = literal(item)?;
        match object(container)? {
            "cookies" => Some(Plain::HasCookie(name.into())),
            _ => entry(container, name).map(Plain::Has),
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
            Plain::Numbers(numbers, relation) => {
                let [one, other] = &**numbers;
                Some(relation.holds(one.value(facts)?, other.value(facts)?))
            }
            Plain::Returning => Some(facts.session().returning),
            Plain::Within(network) => facts.client().map(|client: IpAddr| network.contains(&client)),
            Plain::Interpreted(node) => match evaluate(node, facts) {
                Ok(Value::Bool(truth)) => Some(truth),
                _ => None,
            },
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

/// A text and what it is compared with, in either order.
fn text_and_literal(one: &IdedExpr, other: &IdedExpr) -> Option<(Text, Box<str>)> {
    let pair = |one: &IdedExpr, other: &IdedExpr| text(one).zip(literal(other).map(Box::<str>::from));
    pair(one, other).or_else(|| pair(other, one))
}

#[cfg(test)]
mod tests {
    use cel::{Program, Value};
    use http::Method;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::super::head::Head;
    use super::super::super::session::Stage;
    use super::*;

    /// A whole number that is made of others.
    fn number() -> impl Strategy<Value = String> {
        let leaf = select(vec![
            "0",
            "5",
            "-3",
            "9223372036854775807",
            "session.requests",
            "session.carts",
            "session.idle_s",
            "size(request.path)",
            "request.host.size()",
            "size(request.query.a)",
            "request.headers['x-a'].size()",
            "request.address.size()",
        ]);
        leaf.prop_map(str::to_owned).prop_recursive(2, 4, 2, |inner| {
            let operator = select(vec!["+", "-", "*"]);
            prop_oneof![
                (inner.clone(), operator, inner.clone())
                    .prop_map(|(one, operator, other)| format!("({one} {operator} {other})")),
                inner.prop_map(|inner| format!("-({inner})")),
            ]
        })
    }

    fn relation() -> impl Strategy<Value = &'static str> {
        select(vec!["==", "!=", "<", "<=", ">", ">="])
    }

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
            // What is left to the interpreter, within what is not.
            "size(request.cookies) > 1",
            "int(request.query.a) > 1",
            "request.query.a == request.query.b",
            "request.query.a",
        ]);
        let numbers = (number(), relation(), number());
        let numbers = numbers.prop_map(|(one, relation, other)| format!("{one} {relation} {other}"));
        let leaf = prop_oneof![comparison, other.prop_map(str::to_owned), numbers];
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
            let plain = Plain::of(program.expression());
            let interpreted = match evaluate(program.expression(), &facts) {
                Ok(Value::Bool(truth)) => Some(truth),
                _ => None,
            };
            prop_assert_eq!(plain.truth(&facts), interpreted, "{}", source);
        }
    }

    fn is_interpreted(source: &str) -> bool {
        Plain::of(Program::compile(source).unwrap().expression()).is_interpreted()
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
            "session.carts > 1.5",
            "request.path + 'a' == '/a'",
        ] {
            assert!(is_interpreted(source), "{source}");
        }
    }

    #[test]
    fn what_counts_and_compares_is_not() {
        for source in [
            "session.requests > 10",
            "1 < session.carts",
            "session.carts > session.views",
            "session.carts * 10 == session.requests - 1",
            "request.path.size() > 200 + 7 && session.stage == 'cart'",
            "size(request.query.a) <= -session.views || !(session.age_s >= 60)",
        ] {
            assert!(!is_interpreted(source), "{source}");
        }
    }

    #[test]
    fn the_interpreter_is_asked_last() {
        let of = |source: &str| Plain::of(Program::compile(source).unwrap().expression());
        let (Plain::All(both), Plain::Any(either)) = (
            of("int(request.query.a) > 1 && session.stage == 'cart'"),
            of("(int(request.query.a) > 1 || session.returning) || session.carts > 1"),
        ) else {
            panic!("an operator is the interpreter's");
        };
        assert_eq!([both[0].is_interpreted(), both[1].is_interpreted()], [false, true]);
        assert_eq!([either[0].is_interpreted(), either[1].is_interpreted()], [false, true]);
    }
}
