//! What a request is called on its way: its id, its trace, and whom it was forwarded for.
//!
//! A request id or `traceparent` that came in is passed on if it is well formed,
//! else made. What a client claims of other addresses is dropped unless a
//! trusted hop said it.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use pingora_core::Result;
use pingora_http::RequestHeader;

/// The header of the request id.
pub(super) const REQUEST_ID: &str = "x-request-id";
const TRACEPARENT: &str = "traceparent";
/// A longer id than this is not an id.
const REQUEST_ID_BYTES_MAX: usize = 64;

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// 64 bits nobody outside can predict: a keyed hash of a counter.
pub(super) fn random_bits() -> u64 {
    KEY.hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The id of a request: the one it came with if that is one, else a new one.
pub(super) fn request_id(headers: &HeaderMap, bits: u64) -> String {
    match headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()) {
        Some(id) if is_request_id(id) => id.to_owned(),
        _ => format!("{bits:016x}{:016x}", KEY.hash_one(!bits)),
    }
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

/// Whom a request was forwarded for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forwarding {
    /// The peer of the connection.
    pub(super) peer: IpAddr,
    /// Whether the peer is a trusted hop, whose word is passed on.
    pub(super) trusted: bool,
}

/// Writes id, trace and forwarding into the request that goes upstream.
pub(super) fn write_upstream(
    request: &mut RequestHeader,
    request_id: &str,
    bits: u64,
    forwarding: Forwarding,
) -> Result<()> {
    request.insert_header(REQUEST_ID, request_id)?;
    let traced = request.headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
    if !traced.is_some_and(is_traceparent) {
        let parent = KEY.hash_one(bits) | 1;
        let trace = format!("00-{bits:016x}{:016x}-{parent:016x}-00", bits | 1);
        request.insert_header(TRACEPARENT, trace)?;
    }
    let peer = forwarding.peer.to_canonical().to_string();
    if forwarding.trusted {
        request.append_header("x-forwarded-for", peer)?;
    } else {
        request.remove_header("forwarded");
        request.remove_header("x-real-ip");
        request.remove_header("x-forwarded-host");
        request.insert_header("x-forwarded-for", peer)?;
        request.insert_header("x-forwarded-proto", "http")?;
    }
    Ok(())
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
        let forwarding = Forwarding { peer: "192.0.2.9".parse().unwrap(), trusted };
        write_upstream(&mut request, "id", 7, forwarding).unwrap();
        let values = request.headers.get_all(name).into_iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn an_untrusted_peer_cannot_forward_for_anybody() {
        let claims = [("x-forwarded-for", "203.0.113.1"), ("forwarded", "for=203.0.113.1")];
        assert_eq!(sent(&claims, false, "x-forwarded-for"), ["192.0.2.9"]);
        assert!(sent(&claims, false, "forwarded").is_empty());
    }

    #[test]
    fn a_trusted_hop_is_appended_to_the_chain() {
        let claims = [("x-forwarded-for", "203.0.113.1")];
        assert_eq!(sent(&claims, true, "x-forwarded-for"), ["203.0.113.1", "192.0.2.9"]);
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
    fn an_id_that_is_none_is_replaced() {
        assert_eq!(request_id(&request(&[(REQUEST_ID, "abc-1.2_3:4")]).headers, 1), "abc-1.2_3:4");
        let long = "a".repeat(REQUEST_ID_BYTES_MAX + 1);
        for bad in ["", "a b", "<script>", long.as_str()] {
            assert_eq!(request_id(&request(&[(REQUEST_ID, bad)]).headers, 1).len(), 32, "{bad}");
        }
    }
}
