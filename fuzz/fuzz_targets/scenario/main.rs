//! libFuzzer's way to the harness's scenarios. The harness is no library, so that what reads them is compiled
//! into this target.
#![no_main]
#![allow(dead_code, reason = "a scenario is read, not run")]

#[path = "../../../benches/src/units.rs"]
mod units;
#[path = "../../../benches/src/service_time.rs"]
mod service_time;
mod tally;
mod origin;
#[path = "../../../benches/src/scenario/mod.rs"]
mod scenario;

use std::path::Path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    if let Err(mistakes) = scenario::Scenario::parse(Path::new("scenario.yaml"), &text) {
        assert!(!mistakes.to_string().is_empty());
    }
});
