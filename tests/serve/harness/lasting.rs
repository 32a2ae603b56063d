//! A policy and a state that outlive the processes which have them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::process::{Process, Setup};
use super::upstream::echo;

/// What one process leaves to the next.
pub(crate) struct Lasting {
    files: TempDir,
    policy: PathBuf,
    upstream: SocketAddr,
}

impl Lasting {
    /// A policy of this text, no state yet, and a shop that echoes.
    pub(crate) async fn with(policy: &str) -> Lasting {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("policy.yaml");
        fs::write(&path, policy).unwrap();
        Lasting { files, policy: path, upstream: echo().await }
    }

    /// Where the policy lies.
    pub(crate) fn policy(&self) -> &Path {
        &self.policy
    }

    /// Where it would leave a file of that name.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// The next process.
    pub(crate) async fn start(&self) -> Process {
        let setup = Setup::before(&[self.upstream]).flag("--policy", &self.policy);
        setup.flag("--state-dir", &self.file("state")).start().await
    }
}
