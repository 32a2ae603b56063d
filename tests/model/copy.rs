//! A copy of the shipped bundle, to be damaged: plainly, or by one who can make digests.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub(crate) const MODEL: &str = "model.onnx";
pub(crate) const GOLDEN: &str = "golden.json";
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const SEAL: &str = "manifest.sha256";
pub(crate) const FILES: [&str; 4] = [MODEL, GOLDEN, MANIFEST, SEAL];

/// A copy in a directory of its own.
pub(crate) struct Copy(TempDir);

impl Copy {
    pub(crate) fn new() -> Copy {
        let copy = Copy(TempDir::new().unwrap());
        for file in FILES {
            fs::write(copy.path(file), fs::read(shipped().join(file)).unwrap()).unwrap();
        }
        copy
    }

    pub(crate) fn directory(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Damages a file, and nothing else: a digest gives it away.
    pub(crate) fn damage(&self, file: &str, damage: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path(file)).unwrap();
        damage(&mut bytes);
        fs::write(self.path(file), bytes).unwrap();
    }

    /// Damages a file for whose result the manifest then vouches: the next check has to tell.
    pub(crate) fn forge(&self, file: &str, damage: impl FnOnce(&mut Vec<u8>)) {
        self.damage(file, damage);
        let found = digest(&fs::read(self.path(file)).unwrap());
        self.forge_manifest(|manifest| manifest["files"][file] = json!(found));
    }

    /// Edits the manifest and seals the result.
    pub(crate) fn forge_manifest(&self, edit: impl FnOnce(&mut Value)) {
        let mut manifest = serde_json::from_slice(&fs::read(self.path(MANIFEST)).unwrap()).unwrap();
        edit(&mut manifest);
        self.seal(&manifest.to_string());
    }

    /// Puts a chain of layers between the session and the value head: of operators that are allowed, within the
    /// bounds of nodes and of the file, and of as many multiplications as forty class heads.
    pub(crate) fn slow_down(&self) {
        let name = |number: usize| format!("chain{number:02}");
        let square = |number: usize| product(&name(number - 1), "square", &name(number));
        let nodes = [
            product("session", "wide", "chain00"),
            (1..=54).flat_map(square).collect(),
            product("chain54", "narrow", "chain55"),
        ];
        self.precede(&nodes, &[("wide", 21, 200), ("square", 200, 200), ("narrow", 200, 21)]);
    }

    /// Puts two matrices between the session and the value head, and between these what two lists of weights make
    /// when they meet: a gigabyte.
    pub(crate) fn swell(&self) {
        let nodes = [
            product("session", "wide", "chain00"),
            product("column", "row", "chain01"),
            product("chain00", "chain01", "chain02"),
            product("chain02", "narrow", "chain55"),
        ];
        let weights =
            [("wide", 21, 16_000), ("column", 16_000, 1), ("row", 1, 16_000), ("narrow", 16_000, 21)];
        self.precede(&nodes, &weights);
    }

    /// Lets these nodes and weights make `chain55`, and the value head read that instead of the session. Protobuf
    /// appends what follows of a graph to what was there.
    fn precede(&self, nodes: &[Vec<u8>], weights: &[(&str, usize, usize)]) {
        let weights: Vec<u8> = weights.iter().flat_map(|weights| zeros(*weights)).collect();
        let graph = part(0x3a, &[nodes.concat(), weights].concat());
        self.forge(MODEL, |model| {
            replace(model, b"\x0a\x07session\x0a\x08value.w1", b"\x0a\x07chain55\x0a\x08value.w1");
            *model = [graph, model.clone()].concat();
        });
        let operators = ["Gemm", "MatMul", "Relu", "Sigmoid", "Softmax"];
        self.forge_manifest(|manifest| manifest["operators"] = json!(operators));
    }

    /// Writes a manifest with its seal.
    pub(crate) fn seal(&self, manifest: &str) {
        fs::write(self.path(MANIFEST), manifest).unwrap();
        fs::write(self.path(SEAL), digest(manifest.as_bytes())).unwrap();
    }
}

/// Where the bundle is that ships.
pub(crate) fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/storefront")
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replaces every occurrence by bytes of the same length; there must be one.
pub(crate) fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let starts: Vec<usize> =
        (0..=bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert!(!starts.is_empty(), "{from:?} does not occur");
    for start in starts {
        bytes[start..start + to.len()].copy_from_slice(to);
    }
}

/// A node that multiplies two matrices.
fn product(left: &str, right: &str, output: &str) -> Vec<u8> {
    let fields = [(0x0a, left), (0x0a, right), (0x12, output), (0x22, "MatMul")];
    part(0x0a, &fields.map(|(tag, text)| part(tag, text.as_bytes())).concat())
}

/// An initializer of 32-bit floats.
fn zeros((name, rows, columns): (&str, usize, usize)) -> Vec<u8> {
    let dims = [vec![0x08], varint(rows), vec![0x08], varint(columns), vec![0x10, 1]].concat();
    let weights = part(0x4a, &vec![0; 4 * rows * columns]);
    part(0x2a, &[dims, part(0x42, name.as_bytes()), weights].concat())
}

/// A field of protobuf with this content.
fn part(tag: u8, content: &[u8]) -> Vec<u8> {
    [[tag].as_slice(), &varint(content.len()), content].concat()
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
