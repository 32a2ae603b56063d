//! Where the endpoints of a pool are: addresses as they are written, and names looked up again and again.
//!
//! A shop that moves, or grows by a machine, changes what its name stands for. Each
//! name is looked up once in an interval, beside the requests, never by one. A name
//! that cannot be looked up, or of which nobody says anything, stays what it was: a
//! name server that fails must not take the shop with it.
//!
//! The system's resolver is asked, so that `/etc/hosts` counts; it does not tell how
//! long an answer is good for. Which of the endpoints is asked next is `upstream`'s.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::{Backend, Extensions};
use prometheus_client::metrics::counter::Counter;

use crate::config::Endpoint;

/// A resolver that takes longer has failed: what the system's waits for one server by default.
const LOOKUP_MAX: Duration = Duration::from_secs(5);
/// More addresses than one name of a shop has; what an answer of DNS can hold is thousands.
const ADDRESSES_MAX: usize = 256;

/// Whoever knows the addresses of names.
#[async_trait]
pub(super) trait Resolver: Send + Sync {
    /// All addresses of `host`, with this port.
    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The resolver of the system, asked on a thread that may wait.
pub(super) struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// The endpoints of one pool, as they are written and as they were found.
pub(super) struct Endpoints {
    written: Vec<Endpoint>,
    /// The addresses of each. Locked to read or to replace those of one.
    found: Mutex<Vec<Vec<SocketAddr>>>,
    resolver: Box<dyn Resolver>,
    /// After which it has failed.
    lookup_max: Duration,
    failures: Counter,
}

impl Endpoints {
    /// Those that are written, none of whose names is looked up yet; `failures` counts lookups that fail.
    pub(super) fn new(
        written: Vec<Endpoint>,
        resolver: Box<dyn Resolver>,
        failures: Counter,
    ) -> Arc<Endpoints> {
        let found = written.iter().map(|endpoint| match endpoint {
            Endpoint::Address(address) => vec![*address],
            Endpoint::Name { .. } => Vec::new(),
        });
        let found = Mutex::new(found.collect());
        Arc::new(Endpoints { written, found, resolver, lookup_max: LOOKUP_MAX, failures })
    }

    /// Whether there are names among them.
    pub(super) fn have_names(&self) -> bool {
        self.written.iter().any(|endpoint| matches!(endpoint, Endpoint::Name { .. }))
    }

    /// Looks all names up, at once. What cannot be found stays where it was.
    pub(super) async fn look_up(self: &Arc<Endpoints>) {
        let mut lookups = tokio::task::JoinSet::new();
        for index in 0..self.written.len() {
            let endpoints = self.clone();
            lookups.spawn(async move { endpoints.look_up_one(index).await });
        }
        lookups.join_all().await;
    }

    async fn look_up_one(&self, index: usize) {
        let Endpoint::Name { host, port } = &self.written[index] else { return };
        let answer = tokio::time::timeout(self.lookup_max, self.resolver.look_up(host, *port)).await;
        let why = match answer {
            Ok(Ok(mut addresses)) if !addresses.is_empty() => {
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(ADDRESSES_MAX);
                return self.put(index, addresses);
            }
            Ok(Ok(_)) => "it has no address".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {:?}", self.lookup_max),
        };
        self.failures.inc();
        let kept = self.lock()[index].len();
        log::warn!("{host}:{port} cannot be looked up, {kept} known addresses stay: {why}");
    }

    fn put(&self, index: usize, addresses: Vec<SocketAddr>) {
        let mut found = self.lock();
        if found[index] != addresses {
            log::info!("{} is at {addresses:?}", self.written[index]);
            found[index] = addresses;
        }
    }

    /// The addresses of all, each once.
    pub(super) fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.lock().iter().flatten().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<SocketAddr>>> {
        // Replaced whole, so that a poisoned one is whole, too.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was found, for Pingora's balancer.
pub(super) struct Found(pub(super) Arc<Endpoints>);

#[async_trait]
impl ServiceDiscovery for Found {
    async fn discover(&self) -> pingora_core::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let backend = |address: SocketAddr| Backend {
            addr: PeerAddress::Inet(address),
            weight: 1,
            ext: Extensions::new(),
        };
        Ok((self.0.addresses().into_iter().map(backend).collect(), HashMap::new()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Answers as it is told, in turn; then fails.
    pub(crate) struct Told(Mutex<Vec<io::Result<Vec<SocketAddr>>>>);

    impl Told {
        pub(crate) fn new(answers: Vec<io::Result<Vec<SocketAddr>>>) -> Box<Told> {
            Box::new(Told(Mutex::new(answers.into_iter().rev().collect())))
        }
    }

    #[async_trait]
    impl Resolver for Told {
        async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            assert_eq!((host, port), ("shop.test", 80));
            self.0.lock().unwrap().pop().unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))
        }
    }

    /// An address of a test, by its last part.
    pub(crate) fn at(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 80))
    }

    fn found(endpoints: &Endpoints) -> Vec<SocketAddr> {
        endpoints.addresses().into_iter().collect()
    }

    #[tokio::test]
    async fn a_name_moves_with_its_answers_and_an_address_stays() {
        let written = vec![Endpoint::Address(at(1)), "shop.test:80".parse().unwrap()];
        let told = Told::new(vec![Ok(vec![at(3), at(2), at(3)]), Ok(vec![at(4)])]);
        let endpoints = Endpoints::new(written, told, Counter::default());
        assert!(endpoints.have_names());
        assert_eq!(found(&endpoints), [at(1)]);
        endpoints.look_up().await;
        assert_eq!(found(&endpoints), [at(1), at(2), at(3)]);
        endpoints.look_up().await;
        assert_eq!(found(&endpoints), [at(1), at(4)]);
    }

    #[tokio::test]
    async fn a_lookup_that_fails_or_finds_nothing_keeps_the_last_answer() {
        let told = Told::new(vec![
            Ok(vec![at(1)]),
            Err(io::ErrorKind::TimedOut.into()),
            Ok(Vec::new()),
            Ok(vec![at(2)]),
        ]);
        let failures = Counter::default();
        let endpoints = Endpoints::new(vec!["shop.test:80".parse().unwrap()], told, failures.clone());
        for (expected, failed) in [(1, 0), (1, 1), (1, 2), (2, 2), (2, 3)] {
            endpoints.look_up().await;
            assert_eq!((found(&endpoints), failures.get()), (vec![at(expected)], failed));
        }
    }

    #[tokio::test]
    async fn a_resolver_that_never_answers_has_failed() {
        struct Silent;
        #[async_trait]
        impl Resolver for Silent {
            async fn look_up(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
                std::future::pending().await
            }
        }
        let failures = Counter::default();
        let written = vec!["shop.test:80".parse().unwrap()];
        let mut endpoints = Endpoints::new(written, Box::new(Silent), failures.clone());
        Arc::get_mut(&mut endpoints).unwrap().lookup_max = Duration::from_millis(1);
        endpoints.look_up().await;
        assert_eq!((found(&endpoints), failures.get()), (Vec::new(), 1));
    }

    #[tokio::test]
    async fn a_name_has_no_more_addresses_than_its_bound() {
        let many = |count: u16| (0..count).map(|port| SocketAddr::from(([192, 0, 2, 1], port))).collect();
        for (count, expected) in [(256, 256), (257, 256)] {
            let told = Told::new(vec![Ok(many(count))]);
            let endpoints = Endpoints::new(vec!["shop.test:80".parse().unwrap()], told, Counter::default());
            endpoints.look_up().await;
            assert_eq!(found(&endpoints).len(), expected);
        }
    }
}
