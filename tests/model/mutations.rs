//! Bundles that were damaged at random, and trials that go wrong: none is loaded, none ends this process.
//!
//! `make mutations` runs a thousand; a test run tries as many as `PLIMSOLL_MUTATIONS` says. Each is
//! loaded as a serving process does it: tried by the real program in a process of its own, then here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use plimsoll::classify::features::SESSION_LEN;
use plimsoll::model::{Canary, ModelError, Scorer};
use serde_json::{Value, json};

use crate::copy::{Copy, FILES, GOLDEN, MANIFEST, MODEL, replace};

/// Twice every kind, so that an ordinary test run stays short.
const MUTATIONS: usize = 2 * KINDS.len();

/// Enough to meet what goes wrong once in twenty.
const TRIALS: u32 = 100;

/// Sebastiano Vigna's SplitMix64: a seed a mutation, printed when it fails.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % bound
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

type Kind = (&'static str, fn(&Copy, &mut Random));

const KINDS: [Kind; 17] = [
    ("a file cut off", |copy, random| {
        copy.damage(random.pick(&FILES), |bytes| bytes.truncate(random.below(bytes.len())));
    }),
    ("a flipped bit", |copy, random| {
        copy.damage(random.pick(&FILES), |bytes| {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(7);
        });
    }),
    ("a file missing", |copy, random| fs::remove_file(copy.path(random.pick(&FILES))).unwrap()),
    ("a file longer than it was", |copy, random| {
        copy.damage(random.pick(&FILES[..3]), |bytes| bytes.extend(vec![b' '; 1 + random.below(999)]));
    }),
    ("one file in place of another", |copy, random| {
        let other = random.pick(&[GOLDEN, MANIFEST]);
        fs::copy(copy.path(other), copy.path(MODEL)).unwrap();
    }),
    ("a forged model cut off", |copy, random| {
        copy.forge(MODEL, |bytes| bytes.truncate(random.below(bytes.len() - 1)));
    }),
    ("a forged model of noise", |copy, random| {
        copy.forge(MODEL, |bytes| bytes.iter_mut().for_each(|byte| *byte = random.below(256) as u8));
    }),
    ("forged weights that are not finite", |copy, random| {
        copy.forge(MODEL, |bytes| fill(bytes, random, 8, 0xff));
    }),
    ("forged weights of another model", |copy, random| {
        copy.forge(MODEL, |bytes| fill(bytes, random, 8192, 0x42));
    }),
    ("a forbidden operator", |copy, random| {
        let operator = random.pick(&[*b"Loop", *b"Scan"]);
        copy.forge(MODEL, |bytes| {
            replace(bytes, b"\x22\x04Relu", &[b"\x22\x04", operator.as_slice()].concat())
        });
    }),
    ("a slow model", |copy, _random| copy.slow_down()),
    ("a model that swells", |copy, _random| copy.swell()),
    ("weights of a shape they do not fill", |copy, random| {
        let rows = random.pick(&[[0xff, 0x7f], [0x80, 0x01], [0xa9, 0x11]]);
        copy.forge(MODEL, |bytes| replace(bytes, &[8, 0xa8, 0x11, 8, 24], &[8, rows[0], rows[1], 8, 24]));
    }),
    ("inputs under another name", |copy, random| {
        let name = random.pick(&[b"Session", b"request"]).as_slice();
        copy.forge(MODEL, |bytes| replace(bytes, b"session", name));
    }),
    ("golden answers of another model", |copy, random| {
        copy.forge(GOLDEN, |bytes| {
            let mut vectors: Value = serde_json::from_slice(bytes).unwrap();
            let count = vectors.as_array().unwrap().len();
            let vector = &mut vectors[random.below(count)];
            vector["value"] = json!(1.0 - vector["value"].as_f64().unwrap());
            vector["class"][random.below(8)] = json!(2.0);
            *bytes = vectors.to_string().into_bytes();
        });
    }),
    ("a manifest of something else", |copy, random| {
        let edits = [
            ("format", json!(1)),
            ("classes", json!(["checkout"])),
            ("operators", json!(["Gemm"])),
            ("golden_tolerance", json!(0.5)),
            ("schema", json!({"hash": "0", "request": [], "session": []})),
            ("histograms", json!({"views.log": {"edges": [1.0], "shares": [0.5]}})),
            ("files", json!({})),
        ];
        let (key, value) = random.pick(&edits);
        copy.forge_manifest(|manifest| manifest[key] = value);
    }),
    ("a manifest that is none", |copy, random| {
        let text = random.pick(&["", "{", "null", "[]", "{\"format\": 2}"]);
        copy.seal(text);
    }),
];

/// Overwrites so many bytes within the widest weight matrix, which is nine tenths of the file.
fn fill(bytes: &mut [u8], random: &mut Random, count: usize, byte: u8) {
    let from = bytes.len() / 4 + random.below(bytes.len() / 4);
    bytes[from..from + count].fill(byte);
}

fn canary() -> Canary {
    Canary::new(PathBuf::from(env!("CARGO_BIN_EXE_plimsoll")))
}

#[test]
fn no_damaged_bundle_is_loaded_and_none_ends_this_process() {
    let count = std::env::var("PLIMSOLL_MUTATIONS").map_or(MUTATIONS, |count| count.parse().unwrap());
    for seed in 0..count {
        let (kind, mutate) = KINDS[seed % KINDS.len()];
        let copy = Copy::new();
        mutate(&copy, &mut Random(seed as u64));
        let refusal = canary().load(copy.directory());
        assert!(refusal.is_err(), "seed {seed}, {kind}: it was loaded");
        // The library refuses it without a trial as well: the child is not what finds the damage.
        assert!(Scorer::load(copy.directory()).is_err(), "seed {seed}, {kind}: the library loaded it");
    }
    println!("{count} damaged bundles refused");
}

#[test]
fn a_bundle_that_survives_its_trial_is_loaded() {
    let scorer = canary().load(Copy::new().directory()).unwrap();
    assert!(scorer.value(&[0.0; SESSION_LEN]).is_some());
}

/// A canary that is this shell script, written beside a bundle.
fn scripted(copy: &Copy, script: &str) -> Canary {
    let program = copy.path("canary.sh");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Canary::new(program)
}

#[test]
fn no_trial_of_a_whole_bundle_fails() {
    let copy = Copy::new();
    let failed = copy.path("failed");
    let script =
        format!("{} \"$@\" || {{ touch {}; exit 1; }}", env!("CARGO_BIN_EXE_plimsoll"), failed.display());
    let canary = scripted(&copy, &script);
    for trial in 0..TRIALS {
        // A trial that fails is repeated, and nothing would show.
        canary.load(copy.directory()).unwrap();
        assert!(!failed.exists(), "trial {trial}");
    }
}

/// What becomes of a bundle whose trial is this shell script.
fn tried_by(script: &str, time_max: Duration) -> ModelError {
    let copy = Copy::new();
    let canary = scripted(&copy, script).within(time_max);
    canary.load(copy.directory()).expect_err("the bundle must be refused")
}

#[test]
fn a_bundle_whose_trial_hangs_crashes_or_lies_is_not_loaded() {
    let patient = Duration::from_secs(60);
    let cases = [
        (tried_by("exec sleep 60", Duration::from_millis(50)), "took over 50ms"),
        (tried_by("kill -SEGV $$", patient), "the trial ended with"),
        (tried_by("exit 3", patient), "exit status: 3"),
        (tried_by("echo seal 00", patient), "but must be 00"),
        (tried_by("echo seal 00; exit 1", patient), "seal 00"),
        (tried_by("yes", patient), "y"),
    ];
    for (error, expected) in cases {
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_program_that_is_not_there_tries_nothing() {
    let error = Canary::new(PathBuf::from("/nowhere")).load(Copy::new().directory()).unwrap_err();
    assert!(matches!(error, ModelError::Untried { .. }), "{error}");
}
