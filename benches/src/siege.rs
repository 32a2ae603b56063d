//! `plimsoll-bench siege`: what normal clients feel of an attack.
//!
//! Normal clients ask at fixed times, half of them over connections that they keep
//! and half over a new one each time. Their latency is measured in peace and under
//! the attack, in turns, so that a busy machine is busy in both; the attack is any
//! program. What is compared is the median over the rounds.
//!
//! Attacker, clients, shop and proxy share the machine: what the attack takes of its
//! processors counts against the proxy, unless its command has it give way (`nice`).
//! Only this machine is ever attacked.

mod clients;

use crate::children::Server;
use crate::closed_loop;
use crate::stage::{ProxyArgs, ProxyStage};
use crate::terminal;
use anyhow::bail;
use clap::Args;
use clients::Felt;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// What stands for the proxy in the command of an attack.
const ADDRESS: &str = "{address}";
/// Until an attack is in full swing: five thousand connections take some seconds.
const BUILD_UP: Duration = Duration::from_secs(5);
/// Until the proxy has got rid of what an attack has left behind.
const RECOVERY: Duration = Duration::from_secs(2);
/// How much later normal clients may be served (99th percentile).
const RATIO_MAX: f64 = 2.0;

/// Measures what normal clients feel of an attack.
#[derive(Debug, Args)]
pub(crate) struct SiegeArgs {
    #[command(flatten)]
    proxy: ProxyArgs,
    /// How long each measurement takes
    #[arg(long = "for", value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    length: Duration,
    /// How often peace and attack are measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The attack: a command in which `{address}` stands for host:port of the proxy
    #[arg(last = true, required = true, value_name = "COMMAND")]
    attack: Vec<String>,
}

/// Runs the command.
pub(crate) async fn siege(args: SiegeArgs) -> anyhow::Result<ExitCode> {
    let shop = closed_loop::start_backend().await?;
    let mut proxy = ProxyStage::start(&args.proxy, shop, None).await?;
    let (mut peace, mut war, mut held) = (Vec::new(), Vec::new(), 0.0_f64);
    // What is done for the first time takes longer.
    clients::ask(proxy.address, RECOVERY).await;
    for round in 1..=args.rounds {
        let calm = clients::ask(proxy.address, args.length).await;
        let attack = attack(&args.attack, proxy.address)?;
        tokio::time::sleep(BUILD_UP).await;
        held = held.max(proxy.metric("plimsoll_connections").await?);
        let besieged = clients::ask(proxy.address, args.length).await;
        held = held.max(proxy.metric("plimsoll_connections").await?);
        // An attack may be over by now, for it was turned away.
        let _ = attack.stop().await;
        proxy.check()?;
        terminal::line(&format!("round {round}: in peace {calm}; under attack {besieged}"));
        peace.push(calm);
        war.push(besieged);
        tokio::time::sleep(RECOVERY).await;
    }
    let turned_away = proxy.metric("plimsoll_connections_refused_total").await?;
    let closed = proxy.metric("plimsoll_connections").await?;
    proxy.stop().await?;
    let failed = peace.iter().chain(&war).map(|felt| felt.failed).sum::<u64>();
    let (calm_ms, besieged_ms) = (median(&peace), median(&war));
    let ratio = besieged_ms / calm_ms;
    terminal::line(&format!(
        "p99 of normal clients: {calm_ms:.2} ms in peace, {besieged_ms:.2} ms under attack, {ratio:.2} times \
         (to be at most {RATIO_MAX}); {failed} failed\n\
         at most {held:.0} connections at once, {closed:.0} when it was over; {turned_away:.0} turned away",
    ));
    Ok(if ratio <= RATIO_MAX && failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn attack(command: &[String], address: SocketAddr) -> anyhow::Result<Server> {
    let words: Vec<String> = command.iter().map(|word| word.replace(ADDRESS, &address.to_string())).collect();
    let [program, arguments @ ..] = &words[..] else { bail!("no command") };
    Ok(Server::start("the attack", program.as_ref(), arguments.iter().cloned())?)
}

fn median(all: &[Felt]) -> f64 {
    let mut values: Vec<f64> = all.iter().map(|felt| felt.p99_ms).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
