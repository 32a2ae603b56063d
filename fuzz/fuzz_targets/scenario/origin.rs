//! What scenarios need of the harness's origin: the names of its pages.

#[path = "../../../benches/src/origin/pages.rs"]
pub(crate) mod pages;
