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
    /// Test policies, compare them on a real log, lay them out; go back to an earlier one, look after a canary
    #[command(subcommand)]
    Policy(policy::Command),
    /// Write the feature vectors of requests, for training
    Features(features::Arguments),
    /// Check a model bundle
    #[command(subcommand)]
    Model(model::Command),
}

/// Whoever reads what a command prints may have read enough, as `head` has. A proxy does not end for that.
fn end_when_nobody_reads() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if message.starts_with("failed printing to stdout") && message.contains("Broken pipe") {
            std::process::exit(0);
        }
        report(panic);
    }));
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    if !matches!(command, Command::Serve(_)) {
        end_when_nobody_reads();
    }
    let result = match command {
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
