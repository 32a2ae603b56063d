//! The `plimsoll-bench` command.
fn main() {}
