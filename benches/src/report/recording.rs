//! What a run leaves behind, as its user wants it.

use super::record::{Course, Record};
use super::{Report, page};
use crate::client::Client;
use crate::findings::Findings;
use crate::gauges::Gauges;
use crate::load::write_json;
use crate::target::plain_address;
use crate::terminal;
use anyhow::Context;
use clap::Args;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What to record of a run, and where.
#[derive(Debug, Args)]
pub(crate) struct Recording {
    /// Plimsoll's admin address, such as http://127.0.0.1:8081, to watch its limit
    #[arg(long, value_name = "URL", value_parser = admin_address)]
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
    report: &'a Report,
    #[serde(flatten)]
    findings: &'a Findings,
    #[serde(flatten)]
    course: &'a Course,
}

impl Recording {
    /// What watches the proxy; nothing where there is no admin address. Asking for a state is no load.
    pub(crate) fn gauges(&self) -> Gauges {
        self.admin.map_or_else(Gauges::default, |address| Gauges::of(Client::new(address)))
    }

    /// Writes what the user wants to keep. The page is made of the file, so that both say the same.
    pub(crate) fn keep(&self, report: &Report, findings: &Findings, course: &Course) -> anyhow::Result<()> {
        if self.admin.is_some() && course.gauges.is_empty() {
            terminal::line("\nthe admin address told no state: nothing is known of the limit");
        }
        let whole = Whole { report, findings, course };
        if let Some(path) = &self.json {
            write_json(path, &whole)?;
        }
        if let Some(path) = &self.html {
            let value = serde_json::to_value(&whole).context("results are valid JSON")?;
            let record = Record::of(value).context("a result is what a report reads")?;
            super::command::write(path, &page::html(&record))?;
        }
        Ok(())
    }
}

fn admin_address(url: &str) -> Result<SocketAddr, String> {
    plain_address(url).map_err(|error| format!("{error}"))
}
