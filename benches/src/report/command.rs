//! `plimsoll-bench report`: a result as a page, or two results side by side.

use super::record::Record;
use super::{difference, page};
use crate::results;
use crate::terminal;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Makes a page of a result, or of two and what differs between them.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// What `load --json` wrote
    result: PathBuf,
    /// Another one, to be held against the first
    other: Option<PathBuf>,
    /// Writes the page here
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Runs the command.
pub(crate) fn report(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let record = Record::read(&args.result)?;
    let html = match &args.other {
        Some(path) => {
            let other = Record::read(path)?;
            terminal::line(&difference::table(&record, &other));
            difference::html(&record, &other)
        }
        None => page::html(&record),
    };
    results::write(&args.output, &html)?;
    Ok(ExitCode::SUCCESS)
}
