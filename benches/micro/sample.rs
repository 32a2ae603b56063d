//! Requests as browsers send them.
//!
//! A request that no route takes has a new template if its path holds a word not
//! seen before. Numbers would not do: the features take all of them for one.

use http::Request;
use http::request::Parts;

/// A path that a route of the shipped policy takes.
pub(crate) const ROUTED: &str = "/product/linen-shirt-7";
/// A path that is left to the model.
pub(crate) const UNROUTED: &str = "/journal/summer-looks";

/// A browser's GET of `target`, in a session.
pub(crate) fn get(target: &str) -> Parts {
    let request = Request::get(target)
        .header("host", "shop.test")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
        .header("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
        .header("accept-language", "en-US,en;q=0.5")
        .header("accept-encoding", "gzip, deflate, br")
        .header("referer", "https://shop.test/category/shirts")
        .header("cookie", "consent=yes; theme=dark; session=0f8fad5bd9cb469fa165708c37e1a3c1")
        .header("sec-fetch-dest", "document")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-site", "same-origin");
    request.body(()).expect("a literal request is valid").into_parts().0
}

/// Requests no two of which have the same template.
pub(crate) fn ever_new() -> impl FnMut() -> Parts {
    let mut count = 0;
    move || {
        count += 1;
        get(&format!("/journal/{}", word(count)))
    }
}

/// The number in letters.
fn word(mut number: u32) -> String {
    let mut letters = String::new();
    while number > 0 {
        letters.push(char::from(b'a' + (number % 26) as u8));
        number /= 26;
    }
    letters
}
