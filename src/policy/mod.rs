//! The operator's policy: from a YAML file to what decides, and noticed when it changes.
//!
//! [`includes`] -> [`Source`] -> a tree that knows its lines -> `file` (the schema) ->
//! [`compile`](compile::compile) (names resolved) -> [`CompiledPolicy`]. A policy
//! with one mistake is no policy, and all its mistakes are told at once.
//!
//! Putting a policy to use, and keeping the old one when the new one is bad, is
//! the caller's.

pub mod settings;
mod class_file;
mod leeway_file;
mod route_file;
pub mod schedule;
mod schedule_file;
pub mod cases;
mod test_file;
mod learning_file;
pub mod includes;
mod file;
mod lint;
pub mod schema;
pub mod compiled;
pub mod compile;
pub mod corpus;
mod fingerprint;
pub mod watch;

use std::path::Path;

use compiled::CompiledPolicy;
use includes::Tests;

use crate::yaml::diagnostic::Diagnostics;
use crate::yaml::source::Source;

/// The policy in force where the operator names none.
pub const STOREFRONT: &str = include_str!("../../policies/storefront.yaml");

/// Reads and compiles the policy at `path`, a file or a directory of overlays, with what it includes.
///
/// # Errors
/// Every mistake, each with its file, line, column and, where it can be told, a hint.
pub fn check(path: &Path) -> Result<CompiledPolicy, Diagnostics> {
    checked(path, Tests::Without)
}

/// The same with the tests beside it: `*_test.yaml` in a directory, `shop_test.yaml` for `shop.yaml`.
///
/// # Errors
/// Every mistake, those of the tests included.
pub fn check_with_tests(path: &Path) -> Result<CompiledPolicy, Diagnostics> {
    checked(path, Tests::Beside)
}

/// The same with or without the tests beside it.
///
/// # Errors
/// Every mistake.
pub fn checked(path: &Path, tests: Tests) -> Result<CompiledPolicy, Diagnostics> {
    let (source, mut missing) = includes::read(path, tests)?;
    if missing.is_empty() {
        return compile::compile(&source);
    }
    let others = compile::mistakes_of_values(&source);
    let others = others.into_iter().filter(|one| !missing.contains(one)).collect::<Vec<_>>();
    missing.extend(others);
    Err(Diagnostics(missing))
}

/// The built-in storefront policy.
pub fn storefront() -> CompiledPolicy {
    let source = Source::of("policies/storefront.yaml (built in)", STOREFRONT);
    compile::compile(&source).expect("the tests compile the built-in policy")
}
