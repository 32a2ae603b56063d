//! Sets the stage for a run: a fresh origin, and a fresh proxy in front of it.
//!
//! Every run gets new processes, so that nothing learned or leaked in one run
//! helps or hurts the next.

use crate::children::{ChildError, Server, free_address};
use crate::client::{Client, ClientError};
use crate::origin::STATS_PATH;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How a `plimsoll` is started.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ProxyArgs {
    /// The `plimsoll` binary
    #[arg(long, value_name = "BINARY")]
    pub(crate) plimsoll: PathBuf,
    /// A policy for it instead of its own
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
}

/// Why the stage cannot be set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot find this program's own file: {0}")]
    OwnProgram(std::io::Error),
    #[error("cannot write a configuration: {0}")]
    Configuration(std::io::Error),
}

/// A running origin.
#[derive(Debug)]
pub(crate) struct OriginStage {
    server: Server,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where it can be changed.
    pub(crate) control: SocketAddr,
}

impl OriginStage {
    /// Starts an origin, which whoever has its control port makes the shop of a scenario.
    pub(crate) async fn start(seed: u64) -> Result<OriginStage, StageError> {
        let (address, control) = (free_address()?, free_address()?);
        let arguments = [
            "origin".to_owned(),
            format!("--listen={address}"),
            format!("--control={control}"),
            format!("--seed={seed}"),
        ];
        let program = std::env::current_exe().map_err(StageError::OwnProgram)?;
        let mut server = Server::start("the origin", program.as_os_str(), arguments)?;
        server.ready(address, STATS_PATH).await?;
        Ok(OriginStage { server, address, control })
    }

    /// Ends it; fails if it had ended before.
    pub(crate) async fn stop(self) -> Result<(), StageError> {
        Ok(self.server.stop().await?)
    }
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct ProxyStage {
    server: Server,
    /// Where its configuration is, which it may read again while it runs.
    _directory: Option<TempDir>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where its admin API does; peers have none.
    admin: Option<SocketAddr>,
}

impl ProxyStage {
    /// Starts a `plimsoll` in front of `upstream`, which clients ask themselves.
    pub(crate) async fn start(
        proxy: &ProxyArgs,
        upstream: SocketAddr,
        threads: Option<usize>,
    ) -> Result<ProxyStage, StageError> {
        let threads = threads.map(|threads| format!("--threads={threads}"));
        ProxyStage::start_with(proxy, upstream, threads, None).await
    }

    /// Starts a `plimsoll` in front of `upstream` that believes this machine for whom it asks: thousands of
    /// shoppers at one address would be one client to it.
    pub(crate) async fn start_behind_edge(
        proxy: &ProxyArgs,
        upstream: SocketAddr,
    ) -> Result<ProxyStage, StageError> {
        let directory = tempfile::tempdir().map_err(StageError::Configuration)?;
        let config = directory.path().join("plimsoll.yaml");
        std::fs::write(&config, "trusted_hops: [127.0.0.0/8]\n").map_err(StageError::Configuration)?;
        let config = Some(format!("--config={}", config.display()));
        ProxyStage::start_with(proxy, upstream, config, Some(directory)).await
    }

    async fn start_with(
        proxy: &ProxyArgs,
        upstream: SocketAddr,
        flag: Option<String>,
        directory: Option<TempDir>,
    ) -> Result<ProxyStage, StageError> {
        let (address, admin) = (free_address()?, free_address()?);
        let mut arguments = vec![
            "serve".to_owned(),
            format!("--listen={address}"),
            format!("--upstream={upstream}"),
            format!("--admin={admin}"),
        ];
        arguments.extend(proxy.policy.as_deref().map(|policy| format!("--policy={}", policy.display())));
        arguments.extend(flag);
        let mut server = Server::start("plimsoll", proxy.plimsoll.as_os_str(), arguments)?;
        server.ready(admin, "/readyz").await?;
        Ok(ProxyStage { server, _directory: directory, address, admin: Some(admin) })
    }

    /// Starts the bare Pingora proxy, which has no admin address, in front of `upstream`.
    pub(crate) async fn start_bare(
        binary: &Path,
        upstream: SocketAddr,
        threads: usize,
    ) -> Result<ProxyStage, StageError> {
        let address = free_address()?;
        let arguments =
            [format!("--listen={address}"), format!("--upstream={upstream}"), format!("--threads={threads}")];
        let mut server = Server::start("bare-pingora", binary.as_os_str(), arguments)?;
        server.ready(address, "/").await?;
        Ok(ProxyStage { server, _directory: None, address, admin: None })
    }

    /// A peer that runs with a configuration in `directory`.
    pub(crate) fn of_peer(server: Server, address: SocketAddr, directory: TempDir) -> ProxyStage {
        ProxyStage { server, _directory: Some(directory), address, admin: None }
    }

    /// The process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.server.id()
    }

    /// Fails if it has ended.
    pub(crate) fn check(&mut self) -> Result<(), StageError> {
        Ok(self.server.check()?)
    }

    /// The sum of a metric over all its labels; 0 if there is none.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64, StageError> {
        let Some(admin) = self.admin else { return Ok(0.0) };
        let answer = Client::new(admin).get("/metrics").await?;
        let text = String::from_utf8_lossy(&answer.body);
        let of_name = |line: &str| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        };
        Ok(text.lines().filter_map(of_name).sum())
    }

    /// Ends it; fails if it had ended before.
    pub(crate) async fn stop(self) -> Result<(), StageError> {
        Ok(self.server.stop().await?)
    }
}
