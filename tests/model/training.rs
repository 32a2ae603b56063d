//! What training asks for before it begins.

use std::path::Path;
use std::process::Command;

#[test]
fn without_its_data_training_tells_which_sets_it_needs_where_they_are_from_and_their_digests() {
    let nowhere = tempfile::tempdir().unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/sources.py");
    let Ok(output) = Command::new("python3").arg(sources).arg(nowhere.path()).output() else {
        println!("skipped: there is no python3");
        return;
    };
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    for set in ["routes/", "trackers/easyprivacy", "bots/", "sessions/online-shoppers", "logs/woocommerce"] {
        assert!(told.contains(&format!("\n{set}")), "{set}: {told}");
    }
    let count = |what: &str| told.lines().filter(|line| line.starts_with(what)).count();
    assert!(count("  found   absent") >= 10, "{told}");
    assert_eq!((count("  from    "), count("  sha256  ")), (count("  found   "), count("  found   ")));
}
