//! libFuzzer's way to `settings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plimsoll_fuzz::settings(bytes));
