//! The class under which a replayed request is counted.
//!
//! A log does not say what its requests were worth. This is the one place where
//! the harness decides it, so that it can be handed to the proxy's own
//! classification: change [`class_of`], and [`CLASSES`] with it.
//!
//! Until then it knows the paths of the usual shop systems, and no more.

use http::Method;

/// All classes, most important first.
pub(crate) const CLASSES: [&str; 6] = ["checkout", "cart", "search", "browse", "static", "analytics"];

/// The name of the class of a request, one of [`CLASSES`].
pub(crate) fn class_of(_method: &Method, path_and_query: &str) -> &'static str {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    match first {
        "checkout" | "order-received" | "wc-api" => "checkout",
        _ if query.contains("wc-ajax=checkout") || query.contains("wc-ajax=update_order_review") => {
            "checkout"
        }
        "cart" => "cart",
        _ if query.contains("wc-ajax=") || query.contains("add-to-cart=") => "cart",
        "search" => "search",
        _ if query.starts_with("s=") || query.contains("&s=") => "search",
        "collect" | "beacon" | "pixel" => "analytics",
        "static" | "wp-content" | "wp-includes" => "static",
        _ => "browse",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_paths_have_their_class() {
        for (path, class) in [
            ("/checkout/", "checkout"),
            ("/?wc-ajax=checkout", "checkout"),
            ("/?wc-ajax=get_refreshed_fragments", "cart"),
            ("/?s=lamp", "search"),
            ("/wp-content/a.css?ver=1", "static"),
            ("/product/lamp", "browse"),
        ] {
            assert_eq!(class_of(&Method::GET, path), class, "{path}");
            assert!(CLASSES.contains(&class));
        }
    }
}
