//! A line of a log in JSON, as nginx, Caddy, Traefik, Envoy and plimsoll itself write it.
//!
//! There is no one format: everybody names the fields. What a field means is taken from
//! its name, of which the usual ones are known; the first that is there counts.

use super::{Entry, Flaw, parse_request};
use chrono::DateTime;
use http::Method;
use serde_json::Value;

const TIMES: [&str; 9] =
    ["time_iso8601", "time", "timestamp", "@timestamp", "ts", "start_time", "StartUTC", "time_local", "msec"];
const CLIENTS: [&str; 10] = [
    "remote_addr",
    "client",
    "client_ip",
    "remote_ip",
    "ClientHost",
    "downstream_remote_address",
    "/request/client_ip",
    "/request/remote_ip",
    "host",
    "session",
];
const METHODS: [&str; 5] = ["request_method", "method", "/request/method", "RequestMethod", "verb"];
const TARGETS: [&str; 7] =
    ["request_uri", "uri", "/request/uri", "path_and_query", "path", "RequestPath", "target"];
const REFERERS: [&str; 3] = ["http_referer", "referer", "/request/headers/Referer/0"];
const AGENTS: [&str; 4] = ["http_user_agent", "user_agent", "agent", "/request/headers/User-Agent/0"];

/// Beyond this, seconds since 1970 are milliseconds: the year 5138.
const SECONDS_MAX: f64 = 1e11;

/// The request in a line.
pub(super) fn parse_line(line: &str) -> Result<Entry, Flaw> {
    let fields: Value = serde_json::from_str(line).map_err(|_| Flaw::Format)?;
    let second = first(&fields, &TIMES).and_then(second).ok_or(Flaw::Time)?;
    let (method, target) = match fields.get("request").and_then(Value::as_str) {
        Some(request) => parse_request(request)?,
        None => {
            let method: Method =
                text(&fields, &METHODS).unwrap_or("GET").parse().map_err(|_| Flaw::Request)?;
            let target = text(&fields, &TARGETS).ok_or(Flaw::Format)?;
            parse_request(&format!("{method} {target} HTTP/1.1"))?
        }
    };
    let of = |names: &[&str]| text(&fields, names).and_then(super::present);
    Ok(Entry {
        second,
        client: text(&fields, &CLIENTS).unwrap_or("-").into(),
        method,
        target,
        referer: of(&REFERERS),
        user_agent: of(&AGENTS),
    })
}

/// The first of the fields that is there; a name with a slash is a JSON pointer.
fn first<'v>(fields: &'v Value, names: &[&str]) -> Option<&'v Value> {
    let field = |name: &&str| if name.starts_with('/') { fields.pointer(name) } else { fields.get(*name) };
    names.iter().filter_map(field).find(|value| !value.is_null())
}

fn text<'v>(fields: &'v Value, names: &[&str]) -> Option<&'v str> {
    first(fields, names)?.as_str()
}

fn second(time: &Value) -> Option<i64> {
    let number = match time {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => match text.parse::<f64>() {
            Ok(number) => number,
            Err(_) => return Some(calendar(text)?.timestamp()),
        },
        _ => return None,
    };
    Some(if number > SECONDS_MAX { number / 1_000.0 } else { number } as i64)
}

fn calendar(text: &str) -> Option<DateTime<chrono::FixedOffset>> {
    let common = || DateTime::parse_from_str(text, "%d/%b/%Y:%H:%M:%S %z");
    // Traefik and others write zones without a colon.
    let bare_zone = || DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z");
    DateTime::parse_from_rfc3339(text).or_else(|_| common()).or_else(|_| bare_zone()).ok()
}
