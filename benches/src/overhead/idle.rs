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

/// Why the memory of a process is unknown.
#[derive(Debug, thiserror::Error)]
pub(super) enum MemoryError {
    #[error("cannot read {path}, and memory is only known on Linux")]
    Read { path: String, source: std::io::Error },
    #[error("{path} is not as proc(5) describes it")]
    Format { path: String },
}

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

/// The resident memory of process `id`, in KiB.
pub(super) fn resident_kib(id: u32) -> Result<u64, MemoryError> {
    let path = format!("/proc/{id}/status");
    let status =
        std::fs::read_to_string(&path).map_err(|source| MemoryError::Read { path: path.clone(), source })?;
    resident(&status).ok_or(MemoryError::Format { path })
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_a_status() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   12345 kB\nThreads:\t1\n"), Some(12_345));
        assert_eq!(resident("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn own_memory_grows_with_what_is_held() {
        let before = resident_kib(std::process::id()).unwrap();
        let held = vec![1_u8; 64 << 20];
        let after = resident_kib(std::process::id()).unwrap();
        assert!(after > before + 32 * 1_024, "{before} to {after} KiB with {} bytes", held.len());
    }
}
