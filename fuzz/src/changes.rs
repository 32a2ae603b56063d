//! Random changes of a corpus, for a run of the fuzz targets on a stable toolchain.
//!
//! It finds what is near the surface, on every machine; `make fuzz` digs. The same changes are made each
//! time, and the seed of the one that fails is told with what it made.
//!
//! Included as a module by the tests that run it: the harness's are in a package of their own.

#[path = "random.rs"]
mod random;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use random::Random;

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

fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    match random.below(5) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..(at + random.below(16)).min(bytes.len()))),
        2 => drop(bytes.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
        3 => {
            let from = random.below(other.len());
            let piece = other[from..].iter().copied().take(random.below(64));
            drop(bytes.splice(at..at, piece.collect::<Vec<_>>()));
        }
        _ => {
            let byte = random.below(256) as u8;
            bytes.splice(at..(at + 1).min(bytes.len()), [byte]);
        }
    }
}

/// The files of `directory`, which is named from the root of the repository, whose names end in `extension`.
pub(crate) fn corpus(directory: &str, extension: &str) -> Vec<Vec<u8>> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.ancestors().find(|place| place.join("fuzz").is_dir()).unwrap();
    let mut paths: Vec<PathBuf> =
        fs::read_dir(root.join(directory)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let wanted = paths.iter().filter(|path| path.to_str().unwrap().ends_with(extension));
    wanted.map(|path| fs::read(path).unwrap()).collect()
}

/// Runs `target` on the corpus, and on what changes make of it.
pub(crate) fn smoke(name: &str, target: fn(&[u8]), corpus: &[Vec<u8>]) {
    assert!(!corpus.is_empty(), "{name}: no corpus");
    for whole in corpus {
        target(whole);
    }
    for seed in 1..=CHANGES {
        let mut random = Random::of(seed);
        let mut bytes = corpus[random.below(corpus.len())].clone();
        bytes.truncate(BYTES_MAX);
        for _ in 0..=random.below(8) {
            let other = &corpus[random.below(corpus.len())];
            change(&mut bytes, other, &mut random);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(catch_unwind(|| target(&bytes)).is_ok(), "{name}, seed {seed}:\n{text}");
    }
}
