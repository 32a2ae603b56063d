//! Plimsoll, an edge proxy that keeps checkout alive: the library behind the `plimsoll` command.

pub mod classify;
pub mod model;
pub mod policy;
