//! The flags of `plimsoll serve`, and the settings they are shorthand for.
//!
//! Flags win over the file of `--config`. It opens nothing: whether an address can be had is found out later.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::cli::model::own_program;
use crate::config::{AdminPlace, Config, DEFAULT_POOL, Endpoint, JOURNAL_BYTES_MAX, Listener, Pool};
use crate::journal::writer::JournalSettings;

/// The flags of `serve`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where clients connect (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<SocketAddr>,
    /// An endpoint of the shop, host:port (repeatable)
    #[arg(long, value_name = "HOST:PORT")]
    upstream: Vec<String>,
    /// Where the admin API listens: an address, or unix:PATH
    #[arg(long, value_name = "ADDRESS|unix:PATH", value_parser = AdminPlace::parse)]
    admin: Option<AdminPlace>,
    /// The token the admin API asks for; needed where others reach its address
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// The policy file, or a directory of overlays; the built-in storefront policy if absent
    #[arg(long, value_name = "FILE|DIR")]
    policy: Option<PathBuf>,
    /// The model bundle; the policy's choice if absent
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Where generations are kept over restarts; in memory only if absent
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where the journal of all decisions goes; at most 1 GiB is kept
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// Process settings; flags win over them
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Worker threads; one per core if absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Arguments {
    /// The settings that flags and file come to.
    pub(super) fn settings(self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        if !self.listen.is_empty() {
            config.listen = self.listen.into_iter().map(Listener::clear).collect();
        }
        if !self.upstream.is_empty() {
            let endpoints = self.upstream.iter().map(|text| endpoint(text));
            config.pools.retain(|pool| pool.name != DEFAULT_POOL);
            config.pools.push(Pool::new(DEFAULT_POOL, endpoints.collect::<anyhow::Result<_>>()?));
        }
        match self.admin {
            Some(AdminPlace::Address(address)) => config.admin.listen = Some(address),
            Some(AdminPlace::Socket(socket)) => config.admin.socket = Some(socket),
            None => {}
        }
        config.admin.token_file = self.admin_token_file.or(config.admin.token_file);
        config.policy = self.policy.or(config.policy);
        config.model = self.model.or(config.model);
        config.state_dir = self.state_dir.or(config.state_dir);
        if let Some(directory) = self.journal {
            let bytes_max = config.journal.map_or(JOURNAL_BYTES_MAX, |journal| journal.bytes_max);
            config.journal = Some(JournalSettings { directory, bytes_max });
        }
        config.canary = own_program().ok();
        config.threads = self.threads.map(usize::from).or(config.threads);
        check_places(&config)?;
        Ok(config)
    }
}

fn check_places(config: &Config) -> anyhow::Result<()> {
    if config.listen.is_empty() {
        bail!("nowhere to listen: give --listen 127.0.0.1:8080, or `listen:` in --config");
    }
    if config.pools.iter().all(|pool| pool.endpoints.is_empty()) {
        bail!("nothing to stand in front of: give --upstream 127.0.0.1:3000, or `pools:` in --config");
    }
    Ok(())
}

fn endpoint(text: &str) -> anyhow::Result<Endpoint> {
    let host = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    host.parse().with_context(|| format!("--upstream {text}"))
}
