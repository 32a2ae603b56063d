//! What the header fields and the outline of a request say, as one choice of a short list each.
//!
//! Short lists of our own, by the standards that define the values: what a header *may* say is
//! endless, what it tells about a storefront's request is not. They weigh little against the path,
//! for an API client sends none of them.

use std::array;

use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderName, USER_AGENT};
use http::{HeaderMap, Method};

use crate::classify::head::Head;

/// A field with its values. The last one stands for all that the list does not name.
struct Field {
    name: &'static str,
    values: &'static [&'static str],
}

const METHOD: Field =
    Field { name: "method", values: &["get", "head", "post", "put", "patch", "delete", "options", "other"] };
const CONTENT: Field = Field {
    name: "content_type",
    values: &["absent", "form", "json", "multipart", "text", "graphql", "other"],
};
const ACCEPTS: Field =
    Field { name: "accept", values: &["absent", "html", "json", "image", "css", "any", "other"] };
// Sec-Fetch-*: W3C Fetch Metadata Request Headers.
const DEST: Field = Field {
    name: "sec_fetch_dest",
    values: &["absent", "document", "empty", "script", "style", "image", "font", "iframe", "other"],
};
const MODE: Field = Field {
    name: "sec_fetch_mode",
    values: &["absent", "navigate", "cors", "no-cors", "same-origin", "websocket", "other"],
};
const AGENT: Field = Field { name: "agent", values: &["absent", "browser", "bot", "library"] };
const DEPTH: Field = Field { name: "depth", values: &["0", "1", "2", "3", "4", "5+"] };
const FLAG: Field = Field { name: "has", values: &["cookies", "query", "prefetch", "xhr"] };

/// All fields in vector order.
const FIELDS: [&Field; 8] = [&METHOD, &CONTENT, &ACCEPTS, &DEST, &MODE, &AGENT, &DEPTH, &FLAG];

/// The fields that hold one value each; the flags behind them hold any.
pub(super) const CHOICES_LEN: usize = FIELDS.len() - 1;

/// How many features the fields make.
pub(super) const LEN: usize = begins(FIELDS.len());

/// Where the agent's kind is `bot`: what the bot flag is read from.
pub(super) const BOT: usize = begins(AGENT_FIELD) + AGENT_BOT;

/// The places of `AGENT` among the fields, and of `bot` among its values.
const AGENT_FIELD: usize = 5;
const AGENT_BOT: usize = 2;

/// Where the features of a field begin.
const fn begins(field: usize) -> usize {
    let (mut len, mut index) = (0, 0);
    while index < field {
        len += FIELDS[index].values.len();
        index += 1;
    }
    len
}

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// User agents are read up to here: what tells a bot stands early, and the time is bounded.
const AGENT_LEN_MAX: usize = 256;

/// What crawlers call themselves, from the most frequent words of the crawler-user-agents list; and
/// the address they give for questions, which no browser has.
const BOT_WORDS: [&[u8]; 12] = [
    b"bot",
    b"crawl",
    b"spider",
    b"slurp",
    b"preview",
    b"externalhit",
    b"monitor",
    b"headless",
    b"lighthouse",
    b"archive",
    b"scrap",
    b"://",
];

/// The names of the features, in vector order.
pub(super) fn names() -> impl Iterator<Item = String> {
    let of = |field: &&'static Field| {
        let name = field.name;
        field.values.iter().map(move |value| format!("{name}.{value}"))
    };
    FIELDS.iter().flat_map(of)
}

/// The names of the fields that hold one value each, and of the flags.
pub(super) fn watched_names() -> impl Iterator<Item = String> {
    let choices = FIELDS[..CHOICES_LEN].iter().map(|field| field.name.to_owned());
    choices.chain(FLAG.values.iter().map(|flag| format!("{}.{flag}", FLAG.name)))
}

/// How many of these names there are.
pub(super) const WATCHED_LEN: usize = CHOICES_LEN + FLAG.values.len();

/// Which value each choice holds, the first of several, and whether each flag does: in the order of
/// [`watched_names`].
pub(super) fn watched(holds: impl Fn(usize) -> bool) -> [f32; WATCHED_LEN] {
    array::from_fn(|index| {
        let first = begins(index.min(CHOICES_LEN));
        match FIELDS[..CHOICES_LEN].get(index) {
            Some(field) => (0..field.values.len()).position(|value| holds(first + value)).unwrap_or(0) as f32,
            None => f32::from(u8::from(holds(first + index - CHOICES_LEN))),
        }
    })
}

/// Calls `set` with the index, from 0, of every feature that holds.
pub(super) fn each(head: &Head<'_>, depth: usize, mut set: impl FnMut(usize)) {
    let chosen = [
        named(&METHOD, head.method.as_str()),
        content_type(head),
        accept(head),
        optional(&DEST, head.header(SEC_FETCH_DEST)),
        optional(&MODE, head.header(SEC_FETCH_MODE)),
        agent(head),
        depth.min(DEPTH.values.len() - 1),
    ];
    let mut offset = 0;
    for (field, value) in FIELDS.iter().zip(chosen) {
        set(offset + value);
        offset += field.values.len();
    }
    if *head.method == Method::HEAD {
        // It asks for the same as a GET, but for the body: what is known of one is known of the other.
        set(named(&METHOD, "get"));
    }
    let flags = [
        head.headers.contains_key(COOKIE),
        !head.query().is_empty(),
        is_prefetch(head.headers),
        head.headers.contains_key(X_REQUESTED_WITH),
    ];
    flags.iter().enumerate().filter(|(_, holds)| **holds).for_each(|(flag, _)| set(offset + flag));
}

/// The place of a value in its list, the last one if it is not there.
fn named(field: &Field, value: &str) -> usize {
    let found = field.values.iter().position(|known| known.eq_ignore_ascii_case(value));
    found.unwrap_or(field.values.len() - 1)
}

/// As [`named`]; the first value stands for no header field.
fn optional(field: &Field, value: Option<&str>) -> usize {
    value.map_or(0, |value| named(field, value))
}

fn content_type(head: &Head<'_>) -> usize {
    let media = head.header(CONTENT_TYPE).map(|value| value.split(';').next().unwrap_or("").trim());
    let kind = media.map(|media| match media {
        "application/x-www-form-urlencoded" => "form",
        "multipart/form-data" => "multipart",
        "text/plain" => "text",
        "application/graphql" => "graphql",
        json if json.ends_with("json") => "json",
        other => other,
    });
    optional(&CONTENT, kind)
}

/// The first media range decides: clients put what they want most there.
fn accept(head: &Head<'_>) -> usize {
    let range = head.header(ACCEPT).map(|value| value.split([',', ';']).next().unwrap_or("").trim());
    let kind = range.map(|range| match range {
        "*/*" => "any",
        "text/html" | "application/xhtml+xml" => "html",
        "text/css" => "css",
        json if json.ends_with("json") => "json",
        image if image.starts_with("image/") => "image",
        other => other,
    });
    optional(&ACCEPTS, kind)
}

fn agent(head: &Head<'_>) -> usize {
    let kind = head.header(USER_AGENT).map(|agent| {
        let agent = &agent.as_bytes()[..agent.len().min(AGENT_LEN_MAX)];
        if names_a_bot(agent) {
            "bot"
        } else if agent.starts_with(b"Mozilla/") || agent.starts_with(b"Opera/") {
            "browser"
        } else {
            "library"
        }
    });
    optional(&AGENT, kind)
}

/// One pass: at each place only the words that begin with its letter are compared.
fn names_a_bot(agent: &[u8]) -> bool {
    let candidate =
        |byte: u8| matches!(byte | 0x20, b'a' | b'b' | b'c' | b'e' | b'h' | b'l' | b'm' | b'p' | b's' | b':');
    let begins = |at: usize, first: u8| {
        let rest = &agent[at..];
        let is_here = |word: &&[u8]| {
            word[0] == first && rest.len() >= word.len() && rest[..word.len()].eq_ignore_ascii_case(word)
        };
        BOT_WORDS.iter().any(is_here)
    };
    agent.iter().enumerate().any(|(at, byte)| candidate(*byte) && begins(at, byte.to_ascii_lowercase()))
}

fn is_prefetch(headers: &HeaderMap) -> bool {
    headers.get(SEC_PURPOSE).is_some_and(|purpose| purpose.as_bytes().starts_with(b"prefetch"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn holding(request: http::request::Builder) -> Vec<String> {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let names: Vec<String> = names().collect();
        let mut holding = Vec::new();
        each(&Head::of(&parts), 1, |index| holding.push(names[index].clone()));
        holding
    }

    #[test]
    fn every_field_holds_exactly_one_value_for_a_bare_request() {
        let expected = ["method.get", "content_type.absent", "accept.absent", "sec_fetch_dest.absent"];
        let rest = ["sec_fetch_mode.absent", "agent.absent", "depth.1"];
        assert_eq!(holding(Request::get("/a")), [expected.as_slice(), &rest].concat());
    }

    #[test]
    fn the_bot_flag_is_read_where_the_agents_kind_is_bot() {
        assert_eq!(names().nth(BOT).as_deref(), Some("agent.bot"));
    }

    #[test]
    fn what_is_watched_is_the_value_of_each_choice_and_each_flag() {
        let request = Request::head("/a?b").header("user-agent", "curl/8.5.0").body(()).unwrap();
        let mut holding = [false; LEN];
        each(&Head::of_request(&request), 1, |index| holding[index] = true);
        let named: Vec<_> = watched_names().zip(watched(|index| holding[index])).collect();
        let of = |name: &str| named.iter().find(|(watched, _)| watched == name).unwrap().1;
        assert_eq!(named.len(), WATCHED_LEN);
        // A HEAD is a GET as well, the first of the methods.
        assert_eq!([of("method"), of("agent"), of("depth"), of("has.query")], [0.0, 3.0, 1.0, 1.0]);
        assert_eq!([of("accept"), of("has.cookies"), of("has.xhr")], [0.0; 3]);
    }

    #[test]
    fn a_head_request_is_a_get_as_well() {
        let (head, get) = (holding(Request::head("/a")), holding(Request::get("/a")));
        assert_eq!(head[0], "method.head");
        assert!(get.iter().all(|feature| head.contains(feature)), "{head:?}");
    }

    #[test]
    fn header_fields_choose_their_value() {
        let request = Request::post("/a?b")
            .header("content-type", "application/vnd.api+json; charset=utf-8")
            .header("accept", "text/html,*/*;q=0.8")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-mode", "nested-navigate")
            .header("user-agent", "Mozilla/5.0 (compatible; GoogleBot/2.1)")
            .header("cookie", "a=b")
            .header("sec-purpose", "prefetch;prerender");
        let expected = [
            "method.post",
            "content_type.json",
            "accept.html",
            "sec_fetch_dest.document",
            "sec_fetch_mode.other",
            "agent.bot",
            "depth.1",
            "has.cookies",
            "has.query",
            "has.prefetch",
        ];
        assert_eq!(holding(request), expected);
    }

    #[test]
    fn agents_are_browsers_bots_or_libraries() {
        let kind = |agent: &str| holding(Request::get("/").header("user-agent", agent))[5].clone();
        assert_eq!(kind("Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0"), "agent.browser");
        assert_eq!(kind("facebookexternalhit/1.1"), "agent.bot");
        assert_eq!(kind("curl/8.5.0"), "agent.library");
        assert_eq!(kind(""), "agent.library");
    }

    #[test]
    fn each_word_of_a_bot_is_found_wherever_it_stands_and_in_any_case_and_no_part_of_it() {
        for word in BOT_WORDS {
            let part = [&word[..word.len() - 1], b"x"].concat();
            for (word, is_one) in [(word.to_ascii_uppercase(), true), (word.to_vec(), true), (part, false)] {
                let places = [[b"agent ".as_slice(), &word].concat(), [word.as_slice(), b" 1.0"].concat()];
                for agent in places {
                    assert_eq!(names_a_bot(&agent), is_one, "{}", String::from_utf8_lossy(&agent));
                }
            }
        }
    }
}
