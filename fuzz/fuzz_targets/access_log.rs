//! libFuzzer's way to `access_log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plimsoll_fuzz::access_log(bytes));
