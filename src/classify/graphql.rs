//! The GraphQL operation a request names, found by a bounded peek.
//!
//! A headless shop sends a payment and a product list to one path; only the
//! `operationName` tells them apart. It is read from the query of a GET, or from
//! the first [`PEEK_BYTES_MAX`] of a JSON body without holding or parsing the
//! rest. A batch is judged by the first name in it.
//!
//! It parses no GraphQL: an operation without a name has no name here, and its
//! request is matched by its path alone. The name is the client's claim; it buys
//! nothing that choosing another path would not.

use std::borrow::Cow;

use http::Method;

use super::head::Head;
use super::query;

/// How much of a body is looked at. Clients write `operationName` before the
/// variables, and the queries of shops' own clients are under 6 KiB.
pub const PEEK_BYTES_MAX: usize = 8 * 1024;
/// The longest name believed; GraphQL clients generate names under 100 bytes.
const NAME_BYTES_MAX: usize = 128;

/// The operation that a GET names in its query.
pub fn operation_in_query<'a>(head: &Head<'a>) -> Option<Cow<'a, str>> {
    if *head.method != Method::GET {
        return None;
    }
    let (_, name) = query::pairs(head.query()).find(|(key, _)| key == "operationName")?;
    believable(&name).then_some(name)
}

/// The operation named in the first bytes of a JSON body.
pub fn operation_in_body(prefix: &[u8]) -> Option<String> {
    let prefix = &prefix[..prefix.len().min(PEEK_BYTES_MAX)];
    let mut tokens = Tokens { rest: prefix };
    let mut depth = 0_usize;
    while let Some(token) = tokens.next() {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth = depth.saturating_sub(1),
            // At depth one stands the operation, whether alone or in a batch.
            Token::Key(b"\"operationName\"") if depth == 1 => return tokens.name(),
            Token::Key(_) | Token::Other => {}
        }
    }
    None
}

fn believable(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(word)
}

/// What matters of JSON here: objects' nesting and their keys.
enum Token<'a> {
    Open,
    Close,
    Key(&'a [u8]),
    Other,
}

struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let (&byte, after) = self.rest.split_first()?;
        match byte {
            b'{' => self.step(after, Token::Open),
            b'}' => self.step(after, Token::Close),
            b'"' => {
                let (text, after) = self.rest.split_at(string_length(self.rest)?);
                let after = after.trim_ascii_start();
                match after.split_first() {
                    Some((b':', value)) => self.step(value, Token::Key(text)),
                    _ => self.step(after, Token::Other),
                }
            }
            _ => self.step(after, Token::Other),
        }
    }

    fn step(&mut self, rest: &'a [u8], token: Token<'a>) -> Option<Token<'a>> {
        self.rest = rest;
        Some(token)
    }

    /// The string that starts here, if it is one and ends within the prefix.
    fn name(&self) -> Option<String> {
        let text = self.rest.trim_ascii_start();
        let name: String = serde_json::from_slice(text.get(..string_length(text)?)?).ok()?;
        believable(&name).then_some(name)
    }
}

/// The length of the JSON string at the start of `text`, its quotes included.
fn string_length(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, &byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_name_wherever_it_stands_in_the_object() {
        for body in [
            r#"{"operationName":"checkoutCreate","query":"mutation"}"#,
            r#"{ "query" : "mutation checkoutCreate { a(b: \"}\") }" , "operationName" : "checkoutCreate" }"#,
            r#"{"variables":{"operationName":"decoy"},"operationName":"checkoutCreate"}"#,
            r#"[{"operationName":"checkoutCreate"},{"operationName":"second"}]"#,
        ] {
            assert_eq!(operation_in_body(body.as_bytes()).as_deref(), Some("checkoutCreate"), "{body}");
        }
    }

    #[test]
    fn a_name_that_is_absent_cut_or_odd_is_none() {
        for body in [
            "",
            "{}",
            "not json",
            r#"{"operationName":null}"#,
            r#"{"operationName":"checkoutCre"#,
            r#"{"operationName":"drop table"}"#,
            r#"{"query":"\"operationName\":\"decoy\""}"#,
            r#"{"variables":{"operationName":"decoy"}}"#,
        ] {
            assert_eq!(operation_in_body(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn nothing_behind_the_peek_is_seen() {
        let name = r#""operationName":"late"}"#;
        let body = |padding: usize| format!("{{\"query\":\"{}\",{name}", "x".repeat(padding));
        let around = body(0).len();
        assert_eq!(operation_in_body(body(PEEK_BYTES_MAX - around).as_bytes()).as_deref(), Some("late"));
        assert_eq!(operation_in_body(body(PEEK_BYTES_MAX).as_bytes()), None);
    }

    #[test]
    fn a_get_names_it_in_its_query() {
        let (parts, ()) =
            http::Request::get("/graphql?query=x&operationName=cart%5FQuery").body(()).unwrap().into_parts();
        assert_eq!(operation_in_query(&Head::of(&parts)).as_deref(), Some("cart_Query"));
    }
}
