//! What a request is: its normalised path, its route, its session, its features.
pub mod head;
pub mod session;
pub mod features;
