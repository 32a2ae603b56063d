//! Who may stand before a shop: nobody, plimsoll, or somebody else's proxy.
//!
//! Each guards the same shop in its own way, as its best operator would have it. It
//! does not say who is put to the test: that is the command's.

use crate::peers::{Blanks, Program};
use crate::scenario::Scenario;
use crate::stage::{ProxyArgs, ProxyStage, StageError};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const HAPROXY: &str = include_str!("../peers/haproxy.cfg");
const NGINX: &str = include_str!("../peers/nginx.conf");
const ENVOY_ADAPTIVE: &str = include_str!("../peers/envoy-adaptive.yaml");
const ENVOY_ADMISSION: &str = include_str!("../peers/envoy-admission.yaml");
/// How long HAProxy lets a request wait, as a share of the SLO: what is left is for the service.
const QUEUE_SHARE: f64 = 0.7;

/// A way to guard a shop.
#[derive(Clone, Debug)]
pub(crate) enum Contestant {
    /// Nobody does.
    Direct,
    Plimsoll(ProxyArgs),
    Peer(Peer),
}

/// Somebody else's proxy, with one configuration.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    program: Program,
    path: PathBuf,
    config: &'static str,
    /// What tells it from the same program with another configuration.
    variant: Option<String>,
    maxconn: u32,
}

impl Peer {
    /// HAProxy with priorities, and so many requests at the shop at once.
    pub(crate) fn haproxy(path: PathBuf, maxconn: u32) -> Peer {
        let variant = Some(format!("maxconn {maxconn}"));
        Peer { program: Program::Haproxy, path, config: HAPROXY, variant, maxconn }
    }

    /// nginx, with so many unimportant requests at the shop at once.
    pub(crate) fn nginx(path: PathBuf, limit: u32) -> Peer {
        let variant = Some(format!("limit_conn {limit}"));
        Peer { program: Program::Nginx, path, config: NGINX, variant, maxconn: limit }
    }

    /// Envoy with adaptive concurrency.
    pub(crate) fn envoy_adaptive(path: PathBuf) -> Peer {
        let variant = Some("adaptive concurrency".into());
        Peer { program: Program::Envoy, path, config: ENVOY_ADAPTIVE, variant, maxconn: 0 }
    }

    /// Envoy with admission control.
    pub(crate) fn envoy_admission(path: PathBuf) -> Peer {
        let variant = Some("admission control".into());
        Peer { program: Program::Envoy, path, config: ENVOY_ADMISSION, variant, maxconn: 0 }
    }

    /// Pingora, and nothing else.
    pub(crate) fn bare_pingora(path: PathBuf) -> Peer {
        Peer { program: Program::BarePingora, path, config: "", variant: None, maxconn: 0 }
    }
}

impl Contestant {
    /// Which version of somebody else's proxy it is.
    pub(crate) fn version(&self) -> Option<String> {
        match self {
            Contestant::Direct | Contestant::Plimsoll(_) => None,
            Contestant::Peer(peer) => peer.program.version(&peer.path),
        }
    }

    /// Sets it up before the shop at `upstream`; `None` for nobody.
    pub(crate) async fn start(
        &self,
        upstream: SocketAddr,
        scenario: &Scenario,
    ) -> Result<Option<ProxyStage>, StageError> {
        match self {
            Contestant::Direct => Ok(None),
            Contestant::Plimsoll(proxy) => ProxyStage::start_behind_edge(proxy, upstream).await.map(Some),
            Contestant::Peer(peer) => peer.start(upstream, scenario.slo).await.map(Some),
        }
    }
}

impl Peer {
    async fn start(&self, upstream: SocketAddr, slo: Duration) -> Result<ProxyStage, StageError> {
        let queue = slo.mul_f64(QUEUE_SHARE);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let blanks = Blanks { upstream, threads, maxconn: self.maxconn, queue, slo };
        self.program.start(&self.path, self.config, &blanks).await
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Contestant::Direct => f.write_str("no proxy"),
            Contestant::Plimsoll(_) => f.write_str("plimsoll"),
            Contestant::Peer(peer) => match &peer.variant {
                Some(variant) => write!(f, "{}, {variant}", peer.program.name()),
                None => f.write_str(peer.program.name()),
            },
        }
    }
}
