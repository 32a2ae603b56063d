//! Scores requests with a small ONNX model: which class one is, and what its session is worth.
//!
//! A model comes as a bundle (`bundle`), is let in only after every check (`check`), runs on tract
//! (`runtime`), and is asked through a [`Scorer`], which remembers class scores by template (`memo`)
//! and gives up on a model that is too slow (`budget`). A bundle that is refused is an error value;
//! a model that cannot answer says `None`, and the caller falls back on its policy.
//!
//! Nothing here knows a policy, a route or a clock: durations come in as arguments. Loading in a
//! process of its own, against a model that hangs or kills its loader, is the caller's part.

mod budget;
mod bundle;
mod check;
mod class;
mod error;
mod memo;
mod runtime;
mod scorer;

pub use budget::Status;
pub use bundle::{Manifest, Provenance, Schema};
pub use class::{ClassScores, Guess, ModelClass};
pub use error::ModelError;
pub use scorer::{Counters, Scorer};
