//! What operators see of us: metrics, the access log, the refusals of late.
//!
//! Labels are bounded by the policy and by enumerations; no path, cookie or
//! address becomes one. Nothing here decides anything.

mod registration;
pub mod connections;
pub mod inference;
mod pools;
pub mod upstreams;
pub mod rejection;
pub mod meters;
pub mod metrics;
pub mod access_log;
pub mod samples;
pub mod refusals;
