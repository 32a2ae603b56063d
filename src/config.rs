//! Process settings: listeners, trusted hops, pools and their endpoints, admin.
//!
//! What changes only with a restart. What an operator edits on a busy day is the
//! policy's. The flags of `serve` are shorthand for a file of this shape:
//!
//! ```yaml
//! listen: [{ address: 0.0.0.0:8080 }]
//! trusted_hops: [10.0.0.0/8]
//! pools:
//!   default: { endpoints: [10.0.0.11:3000], timeouts: { connect: 1s, read: 30s, write: 30s, total: 60s } }
//! admin: { listen: 127.0.0.1:8081, socket: /run/plimsoll/admin.sock, token_file: /etc/plimsoll/token }
//! state_dir: /var/lib/plimsoll
//! journal: { directory: /var/lib/plimsoll/journal, bytes_max: 1073741824 }
//! access_log: { sample: 1% }
//! connections: { max: 20000, per_address_max: 50, head: 10s, idle: 75s, requests_max: 1000 }
//! requests: { underscores: drop, paths: resolve, target_bytes_max: 8192, head_bytes_max: 32768,
//!             fields_max: 100, body_bytes_max: 1073741824 }
//! streams_max: 10000
//! upload_buffers_max: 1024
//! ```

mod admin;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

pub use admin::{AdminPlace, AdminSettings};

use crate::hygiene::{Leniency, Rules};
use crate::journal::writer::JournalSettings;
use crate::yaml::diagnostic::{Diagnostics, Mistake, Mistakes};
use crate::yaml::document;
use crate::yaml::field::{Field, Section};
use crate::yaml::source::Source;
use crate::yaml::units::{duration, share};

/// The pool of routes that name none.
pub const DEFAULT_POOL: &str = "default";
/// Some twenty million decisions, at fifty bytes each.
pub const JOURNAL_BYTES_MAX: u64 = 1 << 30;
/// More endpoints than one pool behind one proxy has.
const ENDPOINTS_MAX: usize = 1_024;

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
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(1),
            read: Duration::from_secs(30),
            write: Duration::from_secs(30),
            total: Duration::from_secs(60),
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
    /// From one address, or one network of IPv6. Off by default: a shop behind a CDN knows few addresses.
    pub per_address_max: Option<usize>,
    /// Time for a whole head, from its first byte.
    pub head: Duration,
    /// Time without a request.
    pub idle: Duration,
    /// Requests on one HTTP/1 connection, after which it is closed. Off by default: it holds no more
    /// after many requests than after one.
    pub requests_max: Option<u32>,
}

impl Default for Connections {
    /// Twenty thousand take some hundred MB. Browsers send a head at once. A load balancer before us
    /// keeps its connections for a minute and must be the first to let go: 75 s, as nginx has it.
    fn default() -> Connections {
        Connections {
            max: 20_000,
            per_address_max: None,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            requests_max: None,
        }
    }
}

/// Endpoints that share one capacity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// What routes call it.
    pub name: String,
    /// Where its endpoints listen.
    pub endpoints: Vec<SocketAddr>,
    /// How long they may take.
    pub timeouts: Timeouts,
    /// How they are checked.
    pub health: HealthCheck,
}

impl Pool {
    /// A pool with the default settings.
    pub fn new(name: &str, endpoints: Vec<SocketAddr>) -> Pool {
        Pool {
            name: name.to_owned(),
            endpoints,
            timeouts: Timeouts::default(),
            health: HealthCheck { path: None, interval: Duration::from_secs(1) },
        }
    }
}

/// All process settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect.
    pub listen: Vec<SocketAddr>,
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
    /// Where generations are kept over restarts; in memory only if absent.
    pub state_dir: Option<PathBuf>,
    /// Where the journal goes, and how much of it is kept; there is none if absent.
    pub journal: Option<JournalSettings>,
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
    /// Memory for bodies that are taken in before there is a seat, in buffers of 64 KiB.
    pub upload_buffers_max: Option<usize>,
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
        let mistakes = Mistakes::new(source);
        let root = document::read(source, &mistakes);
        let config = root.as_ref().and_then(|root| config(&Field::root(root, &mistakes)));
        match config {
            Some(config) if !mistakes.has_errors() => Ok(config),
            _ => Err(mistakes.into_diagnostics()),
        }
    }
}

fn config(root: &Field<'_>) -> Option<Config> {
    let file = root.section()?;
    let config = Config {
        listen: file.get("listen").map(|field| listeners(&field)).unwrap_or_default(),
        trusted_hops: file.get("trusted_hops").map(|field| hops(&field)).unwrap_or_default(),
        pools: file.get("pools").map(|field| pools(&field)).unwrap_or_default(),
        admin: file.get("admin").map(|field| admin::read(&field)).unwrap_or_default(),
        policy: path(&file, "policy"),
        model: path(&file, "model"),
        state_dir: path(&file, "state_dir"),
        journal: file.get("journal").and_then(|field| journal(&field)),
        // Which program tries a bundle is no setting: it has to be this one.
        canary: None,
        threads: file.get("threads").and_then(|field| field.number(1..=1_024)),
        access_log_millionths: file.get("access_log").map_or(0, |field| access_log(&field)),
        streams_max: file.get("streams_max").and_then(|field| field.number(1..=1_000_000)),
        connections: file.get("connections").map_or_else(Connections::default, |field| connections(&field)),
        requests: file.get("requests").map_or_else(Rules::default, |field| requests(&field)),
        upload_buffers_max: file.get("upload_buffers_max").and_then(|field| field.number(1..=1_000_000)),
    };
    file.close();
    Some(config)
}

fn path(file: &Section<'_>, key: &'static str) -> Option<PathBuf> {
    file.get(key).and_then(|field| field.text().map(PathBuf::from))
}

fn listeners(field: &Field<'_>) -> Vec<SocketAddr> {
    let listener = |item: Field<'_>| {
        let listener = item.section()?;
        let address = listener.require("address", "`address: 0.0.0.0:8080`");
        listener.close();
        address?.parsed(socket_address)
    };
    field.list().into_iter().filter_map(listener).collect()
}

fn hops(field: &Field<'_>) -> Vec<IpNet> {
    field.list().iter().filter_map(|item| item.parsed(network)).collect()
}

fn pools(field: &Field<'_>) -> Vec<Pool> {
    let Some(entries) = field.entries() else { return Vec::new() };
    let pools: Vec<Pool> = entries.iter().filter_map(|(name, field)| pool(name, field)).collect();
    if !entries.iter().any(|(name, _)| *name == DEFAULT_POOL) {
        let mistake = Mistake::new("no pool is called `default`");
        field.report(mistake.hint("routes without a pool go to it: `default: { endpoints: [...] }`"));
    }
    pools
}

fn pool(name: &str, field: &Field<'_>) -> Option<Pool> {
    let section = field.section()?;
    let endpoints = section.require("endpoints", "`endpoints: [127.0.0.1:3000]`");
    let endpoints = endpoints.map(|field| endpoint_list(&field)).unwrap_or_default();
    let defaults = Pool::new(name, endpoints);
    let pool = Pool {
        timeouts: section.get("timeouts").map_or(defaults.timeouts, |field| timeouts(&field)),
        health: section.get("health").map_or(defaults.health, |field| health(&field)),
        ..Pool::new(name, defaults.endpoints)
    };
    section.close();
    Some(pool)
}

fn endpoint_list(field: &Field<'_>) -> Vec<SocketAddr> {
    let endpoints: Vec<_> = field.list().iter().filter_map(|item| item.parsed(socket_address)).collect();
    if endpoints.len() > ENDPOINTS_MAX {
        field.report(Mistake::new(format!("{} endpoints", endpoints.len())).hint("at most 1024"));
    }
    endpoints
}

fn timeouts(field: &Field<'_>) -> Timeouts {
    let defaults = Timeouts::default();
    let Some(section) = field.section() else { return defaults };
    let timeout = |key, default| {
        let field = section.get(key);
        field.and_then(|field| field.parsed(positive_duration)).unwrap_or(default)
    };
    let timeouts = Timeouts {
        connect: timeout("connect", defaults.connect),
        read: timeout("read", defaults.read),
        write: timeout("write", defaults.write),
        total: timeout("total", defaults.total),
    };
    section.close();
    timeouts
}

fn health(field: &Field<'_>) -> HealthCheck {
    let default = Pool::new("", Vec::new()).health;
    let Some(section) = field.section() else { return default };
    let interval = section.get("interval").and_then(|field| field.parsed(positive_duration));
    let health = HealthCheck {
        path: section.get("path").and_then(|field| field.parsed(health_path)),
        interval: interval.unwrap_or(default.interval),
    };
    section.close();
    health
}

fn connections(field: &Field<'_>) -> Connections {
    let defaults = Connections::default();
    let Some(section) = field.section() else { return defaults };
    let number = |key| section.get(key).and_then(|field| field.number(1..=1_000_000));
    let timeout =
        |key, default| section.get(key).and_then(|field| field.parsed(positive_duration)).unwrap_or(default);
    let requests_max = section.get("requests_max").and_then(|field| field.number(1..=1_000_000_000));
    let connections = Connections {
        max: number("max").unwrap_or(defaults.max),
        per_address_max: number("per_address_max"),
        head: timeout("head", defaults.head),
        idle: timeout("idle", defaults.idle),
        requests_max,
    };
    section.close();
    connections
}

fn requests(field: &Field<'_>) -> Rules {
    let defaults = Rules::default();
    let Some(section) = field.section() else { return defaults };
    let leniency = |key, choices: [(&str, Leniency); 2], default| {
        section.get(key).and_then(|field| field.choice(&choices)).unwrap_or(default)
    };
    let size = |key, default| section.get(key).and_then(|field| field.number(1..=1 << 20)).unwrap_or(default);
    let body = section.get("body_bytes_max").and_then(|field| field.number(0..=u64::MAX));
    let rules = Rules {
        underscores: leniency(
            "underscores",
            [("drop", Leniency::Repair), ("refuse", Leniency::Refuse)],
            defaults.underscores,
        ),
        paths: leniency(
            "paths",
            [("resolve", Leniency::Repair), ("refuse", Leniency::Refuse)],
            defaults.paths,
        ),
        target_bytes_max: size("target_bytes_max", defaults.target_bytes_max),
        head_bytes_max: size("head_bytes_max", defaults.head_bytes_max),
        fields_max: size("fields_max", defaults.fields_max),
        body_bytes_max: body.unwrap_or(defaults.body_bytes_max),
    };
    section.close();
    rules
}

fn access_log(field: &Field<'_>) -> u32 {
    let Some(section) = field.section() else { return 0 };
    let sample = section.require("sample", "`sample: 1%`").and_then(|field| field.parsed(share));
    section.close();
    sample.map_or(0, |share| share.millionths())
}

fn journal(field: &Field<'_>) -> Option<JournalSettings> {
    let section = field.section()?;
    let directory = section.require("directory", "`directory: /var/lib/plimsoll/journal`");
    let directory = directory.and_then(|field| field.text().map(PathBuf::from));
    // Below a megabyte a file of it would hold a second or two.
    let bytes_max = section.get("bytes_max").and_then(|field| field.number(1 << 20..=1 << 40));
    section.close();
    Some(JournalSettings { directory: directory?, bytes_max: bytes_max.unwrap_or(JOURNAL_BYTES_MAX) })
}

fn health_path(text: &str) -> Result<String, Mistake> {
    let is_path = text.starts_with('/') && text.parse::<http::Uri>().is_ok();
    let mistake = || Mistake::new(format!("`{text}` is not a path")).hint("write it like /healthz");
    is_path.then(|| text.to_owned()).ok_or_else(mistake)
}

fn positive_duration(text: &str) -> Result<Duration, Mistake> {
    match duration(text)? {
        Duration::ZERO => Err(Mistake::new("a timeout of nothing").hint("at least 1ms")),
        positive => Ok(positive),
    }
}

/// An address and a port. Names are not resolved here: what they mean may change while we run.
pub(crate) fn socket_address(text: &str) -> Result<SocketAddr, Mistake> {
    text.parse().map_err(|_| {
        Mistake::new(format!("`{text}` is not an address with a port"))
            .hint("write it like 127.0.0.1:3000 or [::1]:3000")
    })
}

fn network(text: &str) -> Result<IpNet, Mistake> {
    let host = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| host()).map_err(|_| {
        Mistake::new(format!("`{text}` is not a network")).hint("write it like 10.0.0.0/8 or 192.0.2.7")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, Diagnostics> {
        Config::parse(&Source::of("plimsoll.yaml", text))
    }

    #[test]
    fn every_key_is_read() {
        let config = parse(
            "listen: [{ address: 0.0.0.0:8080 }]
trusted_hops: [10.0.0.0/8, 192.0.2.7]
pools:
  default: { endpoints: [10.0.0.11:3000, 10.0.0.12:3000] }
  payments: { endpoints: [10.0.1.5:3000], timeouts: { total: 20s }, health: { path: /up, interval: 5s } }
admin: { listen: 127.0.0.1:8081, socket: /run/admin.sock, token_file: token }
policy: policies
model: models/storefront
state_dir: /var/lib/plimsoll
journal: { directory: /var/lib/plimsoll/journal, bytes_max: 2097152 }
threads: 2
access_log: { sample: 1% }
streams_max: 100
upload_buffers_max: 16
connections: { max: 500, per_address_max: 20, head: 5s, idle: 30s, requests_max: 100 }
requests: { underscores: refuse, paths: resolve, fields_max: 50, body_bytes_max: 1048576 }
",
        )
        .unwrap();
        assert_eq!(config.listen, ["0.0.0.0:8080".parse().unwrap()]);
        assert_eq!(config.trusted_hops[1], "192.0.2.7/32".parse().unwrap());
        let admin = AdminSettings {
            listen: Some("127.0.0.1:8081".parse().unwrap()),
            socket: Some("/run/admin.sock".into()),
            token_file: Some("token".into()),
        };
        assert_eq!(config.admin, admin);
        assert_eq!(config.pools[0].endpoints.len(), 2);
        assert_eq!(config.pools[1].timeouts.total, Duration::from_secs(20));
        assert_eq!(config.pools[1].health.path.as_deref(), Some("/up"));
        assert_eq!(config.state_dir.as_deref(), Some(Path::new("/var/lib/plimsoll")));
        let journal = config.journal.unwrap();
        assert_eq!(
            (journal.directory.to_str(), journal.bytes_max),
            (Some("/var/lib/plimsoll/journal"), 2 << 20)
        );
        assert_eq!(config.access_log_millionths, 10_000);
        assert_eq!((config.streams_max, config.upload_buffers_max), (Some(100), Some(16)));
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
            head: Duration::from_secs(5),
            idle: Duration::from_secs(30),
            requests_max: Some(100),
        };
        assert_eq!(config.connections, expected);
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = "listn: []
pools:
  default: { endpoints: [shop.internal:3000], timeouts: { read: 30 } }
threads: many
";
        let Diagnostics(found) = parse(text).unwrap_err();
        let lines: Vec<_> = found.iter().filter_map(|one| one.position.map(|(line, _)| line)).collect();
        assert_eq!(lines, [1, 3, 3, 4], "{found:#?}");
    }

    #[test]
    fn routes_need_a_default_pool() {
        let Diagnostics(found) = parse("pools: { payments: { endpoints: [127.0.0.1:1] } }").unwrap_err();
        assert!(found[0].to_string().contains("no pool is called `default`"), "{found:?}");
    }
}
