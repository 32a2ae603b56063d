//! Requests that two servers may read in two ways, and the one reading that may come of each.
//!
//! In a request, `⏎` stands for CR LF, `␊` for a bare LF, `␍` for a bare CR, `␀`, `␁`, `␉` and `␡` for these
//! control characters, and `ÿ` for a byte that is no UTF-8. A reading is method, target, host and body.

/// What comes of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// It is refused, with this status, and the origin sees nothing.
    Refused(u16),
    /// The origin reads this.
    Read(&'static str),
    /// The origin reads these, one after the other.
    ReadBoth(&'static str, &'static str),
}

use Outcome::{Read, ReadBoth, Refused};

const OK: Outcome = Read("GET / shop.test ");
const HELLO: Outcome = Read("POST / shop.test hello");

/// Who is asked.
pub(crate) const HOSTS: &[(&str, Outcome)] = &[
    ("GET / HTTP/1.1⏎Host: shop.test⏎⏎", OK),
    ("GET / HTTP/1.1⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host:⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host:   ⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎Host: evil.test⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎X: 1⏎hOST: evil.test⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test, evil.test⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop test⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test/x⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: user@shop.test⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test#x⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test:808080⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test:8x⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: [::1⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: ::1⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: sh%6Fp.test⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.testÿ⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test␀⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host : shop.test⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host␉: shop.test⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎ Host: shop.test⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host:⏎ shop.test⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test:8080⏎⏎", Read("GET / shop.test:8080 ")),
    ("GET / HTTP/1.1⏎Host: [::1]:80⏎⏎", Read("GET / [::1]:80 ")),
    ("GET / HTTP/1.1⏎Host:␉shop.test ⏎⏎", OK),
    ("GET / HTTP/1.0⏎Host: shop.test⏎⏎", OK),
    ("GET / HTTP/1.0⏎⏎", Read("GET / - ")),
    ("GET http://shop.test/ HTTP/1.1⏎Host: shop.test⏎⏎", OK),
    ("GET http://shop.test HTTP/1.1⏎Host: shop.test⏎⏎", OK),
    ("GET http://shop.test/a/../b?c HTTP/1.1⏎Host: shop.test⏎⏎", Read("GET /b?c shop.test ")),
    ("GET http://shop.test/ HTTP/1.0⏎⏎", OK),
    ("GET http://shop.test/ HTTP/1.1⏎⏎", Refused(400)),
    ("GET http://evil.test/ HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET http://user@shop.test/ HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET http:/\\evil.test/ HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET ftp://shop.test/ HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET http:///x HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
];

/// How long the body is.
pub(crate) const LENGTHS: &[(&str, Outcome)] = &[
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5⏎⏎hello", HELLO),
    ("POST / HTTP/1.1⏎Host: shop.test⏎content-length:5⏎⏎hello", HELLO),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length:␉5 ⏎⏎hello", HELLO),
    ("GET / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5⏎⏎hello", Read("GET / shop.test hello")),
    ("POST / HTTP/1.1⏎Host: shop.test⏎⏎", Read("POST / shop.test ")),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5⏎Content-Length: 5⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5⏎Content-Length: 6⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5⏎Content-Length:⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5, 5⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5,6⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5,⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: +5⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: -5⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 0x5⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5 5⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5.0⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5e0⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: five⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5;⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: \"5\"⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length:⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5ÿ⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5␀⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 18446744073709551621⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 9999999999⏎⏎hello", Refused(413)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length : 5⏎⏎hello", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length:⏎ 5⏎⏎hello", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎Content_Length: 5⏎⏎", OK),
    ("GET / HTTP/1.1⏎Host: shop.test⏎X-Content-Length: 5⏎⏎", OK),
    ("GET / HTTP/1.1⏎Host: shop.test⏎⏎hello", OK),
    (
        "POST /a HTTP/1.1⏎Host: shop.test⏎Content-Length: 5⏎⏎helloGET /b HTTP/1.1⏎Host: shop.test⏎⏎",
        ReadBoth("POST /a shop.test hello", "GET /b shop.test "),
    ),
    (
        "POST /a HTTP/1.1⏎Host: shop.test⏎Content-Length: 42⏎⏎GET /b HTTP/1.1⏎Host: shop.test⏎X: 123456⏎⏎",
        Read("POST /a shop.test GET /b HTTP/1.1⏎Host: shop.test⏎X: 12345"),
    ),
];

/// How the body is encoded.
pub(crate) const ENCODINGS: &[(&str, Outcome)] = &[
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: chunked⏎⏎5⏎hello⏎0⏎⏎", HELLO),
    ("POST / HTTP/1.1⏎Host: shop.test⏎transfer-encoding:CHUNKED⏎⏎5⏎hello⏎0⏎⏎", HELLO),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding:␉chunked ⏎⏎5⏎hello⏎0⏎⏎", HELLO),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: gzip, chunked⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: chunked, gzip⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: chunked, chunked⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: identity⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: chunked, identity⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: identity, chunked⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: ,chunked⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: chunked,⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding:⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: chunked;q=1⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: \"chunked\"⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: xchunked⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: chunkedÿ⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: ␀chunked⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: chun␁ked⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding : chunked⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding␀: chunked⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎ Transfer-Encoding: chunked⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding:⏎ chunked⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎X: 1␍Transfer-Encoding: chunked⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎X: 1␊Transfer-Encoding: chunked⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    (
        "POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: chunked⏎Transfer-Encoding: chunked⏎⏎0⏎⏎",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: identity⏎Transfer-Encoding: chunked⏎⏎0⏎⏎",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: chunked⏎Transfer-Encoding: identity⏎⏎0⏎⏎",
        Refused(400),
    ),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Transfer-Encoding: chunked⏎Content-Length: 5⏎⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 5⏎Transfer-Encoding: chunked⏎⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Content-Length: 0⏎Transfer-Encoding: chunked⏎⏎0⏎⏎", Refused(400)),
    ("POST / HTTP/1.0⏎Host: shop.test⏎Transfer-Encoding: chunked⏎⏎5⏎hello⏎0⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎Transfer_Encoding: chunked⏎⏎", OK),
    ("GET / HTTP/1.1⏎Host: shop.test⏎X-Transfer-Encoding: chunked⏎⏎", OK),
    ("GET / HTTP/1.1⏎Host: shop.test⏎TE: chunked⏎⏎", OK),
];

/// How chunks are written.
pub(crate) const CHUNKS: &[(&str, Outcome)] = &[
    ("005⏎hello⏎0⏎⏎", HELLO),
    ("5;a=b⏎hello⏎0⏎⏎", HELLO),
    ("3⏎hel⏎2⏎lo⏎0⏎⏎", HELLO),
    ("5⏎hello⏎0⏎X-Trailer: 1⏎⏎", HELLO),
    ("5⏎hello⏎0⏎Content-Length: 9⏎⏎", HELLO),
    ("5⏎hello⏎000⏎⏎", HELLO),
    ("0⏎⏎", Read("POST / shop.test ")),
    ("0x5⏎hello⏎0⏎⏎", Refused(400)),
    ("+5⏎hello⏎0⏎⏎", Refused(400)),
    ("-5⏎hello⏎0⏎⏎", Refused(400)),
    ("g⏎hello⏎0⏎⏎", Refused(400)),
    // No size is a zero to Pingora, and what follows a trailer, which goes no further.
    ("⏎hello⏎0⏎⏎", Read("POST / shop.test ")),
    ("5␊hello⏎0⏎⏎", Refused(400)),
    ("5␍hello⏎0⏎⏎", Refused(400)),
    ("5⏎hello␊0⏎⏎", Refused(400)),
    ("5⏎hello0⏎⏎", Refused(400)),
    ("4⏎hello⏎0⏎⏎", Refused(400)),
    ("6⏎hello⏎0⏎⏎", Refused(400)),
    ("FFFFFFFFFFFFFFFFF⏎hello⏎0⏎⏎", Refused(400)),
    ("5␀⏎hello⏎0⏎⏎", Refused(400)),
];

/// What is asked for.
pub(crate) const TARGETS: &[(&str, Outcome)] = &[
    ("TRACE / HTTP/1.1⏎Host: shop.test⏎⏎", Refused(405)),
    ("TRACK / HTTP/1.1⏎Host: shop.test⏎⏎", Refused(405)),
    ("CONNECT shop.test:80 HTTP/1.1⏎Host: shop.test:80⏎⏎", Refused(405)),
    ("OPTIONS * HTTP/1.1⏎Host: shop.test⏎⏎", Read("OPTIONS * shop.test ")),
    ("GET * HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET shop.test HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    // A fragment is no part of a target, and goes no further.
    ("GET /a#b HTTP/1.1⏎Host: shop.test⏎⏎", Read("GET /a shop.test ")),
    ("GET  / HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET␉/ HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    (" GET / HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET / HTTP/1.2⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET / HTTP/2.0⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET / http/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET /⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET /a b HTTP/1.1⏎Host: shop.test⏎⏎", Read("GET /a%20b shop.test ")),
    ("GET /a%20b HTTP/1.1⏎Host: shop.test⏎⏎", Read("GET /a%20b shop.test ")),
    ("GET /a%00b HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET /a%0d%0ab HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET /100% HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET /%c0%ae%c0%ae/x HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET /%e0%80%af HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET /a/../b HTTP/1.1⏎Host: shop.test⏎⏎", Read("GET /b shop.test ")),
    ("GET /a/%2e%2E/b HTTP/1.1⏎Host: shop.test⏎⏎", Read("GET /b shop.test ")),
    ("GET /../../b/./c/. HTTP/1.1⏎Host: shop.test⏎⏎", Read("GET /b/c/ shop.test ")),
    ("GET /a/..;/b HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET /a/%2e%2e;x/b HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET /a%2f..%2fb HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET /a%2fb/../c HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET /a%5cb HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET /a\\b HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET /a%2fb HTTP/1.1⏎Host: shop.test⏎⏎", Read("GET /a%2fb shop.test ")),
    ("GET /a%252e%252e/b HTTP/1.1⏎Host: shop.test⏎⏎", Read("GET /a%252e%252e/b shop.test ")),
    ("GET /a?b=/../c HTTP/1.1⏎Host: shop.test⏎⏎", Read("GET /a?b=/../c shop.test ")),
    ("GET ?a HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
];

/// How lines and fields are written.
pub(crate) const FIELDS: &[(&str, Outcome)] = &[
    ("⏎GET / HTTP/1.1⏎Host: shop.test⏎⏎", OK),
    ("␊GET / HTTP/1.1⏎Host: shop.test⏎⏎", Refused(400)),
    ("GET / HTTP/1.1␊Host: shop.test⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test␊⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎␊", Refused(400)),
    ("GET / HTTP/1.1␊Host: shop.test␊␊", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎A: 1␍B: 2⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎A: 1⏎ 2⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎A: 1⏎␉2⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎A: ␀⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎A: ␁⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎A: ␡⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎A␀: 1⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎A B: 1⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎A@B: 1⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎Aÿ: 1⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎: 1⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎nonsense⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎A: ÿ⏎⏎", OK),
    ("GET / HTTP/1.1⏎Host: shop.test⏎A:⏎⏎", OK),
    ("POST / HTTP/1.1⏎Host: shop.test⏎Expect: 200-ok⏎⏎", Refused(417)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎Connection: Host⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎Connection: close, X-Forwarded-For⏎⏎", Refused(400)),
    ("GET / HTTP/1.1⏎Host: shop.test⏎Connection: Upgrade, HTTP2-Settings⏎Upgrade: h2c⏎⏎", OK),
];
