//! The real binary on real sockets: what an operator, a shop and its clients get to see of it.
//!
//! One test program, not one per file, so that it is linked once. Every test has
//! a process and scripted upstreams of its own, on ports that the system chose,
//! and waits for conditions, never for a time.
//!
//! What a policy file may get wrong is `policy_mistakes`' part, and what a bundle
//! may, that of `tests/model`; here it matters what the process makes of it.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod harness;

mod startup;
mod bundles;
mod upstreams;
mod retries;
mod connections;
mod strain;
mod clients;
mod uploads;
mod streams;
mod http2;
mod floods;
mod windows;
mod hops;
mod tls;
mod classes;
mod desync_rows;
mod backends;
mod desync;
mod desync_http2;
mod refusals;
mod identity;
mod privacy;
mod reload;
mod generations;
mod canary;
mod admin;
mod journal;
mod learning;
mod shutdown;
mod upgrade;
