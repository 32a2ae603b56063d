//! What a request must be like before anybody looks at what it says.
//!
//! An origin and a proxy that read one request in two ways are the hole that
//! request smuggling and cache poisoning come through, and whoever can have his
//! path read in two ways chooses his class. So what is ambiguous is refused, not
//! repaired, except where honest clients do it: dot segments are resolved and
//! absolute targets shortened, so that the origin gets the path that was classified.
//!
//! Pure: a head goes in, a flaw or what to change comes out. What Pingora's parser
//! refuses (a space before a colon, a control byte in a field, two hosts) never
//! gets here; broken chunks are found by whoever reads the body, and only named here.

mod target;

use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version};

/// Options of a connection: Pingora refuses more, and would when the request has a seat.
const OPTIONS_MAX: usize = 9;
/// Fields that are no option of a connection, whoever says so: dropped for it, they would leave a request that
/// says something else.
const NO_OPTIONS: [&[u8]; 6] = [
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
];

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// No host, or an empty one.
    MissingHost,
    /// A host that is no name or address with or without port.
    InvalidHost,
    /// A target whose authority is not the `Host` field's.
    HostMismatch,
    /// A method that makes no sense through a proxy.
    Method,
    /// A target that is no path.
    Target,
    /// A target that is too long.
    TargetSize,
    /// Bytes in the path that stand for no character, or for none that has a place there.
    PathEscape,
    /// A path separator that not every origin takes for one.
    PathSeparator,
    /// A dot segment, where they are refused.
    DotSegment,
    /// A line that does not end in CR LF, or that goes on with the one before.
    LineEnd,
    /// A field whose name has an underscore, where they are refused.
    Underscore,
    /// Too many fields, or too long ones.
    HeadSize,
    /// A body whose length is told twice, or not in digits.
    ContentLength,
    /// A body in any encoding but `chunked`, or with a length besides.
    TransferEncoding,
    /// Chunks that are none.
    Chunk,
    /// A body that is too long.
    BodySize,
    /// An expectation that nobody knows.
    Expectation,
    /// Options of the connection that are none, too many, or fields that must not be dropped.
    Connection,
}

impl Flaw {
    /// All of them, in the order of their values.
    pub const ALL: [Flaw; 18] = [
        Flaw::MissingHost,
        Flaw::InvalidHost,
        Flaw::HostMismatch,
        Flaw::Method,
        Flaw::Target,
        Flaw::TargetSize,
        Flaw::PathEscape,
        Flaw::PathSeparator,
        Flaw::DotSegment,
        Flaw::LineEnd,
        Flaw::Underscore,
        Flaw::HeadSize,
        Flaw::ContentLength,
        Flaw::TransferEncoding,
        Flaw::Chunk,
        Flaw::BodySize,
        Flaw::Expectation,
        Flaw::Connection,
    ];

    /// The name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Flaw::MissingHost => "missing_host",
            Flaw::InvalidHost => "invalid_host",
            Flaw::HostMismatch => "host_mismatch",
            Flaw::Method => "method",
            Flaw::Target => "target",
            Flaw::TargetSize => "target_size",
            Flaw::PathEscape => "path_escape",
            Flaw::PathSeparator => "path_separator",
            Flaw::DotSegment => "dot_segment",
            Flaw::LineEnd => "line_end",
            Flaw::Underscore => "underscore",
            Flaw::HeadSize => "head_size",
            Flaw::ContentLength => "content_length",
            Flaw::TransferEncoding => "transfer_encoding",
            Flaw::Chunk => "chunk",
            Flaw::BodySize => "body_size",
            Flaw::Expectation => "expectation",
            Flaw::Connection => "connection",
        }
    }

    /// What it is answered with.
    pub const fn status(self) -> StatusCode {
        match self {
            Flaw::Method => StatusCode::METHOD_NOT_ALLOWED,
            Flaw::TargetSize => StatusCode::URI_TOO_LONG,
            Flaw::HeadSize => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Flaw::BodySize => StatusCode::PAYLOAD_TOO_LARGE,
            Flaw::Expectation => StatusCode::EXPECTATION_FAILED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// What to do about something that honest clients do now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leniency {
    /// Make it unambiguous.
    Repair,
    /// Refuse the request.
    Refuse,
}

/// What requests may be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Fields with an underscore in their name: dropped, for CGI cannot tell `_` from `-`, or refused.
    pub underscores: Leniency,
    /// Dot segments and escaped slashes: the former resolved and the latter left alone, or refused.
    pub paths: Leniency,
    /// Bytes of a target.
    pub target_bytes_max: usize,
    /// Bytes of a head.
    pub head_bytes_max: usize,
    /// Fields of a head, of which all cookies are one.
    pub fields_max: usize,
    /// Bytes of a body.
    pub body_bytes_max: u64,
}

impl Default for Rules {
    /// As nginx and Apache have it: 8 KiB of target, four times that of head, 100 fields. A body of a
    /// gigabyte is no upload to a shop, but a stream without an end.
    fn default() -> Rules {
        Rules {
            underscores: Leniency::Repair,
            paths: Leniency::Repair,
            target_bytes_max: 8 * 1024,
            head_bytes_max: 32 * 1024,
            fields_max: 100,
            body_bytes_max: 1 << 30,
        }
    }
}

/// A head as it came.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// What the parser made of it.
    pub parts: &'a Parts,
    /// Its target as it was sent.
    pub target: &'a [u8],
    /// All of its bytes; none in HTTP/2, which has no lines.
    pub bytes: Option<&'a [u8]>,
}

/// What to change in a request that is in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Another target, in origin form.
    pub target: Option<Vec<u8>>,
    /// The host that was named in the target alone.
    pub host: Option<Vec<u8>>,
    /// Whether fields with an underscore in their name are to be dropped.
    pub drops_underscores: bool,
}

/// Checks a head.
///
/// # Errors
/// The first flaw found.
pub fn check(received: Received<'_>, rules: &Rules) -> Result<Repairs, Flaw> {
    let fields = Fields::of(&received.parts.headers);
    check_sizes(received, &fields, rules)?;
    if let Some(bytes) = received.bytes {
        check_lines(bytes)?;
    }
    check_method(&received.parts.method)?;
    let authority = authority(received);
    check_host(received.parts.version, fields.host, authority)?;
    check_framing(received, &fields, rules)?;
    if fields.has_expectation {
        check_expectation(received.parts)?;
    }
    if fields.has_options {
        check_connection(received.parts)?;
    }
    if fields.has_underscore && rules.underscores == Leniency::Refuse {
        return Err(Flaw::Underscore);
    }
    let host = authority.filter(|_| fields.host.first.is_none());
    let target = target::in_order(received, rules)?;
    Ok(Repairs { target, host: host.map(<[u8]>::to_vec), drops_underscores: fields.has_underscore })
}

/// What the checks ask of the fields, found in one pass: to look each name up costs more than to pass by the others.
#[derive(Default)]
struct Fields<'h> {
    count: usize,
    /// Of names and values.
    bytes: usize,
    cookies: usize,
    host: Field<'h>,
    encoding: Field<'h>,
    length: Field<'h>,
    has_expectation: bool,
    has_options: bool,
    has_underscore: bool,
}

/// The values of one name, of which there should be one at most.
#[derive(Clone, Copy, Default)]
struct Field<'h> {
    first: Option<&'h [u8]>,
    is_repeated: bool,
}

impl<'h> Field<'h> {
    fn note(&mut self, value: &'h [u8]) {
        self.is_repeated = self.first.is_some();
        self.first = self.first.or(Some(value));
    }
}

impl<'h> Fields<'h> {
    fn of(headers: &'h HeaderMap) -> Fields<'h> {
        let mut fields = Fields::default();
        for (name, value) in headers {
            // Names are in lower case here.
            let (name, value) = (name.as_str(), value.as_bytes());
            fields.count += 1;
            fields.bytes += name.len() + value.len();
            match name {
                "host" => fields.host.note(value),
                "cookie" => fields.cookies += 1,
                "transfer-encoding" => fields.encoding.note(value),
                "content-length" => fields.length.note(value),
                "expect" => fields.has_expectation = true,
                "connection" => fields.has_options = true,
                _ => fields.has_underscore |= name.as_bytes().contains(&b'_'),
            }
        }
        fields
    }

    /// All cookies are one field: over HTTP/2 browsers give each its own (RFC 9113, section 8.2.3), and it is their
    /// shop that has set so many.
    fn are_more_than(&self, most: usize) -> bool {
        self.count - self.cookies.saturating_sub(1) > most
    }
}

fn check_sizes(received: Received<'_>, fields: &Fields<'_>, rules: &Rules) -> Result<(), Flaw> {
    let head_bytes = received.bytes.map_or(fields.bytes, <[u8]>::len);
    if received.target.len() > rules.target_bytes_max {
        Err(Flaw::TargetSize)
    } else if head_bytes > rules.head_bytes_max || fields.are_more_than(rules.fields_max) {
        Err(Flaw::HeadSize)
    } else {
        Ok(())
    }
}

/// Every line ends in CR LF, and none goes on with the one before (RFC 9112, sections 2.2 and 5.2).
fn check_lines(bytes: &[u8]) -> Result<(), Flaw> {
    let is_sound =
        |at: usize| at > 0 && bytes[at - 1] == b'\r' && !matches!(bytes.get(at + 1), Some(b' ' | b'\t'));
    if memchr::memchr_iter(b'\n', bytes).all(is_sound) { Ok(()) } else { Err(Flaw::LineEnd) }
}

/// `TRACE` shows a client what proxies added; `CONNECT` would make a tunnel of the shop.
fn check_method(method: &Method) -> Result<(), Flaw> {
    let is_refused = *method == Method::TRACE
        || *method == Method::CONNECT
        || method.as_str().eq_ignore_ascii_case("TRACK");
    if is_refused { Err(Flaw::Method) } else { Ok(()) }
}

fn check_host(version: Version, host: Field<'_>, authority: Option<&[u8]>) -> Result<(), Flaw> {
    if host.is_repeated {
        return Err(Flaw::InvalidHost);
    }
    match (host.first, authority) {
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => Err(Flaw::HostMismatch),
        (None, _) if version == Version::HTTP_11 => Err(Flaw::MissingHost),
        (None | Some(b""), None) | (_, Some(b"")) => Err(Flaw::MissingHost),
        (Some(host), _) | (None, Some(host)) => {
            if is_host(host) {
                Ok(())
            } else {
                Err(Flaw::InvalidHost)
            }
        }
    }
}

/// The host that the target names: an absolute one, or that of HTTP/2.
fn authority(received: Received<'_>) -> Option<&[u8]> {
    let in_uri = || received.parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    target::absolute(received.target).map(|absolute| absolute.authority).or_else(in_uri)
}

/// A name or an address, with or without a port (RFC 9110, section 7.2), without the characters that
/// only escapes and user information would need. No label of a name is empty, not even the last: what ends
/// in the root's dot is the same host to a name server and to most origins, and another one to a route.
fn is_host(host: &[u8]) -> bool {
    let (name, port) = match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !host[colon..].contains(&b']') => (&host[..colon], Some(&host[colon + 1..])),
        _ => (host, None),
    };
    let is_port = port.is_none_or(|port| port.len() <= 5 && port.iter().all(u8::is_ascii_digit));
    let is_label = |label: &[u8]| {
        !label.is_empty()
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let is_name = |name: &[u8]| name.split(|byte| *byte == b'.').all(is_label);
    let is_address = |inner: &[u8]| {
        std::str::from_utf8(inner).is_ok_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let bracketed = name.strip_prefix(b"[").map(|rest| rest.strip_suffix(b"]").unwrap_or_default());
    is_port && bracketed.map_or_else(|| is_name(name), is_address)
}

fn check_framing(received: Received<'_>, fields: &Fields<'_>, rules: &Rules) -> Result<(), Flaw> {
    if let Some(encoding) = fields.encoding.first {
        let is_chunked = encoding.eq_ignore_ascii_case(b"chunked");
        // Pingora has dropped a length that came with an encoding; in the bytes it is still there.
        let has_length = received.bytes.is_some_and(has_length);
        let is_sound = is_chunked && !has_length && !fields.encoding.is_repeated;
        return if is_sound { Ok(()) } else { Err(Flaw::TransferEncoding) };
    }
    let Some(length) = fields.length.first else { return Ok(()) };
    let digits = std::str::from_utf8(length).unwrap_or_default();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<u64>() {
        Ok(bytes) if is_number && !fields.length.is_repeated => {
            if bytes > rules.body_bytes_max {
                Err(Flaw::BodySize)
            } else {
                Ok(())
            }
        }
        _ => Err(Flaw::ContentLength),
    }
}

fn has_length(bytes: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length";
    let starts = |line: &[u8]| line.get(..NAME.len()).is_some_and(|start| start.eq_ignore_ascii_case(NAME));
    bytes.split(|byte| *byte == b'\n').any(starts)
}

fn check_expectation(parts: &Parts) -> Result<(), Flaw> {
    let mut expectations = parts.headers.get_all(EXPECT).into_iter();
    let known = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if expectations.all(known) { Ok(()) } else { Err(Flaw::Expectation) }
}

/// `Connection` names fields that end here (RFC 9110, section 7.6.1), and they are dropped.
fn check_connection(parts: &Parts) -> Result<(), Flaw> {
    let values = parts.headers.get_all(CONNECTION).into_iter();
    let options = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let options = options.map(<[u8]>::trim_ascii).filter(|option| !option.is_empty());
    let is_none = |option: &[u8]| {
        !option.iter().all(is_of_token) || NO_OPTIONS.iter().any(|name| option.eq_ignore_ascii_case(name))
    };
    for (index, option) in options.enumerate() {
        if index == OPTIONS_MAX || is_none(option) {
            return Err(Flaw::Connection);
        }
    }
    Ok(())
}

/// Whether a token may have this byte (RFC 9110, section 5.6.2).
fn is_of_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}
