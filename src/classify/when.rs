//! `when:`: a condition on a request and its session, in CEL (the Common Expression Language).
//!
//! For what the other conditions of a route cannot say: "or", "not", comparisons, several things
//! at once. An expression is compiled with its policy and evaluated over two objects:
//!
//! - `request`: `method`, `path` (normalised, as routes see it), `host`, `address` (of the client,
//!   where it is known; `request.address.within("10.0.0.0/8")` asks for a network), `query`
//!   (decoded, the first of each key), `headers` (names in lower case, the first of each, but no
//!   cookies), `cookies` (a list of their names: what is in them is nobody's business);
//! - `session`, as it was before the request: `stage` (`none`, `browsing`, `cart` or `checkout`), `entry` (where it
//!   came from: `direct`, `search`, `social`, `referral` or `campaign`), `returning` (whether it brought its cookie
//!   along), and whole numbers: `requests`, `views`, `searches`, `carts` and `checkouts` so far, `age_s` since the
//!   first request and `idle_s` since the last. A visit ends after half an hour; then all begins anew. Who has no
//!   session cookie that is settled yet has what the address has, which many may share ([`super::sessions`]).
//!
//! What compares texts, or such numbers, lengths of texts and their sums with others, is answered without the
//! interpreter (see `plain`), which is left what is none of that; and of the objects only those parts are made that an
//! expression asks for.
//!
//! What cannot be evaluated does not hold: `request.query.step == "pay"` is false without a `step`.
//!
//! An expression costs at most [`NODES_MAX`] steps, each linear in the request's head: there are
//! no loops, no regular expressions and no functions of one's own.

mod counts;
pub mod facts;
mod parts;
mod words;
mod numbers;
mod plain;

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};
use cel::common::types::{CelBool, CelString};
use cel::{Context, Env, ExecutionError, Program, Value};
use http::Method;
use ipnet::IpNet;

use super::head::Head;
use super::session::SessionView;
use facts::{Facts, REQUEST_FIELDS, SESSION_FIELDS};
use plain::Plain;

/// The longest expression, in bytes: what is longer is a program, and belongs elsewhere.
const SOURCE_BYTES_MAX: usize = 1_024;
/// The most steps of an evaluation: a dozen comparisons.
pub const NODES_MAX: usize = 64;

/// Operators without loops, and functions that look at a text once.
const FUNCTIONS: [&str; 24] = [
    "_&&_",
    "_||_",
    "!_",
    "_?_:_",
    "_==_",
    "_!=_",
    "_<_",
    "_<=_",
    "_>_",
    "_>=_",
    "_+_",
    "_-_",
    "_*_",
    "-_",
    "_[_]",
    "@in",
    "contains",
    "startsWith",
    "endsWith",
    "size",
    "int",
    "double",
    "string",
    WITHIN,
];
/// Whether an address is in a network that the expression states.
const WITHIN: &str = "within";

/// The functions, made once: they are the same for every expression.
static FUNCTIONS_OF_CEL: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    cel::add_member_overload!(env, fn within: (CelString, CelString) -> CelBool)
        .expect("the standard functions know no networks");
    Arc::new(env)
});

/// A compiled condition.
#[derive(Debug)]
pub struct When {
    source: Box<str>,
    test: Plain,
    /// The fields of `request` and of `session` that it asks for: no two are called alike.
    fields: Vec<&'static str>,
}

/// Why a text is not a condition, in words for an operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhenError {
    /// It is no CEL.
    #[error("not an expression: {0}")]
    Syntax(String),
    /// It is too long, or has too many parts.
    #[error("too long; at most {SOURCE_BYTES_MAX} bytes and {NODES_MAX} steps")]
    TooLong,
    /// It names something that is not there.
    #[error("`{name}` is unknown; there are {known}")]
    Unknown {
        /// What it names.
        name: String,
        /// What there is.
        known: String,
    },
    /// It uses something that could take long.
    #[error("`{0}` is not allowed: its cost has no bound")]
    Unbounded(String),
    /// It asks for a network that it does not state, or that is none.
    #[error("`within` takes one network, for example request.address.within(\"10.0.0.0/8\")")]
    NotANetwork,
    /// It is a text or a number.
    #[error("neither true nor false: compare it with something")]
    NotABoolean,
    /// It compares what cannot be compared.
    #[error("cannot be evaluated: {0}")]
    Meaningless(String),
}

impl When {
    /// Compiles `source`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(source: &str) -> Result<When, WhenError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(WhenError::TooLong);
        }
        let program = FUNCTIONS_OF_CEL.compile(source).map_err(|errors| {
            let first = errors.errors.first().map_or("", |error| error.msg.as_str());
            WhenError::Syntax(plainly(first))
        })?;
        let mut nodes = 0;
        check(program.expression(), &mut nodes)?;
        match example(&program) {
            Ok(Value::Bool(_)) | Err(ExecutionError::NoSuchKey(_)) => {}
            Ok(_) => return Err(WhenError::NotABoolean),
            Err(error) => return Err(WhenError::Meaningless(error.to_string())),
        }
        let mut fields = Vec::new();
        note_fields(program.expression(), &mut fields);
        Ok(When { source: source.into(), test: Plain::of(program.expression()), fields })
    }

    /// Whether it holds for a request.
    pub fn holds(&self, facts: &Facts<'_>) -> bool {
        self.test.truth(facts) == Some(true)
    }

    /// Whether it asks a request and its session for nothing but these fields.
    pub fn asks_only_for(&self, fields: &[&str]) -> bool {
        self.fields.iter().all(|field| fields.contains(field))
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// What the interpreter says of an expression, or of a part of one.
fn evaluate(node: &IdedExpr, facts: &Facts<'_>) -> Result<Value, ExecutionError> {
    let mut context = Context::with_env(FUNCTIONS_OF_CEL.clone());
    context.set_variable_resolver(facts);
    Value::resolve(node, &context)
}

/// What it says of a request with nothing in it, to try an expression on.
fn example(program: &Program) -> Result<Value, ExecutionError> {
    let (parts, ()) = http::Request::new(()).into_parts();
    evaluate(program.expression(), &Facts::of(Head::of(&parts), Method::GET, "/", SessionView::default()))
}

fn within(address: &CelString<'_>, network: &CelString<'_>) -> CelBool {
    let both = address.inner().parse::<IpAddr>().ok().zip(network.inner().parse::<IpNet>().ok());
    both.is_some_and(|(address, network)| network.contains(&address)).into()
}

/// A parser's message in plain words, without the list of tokens that it would rather have seen.
fn plainly(message: &str) -> String {
    let end = message.find(" expecting").or_else(|| message.find('\n')).unwrap_or(message.len());
    let told = message[..end].trim_start_matches("Syntax error: ");
    let known = ["mismatched input ", "extraneous input ", "token recognition error at: "];
    let Some(token) = known.iter().find_map(|words| told.strip_prefix(words)) else {
        return told.replace("'<EOF>'", "the end");
    };
    let quoted = token.strip_prefix('\'').and_then(|token| token.strip_suffix('\''));
    match quoted.unwrap_or(token).trim() {
        "<EOF>" => "something is missing at its end".into(),
        "=" => "`=` compares nothing, `==` does".into(),
        "and" | "or" | "not" => format!("{token} is none of its words; there are &&, || and !"),
        text if text.starts_with(['"', '\'']) => format!("a text without its last quote: {text}"),
        _ => format!("{token} cannot stand where it does"),
    }
}

/// Whether every part of an expression is known and cheap.
fn check(node: &IdedExpr, nodes: &mut usize) -> Result<(), WhenError> {
    *nodes += 1;
    if *nodes > NODES_MAX {
        return Err(WhenError::TooLong);
    }
    match &node.expr {
        Expr::Literal(_) => Ok(()),
        Expr::Ident(name) => known(name, &["request", "session"]),
        Expr::Select(select) => {
            check_field(&select.operand, &select.field)?;
            check(&select.operand, nodes)
        }
        Expr::List(list) => list.elements.iter().try_for_each(|element| check(element, nodes)),
        Expr::Call(call) => check_call(call, nodes),
        Expr::Comprehension(_) => Err(WhenError::Unbounded("a loop".into())),
        Expr::Map(_) | Expr::Struct(_) => Err(WhenError::Unbounded("an object of one's own".into())),
        Expr::Unspecified => Err(WhenError::Syntax("nothing is said".into())),
    }
}

/// Notes the fields that an expression asks for: all of an object's where it is about the object as such.
fn note_fields(node: &IdedExpr, fields: &mut Vec<&'static str>) {
    match &node.expr {
        Expr::Ident(name) => fields.extend(fields_of(name)),
        Expr::Select(select) => match &select.operand.expr {
            Expr::Ident(object) => {
                fields.extend(fields_of(object).iter().find(|field| **field == select.field));
            }
            _ => note_fields(&select.operand, fields),
        },
        Expr::List(list) => list.elements.iter().for_each(|element| note_fields(element, fields)),
        Expr::Call(call) => {
            let parts = call.target.iter().map(|target| &**target).chain(&call.args);
            parts.for_each(|part| note_fields(part, fields));
        }
        _ => {}
    }
}

/// Whether an object that is ours has this field, however it is asked for: `session.views` or `session["views"]`.
fn check_field(object: &IdedExpr, field: &str) -> Result<(), WhenError> {
    match &object.expr {
        Expr::Ident(object) if !fields_of(object).is_empty() => known(field, fields_of(object)),
        _ => Ok(()),
    }
}

/// The fields of the object of this name; none if there is no such object.
fn fields_of(object: &str) -> &'static [&'static str] {
    match object {
        "request" => &REQUEST_FIELDS,
        "session" => &SESSION_FIELDS,
        _ => &[],
    }
}

fn check_call(call: &CallExpr, nodes: &mut usize) -> Result<(), WhenError> {
    if !FUNCTIONS.contains(&call.func_name.as_str()) {
        return Err(WhenError::Unbounded(call.func_name.clone()));
    }
    if let ("_[_]", [object, name]) = (call.func_name.as_str(), &call.args[..])
        && let Expr::Literal(LiteralValue::String(name)) = &name.expr
    {
        check_field(object, name.inner())?;
    }
    if call.func_name == WITHIN && !matches!(&call.args[..], [network] if is_network(network)) {
        return Err(WhenError::NotANetwork);
    }
    words::check(call)?;
    call.target.iter().map(|target| &**target).chain(&call.args).try_for_each(|part| check(part, nodes))
}

fn is_network(node: &IdedExpr) -> bool {
    let Expr::Literal(LiteralValue::String(text)) = &node.expr else { return false };
    text.inner().parse::<IpNet>().is_ok()
}

fn known(name: &str, all: &[&str]) -> Result<(), WhenError> {
    let unknown = || WhenError::Unknown { name: name.to_owned(), known: all.join(", ") };
    all.contains(&name).then_some(()).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::super::session::Stage;
    use super::*;

    fn holds(source: &str) -> bool {
        let request = http::Request::get("/Shop/?step=pay&step=2&n=12")
            .header("host", "www.shop.test:8080")
            .header("X-App", "ios")
            .header("cookie", "cart=1; wordpress_logged_in_af=x");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let head = Head::of(&parts).sent_by(IpAddr::from([192, 0, 2, 7]));
        let facts = Facts::of(head, Method::GET, "/shop", Stage::Cart);
        When::new(source).unwrap_or_else(|error| panic!("{source}: {error}")).holds(&facts)
    }

    #[test]
    fn a_request_and_its_session_are_seen_as_documented() {
        for source in [
            "request.method == 'GET' && request.path == '/shop' && request.host == 'www.shop.test'",
            "request.query.step == 'pay'",
            "request.query['step'] in ['pay', 'confirm']",
            "has(request.query.n) && int(request.query.n) > 10",
            "!has(request.headers.accept)",
            "request.headers['x-app'].startsWith('io')",
            "'cart' in request.cookies && !has(request.headers.cookie)",
            "session.stage == 'cart' || session.stage == 'checkout'",
            "size(request.query) == 2 ? true : false",
            "request.address == '192.0.2.7' && request.address.within('192.0.2.0/24')",
            "size(request.cookies) == 2 && !request.address.within('2001:db8::/32')",
            "size(request) == 7 && size(session) == 10 && size(request.headers) == 2",
            "session.requests == 20 && session.views >= 5 && session.carts * 10 == session.requests",
            "session.searches < 1 && session.checkouts == 0 && session.age_s > 200 && session.idle_s <= 10",
            "!session.returning && session.entry == 'direct' && session['views'] == 5",
        ] {
            assert!(holds(source), "{source}");
        }
    }

    #[test]
    fn what_cannot_be_evaluated_does_not_hold() {
        assert!(!holds("request.query.absent == 'x'"));
        assert!(!holds("request.headers['x-none'].contains('x')"));
        assert!(!holds("int(request.query.step) > 1"));
        assert!(holds("request.query.absent == 'x' || session.stage == 'cart'"));
    }

    #[test]
    fn what_is_no_condition_says_why() {
        let told = |source: &str| When::new(source).unwrap_err().to_string();
        assert_eq!(told("request.path =="), "not an expression: something is missing at its end");
        assert!(told("(request.path == '/'").ends_with("missing ')' at the end"));
        assert!(told("request.path = '/'").ends_with("`=` compares nothing, `==` does"));
        assert!(told("request.path == \"/").ends_with("a text without its last quote: \"/"));
        assert!(told("request.path == '/").ends_with("a text without its last quote: '/"));
        assert!(told("true and false").ends_with("'and' is none of its words; there are &&, || and !"));
        assert!(told("> 1").ends_with("'>' cannot stand where it does"));
        assert!(told("").starts_with("not an expression"), "{}", told(""));
        assert!(told("request.pth == '/'").contains("`pth` is unknown; there are method, path"));
        assert!(told("sesion.stage == 'cart'").contains("`sesion` is unknown; there are request, session"));
        assert!(told("request.address.within('ten')").contains("takes one network"));
        assert!(told("request.address.within(request.query.net)").contains("takes one network"));
        assert!(told("request.path").contains("neither true nor false"));
        assert!(told("session.requests").contains("neither true nor false"));
        assert!(
            told("session.basket > 1").contains("`basket` is unknown; there are stage, entry, returning")
        );
        assert!(told("session['vews'] > 1").contains("`vews` is unknown; there are stage, entry, returning"));
        assert!(told("request['pth'] == '/'").contains("`pth` is unknown; there are method, path"));
        assert!(told("request.path + 1 == 'x'").contains("cannot be evaluated"));
    }

    #[test]
    fn a_word_that_a_field_can_never_be_is_told() {
        let told = |source: &str| When::new(source).unwrap_err().to_string();
        let stages = "`chekout` is unknown; there are none, browsing, cart, checkout";
        assert_eq!(told("session.stage == 'chekout'"), stages);
        assert_eq!(told("request.path == '/' || 'chekout' != session.stage"), stages);
        assert_eq!(
            told("session.entry in ['search', 'tv']"),
            "`tv` is unknown; there are direct, search, social, referral, campaign"
        );
        assert!(told("request.method == 'post'").contains("in upper case, like POST"));
        assert!(When::new("session.stage in ['none', 'checkout'] && request.path == 'chekout'").is_ok());
        assert!(When::new("session.entry != 'campaign' && request.method == 'PURGE'").is_ok());
    }

    #[test]
    fn the_fields_that_are_asked_for_are_known() {
        let asks_only_for = |source: &str, fields: &[&str]| When::new(source).unwrap().asks_only_for(fields);
        assert!(asks_only_for("session.stage == 'cart'", &["stage"]));
        assert!(!asks_only_for("session.stage == 'cart' && session.returning", &["stage"]));
        assert!(!asks_only_for("size(session) == 10", &["stage"]));
        assert!(asks_only_for("request.query.path == 'x' || has(request.query.a)", &["query"]));
        assert!(!asks_only_for("request.method == 'GET' && 'a' in request.cookies", &["method"]));
        assert!(!asks_only_for("request.path in ['/', request.host]", &["path"]));
        assert!(!asks_only_for("size(request) == 7", &["method", "path", "query"]));
    }

    #[test]
    fn what_has_no_bound_is_refused() {
        let refused = |source: &str| matches!(When::new(source), Err(WhenError::Unbounded(_)));
        assert!(refused("request.cookies.exists(name, name == 'cart')"));
        assert!(refused("request.path.matches('(a+)+$')"));
        assert!(refused("{'a': 1}.a == 1"));
        let any_of = |count: usize| vec!["session.stage == 'cart'"; count].join(" || ");
        // Each comparison is four nodes, and each `||` one.
        assert!(When::new(&any_of(13)).is_ok());
        assert_eq!(When::new(&any_of(14)).unwrap_err(), WhenError::TooLong);
        let long = format!("request.path == '{}'", "a".repeat(SOURCE_BYTES_MAX));
        assert_eq!(When::new(&long).unwrap_err(), WhenError::TooLong);
        assert!(When::new(&"(".repeat(SOURCE_BYTES_MAX)).is_err());
    }
}
