//! What may be put under load.
//!
//! Loopback addresses only, unless the user states that the target is theirs by
//! repeating it: a load generator pointed at somebody else's shop by a slip of
//! the hand is an attack. Plain HTTP only: TLS would measure the generator.

use http::Uri;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};

/// A server that may be put under load.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What requests name as `Host`.
    pub(crate) host: String,
}

/// Why a target is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("`{0}` is not a target: write http://127.0.0.1:8080")]
    Malformed(String),
    #[error("cannot find {target}")]
    Unresolved { target: String, source: std::io::Error },
    #[error("{target} is not this machine: if it is yours to put under load, add `--i-own {target}`")]
    NotOurs { target: String },
}

impl Target {
    /// The target at `url`; one that is not on this machine must be repeated in `owned`.
    pub(crate) fn parse(url: &str, owned: Option<&str>) -> Result<Target, TargetError> {
        let malformed = || TargetError::Malformed(url.into());
        let uri: Uri = url.parse().map_err(|_| malformed())?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(malformed)?;
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let addresses: Vec<SocketAddr> = (name, uri.port_u16().unwrap_or(80))
            .to_socket_addrs()
            .map_err(|source| TargetError::Unresolved { target: url.into(), source })?
            .collect();
        // `localhost` often resolves to ::1 first, where few development servers listen.
        let preferred = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
        let address = *preferred.ok_or_else(malformed)?;
        if owned != Some(url) && !addresses.iter().all(|address| address.ip().is_loopback()) {
            return Err(TargetError::NotOurs { target: url.into() });
        }
        let host = uri.authority().ok_or_else(malformed)?.to_string();
        Ok(Target { address, host })
    }

    /// A server that this process has started on this machine.
    pub(crate) fn local(address: SocketAddr) -> Target {
        Target { address, host: address.to_string() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_a_target() {
        assert_eq!(Target::parse("http://127.0.0.1:8080", None).unwrap().address.port(), 8080);
        assert!(Target::parse("http://[::1]:81", None).unwrap().address.ip().is_loopback());
        assert_eq!(Target::parse("http://127.0.0.1", None).unwrap().address.port(), 80);
    }

    #[test]
    fn other_machines_need_the_users_word() {
        let url = "http://192.0.2.7:80";
        let error = Target::parse(url, None).unwrap_err().to_string();
        assert!(error.contains("--i-own http://192.0.2.7:80"), "{error}");
        assert!(Target::parse(url, Some("http://192.0.2.8:80")).is_err());
        assert!(Target::parse(url, Some(url)).is_ok());
    }

    #[test]
    fn what_is_not_plain_http_is_refused() {
        for url in ["", "127.0.0.1:8080", "https://127.0.0.1", "ftp://127.0.0.1", "http://"] {
            let error = Target::parse(url, None).unwrap_err();
            assert!(matches!(error, TargetError::Malformed(_)), "{url}: {error}");
        }
    }
}
