//! Generations on disk: policies and bundles by content, and an index of which were applied.
//!
//! ```text
//! generations/index.json               what was applied, in order; replaced by a rename
//! generations/policies/<digest>.json   the text of a policy, file by file
//! generations/bundles/<seal>/          the files of a bundle, as they were
//! ```
//!
//! Contents are written before the index names them, and deleted after it has stopped naming them.
//! The bundle that is part of the binary is not written; a generation made with that of another
//! version cannot be brought back.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Entry, Index, directory};
use crate::generation::Generation;
use crate::model::{ModelError, Scorer, bundle_files};
use crate::policy::compile::compile;
use crate::yaml::diagnostic::Diagnostics;
use crate::yaml::source::Source;

/// Why a generation is not kept or not brought back.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A file or directory of the history cannot be used.
    #[error("{}: {source}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the history holds something else.
    #[error("{}: not what plimsoll wrote: {reason}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There is no such generation.
    #[error("generation {number} is not among those kept ({known})")]
    Unknown {
        /// What was asked for.
        number: u64,
        /// What there is.
        known: String,
    },
    /// The kept policy has mistakes by the rules of this version.
    #[error("{0}")]
    Policy(#[from] Diagnostics),
    /// The bundle cannot be kept, or not be loaded.
    #[error("model: {0}")]
    Model(#[from] ModelError),
    /// The bundle has been replaced since it was loaded.
    #[error("{}: the bundle changed after it was loaded", path.display())]
    Replaced {
        /// Where it lies.
        path: PathBuf,
    },
}

/// Generations on disk.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
}

impl Store {
    pub(super) fn open(state: &Path) -> Result<Store, HistoryError> {
        let directory = directory(state);
        for part in ["policies", "bundles"] {
            let path = directory.join(part);
            fs::create_dir_all(&path).map_err(unusable(&path))?;
        }
        Ok(Store { directory })
    }

    pub(super) fn read_index(&self) -> Result<Index, HistoryError> {
        let path = self.index();
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(damaged(&path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Index::default()),
            Err(error) => Err(unusable(&path)(error)),
        }
    }

    pub(super) fn write_index(&self, index: &Index) -> Result<(), HistoryError> {
        let bytes = serde_json::to_vec_pretty(index).expect("an index is plain data");
        replace(&self.index(), &bytes)
    }

    /// Writes what `generation` is made of, unless it is there already.
    pub(super) fn keep(&self, generation: &Generation, bundle: Option<&Path>) -> Result<(), HistoryError> {
        let policy = self.policy(&generation.policy.digest);
        if !policy.exists() {
            let bytes = serde_json::to_vec_pretty(&*generation.policy.text).expect("a source is plain data");
            replace(&policy, &bytes)?;
        }
        match (&generation.model, bundle) {
            (Some(model), Some(directory)) => self.keep_bundle(model.seal(), directory),
            _ => Ok(()),
        }
    }

    fn keep_bundle(&self, seal: &str, from: &Path) -> Result<(), HistoryError> {
        let kept = self.bundle(seal);
        if kept.exists() {
            return Ok(());
        }
        let bundle = bundle_files(from)?;
        if bundle.seal != seal {
            return Err(HistoryError::Replaced { path: from.to_owned() });
        }
        let new = kept.with_extension("new");
        fs::create_dir_all(&new).map_err(unusable(&new))?;
        for (name, bytes) in &bundle.files {
            write(&new.join(name), bytes)?;
        }
        fs::rename(&new, &kept).map_err(unusable(&kept))
    }

    /// Compiles and loads what `entry` names.
    pub(super) fn restore(&self, entry: &Entry) -> Result<Generation, HistoryError> {
        let path = self.policy(&entry.contents.policy);
        let bytes = fs::read(&path).map_err(unusable(&path))?;
        let source: Source = serde_json::from_slice(&bytes).map_err(damaged(&path))?;
        if source.digest() != entry.contents.policy {
            let reason = "its digest is another".to_owned();
            return Err(HistoryError::Damaged { path, reason });
        }
        let model = entry.contents.bundle.as_deref().map(|seal| self.load(seal)).transpose()?;
        Ok(Generation::new(entry.number, compile(&source)?, model).keeping_mode_of(&entry.contents))
    }

    fn load(&self, seal: &str) -> Result<Scorer, HistoryError> {
        let kept = self.bundle(seal);
        let model = if kept.exists() { Scorer::load(&kept)? } else { Scorer::embedded()? };
        if model.seal() == seal {
            return Ok(model);
        }
        let reason = "it is neither here nor part of this binary".to_owned();
        Err(HistoryError::Damaged { path: kept, reason })
    }

    /// Deletes what no entry is made of.
    pub(super) fn forget_all_but<'e>(
        &self,
        entries: impl Iterator<Item = &'e Entry> + Clone,
    ) -> Result<(), HistoryError> {
        let contents = entries.map(|entry| &entry.contents);
        let named = contents.clone().map(|one| self.policy(&one.policy));
        let named =
            named.chain(contents.filter_map(|one| one.bundle.as_deref()).map(|seal| self.bundle(seal)));
        let named: HashSet<PathBuf> = named.collect();
        for part in ["policies", "bundles"] {
            let part = self.directory.join(part);
            for entry in fs::read_dir(&part).map_err(unusable(&part))? {
                let path = entry.map_err(unusable(&part))?.path();
                if !named.contains(&path) {
                    let removed =
                        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                    removed.map_err(unusable(&path))?;
                }
            }
        }
        Ok(())
    }

    fn index(&self) -> PathBuf {
        self.directory.join("index.json")
    }

    fn policy(&self, digest: &str) -> PathBuf {
        self.directory.join("policies").join(format!("{digest}.json"))
    }

    fn bundle(&self, seal: &str) -> PathBuf {
        self.directory.join("bundles").join(seal)
    }
}

/// Puts a whole file in the place of another: a reader sees either, and a crash leaves either.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), HistoryError> {
    let new = path.with_extension("new");
    write(&new, bytes)?;
    fs::rename(&new, path).map_err(unusable(path))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), HistoryError> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(unusable(path))
}

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> HistoryError + use<> {
    let path = path.to_owned();
    move |source| HistoryError::Unusable { path, source }
}

fn damaged(path: &Path) -> impl FnOnce(serde_json::Error) -> HistoryError + use<> {
    let path = path.to_owned();
    move |error| HistoryError::Damaged { path, reason: error.to_string() }
}
