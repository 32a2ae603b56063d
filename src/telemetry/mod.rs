//! What operators see of us: metrics and the access log.
//!
//! Labels are bounded by the policy and by enumerations; no path, cookie or
//! address becomes one. Nothing here decides anything.

pub mod connections;
pub mod metrics;
pub mod access_log;
