//! What Plimsoll is compared with: doors written from their published descriptions.
//!
//! Each file names its source. Where a method leaves a number to the operator, the
//! file says which one was chosen; where it needs to know the shop, it is told.

mod inside;
mod line;
mod hall;
mod statistics;
pub(crate) mod static_limit;
pub(crate) mod haproxy;
pub(crate) mod envoy;
pub(crate) mod gradient2;
pub(crate) mod failsafe;
pub(crate) mod codel;
pub(crate) mod dagor;
