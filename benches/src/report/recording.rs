//! What a run leaves behind, as its user wants it.

use super::page;
use super::record::{Course, Record};
use crate::client::Client;
use crate::findings::Findings;
use crate::gauges::Gauges;
use crate::results::{self, write_json};
use crate::terminal;
use anyhow::Context;
use clap::Args;
use serde::Serialize;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// What to record of a run, and where.
#[derive(Debug, Args)]
pub(crate) struct Recording {
    /// Plimsoll's admin address, such as 127.0.0.1:8081, to watch its limit
    #[arg(long, value_name = "ADDRESS", value_parser = admin_address)]
    admin: Option<SocketAddr>,
    /// Writes the results here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the results here as a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// The file of a run.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    findings: &'a Findings,
    #[serde(flatten)]
    course: &'a Course,
}

impl Recording {
    /// What watches the proxy; nothing where there is no admin address.
    pub(crate) fn gauges(&self) -> Gauges {
        self.admin.map_or_else(Gauges::default, |address| Gauges::of(Client::new(address)))
    }

    /// Fails if what the user wants to keep cannot be written.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        results::check_places([&self.json, &self.html])
    }

    /// Writes what the user wants to keep. The page is made of the file, so that both say the same.
    pub(crate) fn keep(&self, findings: &Findings, course: &Course) -> anyhow::Result<()> {
        if self.admin.is_some() && course.gauges.is_empty() {
            terminal::line("\nthe admin address told no state: nothing is known of the limit");
        }
        let whole = Whole { findings, course };
        if let Some(path) = &self.json {
            write_json(path, &whole)?;
        }
        if let Some(path) = &self.html {
            let value = serde_json::to_value(&whole).context("results are valid JSON")?;
            let record = Record::of(value).context("a result is what a report reads")?;
            results::write(path, &page::html(&record))?;
        }
        Ok(())
    }
}

/// `127.0.0.1:8081`, or the same as a URL.
fn admin_address(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let mut found = address.to_socket_addrs().map_err(|error| format!("{error}: write 127.0.0.1:8081"))?;
    found.next().ok_or_else(|| "it has no address".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_address_may_be_written_as_a_url() {
        for text in ["127.0.0.1:8081", "http://127.0.0.1:8081", "http://127.0.0.1:8081/"] {
            assert_eq!(admin_address(text), Ok("127.0.0.1:8081".parse().unwrap()), "{text}");
        }
        assert!(admin_address("127.0.0.1").unwrap_err().contains("write 127.0.0.1:8081"));
    }
}
