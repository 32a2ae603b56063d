//! libFuzzer's way to `hygiene`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plimsoll_fuzz::hygiene(bytes));
