//! `when:`: a condition on a request and its session, in CEL (the Common Expression Language).
//!
//! For what the other conditions of a route cannot say: "or", "not", comparisons, several things
//! at once. An expression is compiled with its policy and evaluated over two objects, which are
//! made at most once for a request, and only if a route asks:
//!
//! - `request`: `method`, `path` (normalised, as routes see it), `host`, `query` (decoded, the
//!   first of each key), `headers` (names in lower case, the first of each, but no cookies),
//!   `cookies` (a list of their names: what is in them is nobody's business);
//! - `session`: `stage`, which is `none`, `browsing`, `cart` or `checkout`.
//!
//! What cannot be evaluated does not hold: `request.query.step == "pay"` is false without a `step`.
//!
//! An expression costs at most [`NODES_MAX`] steps, each linear in the request's head: there are
//! no loops, no regular expressions and no functions of one's own.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, Expr, IdedExpr};
use cel::{Context, Env, ExecutionError, Program, Value};
use http::header::COOKIE;

use super::cookies;
use super::head::Head;
use super::query;
use super::session::Stage;

/// The longest expression, in bytes: what is longer is a program, and belongs elsewhere.
const SOURCE_BYTES_MAX: usize = 1_024;
/// The most steps of an evaluation: a dozen comparisons.
pub const NODES_MAX: usize = 64;

const REQUEST_FIELDS: [&str; 6] = ["method", "path", "host", "query", "headers", "cookies"];
const SESSION_FIELDS: [&str; 1] = ["stage"];
/// Operators without loops, and functions that look at a text once.
const FUNCTIONS: [&str; 23] = [
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
];

/// The standard functions, made once: they are the same for every expression.
static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A compiled condition.
#[derive(Debug)]
pub struct When {
    source: Box<str>,
    program: Program,
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
        let program = STANDARD.compile(source).map_err(|errors| {
            let first = errors.errors.first().map_or("", |error| error.msg.as_str());
            WhenError::Syntax(plainly(first))
        })?;
        let mut nodes = 0;
        check(program.expression(), &mut nodes)?;
        match program.execute(&Facts::example().0) {
            Ok(Value::Bool(_)) | Err(ExecutionError::NoSuchKey(_)) => {}
            Ok(_) => return Err(WhenError::NotABoolean),
            Err(error) => return Err(WhenError::Meaningless(error.to_string())),
        }
        Ok(When { source: source.into(), program })
    }

    /// Whether it holds for a request.
    pub fn holds(&self, facts: &Facts) -> bool {
        matches!(self.program.execute(&facts.0), Ok(Value::Bool(true)))
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// A parser's message without the list of tokens that it would rather have seen.
fn plainly(message: &str) -> String {
    let end = message.find(" expecting").or_else(|| message.find('\n')).unwrap_or(message.len());
    message[..end].trim_start_matches("Syntax error: ").replace("'<EOF>'", "the end")
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
            match &select.operand.expr {
                Expr::Ident(object) if object == "request" => known(&select.field, &REQUEST_FIELDS)?,
                Expr::Ident(object) if object == "session" => known(&select.field, &SESSION_FIELDS)?,
                _ => {}
            }
            check(&select.operand, nodes)
        }
        Expr::List(list) => list.elements.iter().try_for_each(|element| check(element, nodes)),
        Expr::Call(call) => check_call(call, nodes),
        Expr::Comprehension(_) => Err(WhenError::Unbounded("a loop".into())),
        Expr::Map(_) | Expr::Struct(_) => Err(WhenError::Unbounded("an object of one's own".into())),
        Expr::Unspecified => Err(WhenError::Syntax("nothing is said".into())),
    }
}

fn check_call(call: &CallExpr, nodes: &mut usize) -> Result<(), WhenError> {
    if !FUNCTIONS.contains(&call.func_name.as_str()) {
        return Err(WhenError::Unbounded(call.func_name.clone()));
    }
    call.target.iter().map(|target| &**target).chain(&call.args).try_for_each(|part| check(part, nodes))
}

fn known(name: &str, all: &[&str]) -> Result<(), WhenError> {
    let unknown = || WhenError::Unknown { name: name.to_owned(), known: all.join(", ") };
    all.contains(&name).then_some(()).ok_or_else(unknown)
}

/// What expressions see of one request.
pub struct Facts(Context<'static, 'static>);

impl Facts {
    /// The facts of a request with this method (of a preflight: the one it announces), whose path
    /// has this key and whose session is at this stage.
    pub fn of(head: &Head<'_>, method: &str, key: &str, stage: Stage) -> Facts {
        let mut query: HashMap<String, Value> = HashMap::new();
        for (name, value) in query::pairs(head.query()) {
            query.entry(name.into_owned()).or_insert_with(|| Value::from(&*value));
        }
        let headers: HashMap<String, Value> = head
            .headers
            .keys()
            .filter(|name| *name != COOKIE)
            .filter_map(|name| Some((name.as_str().to_owned(), Value::from(head.header(name)?))))
            .collect();
        let cookies: Vec<Value> = cookies::names(head.headers).map(Value::from).collect();
        let request: HashMap<String, Value> = HashMap::from([
            ("method".to_owned(), Value::from(method)),
            ("path".to_owned(), Value::from(key)),
            ("host".to_owned(), Value::from(head.host())),
            ("query".to_owned(), Value::from(query)),
            ("headers".to_owned(), Value::from(headers)),
            ("cookies".to_owned(), Value::from(cookies)),
        ]);
        let session = HashMap::from([("stage".to_owned(), Value::from(stage.name()))]);
        let mut facts = Context::with_env(STANDARD.clone());
        facts.add_variable_from_value("request", Value::from(request));
        facts.add_variable_from_value("session", Value::from(session));
        Facts(facts)
    }

    /// Those of a request with nothing in it, to try an expression on.
    fn example() -> Facts {
        let (parts, ()) = http::Request::new(()).into_parts();
        Facts::of(&Head::of(&parts), "GET", "/", Stage::Arrived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(source: &str) -> bool {
        let request = http::Request::get("/Shop/?step=pay&step=2&n=12")
            .header("host", "www.shop.test:8080")
            .header("X-App", "ios")
            .header("cookie", "cart=1; wordpress_logged_in_af=x");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let facts = Facts::of(&Head::of(&parts), "GET", "/shop", Stage::Cart);
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
        assert_eq!(told("request.path =="), "not an expression: mismatched input the end");
        assert!(told("").starts_with("not an expression"), "{}", told(""));
        assert!(told("request.pth == '/'").contains("`pth` is unknown; there are method, path"));
        assert!(told("sesion.stage == 'cart'").contains("`sesion` is unknown; there are request, session"));
        assert!(told("request.path").contains("neither true nor false"));
        assert!(told("request.path + 1 == 'x'").contains("cannot be evaluated"));
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
