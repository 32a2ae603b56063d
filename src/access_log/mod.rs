//! Reads web server access logs in the common and combined formats, and in JSON.
//!
//! Logs of real shops are full of lines that are no requests: TLS handshakes on
//! the wrong port, scanners, cut-off writes. Such a line is never fatal; it is
//! counted, and the first few are kept with their numbers and what is wrong with
//! them. A file that is no log at all is an error, since replaying nothing is
//! not what anybody wants.
//!
//! Compression is recognised by content, not by name. What the requests of a
//! log mean is not decided here: `plimsoll policy diff` and `plimsoll-bench replay`
//! do. Plimsoll's own log is written by `telemetry`.

mod json;

use chrono::DateTime;
use flate2::read::MultiGzDecoder;
use http::Method;
use http::uri::PathAndQuery;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// How many bad lines are kept for the report.
const BAD_LINES_KEPT: usize = 5;
/// The first bytes of a gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A request of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Seconds since 1970, UTC: logs have no finer time.
    pub second: i64,
    /// Who asked: an address, or what stands in its place where a log was made anonymous.
    pub client: Box<str>,
    /// The request method.
    pub method: Method,
    /// What was asked for.
    pub target: PathAndQuery,
    /// The `Referer` header, if it was logged.
    pub referer: Option<String>,
    /// The `User-Agent` header, if it was logged.
    pub user_agent: Option<String>,
}

/// A log, in the order of arrival.
#[derive(Debug)]
pub struct AccessLog {
    /// Its requests, sorted by their second; within a second, in the file's order.
    pub entries: Vec<Entry>,
    /// Lines that are no requests.
    pub bad_lines: BadLines,
}

/// What was wrong with a log.
#[derive(Debug, Default)]
pub struct BadLines {
    /// How many lines were bad.
    pub count: usize,
    /// The first few: line number, from 1, and what is wrong.
    pub first: Vec<(usize, Flaw)>,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It has other fields, or too few.
    #[error("not in the common or combined format, nor JSON with a path")]
    Format,
    /// Its time is no time.
    #[error("the time is not like 30/Apr/2017:04:28:11 +0000, nor in JSON 2017-04-30T04:28:11Z")]
    Time,
    /// What is quoted is no request.
    #[error("the request is not like GET /path HTTP/1.1")]
    Request,
    /// It asks for no path.
    #[error("it asks for no path, as `OPTIONS *` and CONNECT do")]
    NoPath,
    /// It is no text.
    #[error("not UTF-8")]
    Encoding,
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    /// It cannot be read.
    #[error("cannot read the log {path}")]
    Read {
        /// The log.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is a directory.
    #[error("{path} is a directory, not a log")]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// There is nothing in it.
    #[error("{path} is empty")]
    Empty {
        /// The log.
        path: PathBuf,
    },
    /// No line of it is a request.
    #[error("{path} is not an access log: none of its {lines} lines is a request; line {line}: {flaw}")]
    NotALog {
        /// The file.
        path: PathBuf,
        /// How many lines it has.
        lines: usize,
        /// The number of the first.
        line: usize,
        /// What is wrong with that one.
        flaw: Flaw,
    },
}

impl AccessLog {
    /// The log in the file at `path`, plain or compressed with gzip.
    ///
    /// # Errors
    /// The file cannot be read, or no line of it is a request.
    pub fn read(path: &Path) -> Result<AccessLog, AccessLogError> {
        if path.is_dir() {
            return Err(AccessLogError::Directory { path: path.into() });
        }
        let log = open(path)
            .and_then(AccessLog::parse)
            .map_err(|source| AccessLogError::Read { path: path.into(), source })?;
        match (log.entries.is_empty(), log.bad_lines.first.first()) {
            (false, _) => Ok(log),
            (true, None) => Err(AccessLogError::Empty { path: path.into() }),
            (true, Some(&(line, flaw))) => {
                Err(AccessLogError::NotALog { path: path.into(), lines: log.bad_lines.count, line, flaw })
            }
        }
    }

    fn parse(mut reader: impl BufRead) -> std::io::Result<AccessLog> {
        let mut entries = Vec::new();
        let mut bad_lines = BadLines::default();
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            match parse_line(line.trim_ascii_end()) {
                Ok(entry) => entries.push(entry),
                Err(flaw) => bad_lines.add(number, flaw),
            }
        }
        // Servers write a line when the answer is done but put the arrival in it.
        entries.sort_by_key(|entry: &Entry| entry.second);
        Ok(AccessLog { entries, bad_lines })
    }
}

impl BadLines {
    fn add(&mut self, number: usize, flaw: Flaw) {
        self.count += 1;
        if self.first.len() < BAD_LINES_KEPT {
            self.first.push((number, flaw));
        }
    }
}

fn open(path: &Path) -> std::io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::new(File::open(path)?);
    if file.fill_buf()?.starts_with(&GZIP_MAGIC) {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(file))));
    }
    Ok(Box::new(file))
}

/// The request in a line: `host ident user [time] "request" status bytes "referer" "user agent"`.
fn parse_line(line: &[u8]) -> Result<Entry, Flaw> {
    let line = std::str::from_utf8(line).map_err(|_| Flaw::Encoding)?;
    if line.starts_with('{') {
        return json::parse_line(line);
    }
    let (who, rest) = line.split_once(" [").ok_or(Flaw::Format)?;
    let (time, rest) = rest.split_once("] ").ok_or(Flaw::Format)?;
    let (request, rest) = quoted(rest).ok_or(Flaw::Format)?;
    let mut numbers = rest.split_ascii_whitespace();
    let is_status = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !numbers.next().is_some_and(is_status) {
        return Err(Flaw::Format);
    }
    let (referer, user_agent) = match rest.find('"').and_then(|start| quoted(&rest[start..])) {
        Some((referer, rest)) => (Some(referer), quoted(rest.trim_start()).map(|(agent, _)| agent)),
        None => (None, None),
    };
    let time = DateTime::parse_from_str(time, "%d/%b/%Y:%H:%M:%S %z").map_err(|_| Flaw::Time)?;
    let (method, target) = parse_request(request)?;
    Ok(Entry {
        second: time.timestamp(),
        client: who.split(' ').next().unwrap_or_default().into(),
        method,
        target,
        referer: referer.and_then(present),
        user_agent: user_agent.and_then(present),
    })
}

fn parse_request(request: &str) -> Result<(Method, PathAndQuery), Flaw> {
    let mut words = request.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Flaw::Request);
    };
    let method: Method = method.parse().map_err(|_| Flaw::Request)?;
    if !version.starts_with("HTTP/") {
        return Err(Flaw::Request);
    }
    if !target.starts_with('/') || method == Method::CONNECT {
        return Err(Flaw::NoPath);
    }
    Ok((method, target.parse().map_err(|_| Flaw::Request)?))
}

/// The inside of the quotes `text` starts with, as written, and what follows them.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut is_escaped = false;
    let end = inside.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })?;
    Some((&inside[..end], &inside[end + 1..]))
}

/// The value of a quoted field; a dash stands for none.
fn present(field: &str) -> Option<String> {
    (field != "-" && !field.is_empty()).then(|| field.into())
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
