//! `plimsoll serve`: listeners, signals, life and end of the process.
//!
//! The runtime is ours and not Pingora's `Server`: that sleeps its whole grace
//! period on SIGTERM even when idle, and a port in use is a panic in it. Here,
//! a port in use is a message, and a drained process ends at once.
//!
//! What the flags come to is `flags`'s part, how the sockets pass to the next process `handover`'s.

pub mod flags;
mod handover;
mod logging;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use pingora_core::apps::HttpServerOptions;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::{Admin, access};
use crate::cli::serve::flags::Arguments;
use crate::cli::serve::handover::{Predecessor, Sockets};
use crate::config::{ServerTls, UpstreamTls};
use crate::memory;
use crate::policy::includes::{self, Tests};
use crate::policy::watch::PolicyWatch;
use crate::proxy::doors::Doors;
use crate::proxy::preface::EitherHttp;
use crate::proxy::service::Plimsoll;
use crate::serving::{Applying, Serving, timetable, vigil};

/// How long connections that wait for a request are kept after SIGTERM: clients that are busy send their
/// next one within this, and a process that has nothing to do ends within a second.
const LINGER: Duration = Duration::from_millis(500);
/// How often a draining process looks whether it is idle.
const DRAIN_STEP: Duration = Duration::from_millis(20);
/// Connections to upstreams that are kept for the next request.
const UPSTREAM_KEEPALIVE: usize = 1_024;

type ProxyDoors = Doors<HttpProxy<Plimsoll>>;

/// All that reads certificates.
struct Certificates {
    doors: Arc<ProxyDoors>,
    pools: Box<dyn Fn() + Send + Sync>,
}

impl Certificates {
    /// Reads them anew, towards clients and towards shops.
    fn reload(&self) {
        self.doors.reload_certificates();
        (self.pools)();
    }
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// Settings, a policy or an address that cannot be used.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    logging::start();
    let config = arguments.settings()?;
    let (sockets, predecessor) = Sockets::open(&config)?;
    let admin = sockets.admin.as_ref().map(TcpListener::try_clone).transpose()?;
    let admin = access::bind(&config.admin, admin, predecessor.is_some())?;
    let serving = Serving::start(config)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = serving.config.threads {
        runtime.worker_threads(threads);
    }
    let runtime = runtime.enable_all().thread_name("plimsoll").build().context("cannot start threads")?;
    runtime.block_on(serve(serving, sockets, predecessor, admin))?;
    // Streams that outlived the drain end here.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

/// Prints an error as every command does.
pub fn complain(error: &anyhow::Error) -> ExitCode {
    eprintln!("plimsoll: {}", told(error));
    ExitCode::FAILURE
}

/// An error with its causes, except for those whose words are in it already.
fn told(error: &anyhow::Error) -> String {
    let mut told = error.to_string();
    for cause in error.chain().skip(1).map(|cause| cause.to_string()) {
        if !told.contains(&cause) {
            told.push_str(&format!(": {cause}"));
        }
    }
    told
}

/// Serves until it is told to end, or until a successor serves.
async fn serve(
    serving: Arc<Serving>,
    sockets: Sockets,
    predecessor: Option<Predecessor>,
    admin: Vec<access::Bound>,
) -> anyhow::Result<()> {
    let mut signals = Signals::catch().context("cannot catch signals")?;
    let (stop, stopped) = watch::channel(false);
    memory::recall(&serving);
    let proxy = Plimsoll::new(serving.clone()).await?;
    start_keepers(&serving, &proxy, &stopped);
    let (strain, pools) = (proxy.strain(), proxy.reloading());
    let Sockets { listeners, .. } = sockets.duplicate().context("cannot duplicate the sockets")?;
    // The listener knows the port that the system chose where `:0` was asked for.
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    let (doors, mut accepting) =
        Doors::open(http(proxy, serving.clone()), serving.clone(), listeners, strain, &stopped)?;
    let certificates = Arc::new(Certificates { doors: doors.clone(), pools });
    let (api, mut admin_api) = open_admin(&serving, &certificates, admin)?;
    announce(&serving, &addresses);
    let watching = (watch_policy(&serving), watch_certificates(&serving, &certificates));
    let saving = tokio::spawn(keep_saving(serving.clone()));
    api.set_ready(true);
    tell_service_manager(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
    if let Some(Err(error)) = predecessor.map(Predecessor::relieve) {
        log::warn!("the process before this one is gone: {error}");
    }
    let end = until_the_end(&mut signals, &serving, &certificates, &sockets).await;
    match end {
        End::Stopped => {
            memory::save(&serving);
            api.set_ready(false);
            tell_service_manager(&[NotifyState::Stopping]);
        }
        // The admin API is the successor's from here on.
        End::Succeeded => admin_api.shutdown().await,
    }
    saving.abort();
    log::info!("draining");
    drop((watching, sockets));
    stop.send_replace(true);
    while accepting.join_next().await.is_some() {}
    drain_as_told(&mut signals, &serving, &doors, end).await;
    serving.finish_journal();
    Ok(())
}

/// Logs where it listens, and by which policy it serves.
fn announce(serving: &Serving, addresses: &[SocketAddr]) {
    let running = serving.running();
    let (number, source) = (running.generation.number, &running.generation.policy.source);
    for address in addresses {
        log::info!("listening on {address}, generation {number}: {source}, process {}", std::process::id());
    }
}

/// Starts what goes on beside the requests, until the process ends: checks of endpoints, timers of gates, an eye
/// on memory, on what a new policy does, and on the hour.
fn start_keepers(serving: &Arc<Serving>, proxy: &Plimsoll, stopped: &watch::Receiver<bool>) {
    let metrics = serving.metrics.connections.clone();
    tokio::spawn(proxy.strain().watch(serving.config.memory_bytes_max, serving.clock, metrics));
    for watch in proxy.watch_endpoints(stopped) {
        tokio::spawn(watch);
    }
    for pool in &serving.pools {
        let gate = pool.gate.clone();
        tokio::spawn(async move { gate.run_timer().await });
    }
    tokio::spawn(vigil::keep(serving.clone()));
    tokio::spawn(timetable::keep(serving.clone()));
}

/// Serves the admin API wherever it is bound.
fn open_admin(
    serving: &Arc<Serving>,
    certificates: &Arc<Certificates>,
    bound: Vec<access::Bound>,
) -> anyhow::Result<(Arc<Admin>, JoinSet<()>)> {
    let reading = certificates.clone();
    let api = Admin::new(serving.clone(), move || reading.reload());
    let mut serving = JoinSet::new();
    for bound in bound {
        let (listener, access) = bound.into_listener()?;
        serving.spawn(api.clone().serve(listener, access));
    }
    Ok((api, serving))
}

fn http(proxy: Plimsoll, serving: Arc<Serving>) -> EitherHttp<HttpProxy<Plimsoll>> {
    let settings = ServerConf { upstream_keepalive_pool_size: UPSTREAM_KEEPALIVE, ..ServerConf::default() };
    let strain = proxy.strain();
    let mut app = http_proxy(&Arc::new(settings), proxy);
    // Pingora would refuse CONNECT without a word to anybody; hygiene refuses and counts it.
    let mut options = HttpServerOptions::default();
    options.allow_connect_method_proxying = true;
    app.server_options = Some(options);
    EitherHttp::new(app, serving, strain)
}

/// Reloads when the policy's files change. Dropping it ends that.
fn watch_policy(serving: &Arc<Serving>) -> Option<PolicyWatch> {
    let path = serving.config.policy.clone()?;
    let reloading = serving.clone();
    let policy = path.clone();
    // A reload tries its tests as well.
    let files = move || includes::files(&policy, Tests::Beside).unwrap_or_default();
    let watch = PolicyWatch::start(&path, files, move || {
        // What went wrong is logged and counted there.
        let _ = reloading.reload(Applying::Changed);
    });
    watch.inspect_err(|error| log::error!("{}: not watched: {error}", path.display())).ok()
}

/// Reads certificates anew when their files change. Dropping it ends that.
fn watch_certificates(serving: &Arc<Serving>, certificates: &Arc<Certificates>) -> Option<PolicyWatch> {
    let config = &serving.config;
    let of_doors =
        config.listen.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(ServerTls::files);
    let of_pools = config.pools.iter().filter_map(|pool| pool.tls.as_ref()).flat_map(UpstreamTls::files);
    let files: Vec<PathBuf> = of_doors.chain(of_pools).map(Path::to_owned).collect();
    let first = files.first()?.clone();
    let reading = certificates.clone();
    let watch = PolicyWatch::start(&first, move || files.clone(), move || reading.reload());
    watch.inspect_err(|error| log::error!("{}: not watched: {error}", first.display())).ok()
}

/// Without one, nobody is told.
fn tell_service_manager(states: &[NotifyState<'_>]) {
    sd_notify::notify(states).unwrap_or_else(|error| log::warn!("the service manager was not told: {error}"));
}

/// Why a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was told to.
    Stopped,
    /// Another one serves in its place.
    Succeeded,
}

/// What an operator tells a process. Caught from the start: a signal that nobody listens for kills.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    upgrade: Signal,
}

impl Signals {
    fn catch() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits until the process is told to end.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Does what it is told on SIGHUP (read everything anew) and SIGUSR2 (hand over to this program as it is
/// on disk now) until SIGTERM, SIGINT, or a successor. Told to end while a successor starts, it ends with it.
async fn until_the_end(
    signals: &mut Signals,
    serving: &Arc<Serving>,
    certificates: &Arc<Certificates>,
    sockets: &Sockets,
) -> End {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return End::Stopped,
            _ = signals.interrupt.recv() => return End::Stopped,
            _ = signals.hangup.recv() => {
                let (serving, certificates) = (serving.clone(), certificates.clone());
                tokio::task::spawn_blocking(move || {
                    certificates.reload();
                    serving.reload(Applying::Changed)
                });
            }
            _ = signals.upgrade.recv() => {
                let handed_over = tokio::select! {
                    handed_over = hand_over(serving, sockets) => handed_over,
                    () = signals.end() => return End::Stopped,
                };
                match handed_over {
                    Ok(successor) => {
                        log::info!("process {successor} serves from here on");
                        return End::Succeeded;
                    }
                    Err(error) => log::error!("no upgrade, this process goes on: {error:#}"),
                }
            }
        }
    }
}

async fn hand_over(serving: &Serving, sockets: &Sockets) -> anyhow::Result<u32> {
    // The successor begins with what is known now.
    memory::save(serving);
    sockets.hand_over(&serving.config).await
}

async fn keep_saving(serving: Arc<Serving>) {
    loop {
        tokio::time::sleep(memory::INTERVAL).await;
        let serving = serving.clone();
        let _ = tokio::task::spawn_blocking(move || memory::save(&serving)).await;
    }
}

/// Drains, and no longer as a predecessor may once it is told to end: then somebody waits for it.
async fn drain_as_told(signals: &mut Signals, serving: &Serving, doors: &ProxyDoors, end: End) {
    if end == End::Succeeded {
        tokio::select! {
            () = drain(serving, doors, end) => return,
            () = signals.end() => log::info!("told to end, without waiting for streams"),
        }
    }
    drain(serving, doors, End::Stopped).await;
}

/// Waits until every client has its answer, but not for ever. Seats tell less: they are given back
/// while slow readers still read. Event streams and WebSockets are waited for only where nobody waits for us.
async fn drain(serving: &Serving, doors: &ProxyDoors, end: End) {
    let (max, linger) = match end {
        End::Stopped => (serving.config.drain.stop, LINGER),
        // Nobody waits for this process to end.
        End::Succeeded => (serving.config.drain.upgrade, serving.config.connections.idle),
    };
    let idle = async {
        // A client that comes back on its connection learns from an answer that it was the last.
        let _ = tokio::time::timeout(linger, until(|| doors.connections() == 0)).await;
        doors.close_idle().await;
        until(|| serving.is_idle()).await;
        // Nor for the end of streams, which have none: they go on for as long as they may.
        if end == End::Succeeded {
            until(|| doors.connections() == 0).await;
        }
    };
    if tokio::time::timeout(max, idle).await.is_err() {
        log::warn!("requests or streams were still unfinished after {max:?}");
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(DRAIN_STEP).await;
    }
}
