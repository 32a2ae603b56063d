//! The value model: bundle, checks, runtime.
