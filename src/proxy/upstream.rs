//! The endpoints of a pool: which is asked next, with which timeouts, and whether it is well.
//!
//! Round robin over the endpoints that answer their health checks, from
//! pingora-load-balancing, and that requests did not fail at lately. If none is
//! left, all are asked all the same: a check that is wrong must not close the shop,
//! and a pool of one has no other choice.
//!
//! Over TLS, an endpoint must show a certificate for the pool's name; Pingora would not
//! verify one without a name, so there is none without.
//!
//! Health checks go straight to the endpoints; no gate sees them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::protocols::tls::CaType;
use pingora_core::services::background::BackgroundService;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::utils::tls::{CertKey, WrappedX509, parse_x509};
use pingora_load_balancing::health_check::{HealthCheck, HttpHealthCheck, TcpHealthCheck};
use pingora_load_balancing::selection::RoundRobin;
use pingora_load_balancing::{Backend, LoadBalancer};
use plimsoll_core::time::Time;
use tokio::sync::watch;

use super::outliers::{Fared, Outliers};
use crate::config::{Pool, Timeouts, UpstreamTls};
use crate::tls::TlsError;
use crate::tls::upstream::UpstreamFiles;

/// Looked at before giving up on a healthy one: each endpoint once, in any pool of a sensible size.
const TRIES_MAX: usize = 1_024;
/// An endpoint is ill after this many failed checks in a row, and well after one good one.
const FAILURES_TO_FALL: usize = 3;

/// Why a pool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The balancer does not take an address, which it takes all of.
    #[error("an endpoint cannot be used: {0}")]
    Endpoint(#[from] io::Error),
    /// A file that the pool's TLS needs.
    #[error("pool `{pool}`: TLS: {error}")]
    Tls {
        /// The pool.
        pool: String,
        /// What is wrong.
        error: TlsError,
    },
}

/// Whom endpoints are to be, and what we show them.
struct Secrecy {
    server_name: String,
    authorities: Option<Arc<CaType>>,
    identity: Option<Arc<CertKey>>,
}

/// The endpoints of one pool.
pub(super) struct Upstreams {
    timeouts: Timeouts,
    endpoints: Vec<SocketAddr>,
    secrecy: Option<Secrecy>,
    balancer: Arc<LoadBalancer<RoundRobin>>,
    outliers: Outliers,
}

impl Upstreams {
    /// The endpoints of `pool`.
    ///
    /// # Errors
    /// A file that its TLS needs.
    pub(super) fn new(pool: &Pool) -> Result<Upstreams, UpstreamError> {
        let failed = |error| UpstreamError::Tls { pool: pool.name.clone(), error };
        let secrecy = pool.tls.as_ref().map(Secrecy::read).transpose().map_err(failed)?;
        let mut balancer = LoadBalancer::<RoundRobin>::try_from_iter(pool.endpoints.iter())?;
        balancer.set_health_check(health_check(pool, secrecy.as_ref()));
        balancer.health_check_frequency = Some(pool.health.interval);
        balancer.parallel_health_check = true;
        Ok(Upstreams {
            timeouts: pool.timeouts,
            endpoints: pool.endpoints.clone(),
            secrecy,
            balancer: Arc::new(balancer),
            outliers: Outliers::new(pool.endpoints.len()),
        })
    }

    /// Checks the endpoints until `shutdown`.
    pub(super) async fn run_checks(self: Arc<Upstreams>, shutdown: watch::Receiver<bool>) {
        // With one endpoint the answer would change nothing.
        if self.endpoints.len() > 1 {
            self.balancer.start(shutdown).await;
        }
    }

    /// The endpoint to ask next, with its index. `left` of the total time is left for it.
    pub(super) fn next(&self, left: Duration, now: Time) -> Option<(usize, HttpPeer)> {
        let index = self.next_index(now)?;
        let name = self.secrecy.as_ref().map(|secrecy| secrecy.server_name.clone());
        let mut peer = HttpPeer::new(self.endpoints[index], name.is_some(), name.unwrap_or_default());
        if let Some(secrecy) = &self.secrecy {
            secrecy.apply(&mut peer);
        }
        let options = &mut peer.options;
        options.connection_timeout = Some(self.timeouts.connect.min(left));
        options.total_connection_timeout = Some(self.timeouts.connect.min(left));
        options.read_timeout = Some(self.timeouts.read.min(left));
        options.write_timeout = Some(self.timeouts.write.min(left));
        Some((index, peer))
    }

    /// Notes how a request fared at an endpoint. `true` if that one is left alone from now on.
    pub(super) fn observe(&self, index: usize, fared: Fared, now: Time) -> bool {
        // With one endpoint it would change nothing.
        let is_ejected = self.endpoints.len() > 1 && self.outliers.observe(index, fared, now);
        if is_ejected {
            log::warn!("{} is left alone: too many requests in a row failed there", self.endpoints[index]);
        }
        is_ejected
    }

    /// How often an endpoint may be tried for one request: each once.
    pub(super) fn tries_max(&self) -> usize {
        self.endpoints.len()
    }

    /// How long they may take.
    pub(super) fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    fn next_index(&self, now: Time) -> Option<usize> {
        if self.endpoints.len() == 1 {
            return Some(0);
        }
        let is_kept = |backend: &Backend| {
            self.index_of(backend).is_some_and(|index| !self.outliers.is_ejected(index, now))
        };
        let chosen = self
            .balancer
            .select_with(b"", TRIES_MAX, |backend, is_healthy| is_healthy && is_kept(backend))
            .or_else(|| self.balancer.select(b"", TRIES_MAX))
            .or_else(|| self.balancer.select_with(b"", TRIES_MAX, |_, _| true))?;
        self.index_of(&chosen)
    }

    fn index_of(&self, backend: &Backend) -> Option<usize> {
        let address = backend.addr.as_inet()?;
        self.endpoints.iter().position(|endpoint| endpoint == address)
    }
}

impl Secrecy {
    fn read(settings: &UpstreamTls) -> Result<Secrecy, TlsError> {
        let files = UpstreamFiles::read(settings)?;
        let parsed = |der: Vec<u8>| WrappedX509::new(der, parse_x509);
        Ok(Secrecy {
            server_name: settings.server_name.clone(),
            authorities: files.authorities.map(|all| all.into_iter().map(parsed).collect()),
            identity: files.identity.map(|(chain, key)| Arc::new(CertKey::new(chain, key))),
        })
    }

    fn apply(&self, peer: &mut HttpPeer) {
        peer.options.ca.clone_from(&self.authorities);
        peer.client_cert_key.clone_from(&self.identity);
    }
}

fn health_check(pool: &Pool, secrecy: Option<&Secrecy>) -> Box<dyn HealthCheck + Send + Sync> {
    match &pool.health.path {
        // Without TLS: a handshake a second would tell no more of whether somebody is there.
        None => {
            let mut check = TcpHealthCheck::new();
            check.consecutive_failure = FAILURES_TO_FALL;
            check
        }
        Some(path) => {
            let name = secrecy.map_or("plimsoll.health", |secrecy| &secrecy.server_name);
            let mut check = HttpHealthCheck::new(name, secrecy.is_some());
            check.consecutive_failure = FAILURES_TO_FALL;
            check.req.set_uri(path.parse().expect("the configuration checked the path"));
            if let Some(secrecy) = secrecy {
                secrecy.apply(&mut check.peer_template);
            }
            Box::new(check)
        }
    }
}
