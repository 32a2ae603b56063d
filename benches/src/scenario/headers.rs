//! What a request says of itself: the headers that a scenario gives it, and those that clients send anyway.
//!
//! Names and values are checked when the scenario is read. Headers that belong to the
//! connection or to the client, such as `Host` and `Cookie`, are refused: whoever set them
//! would send something that no browser sends.
//!
//! It does not know what differs from one sending to the next: cookies, and the address of a shopper.

use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use plimsoll::yaml::diagnostic::{DUPLICATE_KEY, Mistake};
use plimsoll::yaml::field::Field;

/// What a browser wants that follows a link.
const PAGES: &str = "text/html,*/*;q=0.8";
/// Headers of one request: Apache and hyper take a hundred, and proxies add some.
const HEADERS_MAX: usize = 64;

/// The headers in a scenario; what is wrong with them is on record.
pub(super) fn read(field: &Field<'_>) -> HeaderMap {
    let entries = field.entries().unwrap_or_default();
    if entries.len() > HEADERS_MAX {
        let mistake = Mistake::new(format!("{} headers are more than servers take", entries.len()));
        field.report(mistake.hint(format!("at most {HEADERS_MAX}")));
        return HeaderMap::new();
    }
    let mut headers = HeaderMap::new();
    for (text, field) in entries {
        let value = field.parsed(value);
        match name(text, &headers) {
            Ok(name) => headers.extend(value.map(|value| (name, value))),
            Err(mistake) => field.report(mistake),
        }
    }
    headers
}

/// The headers given, and for the rest what a client sends who is called `agent` and has this `body` to send.
pub(super) fn with_usual(given: HeaderMap, agent: &'static str, body: &str) -> HeaderMap {
    let usual = [(USER_AGENT, Some(agent)), (ACCEPT, Some(PAGES)), (CONTENT_TYPE, media_type(body))];
    let mut headers = given;
    for (name, value) in usual {
        if let Some(value) = value {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
    }
    headers
}

/// What a body looks like: JSON, or else a form.
fn media_type(body: &str) -> Option<&'static str> {
    match body.trim_start().chars().next()? {
        '{' | '[' => Some("application/json"),
        _ => Some("application/x-www-form-urlencoded"),
    }
}

fn name(text: &str, known: &HeaderMap) -> Result<HeaderName, Mistake> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        Mistake::new(format!("`{text}` is not the name of a header")).hint("write it like Accept-Language")
    })?;
    if let Some(reason) = not_theirs(name.as_str()) {
        return Err(Mistake::new(format!("`{text}` is not a scenario's to set")).hint(reason));
    }
    if known.contains_key(&name) {
        let mistake = Mistake::of(DUPLICATE_KEY, format!("`{text}` stands twice"));
        return Err(mistake.hint("capitals make no difference in the name of a header"));
    }
    Ok(name)
}

fn value(text: &str) -> Result<HeaderValue, Mistake> {
    // Servers do not agree on what other characters are.
    let value = HeaderValue::from_str(text).ok().filter(|value| value.to_str().is_ok());
    value.ok_or_else(|| {
        let mistake = Mistake::new(format!("`{}` cannot be sent in a header", text.escape_debug()));
        mistake.hint("ASCII without line breaks")
    })
}

/// Why a header is set by nobody but the client.
fn not_theirs(name: &str) -> Option<&'static str> {
    match name {
        "host" => Some("it is the host of `--target`"),
        "content-length" => Some("it is the length of `body`"),
        "cookie" => Some("shoppers return the cookies that the target gives them"),
        // About one connection and no request: RFC 9110, 7.6.1.
        "connection" | "keep-alive" | "proxy-connection" | "te" | "trailer" | "transfer-encoding"
        | "upgrade" => Some("it is about the connection, which the client keeps"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;
    use crate::scenario::template::ShopperKind;
    use std::path::Path;

    const SCENARIO: &str = "\
name: small
description: one request
origin: { workers: 2, service: { mean: 20ms } }
slo: 1s
patience: 2s
mix:
  - name: page
    class: browse
    paths: [/]
    weight: 1
    headers:
      Accept-Language: de
phases:
  - { name: only, duration: 1s, load: 2x }
";

    fn scenario(from: &str, to: &str) -> Result<Scenario, String> {
        assert!(SCENARIO.contains(from), "{from} is in the text");
        let text = SCENARIO.replace(from, to);
        Scenario::parse(Path::new("s.yaml"), &text).map_err(|error| error.to_string())
    }

    /// The headers of the request after a change of the text.
    fn headers(from: &str, to: &str) -> Vec<(String, String)> {
        let scenario = scenario(from, to).unwrap();
        let texts = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        scenario.mix[0].headers.iter().map(texts).collect()
    }

    fn value_of(headers: &[(String, String)], name: &str) -> Option<String> {
        let mut values = headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.clone());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} stands once");
        value
    }

    #[test]
    fn headers_are_those_of_the_scenario_and_the_usual_ones() {
        let usual = headers("Accept-Language: de", "Accept-Language: de");
        assert_eq!(usual.len(), 3);
        assert_eq!(value_of(&usual, "accept-language").as_deref(), Some("de"));
        assert_eq!(value_of(&usual, "user-agent").as_deref(), Some(ShopperKind::Anyone.agent()));
        assert_eq!(value_of(&usual, "accept").as_deref(), Some(PAGES));
        let own = headers("Accept-Language: de", "{ user-agent: \"\", ACCEPT: 'image/*', X-Count: 3 }");
        assert_eq!(own.len(), 3);
        assert_eq!(value_of(&own, "user-agent").as_deref(), Some(""));
        assert_eq!(value_of(&own, "accept").as_deref(), Some("image/*"));
        assert_eq!(value_of(&own, "x-count").as_deref(), Some("3"));
        let bot = headers("weight: 1", "weight: 1\n    shopper: bot");
        assert_eq!(value_of(&bot, "user-agent").as_deref(), Some(ShopperKind::Bot.agent()));
    }

    #[test]
    fn body_is_json_where_it_looks_like_it_and_else_a_form() {
        for (body, expected) in [
            ("body: '{\"a\":1}'", Some("application/json")),
            ("body: ' [1]'", Some("application/json")),
            ("body: a=1", Some("application/x-www-form-urlencoded")),
            ("body: ''", None),
            ("method: POST", None),
        ] {
            let headers = headers("weight: 1", &format!("weight: 1\n    {body}"));
            assert_eq!(value_of(&headers, "content-type").as_deref(), expected, "{body}");
        }
        let own = headers("headers:", "body: a=1\n    headers:\n      Content-Type: text/plain");
        assert_eq!(value_of(&own, "content-type").as_deref(), Some("text/plain"));
    }

    #[test]
    fn mistakes_are_told_where_they_stand() {
        for (to, told) in [
            ("Host: a", "s.yaml:12:13: mix[0].headers.Host: `Host` is not a scenario's to set (it is"),
            ("content-length: 3", "`content-length` is not a scenario's to set (it is the length of `body`)"),
            ("Cookie: a=1", "`Cookie` is not a scenario's to set (shoppers return the cookies"),
            ("Transfer-Encoding: chunked", "is not a scenario's to set (it is about the connection"),
            ("TE: trailers", "`TE` is not a scenario's to set"),
            ("\"X Y\": a", "`X Y` is not the name of a header (write it like Accept-Language)"),
            ("\"\": a", "`` is not the name of a header"),
            ("X-A: \"a\\nb\"", "`a\\nb` cannot be sent in a header (ASCII without line breaks)"),
            ("X-A: ä", "`ä` cannot be sent in a header"),
            ("X-A: [1]", "expected a single value, found a list"),
            ("X-A: 1\n      x-a: 2", "s.yaml:13:12: mix[0].headers.x-a: `x-a` stands twice (capitals"),
        ] {
            let error = scenario("Accept-Language: de", to).unwrap_err();
            assert!(error.contains(told) && error.starts_with("s.yaml:1"), "{to}: {error}");
            assert_eq!(error.lines().count(), 1, "{to}: {error}");
        }
        let error = scenario("\n      Accept-Language: de", " de").unwrap_err();
        assert!(error.contains("mix[0].headers: expected a mapping, found `de`"), "{error}");
    }

    #[test]
    fn headers_are_as_many_as_servers_take() {
        let some = |number| (0..number).map(|at| format!("x-{at}: a")).collect::<Vec<_>>().join("\n      ");
        let most = scenario("Accept-Language: de", &some(HEADERS_MAX)).unwrap();
        assert_eq!(most.mix[0].headers.len(), HEADERS_MAX + 2);
        let error = scenario("Accept-Language: de", &some(HEADERS_MAX + 1)).unwrap_err();
        assert!(error.contains("65 headers are more than servers take (at most 64)"), "{error}");
    }
}
