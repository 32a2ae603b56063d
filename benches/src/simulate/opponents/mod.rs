//! What Plimsoll is compared with: doors written from their published descriptions.

mod inside;
pub(crate) mod static_limit;
