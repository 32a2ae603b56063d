//! What scenarios need of the harness's tally: from when to when a phase is.

#[path = "../../../benches/src/tally/span.rs"]
pub(crate) mod span;
