//! The memory that connections take in which nothing happens.
//!
//! Each has had one answer, like a browser that keeps its connection for the next
//! page. What counts is how much larger the process has become, over their number.

use crate::client::{Client, ClientError};
use crate::terminal;
use rustix::process::{Resource, getrlimit};
use std::net::SocketAddr;
use std::time::Duration;

/// Descriptors that are left for everything else.
const SPARED: u64 = 500;
/// Until what was allocated for the last answers is given back.
const SETTLING: Duration = Duration::from_millis(500);

/// As many of the `wanted` connections as this process and a proxy may open.
pub(super) fn connections(wanted: u32) -> u32 {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(SPARED);
    let possible = u32::try_from(limit).unwrap_or(u32::MAX);
    wanted.min(possible.max(1))
}

/// Tells that the limit on open files allows less than was asked for.
pub(super) fn tell(wanted: u32) {
    let possible = connections(wanted);
    if possible < wanted {
        terminal::line(&format!(
            "memory is measured with {possible} idle connections instead of {wanted}: the limit on open files \
             is lower (`ulimit -n`; raise it in /etc/security/limits.conf)"
        ));
    }
}

/// Opens `number` connections to `address`, asks each for `path` once, and keeps them.
pub(super) async fn open(address: SocketAddr, path: &str, number: u32) -> Result<Vec<Client>, ClientError> {
    let mut clients = Vec::new();
    for _ in 0..number {
        let client = Client::new(address);
        client.get(path).await?;
        clients.push(client);
    }
    tokio::time::sleep(SETTLING).await;
    Ok(clients)
}
