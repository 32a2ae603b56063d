//! Why a bundle is refused: always the file, the key within it and the value that will not do.

use std::io;
use std::path::PathBuf;

/// A bundle that was not let in. The model in use stays in use.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file of the bundle cannot be read.
    #[error("{file}: {source}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not the JSON it should be; the source names line, column and key.
    #[error("{file}: {source}")]
    Malformed {
        /// The file.
        file: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A value is not what it must be.
    #[error("{file}: {key} is {found}, but must be {expected}")]
    Refused {
        /// The file.
        file: String,
        /// The key, tensor, node or vector in it.
        key: String,
        /// What stands there.
        found: String,
        /// What would do.
        expected: String,
    },
    /// A process of its own did not survive loading it.
    #[error("{}: not loaded, for its trial failed: {reason}", directory.display())]
    Untried {
        /// The bundle.
        directory: PathBuf,
        /// What became of the trial.
        reason: String,
    },
    /// The runtime cannot load the model.
    #[error("{file}: the model does not load: {reason}")]
    Unloadable {
        /// The file.
        file: String,
        /// What the runtime said, or that it panicked.
        reason: String,
    },
}

impl ModelError {
    /// A refusal, from anything that can be shown.
    pub(super) fn refused(
        file: &str,
        key: impl ToString,
        found: impl ToString,
        expected: impl ToString,
    ) -> ModelError {
        ModelError::Refused {
            file: file.to_owned(),
            key: key.to_string(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    /// A load that failed for a reason of the runtime's own.
    pub(super) fn unloadable(file: &str, reason: impl ToString) -> ModelError {
        ModelError::Unloadable { file: file.to_owned(), reason: reason.to_string() }
    }
}
