//! Scores requests with a small ONNX model: which class one is, and what its session is worth.
//!
//! A model comes as a bundle (`bundle`), is let in only after every check (`check`, `shapes`), runs on tract
//! (`runtime`), and is asked through a [`Scorer`], which remembers class scores by template (`memo`),
//! watches whether its sessions are like those of training (`drift`), and gives up on a model that
//! is too slow (`budget`). A bundle that is refused is an error value; a model that cannot answer
//! says `None`, and the caller falls back on its policy. A process that serves loads bundles through
//! a [`Canary`], which tries them in a child first; a library or a test may call [`Scorer::load`].
//!
//! Nothing here knows a policy, a route or a clock: durations come in as arguments.

mod budget;
mod bundle;
mod canary;
mod check;
mod class;
mod drift;
mod error;
mod memo;
mod runtime;
mod scorer;
mod shapes;

pub use budget::{OVERRUNS_MAX, Status};
pub use bundle::{BundleFiles, Manifest, Provenance, Schema, bundle_files};
pub use canary::{Canary, TRIAL_BYTES_MAX, TRIAL_TIME_MAX, try_out};
pub use class::{ClassScores, Guess, ModelClass};
pub use drift::{DRIFT_MAX, Histogram};
pub use error::ModelError;
pub use scorer::{Counters, Scorer};
