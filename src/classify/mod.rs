//! What a request is: its normalised path, its route, its session, its features.
//!
//! Pure functions over a borrowed request head and the table of sessions, so that
//! the proxy, `explain` and the replay of a log classify with the same code.
//!
//! It decides nothing about admission and calls no model.

pub mod head;
pub mod path;
pub mod query;
pub mod glob;
pub mod preflight;
pub mod graphql;
pub mod cookies;
pub mod session;
pub mod when;
pub mod leeway;
mod asked;
mod route_index;
pub mod routes;
pub mod cover;
pub mod entry;
mod session_slot;
pub mod sessions;
pub mod features;
