//! The fuzz targets on a stable toolchain: the corpus, and what some thousand random changes make of it.
//!
//! It finds what is near the surface, on every machine; `cargo fuzz` digs. The seed is printed with what fails.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../fuzz/targets.rs"]
#[expect(unreachable_pub, reason = "a library to the fuzzer")]
mod targets;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// Changed inputs for each target: a few seconds for all of them, unoptimised.
const CHANGES: u64 = 1_000;
/// Longer inputs are cut: a mistake needs no more.
const BYTES_MAX: usize = 8 * 1024;
/// What parsers stumble over.
const WORDS: [&[u8]; 12] = [
    b"..",
    b"%2e",
    b"%00",
    b"\r\n",
    b"\0",
    b": ",
    b"- ",
    b"\"",
    b"99999999999999999999",
    b"{",
    b"\xff",
    b"&a *a ",
];

/// Marsaglia's xorshift: an even spread is all that is asked.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        match self.below(5) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..(at + self.below(16)).min(bytes.len()))),
            2 => drop(bytes.splice(at..at, WORDS[self.below(WORDS.len())].iter().copied())),
            3 => {
                let from = self.below(other.len());
                let piece = other[from..].iter().copied().take(self.below(64));
                drop(bytes.splice(at..at, piece.collect::<Vec<_>>()));
            }
            _ => {
                let byte = self.below(256) as u8;
                bytes.splice(at..(at + 1).min(bytes.len()), [byte]);
            }
        }
    }
}

fn files(directory: &str, extension: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let wanted = paths.iter().filter(|path| path.to_str().unwrap().ends_with(extension));
    wanted.map(|path| fs::read(path).unwrap()).collect()
}

fn smoke(name: &str, target: fn(&[u8]), corpus: &[Vec<u8>]) {
    assert!(!corpus.is_empty(), "{name}: no corpus");
    for whole in corpus {
        target(whole);
    }
    for seed in 1..=CHANGES {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bytes = corpus[random.below(corpus.len())].clone();
        bytes.truncate(BYTES_MAX);
        for _ in 0..=random.below(8) {
            let other = &corpus[random.below(corpus.len())];
            random.change(&mut bytes, other);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(catch_unwind(|| target(&bytes)).is_ok(), "{name}, seed {seed}:\n{text}");
    }
}

#[test]
fn policies_and_settings_are_read_or_refused() {
    smoke("policy", targets::policy, &files("policies", ".yaml"));
    smoke("settings", targets::settings, &files("fuzz/corpus/settings", ""));
}

#[test]
fn paths_and_heads_have_one_reading() {
    smoke("path", targets::path, &files("fuzz/corpus/path", ""));
    smoke("hygiene", targets::hygiene, &files("fuzz/corpus/hygiene", ""));
}

#[test]
fn logs_and_manifests_are_read_or_refused() {
    smoke("access log", targets::access_log, &files("fuzz/corpus/access_log", ""));
    smoke("manifest", targets::manifest, &files("models/storefront", "manifest.json"));
}
