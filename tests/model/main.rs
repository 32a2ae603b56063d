//! Model bundles as their users meet them: whole, damaged, and asked what a request is.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod bundle;
mod copy;
mod mutations;
mod parity;
mod storefront;
mod training;
