//! The fuzz targets on a stable toolchain: the corpus, and what some thousand random changes make of it.

#[path = "../../fuzz/src/changes.rs"]
mod changes;
#[path = "../../fuzz/src/targets.rs"]
#[expect(unreachable_pub, reason = "a library to the fuzzer")]
mod targets;

use changes::{corpus, smoke};

#[test]
fn policies_and_settings_are_read_or_refused() {
    smoke("policy", targets::policy, &corpus("policies", ".yaml"));
    smoke("settings", targets::settings, &corpus("fuzz/corpus/settings", ""));
}

#[test]
fn paths_and_heads_have_one_reading() {
    smoke("path", targets::path, &corpus("fuzz/corpus/path", ""));
    smoke("hygiene", targets::hygiene, &corpus("fuzz/corpus/hygiene", ""));
}

#[test]
fn logs_and_manifests_are_read_or_refused() {
    smoke("access log", targets::access_log, &corpus("fuzz/corpus/access_log", ""));
    smoke("manifest", targets::manifest, &corpus("models/storefront", "manifest.json"));
}
