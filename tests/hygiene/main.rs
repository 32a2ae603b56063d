//! What comes from outside: heads as they may be and as they may not, and whatever else is read, in bytes
//! that nobody would write.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod heads;
mod fuzz;
