//! What a request is called on its way: its id, its trace, and whom it was forwarded for.
//!
//! A request id or `traceparent` that came in is passed on if it is well formed,
//! else made. What a client claims of other addresses is dropped unless a
//! trusted hop said it; `X-Real-IP` is told anew even then, for a hop that knows of
//! `X-Forwarded-For` alone passes its client's on. One line of `X-Forwarded-For` goes
//! to the shop, and one of cookies: of several, some read the first and some the last.

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_core::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

// What is written is named by text: of a `HeaderName` Pingora makes a copy, to keep the spelling.

/// The header of the request id.
pub(super) const REQUEST_ID: &str = "x-request-id";
const REQUEST_ID_NAME: HeaderName = HeaderName::from_static(REQUEST_ID);
const TRACEPARENT: &str = "traceparent";
const TRACEPARENT_NAME: HeaderName = HeaderName::from_static(TRACEPARENT);
const FORWARDED: &str = "forwarded";
const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const REAL_IP: &str = "x-real-ip";
const COOKIE: &str = "cookie";
/// As long as an address gets.
const ADDRESS_BYTES_MAX: usize = 39;
/// A longer id than this is not an id.
const REQUEST_ID_BYTES_MAX: usize = 64;

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// 64 bits nobody outside can predict: a keyed hash of a counter.
pub(super) fn random_bits() -> u64 {
    KEY.hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The id of a request: the one it came with if that is one, else one made of `bits`.
pub(super) fn request_id(headers: &HeaderMap, bits: u64) -> String {
    given_id(headers).map_or_else(|| text(&new_id(bits)).to_owned(), str::to_owned)
}

/// The id that a request came with. Of two, we would log one and the shop perhaps the other.
fn given_id(headers: &HeaderMap) -> Option<&str> {
    let mut ids = headers.get_all(REQUEST_ID_NAME).into_iter();
    let (id, second) = (ids.next()?, ids.next());
    id.to_str().ok().filter(|id| second.is_none() && is_request_id(id))
}

fn new_id(bits: u64) -> [u8; 32] {
    let mut id = [0; 32];
    write_hex(&mut id[..16], bits);
    write_hex(&mut id[16..], KEY.hash_one(!bits));
    id
}

/// Writes the low digits of `bits` in hexadecimal: on every request, so without the formatter.
fn write_hex(digits: &mut [u8], mut bits: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(bits & 15) as usize];
        bits >>= 4;
    }
}

fn text(ascii: &[u8]) -> &str {
    std::str::from_utf8(ascii).expect("hexadecimal digits and dashes are ASCII")
}

fn is_request_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.bytes().all(allowed)
}

/// Whether this is a `traceparent` of version 00 (W3C Trace Context): `00-<32 hex>-<16 hex>-<2 hex>`.
fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts[..], [version, trace, parent, flags]
        if version == "00" && is_hex(trace, 32) && !is_zero(trace)
            && is_hex(parent, 16) && !is_zero(parent) && is_hex(flags, 2))
}

/// A trace that begins here and is not sampled: whoever samples decides before us.
fn new_traceparent(bits: u64) -> [u8; 55] {
    let mut trace = *b"00-00000000000000000000000000000000-0000000000000000-00";
    write_hex(&mut trace[3..19], bits);
    write_hex(&mut trace[19..35], bits | 1);
    write_hex(&mut trace[36..52], KEY.hash_one(bits) | 1);
    trace
}

/// Whom a request was forwarded for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forwarding {
    /// The peer of the connection.
    pub(super) peer: IpAddr,
    /// Who asks, as far as hops are trusted.
    pub(super) client: IpAddr,
    /// Whether the peer is a trusted hop, whose word is passed on.
    pub(super) trusted: bool,
    /// What the peer spoke with us.
    pub(super) scheme: Scheme,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// HTTP in the clear.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// What the client of `session` speaks with us.
    pub(super) fn of(session: &Session) -> Scheme {
        let is_encrypted = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        if is_encrypted { Scheme::Https } else { Scheme::Http }
    }

    const fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// Writes id, trace and forwarding into the request that goes upstream.
pub(super) fn write_upstream(request: &mut RequestHeader, bits: u64, forwarding: Forwarding) -> Result<()> {
    if given_id(&request.headers).is_none() {
        request.insert_header(REQUEST_ID, new_id(bits).as_slice())?;
    }
    let traced = request.headers.get(TRACEPARENT_NAME).and_then(|value| value.to_str().ok());
    if !traced.is_some_and(is_traceparent) {
        request.insert_header(TRACEPARENT, new_traceparent(bits).as_slice())?;
    }
    let peer = forwarding.peer.to_canonical();
    let scheme = HeaderValue::from_static(forwarding.scheme.name());
    // CGI makes `HTTP_PROXY` of it, and libraries their proxy of that (CVE-2016-5385); nobody else knows it.
    request.remove_header("proxy");
    join_cookies(request)?;
    if !forwarding.trusted {
        drop_claims(request);
        request.insert_header(FORWARDED_FOR, address_text(peer))?;
        request.insert_header(FORWARDED_PROTO, scheme)?;
        return Ok(());
    }
    if request.headers.contains_key(REAL_IP) {
        request.insert_header(REAL_IP, address_text(forwarding.client.to_canonical()))?;
    }
    if request.headers.contains_key(FORWARDED) {
        request.append_header(FORWARDED, forwarded_for(peer, forwarding.scheme))?;
    }
    extend_chain(request, peer)?;
    // A hop that ends TLS says so; of one that does not, nobody else could.
    if !request.headers.contains_key(FORWARDED_PROTO) {
        request.insert_header(FORWARDED_PROTO, scheme)?;
    }
    Ok(())
}

/// Puts all cookies into one line. Clients of HTTP/2 split them, and who passes them on over HTTP/1 must join them
/// (RFC 9113, section 8.2.3): of several lines some shops take the first, and some make one with commas in it.
fn join_cookies(request: &mut RequestHeader) -> Result<()> {
    if request.headers.get_all(COOKIE).iter().nth(1).is_none() {
        return Ok(());
    }
    let lines: Vec<&[u8]> = request.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined = lines.join(&b"; "[..]);
    request.insert_header(COOKIE, joined)
}

/// Puts `peer` at the end of the one line of `X-Forwarded-For` that there is then.
fn extend_chain(request: &mut RequestHeader, peer: IpAddr) -> Result<()> {
    let mut chain = Vec::new();
    for line in request.headers.get_all(FORWARDED_FOR) {
        chain.extend_from_slice(line.as_bytes());
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(address_text(peer).as_bytes());
    request.insert_header(FORWARDED_FOR, chain)
}

/// Removes what only a trusted hop may say. Some origins take the host, the path or the address from it.
fn drop_claims(request: &mut RequestHeader) {
    let is_claim = |name: &&HeaderName| match name.as_str() {
        "forwarded" | "x-forwarded" | "x-original-url" | "x-rewrite-url" | "x-original-host" | "x-host" => {
            true
        }
        "x-http-host-override" => true,
        "x-real-ip" | "true-client-ip" | "client-ip" | "x-client-ip" | "x-cluster-client-ip" => true,
        "x-remote-ip" | "x-remote-addr" | "x-originating-ip" => true,
        // Cloudflare's and Fastly's, which are no stranger's to say.
        "cf-connecting-ip" | "cf-connecting-ipv6" | "fastly-client-ip" => true,
        name => name.starts_with("x-forwarded-"),
    };
    let claims: Vec<HeaderName> = request.headers.keys().filter(is_claim).cloned().collect();
    for claim in &claims {
        request.remove_header(claim);
    }
}

/// An address in one allocation, and the common kind without the formatter: on every request.
fn address_text(address: IpAddr) -> String {
    let mut text = String::with_capacity(ADDRESS_BYTES_MAX);
    match address {
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    text.push('.');
                }
                push_decimal(&mut text, octet);
            }
        }
        IpAddr::V6(_) => write!(text, "{address}").expect("a string takes what is written"),
    }
    text
}

fn push_decimal(text: &mut String, number: u8) {
    if number >= 10 {
        push_decimal(text, number / 10);
    }
    text.push(char::from(b'0' + number % 10));
}

/// One more element of a `Forwarded` field (RFC 7239, section 4).
fn forwarded_for(peer: IpAddr, scheme: Scheme) -> String {
    let scheme = scheme.name();
    match peer {
        IpAddr::V4(peer) => format!("for={peer};proto={scheme}"),
        IpAddr::V6(peer) => format!("for=\"[{peer}]\";proto={scheme}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in headers {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    fn sent(headers: &[(&'static str, &str)], trusted: bool, name: &str) -> Vec<String> {
        let mut request = request(headers);
        let (peer, client) = ("192.0.2.9".parse().unwrap(), "198.51.100.7".parse().unwrap());
        let forwarding = Forwarding { peer, client, trusted, scheme: Scheme::Http };
        write_upstream(&mut request, 7, forwarding).unwrap();
        let values = request.headers.get_all(name).into_iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn an_untrusted_peer_cannot_forward_for_anybody() {
        let claims = [
            ("x-forwarded-for", "203.0.113.1"),
            ("forwarded", "for=203.0.113.1"),
            ("x-forwarded-prefix", "/checkout"),
            ("x-original-url", "/checkout"),
            ("x-forwarded", "for=203.0.113.1"),
            ("x-real-ip", "203.0.113.1"),
            ("true-client-ip", "203.0.113.1"),
            ("client-ip", "203.0.113.1"),
            ("x-remote-ip", "203.0.113.1"),
            ("x-remote-addr", "203.0.113.1"),
            ("x-originating-ip", "203.0.113.1"),
            ("x-http-host-override", "203.0.113.1"),
            ("proxy", "http://203.0.113.1/"),
        ];
        assert_eq!(sent(&claims, false, "x-forwarded-for"), ["192.0.2.9"]);
        for (claim, _) in &claims[1..] {
            assert!(sent(&claims, false, claim).is_empty(), "{claim}");
        }
    }

    #[test]
    fn an_address_is_written_as_the_formatter_would() {
        for address in ["0.0.0.0", "10.20.30.40", "255.199.100.99", "1.2.3.4", "2001:db8::1", "::"] {
            assert_eq!(address_text(address.parse().unwrap()), address);
        }
    }

    #[test]
    fn a_trusted_hop_is_appended_to_the_chain() {
        let claims = [("x-forwarded-for", "203.0.113.1")];
        assert_eq!(sent(&claims, true, "x-forwarded-for"), ["203.0.113.1, 192.0.2.9"]);
        let claims = [("x-forwarded-for", "203.0.113.1"), ("x-forwarded-for", "203.0.113.2, 10.0.0.1")];
        let joined = ["203.0.113.1, 203.0.113.2, 10.0.0.1, 192.0.2.9"];
        assert_eq!(sent(&claims, true, "x-forwarded-for"), joined);
        assert_eq!(sent(&[], true, "x-forwarded-for"), ["192.0.2.9"]);
        let claims = [("forwarded", "for=203.0.113.1"), ("x-forwarded-host", "shop.test")];
        assert_eq!(sent(&claims, true, "forwarded"), ["for=203.0.113.1", "for=192.0.2.9;proto=http"]);
        assert_eq!(sent(&claims, true, "x-forwarded-host"), ["shop.test"]);
    }

    #[test]
    fn a_trusted_hops_client_does_not_choose_the_address_that_a_shop_may_read() {
        let claims =
            [("x-real-ip", "203.0.113.1"), ("proxy", "203.0.113.1"), ("true-client-ip", "198.51.100.7")];
        assert_eq!(sent(&claims, true, "x-real-ip"), ["198.51.100.7"]);
        assert!(sent(&claims, true, "proxy").is_empty());
        // This one only a hop that writes it can know.
        assert_eq!(sent(&claims, true, "true-client-ip"), ["198.51.100.7"]);
        assert!(sent(&[], true, "x-real-ip").is_empty());
    }

    #[test]
    fn a_well_formed_trace_is_passed_on_and_another_replaced() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(sent(&[("traceparent", good)], false, "traceparent"), [good]);
        for bad in ["", "00-0-0-0", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
            let made = sent(&[("traceparent", bad)], false, "traceparent");
            assert!(made.len() == 1 && is_traceparent(&made[0]), "{made:?}");
        }
    }

    #[test]
    fn cookies_go_to_the_shop_in_one_line_and_in_their_order() {
        assert_eq!(sent(&[("cookie", "a=1; b=2")], false, "cookie"), ["a=1; b=2"]);
        let split = [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3; d=4")];
        for trusted in [false, true] {
            assert_eq!(sent(&split, trusted, "cookie"), ["a=1; b=2; c=3; d=4"]);
        }
        assert!(sent(&[], false, "cookie").is_empty());
    }

    #[test]
    fn of_two_ids_the_shop_gets_neither() {
        let ids = [("x-request-id", "one"), ("x-request-id", "other")];
        assert_eq!(sent(&ids, false, "x-request-id"), [request_id(&request(&ids).headers, 7)]);
        assert_eq!(sent(&ids[..1], false, "x-request-id"), ["one"]);
    }

    #[test]
    fn an_id_that_is_none_is_replaced() {
        assert_eq!(request_id(&request(&[("x-request-id", "abc-1.2_3:4")]).headers, 1), "abc-1.2_3:4");
        let long = "a".repeat(REQUEST_ID_BYTES_MAX + 1);
        for bad in ["", "a b", "<script>", long.as_str()] {
            assert_eq!(request_id(&request(&[("x-request-id", bad)]).headers, 1).len(), 32, "{bad}");
        }
    }
}
