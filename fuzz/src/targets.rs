//! What is read from outside, as functions of bytes that must never panic, and what must hold of the outcome.
//!
//! Used by the fuzz targets, and by `tests/hygiene/fuzz.rs` on a stable toolchain. Scenarios are read by the
//! harness, which is no library: `fuzz_targets/scenario/` and `benches/src/scenario/fuzz_tests.rs` run them.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, Version};
use plimsoll::access_log::AccessLog;
use plimsoll::classify::path::key;
use plimsoll::config::Config;
use plimsoll::hygiene::{self, Received, Rules};
use plimsoll::model::Scorer;
use plimsoll::policy::compile::compile;
use plimsoll::yaml::source::Source;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A bundle whose manifest is written anew for each input.
static BUNDLE: LazyLock<TempDir> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let write = |name: &str, bytes: &[u8]| {
        fs::write(directory.path().join(name), bytes).expect("there is room for a file");
    };
    write("model.onnx", include_bytes!("../../models/storefront/model.onnx"));
    write("golden.json", include_bytes!("../../models/storefront/golden.json"));
    directory
});

/// A policy: compiled, or every mistake is told in words.
pub fn policy(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(mistakes) = compile(&Source::of("policy.yaml", &text)) {
        assert!(!mistakes.to_string().is_empty());
    }
}

/// Process settings.
pub fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(mistakes) = Config::parse(&Source::of("plimsoll.yaml", &text)) {
        assert!(!mistakes.to_string().is_empty());
    }
}

/// A path: its key is the key of itself, or a class could be chosen by writing a path twice.
pub fn path(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let once = key(&text).into_owned();
    assert_eq!(key(&once), once, "{text:?}");
}

/// A head in lines: what is repaired is in order, and is classified as what was sent.
pub fn hygiene(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let Some((method, target)) = lines.next().and_then(|line| line.split_once_at(b' ')) else { return };
    let target = target.split(|byte| *byte == b' ').next().unwrap_or_default();
    let Ok(method) = Method::from_bytes(method) else { return };
    let uri = std::str::from_utf8(target).ok().and_then(|text| text.parse().ok());
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method;
    parts.version = Version::HTTP_11;
    parts.uri = uri.unwrap_or_default();
    for (name, value) in lines.filter_map(|line| line.split_once_at(b':')) {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii()))
        {
            parts.headers.append(name, value);
        }
    }
    let received = Received { parts: &parts, target, bytes: Some(bytes) };
    let Ok(repairs) = hygiene::check(received, &Rules::default()) else { return };
    let Some(repaired) = repairs.target else { return };
    assert!(repaired.starts_with(b"/"), "{repaired:?}");
    // What the shop reads has the class of what was sent.
    let (sent, forwarded) = (path_key(target), path_key(&repaired));
    assert!(target[0] != b'/' || sent == forwarded, "{sent:?} became {forwarded:?}");
    let again = Received { target: &repaired, bytes: None, ..received };
    if let Ok(repairs) = hygiene::check(again, &Rules::default()) {
        assert_eq!(repairs.target, None, "{:?}", String::from_utf8_lossy(&repaired));
    }
}

/// An access log, plain or compressed.
pub fn access_log(bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().expect("there is room for a file");
    fs::write(file.path(), bytes).expect("there is room for a file");
    if let Err(flaw) = AccessLog::read(file.path()) {
        assert!(!flaw.to_string().is_empty());
    }
}

/// A bundle's manifest, sealed, beside a model that is in order.
pub fn manifest(bytes: &[u8]) {
    let directory: &Path = BUNDLE.path();
    let seal: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(directory.join("manifest.json"), bytes).expect("there is room for a file");
    fs::write(directory.join("manifest.sha256"), seal).expect("there is room for a file");
    if let Err(error) = Scorer::load(directory) {
        assert!(!error.to_string().is_empty());
    }
}

/// The key of the path of a target in origin form.
fn path_key(target: &[u8]) -> String {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    key(&String::from_utf8_lossy(path)).into_owned()
}

trait SplitOnce {
    fn split_once_at(&self, at: u8) -> Option<(&[u8], &[u8])>;
}

impl SplitOnce for [u8] {
    fn split_once_at(&self, at: u8) -> Option<(&[u8], &[u8])> {
        let place = self.iter().position(|byte| *byte == at)?;
        Some((&self[..place], &self[place + 1..]))
    }
}
