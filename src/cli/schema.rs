//! `plimsoll schema`: the JSON Schema of a policy file, for editors.

use std::process::ExitCode;

use crate::policy::schema::schema;

/// Prints the schema.
///
/// # Errors
/// None.
pub fn run() -> anyhow::Result<ExitCode> {
    println!("{:#}", schema());
    Ok(ExitCode::SUCCESS)
}
