//! Reads web server access logs in the common and combined formats.
//!
//! Logs of real shops are full of lines that are no requests: TLS handshakes on
//! the wrong port, scanners, cut-off writes. Such a line is never fatal; it is
//! counted, and the first few are kept with their numbers and what is wrong with
//! them. A file that is no log at all is an error, since replaying nothing is
//! not what anybody wants.
//!
//! Compression is recognised by content, not by name. What the requests of a
//! log mean is not decided here: see `replay`.

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
pub(crate) struct Entry {
    /// Seconds since 1970, UTC: logs have no finer time.
    pub(crate) second: i64,
    /// The request method.
    pub(crate) method: Method,
    /// What was asked for.
    pub(crate) target: PathAndQuery,
    /// The `Referer` header, if it was logged.
    pub(crate) referer: Option<String>,
    /// The `User-Agent` header, if it was logged.
    pub(crate) user_agent: Option<String>,
}

/// A log, in the order of arrival.
#[derive(Debug)]
pub(crate) struct AccessLog {
    /// Its requests, sorted by their second; within a second, in the file's order.
    pub(crate) entries: Vec<Entry>,
    /// Lines that are no requests.
    pub(crate) bad_lines: BadLines,
}

/// What was wrong with a log.
#[derive(Debug, Default)]
pub(crate) struct BadLines {
    /// How many lines were bad.
    pub(crate) count: usize,
    /// The first few: line number, from 1, and what is wrong.
    pub(crate) first: Vec<(usize, Flaw)>,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("not in the common or combined format")]
    Format,
    #[error("the time is not like 30/Apr/2017:04:28:11 +0000")]
    Time,
    #[error("the request is not like GET /path HTTP/1.1")]
    Request,
    #[error("it asks for no path, as `OPTIONS *` and CONNECT do")]
    NoPath,
    #[error("not UTF-8")]
    Encoding,
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessLogError {
    #[error("cannot read the log {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is a directory, not a log")]
    Directory { path: PathBuf },
    #[error("{path} is empty")]
    Empty { path: PathBuf },
    #[error("{path} is not an access log: none of its {lines} lines is a request; line {line}: {flaw}")]
    NotALog { path: PathBuf, lines: usize, line: usize, flaw: Flaw },
}

impl AccessLog {
    /// The log in the file at `path`, plain or compressed with gzip.
    pub(crate) fn read(path: &Path) -> Result<AccessLog, AccessLogError> {
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
    let (_client, rest) = line.split_once(" [").ok_or(Flaw::Format)?;
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
#[path = "access_log_tests.rs"]
mod tests;
