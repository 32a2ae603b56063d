//! The `plimsoll` command: parse, dispatch.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use plimsoll::cli::{check, explain, features, model, policy, replay, schema, serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The load line of a storefront: an edge proxy that sheds the least valuable work first.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stand in front of a shop
    Serve(serve::flags::Arguments),
    /// Check policy files; exit 1 and tell every mistake if there is one
    Check(check::Arguments),
    /// Print the JSON Schema of policy files, for editors
    Schema,
    /// Tell what a request is, and why
    Explain(explain::Arguments),
    /// Decide again what a journal holds; exit 1 and name the first decision that differs
    Replay(replay::Arguments),
    /// Test policies, compare them on a real log, go back to an earlier one
    #[command(subcommand)]
    Policy(policy::Command),
    /// Write the feature vectors of requests, for training
    Features(features::Arguments),
    /// Look at a model bundle
    #[command(subcommand)]
    Model(model::Command),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Schema => schema::run(),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Policy(command) => policy::run(&command),
        Command::Features(arguments) => features::run(&arguments),
        Command::Model(command) => model::run(&command),
    };
    result.unwrap_or_else(|error| serve::complain(&error))
}
