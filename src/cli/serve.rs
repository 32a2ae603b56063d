//! `plimsoll serve`: listeners, signals, life and end of the process.
//!
//! The runtime is ours and not Pingora's `Server`: that sleeps its whole grace
//! period on SIGTERM even when idle, and a port in use is a panic in it. Here,
//! a port in use is a message, and a drained process ends at once.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::IntoRawFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use parking_lot::Mutex;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{Fds, ListenFds};
use pingora_core::services::Service as _;
use pingora_proxy::{HttpProxy, http_proxy};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::admin::{Admin, access};
use crate::cli::model::own_program;
use crate::config::{AdminPlace, Config, DEFAULT_POOL, JOURNAL_BYTES_MAX, Pool};
use crate::journal::writer::JournalSettings;
use crate::policy::watch::PolicyWatch;
use crate::proxy::preface::EitherHttp;
use crate::proxy::service::Plimsoll;
use crate::serving::{Applying, Serving, vigil};

/// How long requests in flight may take to finish after SIGTERM.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// How often a draining process looks whether it is idle.
const DRAIN_STEP: Duration = Duration::from_millis(20);
/// Connections to upstreams that are kept for the next request.
const UPSTREAM_KEEPALIVE: usize = 1_024;

/// The flags of `serve`: shorthand for a settings file.
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

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// Settings, a policy or an address that cannot be used.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    start_log();
    let config = settings(arguments)?;
    let listeners = config.listen.iter().map(|address| bind(*address)).collect::<Result<Vec<_>, _>>()?;
    let admin = access::bind(&config.admin)?;
    let serving = Serving::start(config)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = serving.config.threads {
        runtime.worker_threads(threads);
    }
    let runtime = runtime.enable_all().thread_name("plimsoll").build().context("cannot start threads")?;
    runtime.block_on(serve(serving, listeners, admin))?;
    // Streams that outlived the drain end here.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

/// Prints an error as every command does.
pub fn complain(error: &anyhow::Error) -> ExitCode {
    eprintln!("plimsoll: {error:#}");
    ExitCode::FAILURE
}

/// Ours is told from `info` on, until the admin API says otherwise; Pingora's errors only, for it warns of
/// each client that leaves.
fn start_log() {
    let mut log =
        env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("plimsoll=trace,error"));
    // Started twice only by tests, which have no use for a second log.
    let _ = log.try_init();
    if std::env::var_os(env_logger::DEFAULT_FILTER_ENV).is_none() {
        log::set_max_level(log::LevelFilter::Info);
    }
}

fn settings(arguments: Arguments) -> anyhow::Result<Config> {
    let mut config = match &arguments.config {
        Some(path) => Config::read(path)?,
        None => Config::default(),
    };
    if !arguments.listen.is_empty() {
        config.listen = arguments.listen;
    }
    if !arguments.upstream.is_empty() {
        let endpoints = arguments.upstream.iter().map(|name| resolve(name));
        config.pools.retain(|pool| pool.name != DEFAULT_POOL);
        config.pools.push(Pool::new(DEFAULT_POOL, endpoints.collect::<anyhow::Result<_>>()?));
    }
    match arguments.admin {
        Some(AdminPlace::Address(address)) => config.admin.listen = Some(address),
        Some(AdminPlace::Socket(socket)) => config.admin.socket = Some(socket),
        None => {}
    }
    config.admin.token_file = arguments.admin_token_file.or(config.admin.token_file);
    config.policy = arguments.policy.or(config.policy);
    config.model = arguments.model.or(config.model);
    config.state_dir = arguments.state_dir.or(config.state_dir);
    if let Some(directory) = arguments.journal {
        let bytes_max = config.journal.map_or(JOURNAL_BYTES_MAX, |journal| journal.bytes_max);
        config.journal = Some(JournalSettings { directory, bytes_max });
    }
    config.canary = own_program().ok();
    config.threads = arguments.threads.map(usize::from).or(config.threads);
    if config.listen.is_empty() {
        bail!("nowhere to listen: give --listen 127.0.0.1:8080, or `listen:` in --config");
    }
    if config.pools.iter().all(|pool| pool.endpoints.is_empty()) {
        bail!("nothing to stand in front of: give --upstream 127.0.0.1:3000, or `pools:` in --config");
    }
    Ok(config)
}

fn resolve(name: &str) -> anyhow::Result<SocketAddr> {
    let name = name.strip_prefix("http://").unwrap_or(name).trim_end_matches('/');
    let mut addresses = name
        .to_socket_addrs()
        .with_context(|| format!("--upstream {name}: not a host with a port, like 127.0.0.1:3000"))?;
    addresses.next().with_context(|| format!("--upstream {name}: the name has no address"))
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| {
        format!("cannot listen on {address}: is another process using the port, or may this user not?")
    })?;
    listener.set_nonblocking(true).context("cannot make the listener non-blocking")?;
    Ok(listener)
}

async fn serve(
    serving: Arc<Serving>,
    listeners: Vec<TcpListener>,
    admin: Vec<access::Bound>,
) -> anyhow::Result<()> {
    let mut signals = Signals::catch().context("cannot catch signals")?;
    let (stop, stopped) = watch::channel(false);
    let proxy = Plimsoll::new(serving.clone()).context("an endpoint cannot be used")?;
    for check in proxy.health_checks(&stopped) {
        tokio::spawn(check);
    }
    for pool in &serving.pools {
        let gate = pool.gate.clone();
        tokio::spawn(async move { gate.run_timer().await });
    }
    let api = Admin::new(serving.clone());
    for bound in admin {
        let (listener, access) = bound.into_listener()?;
        tokio::spawn(api.clone().serve(listener, access));
    }
    tokio::spawn(vigil::keep(serving.clone()));
    let watching = watch_policy(&serving);
    // The listener knows the port that the system chose where `:0` was asked for.
    for listener in &listeners {
        let source = &serving.running().generation.policy.source;
        let number = serving.running().generation.number;
        log::info!("listening on {}, generation {number}: {source}", listener.local_addr()?);
    }
    let service = tokio::spawn(run_service(http(proxy, serving.clone()), listeners, stopped));
    api.set_ready(true);
    signals.until_told_to_stop(&serving).await;
    api.set_ready(false);
    log::info!("draining");
    stop.send_replace(true);
    drop(watching);
    service.await.context("the proxy ended badly")?;
    drain(&serving).await;
    serving.finish_journal();
    Ok(())
}

async fn run_service(
    app: EitherHttp<HttpProxy<Plimsoll>>,
    listeners: Vec<TcpListener>,
    stopped: watch::Receiver<bool>,
) {
    let mut service = pingora_core::services::listening::Service::new("plimsoll".into(), app);
    let mut fds = Fds::new();
    for listener in listeners {
        let address = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
        service.add_tcp(&address);
        fds.add(address, listener.into_raw_fd());
    }
    let fds: ListenFds = Arc::new(Mutex::new(fds));
    service.start_service(Some(fds), stopped, 1).await;
}

fn http(proxy: Plimsoll, serving: Arc<Serving>) -> EitherHttp<HttpProxy<Plimsoll>> {
    let settings = ServerConf { upstream_keepalive_pool_size: UPSTREAM_KEEPALIVE, ..ServerConf::default() };
    EitherHttp::new(http_proxy(&Arc::new(settings), proxy), serving)
}

/// Reloads when the policy's files change. Dropping it ends that.
fn watch_policy(serving: &Arc<Serving>) -> Option<PolicyWatch> {
    let path = serving.config.policy.clone()?;
    let reloading = serving.clone();
    let watch = PolicyWatch::start(&path, move || {
        // What went wrong is logged and counted there.
        let _ = reloading.reload(Applying::Changed);
    });
    watch.inspect_err(|error| log::error!("{}: not watched: {error}", path.display())).ok()
}

/// What an operator tells a process. Caught from the start: a signal that nobody listens for kills.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn catch() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Reloads on SIGHUP; returns on SIGTERM or SIGINT.
    async fn until_told_to_stop(&mut self, serving: &Arc<Serving>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    let serving = serving.clone();
                    tokio::task::spawn_blocking(move || serving.reload(Applying::Changed));
                }
            }
        }
    }
}

/// Waits until every client has its answer, but not for ever. Seats tell less: they are given back
/// while slow readers still read.
async fn drain(serving: &Serving) {
    let idle = async {
        while !serving.is_idle() {
            tokio::time::sleep(DRAIN_STEP).await;
        }
    };
    if tokio::time::timeout(DRAIN_MAX, idle).await.is_err() {
        log::warn!("requests were still unfinished after {DRAIN_MAX:?}");
    }
}
