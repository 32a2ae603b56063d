//! The endpoints of a pool: which is asked next, with which timeouts, and whether it is well. Where they are
//! is `endpoints`'.
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

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::services::background::BackgroundService;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_load_balancing::health_check::HealthCheck;
use pingora_load_balancing::selection::RoundRobin;
use pingora_load_balancing::{Backend, Backends, LoadBalancer};
use plimsoll_core::time::Time;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::watch;

use super::checks::{Asking, connecting};
use super::endpoints::{Endpoints, Found, Resolver};
use super::outliers::{Fared, Outliers};
use super::secrecy::Secrecy;
use crate::config::{Pool, Timeouts};
use crate::telemetry::connections::ConnectionMetrics;
use crate::tls::TlsError;

/// Looked at before giving up on a healthy one: each endpoint once, in any pool of a sensible size.
const TRIES_MAX: usize = 1_024;

/// Why a pool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// A file that the pool's TLS needs.
    #[error("pool `{pool}`: TLS: {error}")]
    Tls {
        /// The pool.
        pool: String,
        /// What is wrong.
        error: TlsError,
    },
}

/// The endpoints of one pool.
pub(super) struct Upstreams {
    timeouts: Timeouts,
    endpoints: Arc<Endpoints>,
    resolve_interval: Duration,
    secrecy: Option<Secrecy>,
    /// What its endpoints are asked for, if not only whether they are there.
    asking: Option<Asking>,
    balancer: Arc<LoadBalancer<RoundRobin>>,
    outliers: Outliers,
}

impl Upstreams {
    /// The endpoints of `pool`; there are none before the first look for them. `failures` counts lookups
    /// that fail.
    ///
    /// # Errors
    /// A file that its TLS needs.
    pub(super) fn new(
        pool: &Pool,
        resolver: Box<dyn Resolver>,
        failures: Counter,
    ) -> Result<Upstreams, UpstreamError> {
        let failed = |error| UpstreamError::Tls { pool: pool.name.clone(), error };
        let secrecy = pool.tls.as_ref().map(Secrecy::read).transpose().map_err(failed)?;
        let endpoints = Endpoints::new(pool.endpoints.clone(), resolver, failures);
        let asking = pool.health.path.as_ref().map(|path| Asking::for_path(path, secrecy.as_ref()));
        let check: Box<dyn HealthCheck + Send + Sync> = match &asking {
            None => connecting(),
            Some(asking) => Box::new(asking.clone()),
        };
        let backends = Backends::new(Box::new(Found(endpoints.clone())));
        let mut balancer = LoadBalancer::<RoundRobin>::from_backends(backends);
        balancer.set_health_check(check);
        balancer.health_check_frequency = Some(pool.health.interval);
        balancer.parallel_health_check = true;
        Ok(Upstreams {
            timeouts: pool.timeouts,
            endpoints,
            resolve_interval: pool.resolve_interval,
            secrecy,
            asking,
            balancer: Arc::new(balancer),
            outliers: Outliers::default(),
        })
    }

    /// Looks names up, and goes by what was found from then on.
    pub(super) async fn look_up(&self) {
        self.endpoints.look_up().await;
        self.outliers.keep(&self.endpoints.addresses());
        self.balancer.update().await.expect("what was found is at hand");
    }

    /// Checks the endpoints, and looks their names up, until `shutdown`.
    pub(super) async fn watch(self: Arc<Upstreams>, shutdown: watch::Receiver<bool>) {
        let checking = async {
            // With one endpoint the answer would change nothing.
            if self.endpoints.have_names() || self.count() > 1 {
                self.balancer.start(shutdown.clone()).await;
            }
        };
        tokio::join!(checking, self.keep_looking_up(shutdown.clone()));
    }

    async fn keep_looking_up(&self, mut shutdown: watch::Receiver<bool>) {
        while self.endpoints.have_names() {
            let over = async { drop(shutdown.wait_for(|is_over| *is_over).await) };
            tokio::select! {
                () = tokio::time::sleep(self.resolve_interval) => self.look_up().await,
                () = over => return,
            }
        }
    }

    /// The endpoint to ask next. `left` of the total time is left for it.
    pub(super) fn next(&self, left: Duration, now: Time) -> Option<(SocketAddr, HttpPeer)> {
        let address = self.next_address(now)?;
        let name = self.secrecy.as_ref().map(|secrecy| secrecy.server_name().to_owned());
        let mut peer = HttpPeer::new(address, name.is_some(), name.unwrap_or_default());
        if let Some(secrecy) = &self.secrecy {
            secrecy.apply(&mut peer);
        }
        let options = &mut peer.options;
        options.connection_timeout = Some(self.timeouts.connect.min(left));
        options.total_connection_timeout = Some(self.timeouts.connect.min(left));
        options.read_timeout = Some(self.timeouts.read.min(left));
        options.write_timeout = Some(self.timeouts.write.min(left));
        options.idle_timeout = Some(self.timeouts.idle);
        Some((address, peer))
    }

    /// Reads the files of its TLS anew, if there are any: requests and checks go by them from then on.
    fn reload(&self) -> Option<Result<(), TlsError>> {
        let secrecy = self.secrecy.as_ref()?;
        let renew = |is_new: bool| {
            if let Some(asking) = self.asking.as_ref().filter(|_| is_new) {
                asking.renew(secrecy);
            }
        };
        Some(secrecy.reload().map(renew))
    }

    /// Notes how a request fared at an endpoint. `true` if that one is left alone from now on.
    pub(super) fn observe(&self, endpoint: SocketAddr, fared: Fared, now: Time) -> bool {
        let is_ejected = self.outliers.observe(endpoint, fared, now);
        if is_ejected {
            log::warn!("{endpoint} is left alone: too many requests in a row failed there");
        }
        is_ejected
    }

    /// How often an endpoint may be tried for one request: each once.
    pub(super) fn tries_max(&self) -> usize {
        self.count()
    }

    fn count(&self) -> usize {
        self.balancer.backends().get_backend().len()
    }

    /// How long they may take.
    pub(super) fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    fn next_address(&self, now: Time) -> Option<SocketAddr> {
        let is_kept =
            |backend: &Backend| backend.addr.as_inet().is_some_and(|at| !self.outliers.is_ejected(*at, now));
        let chosen = self
            .balancer
            .select_with(b"", TRIES_MAX, |backend, is_healthy| is_healthy && is_kept(backend))
            .or_else(|| self.balancer.select(b"", TRIES_MAX))
            .or_else(|| self.balancer.select_with(b"", TRIES_MAX, |_, _| true))?;
        chosen.addr.as_inet().copied()
    }
}

/// Reads the TLS files of all pools anew. Those of a pool that cannot be used stay as they are.
pub(super) fn reload(pools: &[Arc<Upstreams>], metrics: &ConnectionMetrics) {
    for reloaded in pools.iter().filter_map(|pool| pool.reload()) {
        metrics.certificates_reloaded(reloaded.is_ok());
        match reloaded {
            Ok(()) => log::info!("certificates of a pool: read anew"),
            Err(error) => log::error!("certificates of a pool: those in use stay: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::endpoints::tests::{Told, at};
    use super::*;

    fn pool() -> Pool {
        Pool::new("default", vec!["shop.test:80".parse().unwrap()])
    }

    fn asked(upstreams: &Upstreams, now: Time) -> Vec<SocketAddr> {
        let mut asked: Vec<_> =
            (0..4).filter_map(|_| upstreams.next(Duration::from_secs(1), now)).map(|(at, _)| at).collect();
        asked.sort_unstable();
        asked.dedup();
        asked
    }

    #[tokio::test]
    async fn a_shop_that_moves_is_followed_and_what_it_left_behind_is_forgotten() {
        let told = Told::new(vec![Ok(vec![at(1), at(2)]), Ok(vec![at(2), at(3)]), Ok(vec![at(1), at(3)])]);
        let upstreams = Upstreams::new(&pool(), told, Counter::default()).unwrap();
        let now = Time::from_millis(1);
        assert_eq!(asked(&upstreams, now), []);
        upstreams.look_up().await;
        assert_eq!((asked(&upstreams, now), upstreams.tries_max()), (vec![at(1), at(2)], 2));
        for _ in 0..10 {
            upstreams.observe(at(1), Fared::Failed, now);
        }
        assert_eq!(asked(&upstreams, now), [at(2)]);
        upstreams.look_up().await;
        assert_eq!(asked(&upstreams, now), [at(2), at(3)]);
        // It is no longer there to be noted.
        assert!(!upstreams.observe(at(1), Fared::Failed, now));
        upstreams.look_up().await;
        assert_eq!(asked(&upstreams, now), [at(1), at(3)]);
        // The name is not known any more.
        upstreams.look_up().await;
        assert_eq!(asked(&upstreams, now), [at(1), at(3)]);
    }
}
