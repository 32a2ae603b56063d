//! Bundles as they arrive on a bad day: each is refused with the file, the key and the value.

use std::fs;

use plimsoll::model::{ModelError, Scorer};
use serde_json::{Value, json};

use crate::copy::{Copy, GOLDEN, MANIFEST, MODEL, SEAL, replace, shipped};

impl Copy {
    fn error(&self) -> ModelError {
        Scorer::load(self.directory()).expect_err("the bundle must be refused")
    }

    /// Asserts that the bundle is refused for this file and key, and returns what was found there.
    fn refused(&self, expected_file: &str, expected_key: &str) -> String {
        match self.error() {
            ModelError::Refused { file, key, found, .. } => {
                assert!(file.ends_with(expected_file), "{file}");
                assert_eq!(key, expected_key);
                found
            }
            other => panic!("refused for another reason: {other}"),
        }
    }
}

/// Overwrites part of the widest weight matrix: it takes up nine tenths of the file.
fn overwrite_weights(bytes: &mut [u8], byte: u8) {
    let quarter = bytes.len() / 4;
    bytes[quarter..2 * quarter].fill(byte);
}

#[test]
fn the_shipped_bundle_is_let_in() {
    let from_directory = Scorer::load(Copy::new().directory()).unwrap();
    let embedded = Scorer::embedded().unwrap();
    assert_eq!(from_directory.manifest().name, "storefront");
    assert_eq!(from_directory.manifest().files, embedded.manifest().files);
}

#[test]
fn the_shipped_bundle_fits_one_mebibyte() {
    let len = |entry: fs::DirEntry| entry.metadata().unwrap().len();
    let total: u64 = fs::read_dir(shipped()).unwrap().map(|entry| len(entry.unwrap())).sum();
    assert!(total <= 1 << 20, "{total} bytes");
}

#[test]
fn a_missing_file_is_named() {
    for missing in [MODEL, GOLDEN, MANIFEST, SEAL] {
        let copy = Copy::new();
        fs::remove_file(copy.path(missing)).unwrap();
        match copy.error() {
            ModelError::Unreadable { file, .. } => assert!(file.ends_with(missing), "{file}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_file_above_the_size_bound_is_not_read() {
    let copy = Copy::new();
    fs::write(copy.path(MODEL), vec![0; (4 << 20) + 1]).unwrap();
    assert!(matches!(copy.error(), ModelError::Unreadable { .. }));
}

#[test]
fn a_manifest_that_is_not_as_it_was_sealed_is_refused() {
    let copy = Copy::new();
    let manifest = fs::read_to_string(copy.path(MANIFEST)).unwrap();
    fs::write(copy.path(MANIFEST), manifest.replacen("CC BY 4.0", "CC BY 5.0", 1)).unwrap();
    copy.refused(SEAL, "digest");
}

#[test]
fn a_histogram_that_is_none_is_refused() {
    let copy = Copy::new();
    copy.forge_manifest(|manifest| manifest["histograms"]["views.log"]["shares"] = json!([1.0]));
    copy.refused(MANIFEST, "histograms.views.log");
}

#[test]
fn a_truncated_model_does_not_match_its_digest() {
    let copy = Copy::new();
    let model = fs::read(copy.path(MODEL)).unwrap();
    fs::write(copy.path(MODEL), &model[..model.len() / 2]).unwrap();
    copy.refused(MANIFEST, "files.model.onnx");
}

#[test]
fn a_truncated_model_with_a_digest_of_its_own_does_not_load() {
    for cut in [2, 3, 10, 1000] {
        let copy = Copy::new();
        copy.forge(MODEL, |model| model.truncate(model.len() / cut));
        assert!(matches!(copy.error(), ModelError::Unloadable { .. }), "cut to 1/{cut}: {}", copy.error());
    }
}

#[test]
fn an_empty_model_has_no_graph() {
    let copy = Copy::new();
    copy.forge(MODEL, Vec::clear);
    copy.refused(MODEL, "graph");
}

#[test]
fn a_wrong_digest_is_refused() {
    for file in [MODEL, GOLDEN] {
        let copy = Copy::new();
        copy.forge_manifest(|manifest| manifest["files"][file] = json!("00"));
        assert_eq!(copy.refused(MANIFEST, &format!("files.{file}")), "00");
    }
}

#[test]
fn a_card_may_be_left_behind_but_not_be_that_of_another_model() {
    let copy = Copy::new();
    assert!(Scorer::load(copy.directory()).is_ok());
    let card = "MODEL_CARD.md";
    fs::copy(shipped().join(card), copy.path(card)).unwrap();
    assert!(Scorer::load(copy.directory()).is_ok());
    copy.damage(card, |text| text.push(b'\n'));
    copy.refused(MANIFEST, "files.MODEL_CARD.md");
}

#[test]
fn an_operator_outside_the_list_never_reaches_the_runtime() {
    let copy = Copy::new();
    copy.forge(MODEL, |model| replace(model, b"\x22\x04Relu", b"\x22\x04Loop"));
    assert_eq!(copy.refused(MODEL, "operator of node \"class.relu\""), "Loop");
}

#[test]
fn a_slow_model_of_operators_that_are_allowed_is_refused() {
    let copy = Copy::new();
    copy.slow_down();
    let multiplications: u64 = copy.refused(MODEL, "multiplications").parse().unwrap();
    assert!(multiplications > 2_160_000, "{multiplications}");
}

#[test]
fn a_model_that_asks_for_a_gigabyte_is_refused_before_the_runtime_gives_it() {
    let copy = Copy::new();
    copy.swell();
    let found = copy.refused(MODEL, "shapes");
    assert!(found.contains("(16000, 16000)"), "{found}");
}

#[test]
fn an_operator_the_manifest_does_not_state_is_refused() {
    let copy = Copy::new();
    copy.forge_manifest(|manifest| manifest["operators"] = json!(["Gemm"]));
    assert_eq!(copy.refused(MANIFEST, "operators"), "Gemm");
}

#[test]
fn an_input_of_another_name_or_width_is_refused() {
    let copy = Copy::new();
    copy.forge(MODEL, |model| replace(model, b"session", b"sassion"));
    assert!(copy.refused(MODEL, "inputs").contains("sassion [1, 21]"));

    let copy = Copy::new();
    // A shape of two dimensions, 1 and 21, as protobuf writes it.
    let shape = |width| [0x0a, 2, 8, 1, 0x0a, 2, 8, width];
    copy.forge(MODEL, |model| replace(model, &shape(21), &shape(22)));
    assert!(copy.refused(MODEL, "inputs").contains("session [1, 22]"));
}

#[test]
fn weights_that_are_not_finite_are_refused() {
    let copy = Copy::new();
    copy.forge(MODEL, |model| overwrite_weights(model, 0xff));
    assert_eq!(copy.refused(MODEL, "weights \"class.w1\""), "NaN");
}

#[test]
fn weights_of_a_shape_they_do_not_fill_are_refused() {
    let copy = Copy::new();
    // The dimensions of the widest matrix, 2216 and 24, as protobuf writes them.
    copy.forge(MODEL, |model| replace(model, &[0xa8, 0x11, 8, 24], &[0xa8, 0x11, 8, 25]));
    assert!(copy.refused(MODEL, "weights \"class.w1\"").starts_with("of shape [2216, 25]"));
}

#[test]
fn weights_other_than_the_trained_ones_do_not_reproduce_the_golden_vectors() {
    let copy = Copy::new();
    copy.forge(MODEL, |model| overwrite_weights(model, 0x42));
    match copy.error() {
        ModelError::Refused { file, key, .. } => {
            assert!(file.ends_with(GOLDEN) && key.starts_with("answer to vector"), "{file} {key}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn golden_vectors_that_are_few_or_misshapen_are_refused() {
    let copy = Copy::new();
    copy.forge(GOLDEN, |golden| *golden = b"[]".to_vec());
    assert_eq!(copy.refused(GOLDEN, "vectors"), "0");

    let copy = Copy::new();
    copy.forge(GOLDEN, |golden| {
        let mut vectors: Value = serde_json::from_slice(golden).unwrap();
        vectors[1]["request"] = json!([9999]);
        *golden = vectors.to_string().into_bytes();
    });
    copy.refused(GOLDEN, "vector 1");
}

#[test]
fn features_the_model_was_not_trained_on_are_refused() {
    let copy = Copy::new();
    copy.forge_manifest(|manifest| manifest["schema"]["hash"] = json!("0123456789abcdef"));
    assert_eq!(copy.refused(MANIFEST, "schema.hash"), "0123456789abcdef");
}

#[test]
fn other_classes_formats_and_tolerances_are_refused() {
    let changes = [("format", json!(1)), ("classes", json!(["checkout"])), ("golden_tolerance", json!(1.0))];
    for (key, value) in changes {
        let copy = Copy::new();
        copy.forge_manifest(|manifest| manifest[key] = value);
        copy.refused(MANIFEST, key);
    }
}

#[test]
fn a_manifest_that_is_no_json_or_has_an_unknown_key_is_malformed() {
    let copy = Copy::new();
    copy.seal("{");
    assert!(matches!(copy.error(), ModelError::Malformed { .. }));

    let copy = Copy::new();
    copy.forge_manifest(|manifest| manifest["colour"] = json!("red"));
    assert!(copy.error().to_string().contains("unknown field `colour`"), "{}", copy.error());
}
