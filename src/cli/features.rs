//! `plimsoll features`: requests in, one JSON object a line; their feature vectors out.
//!
//! The training code calls it, so that a model learns from exactly what it will be given. The
//! vectors go out as little-endian 32-bit floats, the request's and then the session's, row after
//! row: what `numpy.fromfile` reads without a parser.
//!
//! It knows no access-log format and no labels.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde::Deserialize;

use crate::classify::features::{
    LocalTime, REQUEST_LEN, RequestFeatures, SESSION_LEN, request_names, schema_hash, session_names,
    write_session,
};
use crate::classify::head::Head;
use crate::classify::path;
use crate::classify::session::SessionView;

/// Where requests come from, or that only the schema is asked for.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print the names of the features and their hash, and nothing else
    #[arg(long)]
    schema: bool,
    /// The requests as JSON lines: a file, or - for standard input
    #[arg(required_unless_present = "schema")]
    log: Option<PathBuf>,
}

/// Writes the vectors of every request of the input to standard output.
///
/// # Errors
/// A line that is no request, with its number.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Some(log) = arguments.log.as_deref().filter(|_| !arguments.schema) else {
        println!("{:#}", schema());
        return Ok(ExitCode::SUCCESS);
    };
    let input: Box<dyn BufRead> = if log == Path::new("-") {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        let file = File::open(log).with_context(|| format!("cannot read {}", log.display()))?;
        Box::new(BufReader::new(file))
    };
    features(input, BufWriter::new(std::io::stdout()), |uri| path::key(uri.path()).into_owned())?;
    Ok(ExitCode::SUCCESS)
}

/// One request of the input. All but the URL may be left out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default)]
    headers: HashMap<String, String>,
    operation: Option<String>,
    #[serde(default)]
    session: SessionView,
    #[serde(default)]
    hour: u8,
    #[serde(default)]
    weekday: u8,
}

fn get() -> String {
    "GET".to_owned()
}

/// Writes the vector of every request in `input`, a line of JSON each, as little-endian `f32` one after the other;
/// `path_key` is the normaliser the proxy serves with.
///
/// # Errors
/// A line that is no request, with its number; input that cannot be read, or output that cannot be written.
pub fn features(
    input: impl BufRead,
    mut output: impl Write,
    path_key: impl Fn(&Uri) -> String,
) -> anyhow::Result<()> {
    for (index, line) in input.lines().enumerate() {
        let vector = line
            .map_err(anyhow::Error::from)
            .and_then(|line| Ok(serde_json::from_str::<Row>(&line)?))
            .and_then(|row| row.vector(&path_key))
            .with_context(|| format!("line {}", index + 1))?;
        let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
        output.write_all(&bytes)?;
    }
    Ok(output.flush()?)
}

/// The schema of the vectors, as JSON: what a bundle's manifest repeats.
pub fn schema() -> serde_json::Value {
    serde_json::json!({
        "hash": schema_hash(),
        "request": request_names(),
        "session": session_names(),
    })
}

impl Row {
    fn vector(&self, path_key: impl Fn(&Uri) -> String) -> anyhow::Result<Vec<f32>> {
        let method: Method = self.method.parse().with_context(|| format!("method {:?}", self.method))?;
        let uri: Uri = self.url.parse().with_context(|| format!("url {:?}", self.url))?;
        let headers = self.header_map()?;
        let head = Head { method: &method, uri: &uri, headers: &headers, client: None };

        let (mut request, mut session) = ([0.0; REQUEST_LEN], [0.0; SESSION_LEN]);
        RequestFeatures::of(&head, &path_key(&uri), self.operation.as_deref()).write(&mut request);
        let time = LocalTime { hour: self.hour, weekday: self.weekday };
        write_session(&self.session, time, &mut session);
        Ok([request.as_slice(), &session].concat())
    }

    fn header_map(&self) -> anyhow::Result<HeaderMap> {
        let field = |(name, value): (&String, &String)| {
            let field = (name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?);
            Ok::<_, anyhow::Error>(field)
        };
        self.headers.iter().map(field).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::session::{Entry, Stage};
    use crate::telemetry::samples::Seen;
    use http::Request;
    use serde_json::json;
    use std::time::Duration;

    fn run(input: &str) -> anyhow::Result<Vec<u8>> {
        let mut output = Vec::new();
        features(input.as_bytes(), &mut output, |uri| uri.path().to_owned())?;
        Ok(output)
    }

    #[test]
    fn a_row_of_floats_comes_out_for_every_line() {
        let output =
            run("{\"url\":\"/\"}\n{\"method\":\"POST\",\"url\":\"/cart\",\"session\":{\"carts\":1}}\n");
        let output = output.unwrap();
        let row = 4 * (REQUEST_LEN + SESSION_LEN);
        assert_eq!(output.len(), 2 * row);
        assert_ne!(output[..row], output[row..]);
    }

    #[test]
    fn a_session_is_read_here_as_it_is_sampled_there() {
        let age = Duration::from_secs(90);
        let stages = [Stage::Arrived, Stage::Browsing, Stage::Cart, Stage::Checkout];
        let entries = [Entry::Direct, Entry::Search, Entry::Social, Entry::Referral, Entry::Campaign];
        let features = RequestFeatures::of(&Head::of_request(&Request::new(())), "/", None);
        for (stage, entry) in stages.into_iter().flat_map(|stage| entries.map(|entry| (stage, entry))) {
            let view =
                SessionView { requests: 9, views: 3, carts: 1, age, stage, entry, ..SessionView::default() };
            let seen = Seen::new(7, "cart", features, &view, 0.0, LocalTime { hour: 23, weekday: 6 });
            let seen = serde_json::to_value(seen).unwrap();
            let row = json!({ "url": "/", "session": seen["session"], "hour": seen["hour"] });
            let row: Row = serde_json::from_value(row).unwrap();
            assert_eq!((row.session, row.hour), (view, 23));
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let error = run("{\"url\":\"/\"}\n{\"url\":\"/\",\"colour\":1}\n").unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains("line 2") && message.contains("colour"), "{message}");
    }
}
