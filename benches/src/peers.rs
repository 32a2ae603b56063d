//! The proxies that plimsoll is held against: where they are, and how they are started.
//!
//! Their configurations are files in `benches/peers/`, written as their best operator
//! would and embedded here, with names in braces for what differs from run to run. A
//! peer that is not installed is the caller's to name and leave out.

use crate::children::{Server, free_address};
use crate::origin::STATS_PATH;
use crate::stage::{ProxyArgs, ProxyStage, StageError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where distributions put servers, on the path of the superuser only.
const SYSTEM_PLACES: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"];

/// Somebody's proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The least proxy that Pingora can be; built with plimsoll.
    BarePingora,
    Haproxy,
    Nginx,
    Envoy,
}

/// Where programs are looked for before the usual places.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Places {
    /// Where `make peers` puts what no package has
    #[arg(long = "peers", value_name = "DIRECTORY", default_value = "target/peers")]
    directory: PathBuf,
}

/// Which plimsoll is put to the test.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct OwnProxy {
    /// The plimsoll binary; the one beside this program if absent
    #[arg(long, value_name = "BINARY")]
    plimsoll: Option<PathBuf>,
}

/// There is no plimsoll.
#[derive(Debug, thiserror::Error)]
#[error("there is no plimsoll beside this program: build it, or name it with `--plimsoll`")]
pub(crate) struct NoPlimsoll;

impl OwnProxy {
    /// Where it is; with its own policy.
    pub(crate) fn find(&self, places: &Places) -> Result<ProxyArgs, NoPlimsoll> {
        let plimsoll = self.plimsoll.clone().or_else(|| find("plimsoll", places)).ok_or(NoPlimsoll)?;
        Ok(ProxyArgs { plimsoll, policy: None })
    }
}

/// What a configuration leaves open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blanks {
    /// Where requests go.
    pub(crate) upstream: SocketAddr,
    /// How many threads serve requests.
    pub(crate) threads: usize,
    /// How many requests the shop is given at once.
    pub(crate) maxconn: u32,
    /// How long a request may wait for that.
    pub(crate) queue: Duration,
    /// How long an answer may take.
    pub(crate) slo: Duration,
}

impl Program {
    /// What it is called, here and on a disk.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Program::BarePingora => "bare-pingora",
            Program::Haproxy => "haproxy",
            Program::Nginx => "nginx",
            Program::Envoy => "envoy",
        }
    }

    /// Where it is, if it is installed.
    pub(crate) fn find(self, places: &Places) -> Option<PathBuf> {
        find(self.name(), places)
    }

    /// What is said when it is not.
    pub(crate) fn missing(self) -> String {
        format!("{} is not installed and left out: see `make peers`", self.name())
    }

    /// What it is called and its version, as the binary at `path` tells it; ours have none of their own.
    pub(crate) fn version(self, path: &Path) -> Option<String> {
        let flag = match self {
            Program::BarePingora => return None,
            Program::Haproxy | Program::Nginx => "-v",
            Program::Envoy => "--version",
        };
        let told = std::process::Command::new(path).arg(flag).output().ok()?;
        let told = [told.stdout, told.stderr].concat();
        let version = version_in(&String::from_utf8_lossy(&told))?.to_owned();
        Some(format!("{} {version}", self.name()))
    }

    /// Starts the binary at `path` with a configuration whose blanks are filled in.
    pub(crate) async fn start(
        self,
        path: &Path,
        config: &str,
        blanks: &Blanks,
    ) -> Result<ProxyStage, StageError> {
        if self == Program::BarePingora {
            return ProxyStage::start_bare(path, blanks.upstream, blanks.threads).await;
        }
        let address = free_address()?;
        let directory = tempfile::tempdir().map_err(StageError::Configuration)?;
        // Envoy tells YAML by the name.
        let file = directory.path().join("peer.yaml");
        std::fs::write(&file, blanks.fill(config, address)).map_err(StageError::Configuration)?;
        let arguments = self.arguments(&file, directory.path(), blanks.threads);
        let mut server = Server::start(self.name(), path.as_os_str(), arguments)?;
        server.ready(address, STATS_PATH).await?;
        Ok(ProxyStage::of_peer(server, address, directory))
    }

    fn arguments(self, config: &Path, directory: &Path, threads: usize) -> Vec<String> {
        let (config, directory) = (config.display().to_string(), directory.display().to_string());
        let threads = threads.to_string();
        let words: Vec<&str> = match self {
            Program::BarePingora => Vec::new(),
            Program::Haproxy => vec!["-db", "-f", &config],
            Program::Nginx => vec!["-p", &directory, "-c", &config],
            Program::Envoy => {
                let quiet = ["--use-dynamic-base-id", "--log-level", "error"];
                [&["-c", &config, "--concurrency", &threads][..], &quiet].concat()
            }
        };
        words.into_iter().map(str::to_owned).collect()
    }
}

/// Where the program called `name` is: installed by us, built by us, or on the path.
fn find(name: &str, places: &Places) -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.to_owned()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::iter::once(places.directory.clone())
        .chain(beside)
        .chain(std::env::split_paths(&path))
        .chain(SYSTEM_PLACES.iter().map(PathBuf::from));
    directories.map(|directory| directory.join(name)).find(|program| program.is_file())
}

/// The first number of three parts, such as 2.6.12.
fn version_in(told: &str) -> Option<&str> {
    let words = told.split(|character: char| !(character.is_ascii_digit() || character == '.'));
    words.map(|word| word.trim_matches('.')).find(|word| word.split('.').count() == 3)
}

impl Blanks {
    fn fill(&self, config: &str, listen: SocketAddr) -> String {
        let values = [
            ("LISTEN", listen.to_string()),
            ("LISTEN_PORT", listen.port().to_string()),
            ("UPSTREAM", self.upstream.to_string()),
            ("UPSTREAM_PORT", self.upstream.port().to_string()),
            ("THREADS", self.threads.to_string()),
            ("MAXCONN", self.maxconn.to_string()),
            // Waiting requests for each place at the shop.
            ("QUEUE_SHORT", self.maxconn.to_string()),
            ("QUEUE_MIDDLE", (2 * self.maxconn).to_string()),
            ("QUEUE_LONG", (4 * self.maxconn).to_string()),
            ("QUEUE_MS", self.queue.as_millis().to_string()),
            ("SLO_S", format!("{:.3}", self.slo.as_secs_f64())),
        ];
        values
            .iter()
            .fold(config.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_the_first_number_of_three_parts() {
        for (told, version) in [
            ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", "2.6.12"),
            ("nginx version: nginx/1.22.1", "1.22.1"),
            ("envoy  version: 9e5580933739775e8bce/1.40.0/Clean/RELEASE/BoringSSL", "1.40.0"),
        ] {
            assert_eq!(version_in(told), Some(version));
        }
        assert_eq!(version_in("no such option: -v."), None);
    }

    #[test]
    fn blanks_of_every_configuration_are_filled_in() {
        let blanks = Blanks {
            upstream: "127.0.0.1:3000".parse().unwrap(),
            threads: 2,
            maxconn: 21,
            queue: Duration::from_millis(700),
            slo: Duration::from_secs(1),
        };
        for (config, filled) in [
            (include_str!("../peers/haproxy.cfg"), "server shop 127.0.0.1:3000 maxconn 21"),
            (include_str!("../peers/nginx.conf"), "limit_conn shop 21;"),
            (include_str!("../peers/envoy-adaptive.yaml"), "port_value: 3000"),
            (include_str!("../peers/envoy-admission.yaml"), "timeout: 1.000s"),
            (include_str!("../peers/plain/haproxy.cfg"), "bind 127.0.0.1:8080"),
            (include_str!("../peers/plain/nginx.conf"), "listen 127.0.0.1:8080"),
            (include_str!("../peers/plain/envoy.yaml"), "port_value: 8080"),
        ] {
            let text = blanks.fill(config, "127.0.0.1:8080".parse().unwrap());
            assert!(text.contains(filled), "{text}");
            let blank = text.lines().find(|line| !line.trim_start().starts_with('#') && line.contains("${"));
            assert_eq!(blank, None);
        }
    }
}
