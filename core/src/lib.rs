//! The deciding half of Plimsoll.
#![forbid(unsafe_code)]

pub mod time;
pub mod policy;
