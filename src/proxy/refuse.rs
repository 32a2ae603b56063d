//! How a request is refused: cheaply, politely, and so that the client comes back later.
//!
//! A status, a jittered `Retry-After`, never cached, and a body only for whoever
//! can read one: a small page for a person, problem+json (RFC 9457) for a
//! program. The connection is kept where the protocol allows, for closing it
//! would cost a handshake on the retry. CORS headers let a script see the
//! refusal for what it is.
//!
//! It does not decide whom to refuse.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{Method, StatusCode};
use pingora_core::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::identity::REQUEST_ID;
use crate::policy::settings::{Refusal, RefusalBody};

/// How long a client may take to finish an upload we do not want.
const DRAIN_MAX: Duration = Duration::from_secs(1);

const PAGE: &str = "<!doctype html><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
<title>Busy</title><body style=\"font:1.1em sans-serif;margin:20vh auto;max-width:26em;padding:0 1em\">\
<h1>We are very busy right now</h1><p>Your cart is safe. Please try again in a few seconds.</p>";

/// A refusal to write.
#[derive(Clone, Debug)]
pub(super) struct Refused<'r> {
    /// The status.
    pub(super) status: StatusCode,
    /// `Retry-After`, if a retry makes sense.
    pub(super) retry_after: Option<Duration>,
    /// Whether to write a body.
    pub(super) body: RefusalBody,
    /// The request's id.
    pub(super) request_id: &'r str,
    /// What to say in the decision header, if the policy wants one.
    pub(super) decision: Option<&'r str>,
}

impl<'r> Refused<'r> {
    /// As the class refuses; `bits` draw the time to come back.
    pub(super) fn by_class(refusal: &Refusal, bits: u64, request_id: &'r str) -> Refused<'r> {
        let (from, to) = (refusal.retry_after.start(), refusal.retry_after.end());
        let span = to.saturating_sub(*from).as_millis() as u64 + 1;
        let drawn = *from + Duration::from_millis(bits % span);
        Refused {
            status: refusal.status,
            retry_after: Some(drawn),
            body: refusal.body,
            request_id,
            decision: None,
        }
    }

    /// A plain answer with this status.
    pub(super) fn plain(status: StatusCode, request_id: &'r str) -> Refused<'r> {
        Refused { status, retry_after: None, body: RefusalBody::Auto, request_id, decision: None }
    }

    /// Writes it. The connection lives on if the request had no body, or a small one.
    pub(super) async fn write(&self, session: &mut Session) -> Result<()> {
        let request = session.req_header();
        let body = self.body(&request.headers);
        let is_head = request.method == Method::HEAD;
        let header = self.header(&request.headers, &body)?;
        session.set_close_on_response_before_downstream_finish(false);
        session.set_total_drain_timeout(Some(DRAIN_MAX));
        let sends_body = !is_head && !body.1.is_empty();
        session.write_response_header(Box::new(header), !sends_body).await?;
        if sends_body {
            session.write_response_body(Some(Bytes::from(body.1)), true).await?;
        } else if session.is_http2() {
            // The end of the head is none there; dropped without an end, the stream would be reset.
            session.as_downstream_mut().finish_body().await?;
        }
        Ok(())
    }

    fn header(&self, request: &HeaderMap, body: &(&'static str, String)) -> Result<ResponseHeader> {
        let mut header = ResponseHeader::build(self.status, Some(8))?;
        header.insert_header(header::CONTENT_LENGTH, body.1.len().to_string())?;
        header.insert_header(header::CACHE_CONTROL, "no-store")?;
        if let Some(retry_after) = self.retry_after {
            header.insert_header(header::RETRY_AFTER, whole_seconds(retry_after).to_string())?;
        }
        if !body.1.is_empty() {
            header.insert_header(header::CONTENT_TYPE, body.0)?;
        }
        if !self.request_id.is_empty() {
            header.insert_header(REQUEST_ID, self.request_id)?;
        }
        if let Some(decision) = self.decision {
            header.insert_header(super::service::DECISION, decision)?;
        }
        if let Some(origin) = request.get(header::ORIGIN) {
            header.insert_header(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin)?;
            header.insert_header(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true")?;
            header.insert_header(header::ACCESS_CONTROL_EXPOSE_HEADERS, "Retry-After")?;
            header.insert_header(header::VARY, "Origin")?;
        }
        Ok(header)
    }

    /// Content type and body, as the request accepts.
    fn body(&self, request: &HeaderMap) -> (&'static str, String) {
        let accept = request.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("");
        match self.body {
            RefusalBody::None => ("", String::new()),
            RefusalBody::Auto if accept.contains("text/html") => ("text/html", self.page()),
            RefusalBody::Auto if accept.contains("json") => ("application/problem+json", self.problem()),
            RefusalBody::Auto => ("", String::new()),
        }
    }

    fn page(&self) -> String {
        if self.retry_after.is_some() { PAGE.to_owned() } else { format!("<!doctype html>{}", self.status) }
    }

    fn problem(&self) -> String {
        let retry = self.retry_after.map(whole_seconds);
        serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or(""),
            "status": self.status.as_u16(),
            "retry_after_s": retry,
        })
        .to_string()
    }
}

/// `Retry-After` knows only seconds; rounded up, so that nobody comes back too early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: RefusalBody) -> Refusal {
        let retry_after = Duration::from_secs(2)..=Duration::from_secs(6);
        Refusal { status: StatusCode::SERVICE_UNAVAILABLE, retry_after, body }
    }

    fn accepting(accept: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())])
    }

    #[test]
    fn retry_after_is_drawn_from_the_range() {
        let refusal = refusal(RefusalBody::Auto);
        let drawn = |bits| Refused::by_class(&refusal, bits, "").retry_after.unwrap();
        assert_eq!(drawn(0), Duration::from_secs(2));
        assert_eq!(drawn(4_000), Duration::from_secs(6));
        assert_eq!(drawn(4_001), Duration::from_secs(2));
    }

    #[test]
    fn a_person_gets_a_page_a_program_json_and_a_beacon_nothing() {
        let auto = refusal(RefusalBody::Auto);
        let auto = Refused::by_class(&auto, 0, "");
        assert_eq!(auto.body(&accepting("text/html,*/*")).0, "text/html");
        let (kind, json) = auto.body(&accepting("application/json"));
        assert_eq!(kind, "application/problem+json");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((json["status"].as_u64(), json["retry_after_s"].as_u64()), (Some(503), Some(2)));
        assert!(auto.body(&accepting("image/*")).1.is_empty());
        let none = refusal(RefusalBody::None);
        assert!(Refused::by_class(&none, 0, "").body(&accepting("text/html")).1.is_empty());
    }

    #[test]
    fn a_script_may_see_the_refusal() {
        let origin = HeaderMap::from_iter([(header::ORIGIN, "https://shop.test".parse().unwrap())]);
        let refusal = refusal(RefusalBody::None);
        let header = Refused::by_class(&refusal, 0, "").header(&origin, &("", String::new())).unwrap();
        assert_eq!(header.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://shop.test");
        assert_eq!(header.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(header.headers[header::CONTENT_LENGTH], "0");
    }
}
