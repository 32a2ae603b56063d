//! The subcommands, one thin file each.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

pub mod serve;
pub mod check;
pub mod explain;
pub mod features;
pub mod model;
