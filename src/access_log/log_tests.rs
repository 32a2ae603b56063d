//! Real lines, broken lines, arbitrary bytes.

use super::*;
use proptest::prelude::{any, proptest};
use std::io::Write;

const COMBINED: &str =
    r#"c1 - - [30/Apr/2017:04:28:11 +0000] "GET /a?b=c HTTP/1.1" 200 5639 "http://x/" "Agent \"7\" (y)""#;

fn parsed(text: &str) -> AccessLog {
    AccessLog::parse(text.as_bytes()).unwrap()
}

fn flaw(line: &str) -> Flaw {
    parse_line(line.as_bytes()).unwrap_err()
}

#[test]
fn combined_line_is_read_whole() {
    let entry = parse_line(COMBINED.as_bytes()).unwrap();
    assert_eq!((entry.second, &*entry.client), (1_493_526_491, "c1"));
    assert_eq!((entry.method, entry.target.as_str()), (Method::GET, "/a?b=c"));
    assert_eq!(entry.referer.as_deref(), Some("http://x/"));
    assert_eq!(entry.user_agent.as_deref(), Some(r#"Agent \"7\" (y)"#));
}

#[test]
fn common_line_has_no_referer_and_zones_count() {
    let line = r#"1.2.3.4 - bob [30/Apr/2017:06:28:11 +0200] "POST / HTTP/2.0" 201 -"#;
    let entry = parse_line(line.as_bytes()).unwrap();
    assert_eq!((entry.second, entry.referer, entry.user_agent), (1_493_526_491, None, None));
}

#[test]
fn lines_in_json_are_read_by_the_usual_names() {
    for line in [
        r#"{"time_iso8601":"2017-04-30T04:28:11+00:00","remote_addr":"10.0.0.9","request":"GET /a?b=1 HTTP/1.1","http_user_agent":"x"}"#,
        r#"{"ts":1493526491.25,"request":{"remote_ip":"10.0.0.9","method":"GET","uri":"/a?b=1","headers":{"User-Agent":["x"]}}}"#,
        r#"{"time":"2017-04-30T04:28:11.1Z","client":"10.0.0.9","method":"GET","path":"/a?b=1","user_agent":"x"}"#,
        r#"{"msec":"1493526491000","remote_addr":"10.0.0.9","request_method":"GET","request_uri":"/a?b=1","agent":"x"}"#,
    ] {
        let log = parsed(line);
        let entry = log.entries.first().unwrap_or_else(|| panic!("{line}: {:?}", log.bad_lines));
        assert_eq!((entry.second, &*entry.client), (1_493_526_491, "10.0.0.9"), "{line}");
        assert_eq!((entry.target.as_str(), entry.user_agent.as_deref()), ("/a?b=1", Some("x")), "{line}");
    }
    assert_eq!(flaw(r#"{"time":"2017-04-30T04:28:11Z","method":"GET"}"#), Flaw::Format);
    assert_eq!(flaw(r#"{"time":"yesterday","path":"/"}"#), Flaw::Time);
    assert_eq!(flaw(r#"{"path":"#), Flaw::Format);
}

#[test]
fn dash_stands_for_an_absent_header() {
    let entry = parse_line(COMBINED.replace("http://x/", "-").as_bytes()).unwrap();
    assert_eq!(entry.referer, None);
}

#[test]
fn each_flaw_is_named() {
    assert_eq!(flaw(""), Flaw::Format);
    assert_eq!(flaw("hello world"), Flaw::Format);
    assert_eq!(flaw(&COMBINED.replace("\" 200", " 200")), Flaw::Format);
    assert_eq!(flaw(&COMBINED.replace(" 200 ", " - ")), Flaw::Format);
    assert_eq!(flaw(&COMBINED.replace("Apr", "Avr")), Flaw::Time);
    assert_eq!(flaw(&COMBINED.replace("GET /a?b=c HTTP/1.1", "-")), Flaw::Request);
    assert_eq!(flaw(&COMBINED.replace("GET /a?b=c HTTP/1.1", r"\x16\x03\x01")), Flaw::Request);
    assert_eq!(flaw(&COMBINED.replace("GET /a", "GET http://b/a")), Flaw::NoPath);
    assert_eq!(flaw(&COMBINED.replace("GET /a?b=c HTTP/1.1", "OPTIONS * HTTP/1.0")), Flaw::NoPath);
    assert_eq!(flaw(&COMBINED.replace("/a?b=c", "/a b")), Flaw::Request);
    assert_eq!(parse_line(b"\xff\xfe").unwrap_err(), Flaw::Encoding);
}

#[test]
fn bad_lines_are_counted_and_the_first_named() {
    let log = parsed(&format!("{COMBINED}\n{}{COMBINED}\n", "junk\n".repeat(7)));
    assert_eq!((log.entries.len(), log.bad_lines.count), (2, 7));
    assert_eq!(log.bad_lines.first.len(), 5);
    assert_eq!(log.bad_lines.first[0], (2, Flaw::Format));
}

#[test]
fn entries_are_sorted_by_second_and_keep_their_order_within() {
    let line =
        |second: u32, path: &str| COMBINED.replace(":11 ", &format!(":{second} ")).replace("/a?b=c", path);
    let log = parsed(&[line(12, "/1"), line(11, "/2"), line(12, "/3"), line(11, "/4")].join("\n"));
    let paths: Vec<_> = log.entries.iter().map(|entry| entry.target.as_str()).collect();
    assert_eq!(paths, ["/2", "/4", "/1", "/3"]);
}

#[test]
fn gzip_is_recognised_by_content() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut encoder = flate2::write::GzEncoder::new(&file, flate2::Compression::fast());
    encoder.write_all(COMBINED.as_bytes()).unwrap();
    encoder.finish().unwrap();
    assert_eq!(AccessLog::read(file.path()).unwrap().entries.len(), 1);
}

#[test]
fn what_is_no_log_is_an_error_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let error_of = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        AccessLog::read(&path).unwrap_err().to_string()
    };
    assert!(error_of("empty", b"").ends_with("is empty"));
    assert!(
        error_of("prose", b"once upon\na time").contains("none of its 2 lines is a request; line 1: not in")
    );
    assert!(error_of("cut.gz", &[0x1f, 0x8b, 8, 0]).starts_with("cannot read the log"));
    assert!(
        AccessLog::read(directory.path()).unwrap_err().to_string().ends_with("is a directory, not a log")
    );
    assert!(AccessLog::read(Path::new("/no/such/log")).unwrap_err().to_string().starts_with("cannot read"));
}

#[test]
fn real_logs_are_read() {
    for (name, lines, bad_max) in [("woocommerce-store", 77_229, 3_000), ("apache-sample", 10_000, 10)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../shared/data/logs/{name}.log.gz"));
        if !path.exists() {
            println!("skipped: {name}.log.gz is not on this machine");
            continue;
        }
        let log = AccessLog::read(&path).unwrap();
        assert_eq!(log.entries.len() + log.bad_lines.count, lines, "{name}");
        assert!(log.bad_lines.count < bad_max, "{name}: {:?}", log.bad_lines);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
        let _ = parse_line(&bytes);
        let _ = AccessLog::parse(bytes.as_slice());
    }

    #[test]
    fn damaged_lines_never_panic(cut in 0..COMBINED.len(), at in 0..COMBINED.len(), byte in any::<u8>()) {
        let mut line = COMBINED.as_bytes().to_vec();
        line[at] = byte;
        let _ = parse_line(&line);
        let _ = parse_line(&line[cut..]);
        let _ = parse_line(&line[..cut]);
    }
}
