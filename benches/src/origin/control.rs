//! The origin's control port: what it is like, what it should be like, what it has done.
//!
//! `GET /settings`, `PUT /settings`, `PATCH /settings` (a JSON merge patch) and `GET /stats`. It is a port
//! of its own, so that it answers while the shop is overloaded, and so that a proxy in
//! front of the shop does not pass it on.

use super::STATS_PATH;
use super::settings::Settings;
use super::shop::Shop;
use crate::delivery::Delivery;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

/// Settings of an origin with all its routes are a tenth of it.
const SETTINGS_BYTES_MAX: usize = 65_536;

/// Answers a request to the control port.
pub(super) async fn answer(shop: &Shop, request: Request<Incoming>) -> Response<Delivery> {
    let (head, body) = request.into_parts();
    match (head.method, head.uri.path()) {
        (Method::GET, "/stats" | STATS_PATH) => json(StatusCode::OK, &shop.stats()),
        (Method::GET, "/settings") => json(StatusCode::OK, &shop.settings()),
        (method @ (Method::PUT | Method::PATCH), "/settings") => {
            match Limited::new(body, SETTINGS_BYTES_MAX).collect().await {
                Ok(body) => changed(shop, &method, &body.to_bytes()),
                Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
            }
        }
        _ => text(StatusCode::NOT_FOUND, "GET, PUT or PATCH /settings, GET /stats".into()),
    }
}

fn changed(shop: &Shop, method: &Method, body: &[u8]) -> Response<Delivery> {
    let settings = match *method {
        Method::PUT => Settings::parse(body),
        _ => shop.settings().patched(body),
    };
    match settings.map(|settings| shop.become_like(settings)) {
        Ok(()) => json(StatusCode::OK, &shop.settings()),
        Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<Delivery> {
    let json = serde_json::to_vec(value).expect("counts and settings are valid JSON");
    typed(status, "application/json", json.into())
}

fn text(status: StatusCode, text: String) -> Response<Delivery> {
    typed(status, "text/plain", format!("{text}\n").into())
}

/// An answer of that status and type.
pub(super) fn typed(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Delivery> {
    let mut response = Response::new(Delivery::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
