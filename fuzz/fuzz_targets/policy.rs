//! libFuzzer's way to `policy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plimsoll_fuzz::policy(bytes));
