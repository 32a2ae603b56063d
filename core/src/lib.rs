//! The deciding half of Plimsoll: admission control for one pool of upstreams, as a pure function of
//! events and `now`.
//!
//! [`controller::Controller`] is the way in; the other modules are its parts, in reading order. The
//! proxy, the simulator and `explain` drive the same code, which is why there is no clock, lock,
//! thread, I/O or randomness here, and no dependency.

#![forbid(unsafe_code)]

mod image;
pub mod time;
pub mod agenda;
pub mod policy;
pub mod decision;
mod succession;
pub mod window;
pub mod breaker;
pub mod retries;
pub mod queue;
mod baseline;
mod measurement;
pub mod limit;
pub mod standing;
mod requests;
mod seats;
mod demand;
pub mod admission;
pub mod controller;
