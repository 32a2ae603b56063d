//! What scenarios need of the harness's client: the names of failures.

#[path = "../../../benches/src/client/failure.rs"]
pub(crate) mod failure;
