//! Process settings: listeners, trusted hops, pools and their endpoints, admin.
//!
//! What changes only with a restart. What an operator edits on a busy day is the
//! policy's. The flags of `serve` are shorthand for a file of this shape:
//!
//! ```yaml
//! listen:
//!   - { address: 0.0.0.0:8080, proxy_protocol: on }
//!   - address: 0.0.0.0:8443
//!     tls:
//!       certificates: [{ certificate: shop.pem, key: shop.key }]
//!       versions: 1.2+
//!       clients: { authorities: partners.pem, certificate: requested }
//! trusted_hops: [10.0.0.0/8]
//! pools:
//!   default: { endpoints: [10.0.0.11:3000, shop.internal:3000], resolve_interval: 10s,
//!              timeouts: { connect: 1s, read: 30s, write: 30s, total: 60s, idle: 60s } }
//!   payments:
//!     endpoints: [10.0.1.5:3443]
//!     tls: { server_name: pay.internal, authorities: internal.pem, certificate: us.pem, key: us.key }
//! admin: { listen: 127.0.0.1:8081, socket: /run/plimsoll/admin.sock, token_file: /etc/plimsoll/token,
//!          names: [edge-1.internal] }
//! state_dir: /var/lib/plimsoll
//! journal: { directory: /var/lib/plimsoll/journal, bytes_max: 1073741824 }
//! access_log: { sample: 1% }
//! connections: { max: 20000, per_address_max: 50, handshakes_per_s_max: 200, head: 10s, idle: 75s,
//!                requests_max: 1000, streams_max: 100, receive_bytes_per_s_min: 500, send_bytes_per_s_min: 500 }
//! requests: { underscores: drop, paths: resolve, target_bytes_max: 8192, head_bytes_max: 32768,
//!             fields_max: 100, body_bytes_max: 1073741824 }
//! memory_bytes_max: 2147483648
//! drain: { stop: 30s, upgrade: 10m }
//! streams_max: 10000
//! upload_buffers_max: 1024
//! held_bytes_max: 268435456
//! ```

mod admin;
mod endpoint;
mod read;
mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

pub use admin::{AdminPlace, AdminSettings};
pub use endpoint::{Endpoint, NoEndpoint};

pub use crate::config::tls::{ClientCertificates, Identity, ServerTls, TlsVersions, UpstreamTls};
use crate::hygiene::Rules;
use crate::journal::writer::JournalSettings;
use crate::yaml;
use crate::yaml::diagnostic::Diagnostics;
use crate::yaml::source::Source;

/// The pool of routes that name none.
pub const DEFAULT_POOL: &str = "default";
/// Some twenty million decisions, at fifty bytes each.
pub const JOURNAL_BYTES_MAX: u64 = 1 << 30;

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub address: SocketAddr,
    /// Whether a trusted hop says first for whom it connects (HAProxy's PROXY protocol).
    pub proxy_protocol: bool,
    /// TLS; in the clear if absent.
    pub tls: Option<ServerTls>,
}

impl Listener {
    /// A listener in the clear.
    pub fn clear(address: SocketAddr) -> Listener {
        Listener { address, proxy_protocol: false, tls: None }
    }
}

/// How long the upstream may take. Every timeout has a default: one that is missing hangs on the worst day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// To the whole head of a response, and then between two reads of its body.
    pub read: Duration,
    /// For one write of a request.
    pub write: Duration,
    /// From admission to the last byte of the response.
    pub total: Duration,
    /// For a connection that is kept without a request: less than the endpoint keeps it, or an order may meet its end.
    pub idle: Duration,
}

impl Default for Timeouts {
    /// Kept connections as long as nginx keeps them (`keepalive_timeout` of an upstream): what was needed in a busy
    /// moment is let go of, and before firewalls forget it.
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(1),
            read: Duration::from_secs(30),
            write: Duration::from_secs(30),
            total: Duration::from_secs(60),
            idle: Duration::from_secs(60),
        }
    }
}

/// How endpoints are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The path asked; without one, a TCP connection is health enough.
    pub path: Option<String>,
    /// How often.
    pub interval: Duration,
}

/// How many connections clients may have, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// In all.
    pub max: usize,
    /// From one address, or one network of IPv6. By default a quarter of all, and no bound for this machine's
    /// own addresses, which stand for whatever terminates TLS here. Trusted hops have none in any case.
    pub per_address_max: Option<usize>,
    /// TLS handshakes that one address, or one network of IPv6, may begin in a second; five times as many at once. By
    /// default 200, and no bound for this machine's own addresses. Trusted hops have none in any case.
    pub handshakes_per_s_max: Option<u32>,
    /// Time for a whole head, from its first byte.
    pub head: Duration,
    /// Time without a request.
    pub idle: Duration,
    /// Requests at once on one HTTP/2 connection; fewer on the later ones of an address that has very many.
    pub streams_max: u32,
    /// A body must come in at least at this pace, on the whole.
    pub receive_bytes_per_s_min: u64,
    /// A client that we wait for must take at least this.
    pub send_bytes_per_s_min: u64,
    /// Requests on one connection, after which it is closed, or its client told to go (HTTP/2). Off by default: it
    /// holds no more after many requests than after one.
    pub requests_max: Option<u32>,
}

impl Default for Connections {
    /// Twenty thousand take some hundred MB. Browsers send a head at once. A load balancer before us
    /// keeps its connections for a minute and must be the first to let go: 75 s, as nginx has it. A hundred
    /// streams are what RFC 9113 asks for at least; 500 bytes a second, Apache's `MinRate` for requests, and no more for
    /// answers: a hundred streams that share a slow mobile line, 50 KB a second, have 500 bytes of it each.
    fn default() -> Connections {
        Connections {
            max: 20_000,
            per_address_max: None,
            handshakes_per_s_max: None,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            streams_max: 100,
            receive_bytes_per_s_min: 500,
            send_bytes_per_s_min: 500,
            requests_max: None,
        }
    }
}

impl Connections {
    /// Time until the first request begins. A browser that connects in advance and lets it be gives up after ten
    /// seconds; who keeps a connection between requests has shown that it is for some.
    pub fn first(&self) -> Duration {
        self.idle.min(2 * self.head)
    }
}

/// How long requests under way may take when the process is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// After SIGTERM: somebody waits for the end.
    pub stop: Duration,
    /// After an upgrade, when the next process serves already.
    pub upgrade: Duration,
}

impl Default for Drain {
    /// What Kubernetes waits for before it kills; and a large download over a slow line.
    fn default() -> Drain {
        Drain { stop: Duration::from_secs(30), upgrade: Duration::from_secs(600) }
    }
}

/// Endpoints that share one capacity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// What routes call it.
    pub name: String,
    /// Where its endpoints listen.
    pub endpoints: Vec<Endpoint>,
    /// How often the names among them are looked up.
    pub resolve_interval: Duration,
    /// How they are told apart from whoever else may answer there; without it they are asked in the clear.
    pub tls: Option<UpstreamTls>,
    /// How long they may take.
    pub timeouts: Timeouts,
    /// How they are checked.
    pub health: HealthCheck,
}

impl Pool {
    /// A pool with the default settings.
    pub fn new(name: &str, endpoints: Vec<Endpoint>) -> Pool {
        Pool {
            name: name.to_owned(),
            endpoints,
            // A third of the time that CoreDNS lets its answers be kept for.
            resolve_interval: Duration::from_secs(10),
            tls: None,
            timeouts: Timeouts::default(),
            health: HealthCheck { path: None, interval: Duration::from_secs(1) },
        }
    }
}

/// All process settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect.
    pub listen: Vec<Listener>,
    /// The proxies before us whose word on the client's address is taken.
    pub trusted_hops: Vec<IpNet>,
    /// The upstream pools.
    pub pools: Vec<Pool>,
    /// Where the admin API listens, if anywhere.
    pub admin: AdminSettings,
    /// The policy file or directory; the built-in one if absent.
    pub policy: Option<PathBuf>,
    /// The model bundle; the policy's choice if absent.
    pub model: Option<PathBuf>,
    /// The program that tries a bundle before it is loaded; loaded without a trial if absent.
    pub canary: Option<PathBuf>,
    /// Where generations and what was learned of the pools are kept over restarts; in memory only if absent.
    pub state_dir: Option<PathBuf>,
    /// Where the journal goes, and how much of it is kept; there is none if absent.
    pub journal: Option<JournalSettings>,
    /// Memory that this process may take before it protects itself; what the machine or the container has,
    /// if absent.
    pub memory_bytes_max: Option<u64>,
    /// Worker threads; one per core if absent.
    pub threads: Option<usize>,
    /// The share of requests that are logged, in millionths.
    pub access_log_millionths: u32,
    /// Streams and WebSockets that may be open at once, in all.
    pub streams_max: Option<usize>,
    /// How many connections there may be, and for how long.
    pub connections: Connections,
    /// What requests may be like.
    pub requests: Rules,
    /// How long requests under way may take at the end.
    pub drain: Drain,
    /// Memory for bodies that are taken in before there is a seat, in buffers of 64 KiB.
    pub upload_buffers_max: Option<usize>,
    /// Memory for responses that are held back from their readers, in bytes.
    pub held_bytes_max: Option<usize>,
}

impl Config {
    /// Reads the settings of a file.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn read(path: &Path) -> Result<Config, Diagnostics> {
        Config::parse(&Source::read(path)?)
    }

    /// Reads the settings of a text.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(source: &Source) -> Result<Config, Diagnostics> {
        yaml::read(source, |root| read::config(&root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hygiene::Leniency;

    const EVERY_KEY: &str = "listen:
  - { address: 0.0.0.0:8080 }
  - address: 0.0.0.0:8443
    proxy_protocol: on
    tls:
      certificates: [{ certificate: a.pem, key: a.key }, { certificate: b.pem, key: b.key }]
      versions: 1.3
      clients: { authorities: partners.pem }
trusted_hops: [10.0.0.0/8, 192.0.2.7]
pools:
  default: { endpoints: [10.0.0.11:3000, shop.internal:3000], resolve_interval: 3s }
  payments: { endpoints: [10.0.1.5:3000], timeouts: { total: 20s }, health: { path: /up, interval: 5s },
              tls: { server_name: pay.internal, authorities: ca.pem, certificate: us.pem, key: us.key } }
admin: { listen: 127.0.0.1:8081 }
policy: policies
model: models/storefront
threads: 2
memory_bytes_max: 1073741824
access_log: { sample: 1% }
streams_max: 100
upload_buffers_max: 16
held_bytes_max: 1048576
drain: { stop: 5s, upgrade: 1m }
connections: { max: 500, per_address_max: 20, handshakes_per_s_max: 50, head: 5s, idle: 30s, requests_max: 100, streams_max: 50,
               receive_bytes_per_s_min: 100, send_bytes_per_s_min: 200 }
requests: { underscores: refuse, paths: resolve, fields_max: 50, body_bytes_max: 1048576 }
";

    fn parse(text: &str) -> Result<Config, Diagnostics> {
        Config::parse(&Source::of("plimsoll.yaml", text))
    }

    #[test]
    fn every_key_stands_in_the_table_for_operators() {
        let rows = include_str!("../../OPERATING.md").lines().filter(|line| line.starts_with("| `"));
        let table: Vec<&str> = rows.flat_map(|row| row.split(|sign: char| !is_of_key(sign))).collect();
        let pools = ["default", "payments"];
        let words = EVERY_KEY.split(|sign: char| !is_of_key(sign) && sign != ':');
        let keys = words.filter_map(|word| word.strip_suffix(':')).filter(|key| !pools.contains(key));
        let untold: Vec<&str> = keys.filter(|key| !table.contains(key)).collect();
        assert_eq!(untold, Vec::<&str>::new());
    }

    fn is_of_key(sign: char) -> bool {
        sign.is_ascii_alphanumeric() || sign == '_'
    }

    #[test]
    fn what_is_kept_over_restarts_is_read() {
        let config = parse(
            "admin: { listen: 127.0.0.1:8081, socket: /run/admin.sock, token_file: token, names: [edge-1] }
state_dir: /var/lib/plimsoll
journal: { directory: /var/lib/plimsoll/journal, bytes_max: 2097152 }
",
        )
        .unwrap();
        let admin = AdminSettings {
            listen: Some("127.0.0.1:8081".parse().unwrap()),
            socket: Some("/run/admin.sock".into()),
            token_file: Some("token".into()),
            names: vec!["edge-1".to_owned()],
        };
        assert_eq!(config.admin, admin);
        assert_eq!(config.state_dir.as_deref(), Some(Path::new("/var/lib/plimsoll")));
        let journal = config.journal.unwrap();
        let expected = (Some("/var/lib/plimsoll/journal"), 2 << 20);
        assert_eq!((journal.directory.to_str(), journal.bytes_max), expected);
    }

    #[test]
    fn every_key_is_read() {
        let config = parse(EVERY_KEY).unwrap();
        assert_eq!(config.listen[0], Listener::clear("0.0.0.0:8080".parse().unwrap()));
        assert!(config.listen[1].proxy_protocol);
        let tls = config.listen[1].tls.as_ref().unwrap();
        assert_eq!(tls.certificates[1].key, Path::new("b.key"));
        assert_eq!(tls.versions, TlsVersions::Only13);
        assert_eq!(tls.clients, ClientCertificates::Required("partners.pem".into()));
        assert_eq!(config.trusted_hops[1], "192.0.2.7/32".parse().unwrap());
        assert_eq!(config.pools[0].endpoints[1].to_string(), "shop.internal:3000");
        assert_eq!(config.pools[0].resolve_interval, Duration::from_secs(3));
        assert_eq!(config.pools[1].timeouts.total, Duration::from_secs(20));
        let tls = config.pools[1].tls.as_ref().unwrap();
        assert_eq!((tls.server_name.as_str(), tls.authorities.is_some()), ("pay.internal", true));
        assert_eq!(tls.identity.as_ref().unwrap().certificate, Path::new("us.pem"));
        assert_eq!(config.pools[1].health.path.as_deref(), Some("/up"));
        assert_eq!(config.access_log_millionths, 10_000);
        assert_eq!((config.streams_max, config.upload_buffers_max), (Some(100), Some(16)));
        assert_eq!(config.held_bytes_max, Some(1 << 20));
        assert_eq!(config.memory_bytes_max, Some(1 << 30));
        assert_eq!(config.drain, Drain { stop: Duration::from_secs(5), upgrade: Duration::from_secs(60) });
        let expected = Rules {
            underscores: Leniency::Refuse,
            fields_max: 50,
            body_bytes_max: 1 << 20,
            ..Rules::default()
        };
        assert_eq!(config.requests, expected);
        let expected = Connections {
            max: 500,
            per_address_max: Some(20),
            handshakes_per_s_max: Some(50),
            head: Duration::from_secs(5),
            idle: Duration::from_secs(30),
            streams_max: 50,
            receive_bytes_per_s_min: 100,
            send_bytes_per_s_min: 200,
            requests_max: Some(100),
        };
        assert_eq!(config.connections, expected);
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = "listn: []
pools:
  default: { endpoints: [shop.internal], timeouts: { read: 30 } }
threads: many
";
        let Diagnostics(found) = parse(text).unwrap_err();
        let lines: Vec<_> = found.iter().filter_map(|one| one.position.map(|(line, _)| line)).collect();
        assert_eq!(lines, [1, 3, 3, 4], "{found:#?}");
    }

    #[test]
    fn tls_without_a_name_to_verify_or_half_an_identity_is_a_mistake() {
        for (tls, says) in [
            ("{}", "`server_name` is missing"),
            ("{ server_name: \"\" }", "not the name of a server"),
            ("{ server_name: a b }", "not the name of a server"),
            ("{ server_name: shop.test, certificate: us.pem }", "`key` is missing"),
            ("{ server_name: shop.test, key: us.key }", "`certificate` is missing"),
        ] {
            let text = format!("pools: {{ default: {{ endpoints: [127.0.0.1:1], tls: {tls} }} }}");
            let Diagnostics(found) = parse(&text).unwrap_err();
            assert!(found[0].to_string().contains(says), "{tls}: {found:?}");
        }
        let Diagnostics(found) =
            parse("listen: [{ address: 127.0.0.1:1, tls: { certificates: [] } }]").unwrap_err();
        assert!(found[0].to_string().contains("no certificate"), "{found:?}");
    }

    #[test]
    fn routes_need_a_default_pool() {
        let Diagnostics(found) = parse("pools: { payments: { endpoints: [127.0.0.1:1] } }").unwrap_err();
        assert!(found[0].to_string().contains("no pool is called `default`"), "{found:?}");
    }
}
