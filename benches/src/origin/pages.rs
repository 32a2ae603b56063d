//! What the sample shop answers, and what it costs.
//!
//! The routes are those of the usual shop systems, and costs differ as theirs
//! do: a checkout and a search are dearer than a page, a beacon and a picture
//! are cheap. Any other path is a page too, so that a replayed log of another
//! shop meets answers. Pages are small but real HTML, with a session cookie for
//! those who come without one.

use http::{HeaderMap, Method, header};
use serde::{Deserialize, Serialize};

/// The name of the shop's session cookie, with the equals sign.
pub(crate) const SESSION_COOKIE: &str = "session=";

/// A kind of page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Route {
    Home,
    Category,
    Product,
    Search,
    Cart,
    CartAdd,
    Checkout,
    Order,
    Collect,
    Account,
    Static,
    Other,
}

impl Route {
    /// All of them, with their names.
    pub(crate) const WORDS: [(&'static str, Route); 12] = [
        ("home", Route::Home),
        ("category", Route::Category),
        ("product", Route::Product),
        ("search", Route::Search),
        ("cart", Route::Cart),
        ("cart_add", Route::CartAdd),
        ("checkout", Route::Checkout),
        ("order", Route::Order),
        ("collect", Route::Collect),
        ("account", Route::Account),
        ("static", Route::Static),
        ("other", Route::Other),
    ];

    /// The route of a request.
    pub(crate) fn of(method: &Method, path: &str) -> Route {
        let mut segments = path.trim_start_matches('/').splitn(2, '/');
        let (first, rest) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
        match (first, rest) {
            ("", _) => Route::Home,
            ("category", _) => Route::Category,
            ("product", _) => Route::Product,
            ("search", _) => Route::Search,
            ("cart", "add") if method == Method::POST => Route::CartAdd,
            ("cart", _) => Route::Cart,
            ("checkout", _) if method == Method::POST => Route::Order,
            ("checkout", _) => Route::Checkout,
            ("collect", _) => Route::Collect,
            ("account", _) => Route::Account,
            ("static", _) => Route::Static,
            _ => Route::Other,
        }
    }

    /// The name in statistics, settings and scenarios.
    pub(crate) fn name(self) -> &'static str {
        let found = Route::WORDS.iter().find(|(_, route)| *route == self);
        found.map_or("other", |(name, _)| name)
    }

    /// Its work, in units: a page is 1.
    pub(crate) fn cost(self) -> f64 {
        match self {
            Route::Checkout | Route::Order | Route::Search => 1.5,
            Route::Collect => 0.5,
            Route::Static => 0.1,
            _ => 1.0,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Route::Home => "Lamps and more",
            Route::Category => "A shelf of lamps",
            Route::Product => "A lamp",
            Route::Search => "What we found",
            Route::Cart | Route::CartAdd => "Your cart",
            Route::Checkout => "Checkout",
            Route::Order => "Thank you for your order",
            Route::Account => "Your account",
            Route::Collect | Route::Static | Route::Other => "A page of the shop",
        }
    }
}

impl Route {
    /// What a page has that others have not.
    fn content(self) -> &'static str {
        match self {
            Route::Product => {
                "<form method=\"post\" action=\"/cart/add\"><button>Add to the cart</button></form>\n"
            }
            Route::Cart | Route::CartAdd => {
                "<table><tr><td>Lamp 7</td><td>1</td><td>49.00</td></tr></table>\n"
            }
            Route::Checkout => {
                "<form method=\"post\" action=\"/checkout\"><input name=\"payment\" value=\"card\">\
                 <button>Place the order</button></form>\n"
            }
            Route::Order => "<p>Your order is on its way.</p>\n",
            _ => "",
        }
    }
}

/// The HTML of a page, with what a browser loads for it: see [`Asset`].
pub(crate) fn html(route: Route, path: &str) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <link rel=\"stylesheet\" href=\"/static/shop.css\"><script defer src=\"/static/shop.js\"></script></head>\n\
         <body><h1>{title}</h1><p>{path}</p>\n\
         <form action=\"/search\"><input name=\"q\"><button>Search</button></form>\n",
        title = route.title(),
        path = escape(path),
    );
    page.push_str(route.content());
    page.push_str("<ul>\n");
    for lamp in 1..=12 {
        page.push_str(&format!(
            "<li><a href=\"/product/{lamp}\"><img src=\"/static/lamp.svg\" alt=\"\"> \
             Lamp {lamp}, brass, with a linen shade</a></li>\n"
        ));
    }
    page.push_str("</ul><a href=\"/cart\">Cart</a> <a href=\"/checkout\">Checkout</a></body></html>\n");
    page
}

/// What pages load.
pub(crate) struct Asset {
    /// Its `Content-Type`.
    pub(crate) content_type: &'static str,
    /// What it is.
    pub(crate) body: &'static [u8],
}

impl Asset {
    /// The asset at a path, by its extension.
    pub(crate) fn of(path: &str) -> Asset {
        let (content_type, body): (_, &[u8]) = match path.rsplit('.').next() {
            Some("css") => {
                ("text/css", b"body { font-family: sans-serif; max-width: 60rem; margin: auto }\n")
            }
            Some("js") => {
                let script = b"navigator.sendBeacon('/collect', JSON.stringify({ event: 'view' }));\n";
                ("text/javascript", script)
            }
            Some("svg") => ("image/svg+xml", LAMP),
            _ => ("text/plain", b"a picture of a lamp\n"),
        };
        Asset { content_type, body }
    }
}

const LAMP: &[u8] = b"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 10 16\">\
    <path d=\"M3 1h4l3 6H0zM4.5 7h1v7h2v1h-5v-1h2z\"/></svg>\n";

/// Whether the client has a session already.
pub(crate) fn has_session(headers: &HeaderMap) -> bool {
    let cookies = headers.get_all(header::COOKIE).iter();
    cookies
        .filter_map(|cookie| cookie.to_str().ok())
        .flat_map(|cookie| cookie.split(';'))
        .any(|pair| pair.trim().starts_with(SESSION_COOKIE))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn routes_are_told_apart_by_method_and_path() {
        for (method, path, route) in [
            (Method::GET, "/", Route::Home),
            (Method::GET, "/category/7", Route::Category),
            (Method::GET, "/cart", Route::Cart),
            (Method::POST, "/cart/add", Route::CartAdd),
            (Method::GET, "/cart/add", Route::Cart),
            (Method::GET, "/checkout", Route::Checkout),
            (Method::POST, "/checkout", Route::Order),
            (Method::POST, "/collect", Route::Collect),
            (Method::GET, "/static/app.js", Route::Static),
            (Method::GET, "/checkouts", Route::Other),
        ] {
            assert_eq!(Route::of(&method, path), route, "{method} {path}");
        }
    }

    #[test]
    fn page_does_not_echo_markup() {
        assert!(!html(Route::Search, "/search<script>").contains("<script>"));
    }

    #[test]
    fn session_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        assert!(!has_session(&headers));
        headers.append(header::COOKIE, HeaderValue::from_static("mysession=1"));
        assert!(!has_session(&headers));
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; session=2"));
        assert!(has_session(&headers));
    }
}
