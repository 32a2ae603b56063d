//! A shop as shops are: it answers forms with redirects, gives browsers several cookies, changes
//! the session at log-in, and asks for headers.

use super::{bench, file, stderr};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use tempfile::TempDir;

const WALK: &str = "\
name: walk
description: from the front page to the thanks for an order
origin: { workers: 16, service: { mean: 5ms } }
slo: 1s
patience: 2s
funnels: [{ name: buyer, begin: 1280, think: 1ms, steps: [page, log in, order, thanks] }]
mix:
  - { name: page, class: browse, paths: [/], weight: 1 }
  - { name: log in, class: account, method: POST, paths: [/login], body: \"user=ada\", weight: 0 }
  - name: order
    class: checkout
    method: POST
    paths: [/checkout]
    body: '{\"pay\":\"card\"}'
    headers: { X-Shop: lamps }
    weight: 0
  - { name: thanks, class: checkout, paths: [/thanks], weight: 0 }
phases:
  - { name: only, duration: 1s, load: 30/s }
";

/// A request as it came.
struct Asked {
    line: String,
    /// With its names in lower case, as the client writes them.
    headers: Vec<String>,
}

impl Asked {
    /// The next request on a connection; `None` where nobody asks.
    fn read(stream: &TcpStream) -> Option<Asked> {
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        // Who closes before all is read resets the connection.
        reader.read_exact(&mut vec![0; length.unwrap_or_default()]).ok()?;
        let line = lines.remove(0);
        Some(Asked { line, headers: lines })
    }

    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.unwrap_or_default()
    }
}

/// Status and headers of the shop's answer.
fn answer(asked: &Asked) -> &'static str {
    match (asked.line.as_str(), asked.header("cookie")) {
        ("GET / HTTP/1.1", _) => {
            "200 OK\r\nSet-Cookie: session=guest; Path=/; HttpOnly\r\nSet-Cookie: consent=all; Max-Age=60"
        }
        ("POST /login HTTP/1.1", "session=guest; consent=all")
            if asked.header("content-type") == "application/x-www-form-urlencoded" =>
        {
            "302 Found\r\nLocation: /account\r\nSet-Cookie: session=member; Path=/\r\nSet-Cookie: cart=1"
        }
        ("POST /checkout HTTP/1.1", "session=member; consent=all; cart=1")
            if (asked.header("content-type"), asked.header("x-shop")) == ("application/json", "lamps") =>
        {
            "303 See Other\r\nLocation: /thanks\r\nSet-Cookie: cart=; Max-Age=0"
        }
        ("GET /thanks HTTP/1.1", "session=member; consent=all") => "200 OK",
        _ => "403 Forbidden",
    }
}

/// The shop, on a port of its own.
fn open_shop() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                while let Some(asked) = Asked::read(&stream) {
                    let head = answer(&asked);
                    // A client may have left at the end of its run.
                    let _ = write!(stream, "HTTP/1.1 {head}\r\nContent-Length: 2\r\n\r\nok");
                }
            });
        }
    });
    url
}

#[test]
fn shoppers_walk_through_a_shop_to_its_last_page() {
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", WALK);
    let json = directory.path().join("r.json");
    let output = bench(&["load", &scenario, "--target", &open_shop(), "--json", json.to_str().unwrap()]);
    let results = std::fs::read(&json).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    let results: serde_json::Value = serde_json::from_slice(&results).unwrap();
    assert!(results["sessions"]["completed"].as_u64().unwrap() > 0, "{results}");
    let classes = results["phases"][0]["classes"].as_array().unwrap();
    assert_eq!(classes.len(), 3, "{results}");
    for class in classes {
        assert_eq!(class["errors"], serde_json::json!({}), "{results}");
    }
}
