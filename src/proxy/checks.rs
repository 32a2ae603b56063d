//! Health checks: whether somebody is there at an endpoint, or what he answers.
//!
//! A path is asked for under the TLS that requests are sent by, and Pingora's check keeps
//! what it was made with. So it is made anew when other files were read: else a shop that
//! has moved to another authority would be ill to its checks alone.
//!
//! When they are made, and what follows from them, is the balancer's.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora_core::Result;
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::{HealthCheck, HttpHealthCheck, TcpHealthCheck};

use super::secrecy::Secrecy;

/// An endpoint is ill after this many failed checks in a row, and well after one good one.
const FAILURES_TO_FALL: usize = 3;

/// Asks endpoints for a path.
#[derive(Clone)]
pub(super) struct Asking {
    path: Arc<str>,
    check: Arc<ArcSwap<HttpHealthCheck>>,
}

impl Asking {
    /// For `path`, under what is known of `secrecy` now.
    pub(super) fn for_path(path: &str, secrecy: Option<&Secrecy>) -> Asking {
        Asking { path: path.into(), check: Arc::new(ArcSwap::from_pointee(asking(path, secrecy))) }
    }

    /// From now on under what is known of `secrecy` now.
    pub(super) fn renew(&self, secrecy: &Secrecy) {
        self.check.store(Arc::new(asking(&self.path, Some(secrecy))));
    }
}

#[async_trait]
impl HealthCheck for Asking {
    async fn check(&self, target: &Backend) -> Result<()> {
        let check = self.check.load_full();
        check.check(target).await
    }

    fn health_threshold(&self, success: bool) -> usize {
        self.check.load().health_threshold(success)
    }
}

fn asking(path: &str, secrecy: Option<&Secrecy>) -> HttpHealthCheck {
    let name = secrecy.map_or("plimsoll.health", Secrecy::server_name);
    let mut check = HttpHealthCheck::new(name, secrecy.is_some());
    check.consecutive_failure = FAILURES_TO_FALL;
    check.req.set_uri(path.parse().expect("the configuration checked the path"));
    if let Some(secrecy) = secrecy {
        secrecy.apply(&mut check.peer_template);
    }
    check
}

/// Only connects, without TLS: a handshake a second would tell no more of whether somebody is there.
pub(super) fn connecting() -> Box<TcpHealthCheck> {
    let mut check = TcpHealthCheck::new();
    check.consecutive_failure = FAILURES_TO_FALL;
    check
}

#[cfg(test)]
mod tests {
    use super::super::secrecy::tests::{believing, write_authority};
    use super::*;

    #[test]
    fn a_path_is_asked_for_under_the_files_that_were_read_last() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("authority.pem");
        let secrecy = believing(&path);
        let asking = Asking::for_path("/health", Some(&secrecy));
        let shared = asking.clone();
        let group = |asking: &Asking| asking.check.load().peer_template.group_key;
        let first = group(&shared);
        write_authority(&path);
        assert!(secrecy.reload().unwrap());
        assert_eq!(group(&shared), first);
        asking.renew(&secrecy);
        assert_ne!(group(&shared), first);
        assert_eq!((shared.health_threshold(true), shared.health_threshold(false)), (1, FAILURES_TO_FALL));
    }
}
