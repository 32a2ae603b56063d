//! The journal: every event the core was told, in the order of its lock, and every decision it made.
//!
//! ```text
//! tap     under the gate's lock, appends records to a bounded buffer; counts what it has no room for
//! writer  one thread, takes the buffers and writes files that are rotated and bounded in all
//! files   names, headers, frames; what a reader of them sees
//! replay  a controller driven by a journal: the same decisions, or the first that differs
//! rerun   the requests of a journal (its recollection) under another policy
//! ```
//!
//! The core is a function of its events, so that is enough to decide again bit for bit. The format is
//! told in `journal/FORMAT.md`. What asks has no name here: no address, session or path, but the random
//! bits of a request's id and what it was judged to be.

mod codec;
pub mod entry;
pub mod tap;
pub mod files;
pub mod writer;
pub mod replay;
pub mod recollection;
pub mod rerun;
