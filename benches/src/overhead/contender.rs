//! Who is measured: a plain proxy each, that refuses `/refuse` by itself.

use super::idle;
use crate::client::Client;
use crate::closed_loop::{self, Drill};
use crate::cpu_time;
use crate::peers::{Blanks, OwnProxy, Places, Program};
use crate::stage::{ProxyArgs, ProxyStage, StageError};
use crate::terminal;
use crate::vitals::resident_kib;
use anyhow::Context;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::NamedTempFile;
use tokio::task::JoinSet;

const PLIMSOLL: &str = include_str!("../../peers/plain/plimsoll.yaml");
const PEERS: [(Program, &str); 4] = [
    (Program::BarePingora, ""),
    (Program::Haproxy, include_str!("../../peers/plain/haproxy.cfg")),
    (Program::Nginx, include_str!("../../peers/plain/nginx.conf")),
    (Program::Envoy, include_str!("../../peers/plain/envoy.yaml")),
];

/// Enough to take one seat in a hundred of sixteen hundred, more than a busy thread has.
const HOLDERS: usize = 16;
/// Until they have them: connections are opened, and requests sent.
const SEATED_WITHIN: Duration = Duration::from_millis(300);

/// A proxy that is installed.
pub(super) enum Contender {
    Plimsoll { proxy: ProxyArgs, _policy: NamedTempFile },
    Peer { program: Program, path: PathBuf, config: &'static str },
}

/// A proxy that runs.
pub(super) struct Running {
    stage: ProxyStage,
    is_plimsoll: bool,
}

impl Contender {
    /// Everybody who is installed; the others are named.
    pub(super) fn installed(proxy: &OwnProxy, places: &Places) -> anyhow::Result<Vec<Contender>> {
        let mut policy = NamedTempFile::with_suffix(".yaml").context("cannot write a policy")?;
        policy.write_all(PLIMSOLL.as_bytes()).context("cannot write a policy")?;
        let own = ProxyArgs { policy: Some(policy.path().to_owned()), ..proxy.find(places)? };
        let mut field = vec![Contender::Plimsoll { proxy: own, _policy: policy }];
        for (program, config) in PEERS {
            match program.find(places) {
                Some(path) => field.push(Contender::Peer { program, path, config }),
                None => terminal::line(&program.missing()),
            }
        }
        Ok(field)
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Contender::Plimsoll { .. } => "plimsoll",
            Contender::Peer { program, .. } => program.name(),
        }
    }

    /// Starts it with one thread before `backend`.
    pub(super) async fn start(&self, backend: SocketAddr) -> Result<Running, StageError> {
        match self {
            Contender::Plimsoll { proxy, .. } => {
                let stage = ProxyStage::start(proxy, backend, Some(1)).await?;
                Ok(Running { stage, is_plimsoll: true })
            }
            Contender::Peer { program, path, config } => {
                // A plain proxy has no blanks but addresses and threads.
                let unused = Duration::from_secs(1);
                let blanks = Blanks { upstream: backend, threads: 1, maxconn: 0, queue: unused, slo: unused };
                Ok(Running { stage: program.start(path, config, &blanks).await?, is_plimsoll: false })
            }
        }
    }
}

impl Running {
    pub(super) fn address(&self) -> SocketAddr {
        self.stage.address
    }

    /// Microseconds of CPU time per request of `drill`, over a round of `length`.
    pub(super) async fn cpu_us(
        &self,
        drill: &Drill,
        connections: usize,
        length: Duration,
    ) -> anyhow::Result<f64> {
        let before = cpu_time::of_process(self.id()?)?;
        let requests = closed_loop::run(self.stage.address, drill, connections, length).await?;
        let spent = cpu_time::of_process(self.id()?)?.saturating_sub(before);
        Ok(spent.as_secs_f64() * 1e6 / requests.max(1) as f64)
    }

    /// The same for refusals. Plimsoll refuses for want of a seat: somebody has to take it first.
    pub(super) async fn cpu_us_refused(
        &self,
        drill: &Drill,
        connections: usize,
        length: Duration,
    ) -> anyhow::Result<f64> {
        // They give their seats back when they are dropped.
        let mut holders = JoinSet::new();
        if self.is_plimsoll {
            (0..HOLDERS).for_each(|_| hold(&mut holders, self.stage.address));
            tokio::time::sleep(SEATED_WITHIN).await;
        }
        let refused = self.cpu_us(drill, connections, length).await;
        drop(holders);
        refused
    }

    /// KiB of memory per connection in which nothing happens.
    pub(super) async fn idle_kib(&self, path: &str, connections: u32) -> anyhow::Result<f64> {
        let before = resident_kib(self.id()?)?;
        let clients = idle::open(self.stage.address, path, connections).await?;
        let after = resident_kib(self.id()?)?;
        Ok(after.saturating_sub(before) as f64 / clients.len() as f64)
    }

    pub(super) async fn stop(self) -> Result<(), StageError> {
        self.stage.stop().await
    }

    fn id(&self) -> anyhow::Result<u32> {
        self.stage.id().context("the proxy has ended")
    }
}

/// Takes a seat at `proxy` with a request that the backend never answers.
fn hold(holders: &mut JoinSet<()>, proxy: SocketAddr) {
    holders.spawn(async move {
        // Those who find no seat are refused like the others.
        let _ = Client::new(proxy).exchange(closed_loop::request(proxy, closed_loop::HOLD)).await;
    });
}
