//! Scenarios as nobody would write them: read, or refused in words. `make fuzz` digs deeper.

#[path = "../../../fuzz/src/changes.rs"]
mod changes;

use std::path::Path;

use super::Scenario;
use changes::{corpus, smoke};

fn scenario(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(mistakes) = Scenario::parse(Path::new("scenario.yaml"), &text) {
        assert!(!mistakes.to_string().is_empty());
    }
}

#[test]
fn scenarios_are_read_or_refused() {
    smoke("scenario", scenario, &corpus("benches/scenarios", ".yaml"));
}
