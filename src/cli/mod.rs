//! The subcommands, one thin file each.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod admin_call;
pub mod serve;
pub mod check;
pub mod schema;
pub mod explain;
pub mod policy;
pub mod replay;
mod past;
pub mod features;
pub mod model;
