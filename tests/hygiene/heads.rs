//! What a head may be like, both sides of every rule; and that, whatever path a client sends, the origin
//! gets one that is classified as the one that was sent.

use http::request::Parts;
use http::{Request, Version};
use plimsoll::classify::path::key;
use plimsoll::hygiene::Leniency::{Refuse, Repair};
use plimsoll::hygiene::{Flaw, Received, Repairs, Rules, check};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy;

/// The parts of a head whose lines are given without their ends; a second host and the like stay.
fn parts(lines: &[&str]) -> Parts {
    let (start, fields) = lines.split_first().unwrap();
    let [method, target, version] = start.split(' ').collect::<Vec<_>>()[..] else { panic!("{start}") };
    let version = match version {
        "HTTP/2" => Version::HTTP_2,
        "HTTP/1.0" => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    // What is no URI has none, as in Pingora.
    let uri = target.parse::<http::Uri>().unwrap_or_default();
    let mut request = Request::builder().method(method).uri(uri).version(version);
    for field in fields {
        let (name, value) = field.split_once(':').unwrap();
        request = request.header(name, value.trim());
    }
    request.body(()).unwrap().into_parts().0
}

fn checked(lines: &[&str], rules: &Rules) -> Result<Repairs, Flaw> {
    let parts = parts(lines);
    let bytes = lines.join("\r\n") + "\r\n\r\n";
    // Over HTTP/2 the authority has a field of its own.
    let path = parts.uri.path_and_query().filter(|_| parts.version == Version::HTTP_2);
    let target = path.map_or_else(|| lines[0].split(' ').nth(1).unwrap(), |path| path.as_str()).as_bytes();
    let bytes = (parts.version != Version::HTTP_2).then_some(bytes.as_bytes());
    check(Received { parts: &parts, target, bytes }, rules)
}

fn flaw(lines: &[&str]) -> Option<Flaw> {
    checked(lines, &Rules::default()).err()
}

const GET: &str = "GET / HTTP/1.1";
const POST: &str = "POST / HTTP/1.1";
const HOST: &str = "Host: shop.test";
/// Lines of a head, and what is wrong with it.
const ROWS: &[(&[&str], Option<Flaw>)] = &[
    (&[GET, HOST], None),
    (&[GET], Some(Flaw::MissingHost)),
    (&["GET / HTTP/1.0"], Some(Flaw::MissingHost)),
    (&["GET / HTTP/1.0", HOST], None),
    (&[GET, "Host:"], Some(Flaw::MissingHost)),
    (&["GET / HTTP/1.0", "Host:"], Some(Flaw::MissingHost)),
    (&["GET / HTTP/2"], Some(Flaw::MissingHost)),
    (&["GET http://shop.test/ HTTP/2"], None),
    (&["GET http://shop.test/ HTTP/2", HOST], None),
    (&["GET http://other.test/ HTTP/2", HOST], Some(Flaw::HostMismatch)),
    (&["GET http://other.test/ HTTP/1.1", HOST], Some(Flaw::HostMismatch)),
    (&["GET http://SHOP.test/ HTTP/1.1", HOST], None),
    (&[GET, HOST, HOST], Some(Flaw::InvalidHost)),
    (&[GET, "Host: shop.test:8080"], None),
    (&[GET, "Host: shop.test:"], None),
    (&[GET, "Host: shop.test:808080"], Some(Flaw::InvalidHost)),
    (&[GET, "Host: shop.test:80a"], Some(Flaw::InvalidHost)),
    (&[GET, "Host: :80"], Some(Flaw::InvalidHost)),
    (&[GET, "Host: [2001:db8::1]:80"], None),
    (&[GET, "Host: [2001:db8::1"], Some(Flaw::InvalidHost)),
    (&[GET, "Host: 2001:db8::1"], Some(Flaw::InvalidHost)),
    (&[GET, "Host: a b"], Some(Flaw::InvalidHost)),
    (&[GET, "Host: a,b"], Some(Flaw::InvalidHost)),
    (&[GET, "Host: a/b"], Some(Flaw::InvalidHost)),
    (&[GET, "Host: user@shop.test"], Some(Flaw::InvalidHost)),
    (&[GET, "Host: my_shop.test"], None),
    (&[GET, "Host: shop.test."], Some(Flaw::InvalidHost)),
    (&[GET, "Host: shop.test.:80"], Some(Flaw::InvalidHost)),
    (&[GET, "Host: shop..test"], Some(Flaw::InvalidHost)),
    (&[GET, "Host: .shop.test"], Some(Flaw::InvalidHost)),
    (&["GET http://shop.test./ HTTP/2"], Some(Flaw::InvalidHost)),
    (&["GET http://shop.test./ HTTP/1.1", "Host: shop.test."], Some(Flaw::InvalidHost)),
    (&["TRACE / HTTP/1.1", HOST], Some(Flaw::Method)),
    (&["TRACK / HTTP/1.1", HOST], Some(Flaw::Method)),
    (&["CONNECT shop.test:80 HTTP/1.1", "Host: shop.test:80"], Some(Flaw::Method)),
    (&["PURGE / HTTP/1.1", HOST], None),
    (&["OPTIONS * HTTP/1.1", HOST], None),
    (&["GET * HTTP/1.1", HOST], Some(Flaw::Target)),
    (&["GET shop.test HTTP/1.1", HOST], Some(Flaw::Target)),
    (&["GET shop HTTP/1.1", HOST], Some(Flaw::HostMismatch)),
    (&["GET ftp://shop.test/ HTTP/1.1", HOST], Some(Flaw::Target)),
    (&["GET /a#b HTTP/1.1", HOST], Some(Flaw::Target)),
    (&["GET /a%00b HTTP/1.1", HOST], Some(Flaw::PathEscape)),
    (&["GET /a%0ab HTTP/1.1", HOST], Some(Flaw::PathEscape)),
    (&["GET /a%7f HTTP/1.1", HOST], Some(Flaw::PathEscape)),
    (&["GET /a%20b HTTP/1.1", HOST], None),
    (&["GET /100% HTTP/1.1", HOST], Some(Flaw::PathEscape)),
    (&["GET /%zz HTTP/1.1", HOST], Some(Flaw::PathEscape)),
    (&["GET /?q=100%&x=%00 HTTP/1.1", HOST], None),
    (&["GET /%c0%af HTTP/1.1", HOST], Some(Flaw::PathEscape)),
    (&["GET /%f8%80%80%80%af HTTP/1.1", HOST], Some(Flaw::PathEscape)),
    (&["GET /%f8%87%80%80%af HTTP/1.1", HOST], Some(Flaw::PathEscape)),
    (&["GET /%f8%88%80%80%af HTTP/1.1", HOST], None),
    (&["GET /%fc%80%80%80%80%af HTTP/1.1", HOST], Some(Flaw::PathEscape)),
    (&["GET /%fc%83%80%80%80%af HTTP/1.1", HOST], Some(Flaw::PathEscape)),
    (&["GET /%fc%84%80%80%80%af HTTP/1.1", HOST], None),
    (&["GET /café HTTP/1.1", HOST], None),
    (&["GET /%e0%80%af HTTP/1.1", HOST], Some(Flaw::PathEscape)),
    (&["GET /%f0%80%80%af HTTP/1.1", HOST], Some(Flaw::PathEscape)),
    (&["GET /caf%c3%a9 HTTP/1.1", HOST], None),
    (&["GET /caf%e9 HTTP/1.1", HOST], None),
    (&["GET /a%2Fb HTTP/1.1", HOST], None),
    (&["GET /x%2F..%2Fcheckout HTTP/1.1", HOST], Some(Flaw::PathSeparator)),
    (&["GET /a%2Fb/../c HTTP/1.1", HOST], Some(Flaw::PathSeparator)),
    (&["GET /a%5Cb HTTP/1.1", HOST], Some(Flaw::PathSeparator)),
    (&["GET /a\\..\\b HTTP/1.1", HOST], Some(Flaw::PathSeparator)),
    (&["GET /a/..;x=1/b HTTP/1.1", HOST], Some(Flaw::PathSeparator)),
    (&["GET /a/b;x=1 HTTP/1.1", HOST], None),
    (&[POST, HOST, "Content-Length: 0"], None),
    (&[POST, HOST, "Content-Length: 1", "Content-Length: 1"], Some(Flaw::ContentLength)),
    (&[POST, HOST, "Content-Length: 1, 1"], Some(Flaw::ContentLength)),
    (&[POST, HOST, "Content-Length: +1"], Some(Flaw::ContentLength)),
    (&[POST, HOST, "Content-Length: -1"], Some(Flaw::ContentLength)),
    (&[POST, HOST, "Content-Length: 0x1"], Some(Flaw::ContentLength)),
    (&[POST, HOST, "Content-Length:"], Some(Flaw::ContentLength)),
    (&[POST, HOST, "Content-Length: 18446744073709551616"], Some(Flaw::ContentLength)),
    (&[POST, HOST, "Content-Length: 1073741824"], None),
    (&[POST, HOST, "Content-Length: 1073741825"], Some(Flaw::BodySize)),
    (&[POST, HOST, "Transfer-Encoding: Chunked"], None),
    (&[POST, HOST, "Transfer-Encoding: gzip, chunked"], Some(Flaw::TransferEncoding)),
    (&[POST, HOST, "Transfer-Encoding: chunked, chunked"], Some(Flaw::TransferEncoding)),
    (&[POST, HOST, "Transfer-Encoding: identity"], Some(Flaw::TransferEncoding)),
    (&[POST, HOST, "Transfer-Encoding: chunked", "Transfer-Encoding: x"], Some(Flaw::TransferEncoding)),
    (&[POST, HOST, "Transfer-Encoding: chunked", "Content-Length: 3"], Some(Flaw::TransferEncoding)),
    (&[POST, HOST, "Expect: 100-continue"], None),
    (&[POST, HOST, "Expect: 200-ok"], Some(Flaw::Expectation)),
    (&[GET, HOST, "Connection: Upgrade, , x-secret", "Connection: keep-alive"], None),
    (&[GET, HOST, "Connection: Host"], Some(Flaw::Connection)),
    (&[GET, HOST, "Connection: close", "Connection: a,X-FORWARDED-FOR"], Some(Flaw::Connection)),
    (&[POST, HOST, "Content-Length: 1", "Connection: content-length"], Some(Flaw::Connection)),
    (&[POST, HOST, "Transfer-Encoding: chunked", "Connection: Transfer-Encoding"], Some(Flaw::Connection)),
    (&[GET, HOST, "Connection: \"close\""], Some(Flaw::Connection)),
    (&[GET, HOST, "Connection: :path"], Some(Flaw::Connection)),
    (&[GET, HOST, "Connection: a,b,c,d,e,f,g,h,i"], None),
    (&[GET, HOST, "Connection: a,b,c,d,e,f,g,h,i,j"], Some(Flaw::Connection)),
];

#[test]
fn over_http2_a_target_is_a_path_and_names_no_host() {
    let parts = parts(&["GET http://shop.test/ HTTP/2"]);
    let targets = [("/", None), ("http://shop.test/", Some(Flaw::Target)), ("a", Some(Flaw::Target))];
    for (target, expected) in targets {
        let received = Received { parts: &parts, target: target.as_bytes(), bytes: None };
        assert_eq!(check(received, &Rules::default()).err(), expected, "{target}");
    }
}

#[test]
fn every_flaw_is_found_and_its_harmless_neighbour_is_not() {
    for (lines, expected) in ROWS {
        assert_eq!(flaw(lines), *expected, "{lines:?}");
    }
}

#[test]
fn lines_end_in_one_way_and_do_not_go_on() {
    let parts = parts(&["GET / HTTP/1.1", "Host: shop.test"]);
    let rows: [(&[u8], Option<Flaw>); 6] = [
        (b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", None),
        (b"\r\nGET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", None),
        (b"\nGET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", Some(Flaw::LineEnd)),
        (b"GET / HTTP/1.1\nHost: shop.test\r\n\r\n", Some(Flaw::LineEnd)),
        (b"GET / HTTP/1.1\r\nHost: shop.test\r\n\n", Some(Flaw::LineEnd)),
        (b"GET / HTTP/1.1\r\nHost: shop.test\r\n more: 1\r\n\r\n", Some(Flaw::LineEnd)),
    ];
    for (bytes, expected) in rows {
        let received = Received { parts: &parts, target: b"/", bytes: Some(bytes) };
        assert_eq!(check(received, &Rules::default()).err(), expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn sizes_are_bounded() {
    let rules = Rules { target_bytes_max: 10, fields_max: 3, head_bytes_max: 100, ..Rules::default() };
    let get = |target: &str| format!("GET {target} HTTP/1.1");
    let host = "Host: shop.test";
    assert_eq!(checked(&[&get("/234567890"), host], &rules).err(), None);
    assert_eq!(checked(&[&get("/2345678901"), host], &rules).err(), Some(Flaw::TargetSize));
    assert_eq!(checked(&[&get("/"), host, "a: 1", "b: 2"], &rules).err(), None);
    assert_eq!(checked(&[&get("/"), host, "a: 1", "b: 2", "c: 3"], &rules).err(), Some(Flaw::HeadSize));
    let filled = |count: usize| format!("a: {}", "x".repeat(count));
    // 16 and 17 bytes with their ends, 5 around the value, 2 at the end.
    assert_eq!(checked(&[&get("/"), host, &filled(60)], &rules).err(), None);
    assert_eq!(checked(&[&get("/"), host, &filled(61)], &rules).err(), Some(Flaw::HeadSize));
}

#[test]
fn cookies_are_one_field_however_they_are_split() {
    let rules = Rules { fields_max: 3, ..Rules::default() };
    for version in ["HTTP/1.1", "HTTP/2"] {
        let start = format!("GET http://shop.test/ {version}");
        let cookies = ["cookie: a=1", "cookie: b=2", "cookie: c=3", "cookie: d=4"];
        let few = [&[start.as_str(), HOST, "x: 1"][..], &cookies].concat();
        assert!(checked(&few, &rules).is_ok(), "{version}");
        let many = [&few[..], &["y: 1"]].concat();
        assert_eq!(checked(&many, &rules).err(), Some(Flaw::HeadSize), "{version}");
    }
}

#[test]
fn dots_are_resolved_and_absolute_targets_shortened() {
    let rows = [
        ("/checkout", None),
        ("/a.b/c..d/.e", None),
        ("//checkout", None),
        ("/x/../checkout?a=/../b", Some("/checkout?a=/../b")),
        ("/x/%2E%2e/checkout", Some("/checkout")),
        ("/../../checkout/./pay", Some("/checkout/pay")),
        ("/checkout/.", Some("/checkout/")),
        ("/checkout/x/..", Some("/checkout/")),
        ("/..", Some("/")),
        ("/x//../checkout", Some("/checkout")),
        ("/a/%2e", Some("/a/")),
        ("http://shop.test", Some("/")),
        ("http://shop.test?a=1", Some("/?a=1")),
        ("http://shop.test/x/../a?b=1", Some("/a?b=1")),
        ("HTTP://shop.test/a", Some("/a")),
    ];
    for (sent, expected) in rows {
        let repairs =
            checked(&[&format!("GET {sent} HTTP/1.1"), "Host: shop.test"], &Rules::default()).unwrap();
        let target = repairs.target.map(|target| String::from_utf8(target).unwrap());
        assert_eq!(target.as_deref(), expected, "{sent}");
    }
}

#[test]
fn what_is_repaired_is_refused_where_the_rules_say_so() {
    let strict = Rules { underscores: Refuse, paths: Refuse, ..Rules::default() };
    let rows = [
        ("GET /a/../b HTTP/1.1", "a: 1", Flaw::DotSegment),
        ("GET /a%2Fb HTTP/1.1", "a: 1", Flaw::PathSeparator),
        ("GET / HTTP/1.1", "Transfer_Encoding: chunked", Flaw::Underscore),
    ];
    for (start, field, expected) in rows {
        let lines = [start, "Host: shop.test", field];
        assert_eq!(checked(&lines, &strict).err(), Some(expected), "{lines:?}");
        assert!(
            checked(&lines, &Rules { underscores: Repair, paths: Repair, ..strict }).is_ok(),
            "{lines:?}"
        );
    }
    let lines = ["GET / HTTP/1.1", "Host: shop.test", "Transfer_Encoding: chunked"];
    assert!(checked(&lines, &Rules::default()).unwrap().drops_underscores);
}

#[test]
fn every_flaw_has_a_name_of_its_own_and_a_status_that_blames_the_client() {
    for (index, flaw) in Flaw::ALL.into_iter().enumerate() {
        assert_eq!(flaw as usize, index, "{flaw:?}");
        assert!(flaw.status().is_client_error(), "{flaw:?}");
        assert!(Flaw::ALL.into_iter().filter(|other| other.name() == flaw.name()).count() == 1, "{flaw:?}");
    }
}

fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        "(/|\\.|\\.\\.|%2[eEfF]|%5[cC]|%c0%af|%25|%3[bB]|;|%|[a-zA-Z]|%[0-9a-fA-F]{2}){0,40}"
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| format!("/{}", pieces.concat()))
}

/// What the origin gets, if it gets anything.
fn forwarded(path: &str) -> Option<String> {
    let (parts, ()) = http::Request::get("/").header("host", "shop.test").body(()).unwrap().into_parts();
    let received = Received { parts: &parts, target: path.as_bytes(), bytes: None };
    let repairs = check(received, &Rules::default()).ok()?;
    let target = repairs.target.map(|target| String::from_utf8(target).unwrap());
    Some(target.unwrap_or_else(|| path.to_owned()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_origin_gets_the_path_that_was_classified(path in path()) {
        let path = path.replace(['?', '#'], "");
        if let Some(forwarded) = forwarded(&path) {
            prop_assert_eq!(key(&forwarded), key(&path));
        }
    }

    #[test]
    fn the_origin_gets_no_dot_segment_in_any_spelling(path in path()) {
        let path = path.replace(['?', '#'], "");
        if let Some(forwarded) = forwarded(&path) {
            let spelled = forwarded.to_lowercase().replace("%2e", ".").replace("%2f", "/").replace('\\', "/");
            let is_dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
            prop_assert!(!spelled.split('/').any(is_dots), "{} -> {}", path, forwarded);
        }
    }
}
