//! `plimsoll check FILE...`: every mistake in policies, or none.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::policy;

/// Checks each file; exit code 1 if one has a mistake.
///
/// # Errors
/// None; mistakes are printed.
pub fn run(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for file in files {
        match policy::check(file) {
            Ok(policy) => println!(
                "{}: ok, {} classes, {} routes",
                file.display(),
                policy.classes.len(),
                policy.routes.routes().len()
            ),
            Err(mistakes) => {
                eprintln!("{mistakes}");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
