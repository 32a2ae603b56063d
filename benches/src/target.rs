//! What may be put under load, and how to reach it.
//!
//! Loopback addresses only, unless the user states that the target is theirs by
//! repeating it, and how many requests a second it may get at most: a load generator
//! pointed at somebody else's shop by a slip of the hand is an attack.

use crate::arrivals::ShopperId;
use crate::client::tls::{Tls, TlsError, Trust};
use crate::client::{Client, ClientError, Version};
use clap::Args;
use http::{HeaderValue, Uri};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// How long the first connection may take: TCP has asked four times by then, the last time after seven seconds.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);

/// Where to send requests.
#[derive(Clone, Debug, Args)]
pub(crate) struct TargetArgs {
    /// Where to send the requests, such as http://127.0.0.1:8080
    #[arg(long)]
    target: String,
    /// Repeats a target on another machine, to confirm that it is yours
    #[arg(long, value_name = "TARGET", requires = "rate_max")]
    i_own: Option<String>,
    /// Requests per second that are never exceeded; needed for other machines
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    rate_max: Option<u32>,
    /// The version of HTTP; without it 1.1, or over TLS what the server chooses
    #[arg(long, value_name = "VERSION")]
    http: Option<Version>,
    /// Believes any certificate
    #[arg(long, conflicts_with = "cacert")]
    insecure: bool,
    /// Believes the certificates in this file (PEM), and no others
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Names an address for each shopper in X-Forwarded-For, as a CDN does, to a target that trusts this machine
    #[arg(long)]
    forwarded_for: bool,
}

/// A server that may be put under load.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What requests name as `Host`.
    pub(crate) host: String,
    /// Requests per second that it may get.
    pub(crate) rate_max: Option<u32>,
    /// Whether requests say for whom they are, as those of an edge do.
    pub(crate) names_clients: bool,
    tls: Option<Tls>,
    version: Option<Version>,
}

/// Why a target is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("`{0}` is not a target: write http://127.0.0.1:8080 or https://...")]
    Malformed(String),
    #[error("cannot find {target}")]
    Unresolved { target: String, source: std::io::Error },
    #[error(
        "{target} is not this machine: if it is yours to put under load, \
         add `--i-own {target} --rate-max 100` (requests per second)"
    )]
    NotOurs { target: String },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Target {
    /// The target that the user names; one that is not on this machine must be named twice.
    pub(crate) fn of(args: &TargetArgs) -> Result<Target, TargetError> {
        let malformed = || TargetError::Malformed(args.target.clone());
        let uri: Uri = args.target.parse().map_err(|_| malformed())?;
        let (host, authority) = (uri.host().ok_or_else(malformed)?, uri.authority().ok_or_else(malformed)?);
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(malformed()),
        };
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let address = address_of(args, name, port)?;
        let trust = match &args.cacert {
            _ if args.insecure => Trust::Anybody,
            Some(file) => Trust::File(file.clone()),
            None => Trust::Machine,
        };
        let tls = if is_tls { Some(Tls::new(name, &trust, args.http)?) } else { None };
        let host = authority.to_string();
        Ok(Target {
            address,
            host,
            rate_max: args.rate_max,
            names_clients: args.forwarded_for,
            tls,
            version: args.http,
        })
    }

    /// A client of it, with a first connection open.
    pub(crate) async fn connect(&self) -> Result<Client, ClientError> {
        Client::connect(self.address, self.tls.clone(), &self.host, self.version, CONNECTED_WITHIN).await
    }

    /// A server that this process has started on this machine, as the edge before it.
    pub(crate) fn local(address: SocketAddr) -> Target {
        let host = address.to_string();
        Target { address, host, rate_max: None, names_clients: true, tls: None, version: None }
    }

    /// What `X-Forwarded-For` says of `shopper`, if requests to this target carry it.
    ///
    /// Each has an address of its own, as shoppers at home have; there are sixteen million.
    pub(crate) fn client_of(&self, shopper: ShopperId) -> Option<HeaderValue> {
        let [.., b, c, d] = shopper.0.to_be_bytes();
        let address = Ipv4Addr::new(10, b, c, d).to_string();
        self.names_clients.then(|| HeaderValue::try_from(address).expect("an address is digits and dots"))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.host)
    }
}

fn address_of(args: &TargetArgs, host: &str, port: u16) -> Result<SocketAddr, TargetError> {
    let addresses = resolved(&args.target, host, port)?;
    let is_owned = args.i_own.as_ref() == Some(&args.target) && args.rate_max.is_some();
    if !is_owned && !addresses.iter().all(|address| address.ip().is_loopback()) {
        return Err(TargetError::NotOurs { target: args.target.clone() });
    }
    preferred(&addresses).ok_or_else(|| TargetError::Malformed(args.target.clone()))
}

fn resolved(url: &str, host: &str, port: u16) -> Result<Vec<SocketAddr>, TargetError> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let found = (name, port).to_socket_addrs();
    Ok(found.map_err(|source| TargetError::Unresolved { target: url.into(), source })?.collect())
}

/// `localhost` often resolves to ::1 first, where few development servers listen.
fn preferred(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(target: &str) -> TargetArgs {
        TargetArgs {
            target: target.into(),
            i_own: None,
            rate_max: None,
            http: None,
            insecure: false,
            cacert: None,
            forwarded_for: false,
        }
    }

    #[test]
    fn this_machine_is_a_target() {
        let address = |url| Target::of(&args(url)).unwrap().address;
        assert_eq!(address("http://127.0.0.1:8080").port(), 8080);
        assert!(address("http://[::1]:81").ip().is_loopback());
        assert_eq!(address("http://127.0.0.1").port(), 80);
    }

    #[test]
    fn other_machines_need_the_users_word_and_a_bound() {
        let url = "http://192.0.2.7:80";
        let error = Target::of(&args(url)).unwrap_err().to_string();
        assert!(error.contains("--i-own http://192.0.2.7:80 --rate-max 100"), "{error}");
        let owned = |named: &str, rate_max| {
            Target::of(&TargetArgs { i_own: Some(named.into()), rate_max, ..args(url) })
        };
        assert!(owned("http://192.0.2.8:80", Some(10)).is_err());
        assert!(owned(url, None).is_err());
        assert_eq!(owned(url, Some(10)).unwrap().rate_max, Some(10));
    }

    #[test]
    fn what_is_neither_http_nor_https_is_refused() {
        for url in ["", "127.0.0.1:8080", "ftp://127.0.0.1", "http://"] {
            let error = Target::of(&args(url)).unwrap_err();
            assert!(matches!(error, TargetError::Malformed(_)), "{url}: {error}");
        }
        let target = Target::of(&TargetArgs { insecure: true, ..args("https://127.0.0.1") }).unwrap();
        assert_eq!((target.address.port(), target.to_string().as_str()), (443, "https://127.0.0.1"));
    }
}
