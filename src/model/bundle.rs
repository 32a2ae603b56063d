//! Reads a bundle: a directory of a model, the vectors it must reproduce, and a manifest of both.
//!
//! The storefront's bundle is part of the binary, so that `plimsoll serve` needs no file. The
//! manifest holds a digest of every file it vouches for, and `manifest.sha256` that of the manifest:
//! a copy that broke off half-way is told apart from a model, which the ONNX format alone does not do.
//!
//! What the files say is not judged here; that is `check`'s part.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::drift::Histogram;
use super::error::ModelError;

/// The manifest's format this version reads.
const FORMAT: u32 = 2;

/// A file longer than this is no bundle of ours: the shipped one takes 300 KiB in all.
const FILE_LEN_MAX: u64 = 4 << 20;

const MANIFEST: &str = "manifest.json";
const MODEL: &str = "model.onnx";
const GOLDEN: &str = "golden.json";
/// What it cannot do, for people to read.
const CARD: &str = "MODEL_CARD.md";
/// The digest of the manifest, which vouches for all else.
const SEAL: &str = "manifest.sha256";

/// What a bundle says of itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format of the manifest.
    pub format: u32,
    /// The bundle's name.
    pub name: String,
    /// SHA-256 by file, in hexadecimal.
    pub files: BTreeMap<String, String>,
    /// The features it was trained on.
    pub schema: Schema,
    /// The classes of the class head, in output order.
    pub classes: Vec<String>,
    /// The ONNX operators in use, sorted.
    pub operators: Vec<String>,
    /// How far an output may be from its golden value.
    pub golden_tolerance: f32,
    /// The seed of the training.
    pub seed: u64,
    /// How well it did, by measure.
    pub measures: BTreeMap<String, f64>,
    /// How the session features were distributed in training, by name.
    pub histograms: BTreeMap<String, Histogram>,
    /// What it was trained on.
    pub data: Vec<Provenance>,
}

/// The features a model reads.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// What [`schema_hash`](crate::classify::features::schema_hash) must give.
    pub hash: String,
    /// Names of the request features.
    pub request: Vec<String>,
    /// Names of the session features.
    pub session: Vec<String>,
}

/// A data set a model was trained on.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// What it is.
    pub name: String,
    /// Under which terms.
    pub licence: String,
    /// What it was used for.
    #[serde(rename = "use")]
    pub purpose: String,
}

/// A vector pair and what the model must make of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Golden {
    /// The request features that hold.
    pub(super) request: Vec<usize>,
    pub(super) session: Vec<f32>,
    pub(super) class: Vec<f32>,
    pub(super) value: f32,
}

/// The files of a bundle, read and whole, not yet judged.
pub(super) struct Bundle {
    /// How errors call the files.
    pub(super) names: Names,
    /// The SHA-256 of the manifest, in hexadecimal: equal seals are equal bundles.
    pub(super) seal: String,
    pub(super) manifest: Manifest,
    pub(super) model: Cow<'static, [u8]>,
    pub(super) golden: Vec<Golden>,
}

/// The files as errors name them.
pub(super) struct Names {
    pub(super) manifest: String,
    pub(super) model: String,
    pub(super) golden: String,
    pub(super) seal: String,
}

impl Names {
    fn new(name: impl Fn(&str) -> String) -> Names {
        Names { manifest: name(MANIFEST), model: name(MODEL), golden: name(GOLDEN), seal: name(SEAL) }
    }
}

impl Bundle {
    /// The bundle in a directory.
    pub(super) fn read(directory: &Path) -> Result<Bundle, ModelError> {
        let names = Names::new(|file| directory.join(file).display().to_string());
        let bytes = |name: &str| match read_bounded(Path::new(name)) {
            Ok(bytes) => Ok(Cow::Owned(bytes)),
            Err(source) => Err(ModelError::Unreadable { file: name.to_owned(), source }),
        };
        let (manifest, seal) = (bytes(&names.manifest)?, bytes(&names.seal)?);
        let (model, golden) = (bytes(&names.model)?, bytes(&names.golden)?);
        let bundle = Bundle::assemble(names, &manifest, &seal, model, &golden)?;
        // A card may be left behind, but not be that of another model.
        let card = directory.join(CARD);
        if card.exists() {
            verify_digest(&bundle.names, &bundle.manifest, CARD, &bytes(&card.display().to_string())?)?;
        }
        Ok(bundle)
    }

    /// The bundle that is part of this binary.
    pub(super) fn embedded() -> Result<Bundle, ModelError> {
        let names = Names::new(|file| format!("embedded:storefront/{file}"));
        let model = include_bytes!("../../models/storefront/model.onnx");
        let manifest = include_bytes!("../../models/storefront/manifest.json");
        let golden = include_bytes!("../../models/storefront/golden.json");
        let seal = include_bytes!("../../models/storefront/manifest.sha256");
        Bundle::assemble(names, manifest, seal, Cow::Borrowed(model), golden)
    }

    fn assemble(
        names: Names,
        manifest: &[u8],
        seal: &[u8],
        model: Cow<'static, [u8]>,
        golden: &[u8],
    ) -> Result<Bundle, ModelError> {
        let found = digest(manifest);
        let seal = String::from_utf8_lossy(seal);
        if seal.trim_end() != found {
            return Err(ModelError::refused(&names.seal, "digest", seal.trim_end(), found));
        }
        let manifest: Manifest = parse(&names.manifest, manifest)?;
        if manifest.format != FORMAT {
            return Err(ModelError::refused(&names.manifest, "format", manifest.format, FORMAT));
        }
        verify_digest(&names, &manifest, MODEL, &model)?;
        verify_digest(&names, &manifest, GOLDEN, golden)?;
        let golden = parse(&names.golden, golden)?;
        Ok(Bundle { names, seal: found, manifest, model, golden })
    }
}

/// The files of the bundle in `directory`, as they are, to be kept elsewhere.
///
/// # Errors
/// A file that cannot be read, or that the bundle does not vouch for.
pub fn bundle_files(directory: &Path) -> Result<BundleFiles, ModelError> {
    let read = |name: &'static str| match read_bounded(&directory.join(name)) {
        Ok(bytes) => Ok((name, bytes)),
        Err(source) => {
            Err(ModelError::Unreadable { file: directory.join(name).display().to_string(), source })
        }
    };
    let files = [read(MANIFEST)?, read(SEAL)?, read(MODEL)?, read(GOLDEN)?];
    let names = Names::new(|file| directory.join(file).display().to_string());
    let [manifest, seal, model, golden] = files.each_ref().map(|(_, bytes)| bytes);
    let bundle = Bundle::assemble(names, manifest, seal, Cow::Owned(model.clone()), golden)?;
    Ok(BundleFiles { seal: bundle.seal, files })
}

/// The files of a bundle with their names.
pub struct BundleFiles {
    /// The bundle's seal.
    pub seal: String,
    /// Name and content of each.
    pub files: [(&'static str, Vec<u8>); 4],
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {FILE_LEN_MAX} bytes")));
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, ModelError> {
    serde_json::from_slice(bytes).map_err(|source| ModelError::Malformed { file: file.to_owned(), source })
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn verify_digest(names: &Names, manifest: &Manifest, file: &str, bytes: &[u8]) -> Result<(), ModelError> {
    let found = digest(bytes);
    match manifest.files.get(file) {
        Some(expected) if *expected == found => Ok(()),
        Some(expected) => Err(ModelError::refused(
            &names.manifest,
            format!("files.{file}"),
            expected,
            format!("{found}, the file's digest"),
        )),
        None => Err(ModelError::refused(&names.manifest, format!("files.{file}"), "absent", found)),
    }
}
