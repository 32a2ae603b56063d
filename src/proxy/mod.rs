//! The Pingora shell: one short method per phase of a request, and what they are made of.
//!
//! Nothing here decides; it asks the generation what a request is and the gate
//! whether it may pass, and carries out the answer. This directory (and
//! `cli/serve.rs`) is the only place that knows Pingora.

mod identity;
mod room;
mod hold;
mod deadline;
mod frames;
mod pace;
mod guard;
mod places;
mod handshakes;
mod strain;
mod http2;
mod proxy_header;
mod context;
mod upload;
mod failure;
mod learning;
mod intake;
mod media;
mod refuse;
mod outliers;
mod endpoints;
mod secrecy;
mod checks;
mod upstream;
mod retries;
mod record;
pub mod service;
pub mod preface;
pub mod doors;
#[cfg(test)]
mod chaos_tests;
