//! Plimsoll, an edge proxy that keeps checkout alive: the library behind the `plimsoll` command.

pub mod clock;
pub mod access_log;
pub mod yaml;
pub mod hygiene;
pub mod journal;
pub mod config;
pub mod tls;
pub mod classify;
pub mod model;
pub mod policy;
pub mod clients;
pub mod generation;
pub mod history;
pub mod regression;
pub mod forecast;
pub mod trial;
pub mod explanation;
pub mod rehearsal;
pub mod gate;
pub mod telemetry;
pub mod serving;
pub mod memory;
pub mod proxy;
pub mod admin;
pub mod cli;
