//! Reads the settings from a file's tree: every mistake is told, with its place.
//!
//! What the settings are, and why their defaults are what they are, stands with their types.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::admin;
use super::tls::{server_tls, upstream_tls};
use super::{
    Config, Connections, DEFAULT_POOL, Drain, Endpoint, HealthCheck, JOURNAL_BYTES_MAX, Listener, Pool,
    Timeouts,
};
use crate::hygiene::{Leniency, Rules};
use crate::journal::writer::JournalSettings;
use crate::yaml::diagnostic::Mistake;
use crate::yaml::field::{Field, Section};
use crate::yaml::units::{duration, share};

/// More endpoints than one pool behind one proxy has.
const ENDPOINTS_MAX: usize = 1_024;

pub(super) fn config(root: &Field<'_>) -> Option<Config> {
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
        memory_bytes_max: file.get("memory_bytes_max").and_then(|field| field.number(1..=u64::MAX)),
        // Which program tries a bundle is no setting: it has to be this one.
        canary: None,
        threads: file.get("threads").and_then(|field| field.number(1..=1_024)),
        access_log_millionths: file.get("access_log").map_or(0, |field| access_log(&field)),
        streams_max: file.get("streams_max").and_then(|field| field.number(1..=1_000_000)),
        connections: file.get("connections").map_or_else(Connections::default, |field| connections(&field)),
        requests: file.get("requests").map_or_else(Rules::default, |field| requests(&field)),
        drain: file.get("drain").map_or_else(Drain::default, |field| drain(&field)),
        upload_buffers_max: file.get("upload_buffers_max").and_then(|field| field.number(1..=1_000_000)),
        held_bytes_max: file.get("held_bytes_max").and_then(|field| field.number(0..=1 << 40)),
    };
    file.close();
    Some(config)
}

pub(super) fn path(file: &Section<'_>, key: &'static str) -> Option<PathBuf> {
    file.get(key).and_then(|field| field.text().map(PathBuf::from))
}

fn listeners(field: &Field<'_>) -> Vec<Listener> {
    field.list().iter().filter_map(listener).collect()
}

fn listener(field: &Field<'_>) -> Option<Listener> {
    let section = field.section()?;
    let address = section.require("address", "`address: 0.0.0.0:8080`");
    let proxy_protocol = section.get("proxy_protocol").and_then(|field| field.switch());
    let tls = section.get("tls").map(|field| server_tls(&field));
    section.close();
    Some(Listener {
        address: address?.parsed(socket_address)?,
        proxy_protocol: proxy_protocol.unwrap_or(false),
        // Never in the clear because the settings of TLS have a mistake, which is on record by now.
        tls: match tls {
            None => None,
            Some(tls) => Some(tls?),
        },
    })
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
    let resolve_interval = section.get("resolve_interval").and_then(|field| field.parsed(positive_duration));
    let pool = Pool {
        resolve_interval: resolve_interval.unwrap_or(defaults.resolve_interval),
        timeouts: section.get("timeouts").map_or(defaults.timeouts, |field| timeouts(&field)),
        health: section.get("health").map_or(defaults.health, |field| health(&field)),
        tls: section.get("tls").and_then(|field| upstream_tls(&field)),
        ..Pool::new(name, defaults.endpoints)
    };
    section.close();
    Some(pool)
}

fn endpoint_list(field: &Field<'_>) -> Vec<Endpoint> {
    let endpoints: Vec<_> = field.list().iter().filter_map(|item| item.parsed(endpoint)).collect();
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
        idle: timeout("idle", defaults.idle),
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
    let pace = |key, default| section.get(key).and_then(|field| field.number(0..=1 << 30)).unwrap_or(default);
    let handshakes = section.get("handshakes_per_s_max").and_then(|field| field.number(1..=1_000_000));
    let requests_max = section.get("requests_max").and_then(|field| field.number(1..=1_000_000_000));
    let connections = Connections {
        max: number("max").unwrap_or(defaults.max),
        per_address_max: number("per_address_max"),
        handshakes_per_s_max: handshakes,
        head: timeout("head", defaults.head),
        idle: timeout("idle", defaults.idle),
        streams_max: section
            .get("streams_max")
            .and_then(|field| field.number(1..=10_000))
            .unwrap_or(defaults.streams_max),
        receive_bytes_per_s_min: pace("receive_bytes_per_s_min", defaults.receive_bytes_per_s_min),
        send_bytes_per_s_min: pace("send_bytes_per_s_min", defaults.send_bytes_per_s_min),
        requests_max,
    };
    section.close();
    connections
}

fn drain(field: &Field<'_>) -> Drain {
    let defaults = Drain::default();
    let Some(section) = field.section() else { return defaults };
    let time =
        |key, default| section.get(key).and_then(|field| field.parsed(positive_duration)).unwrap_or(default);
    let drain = Drain { stop: time("stop", defaults.stop), upgrade: time("upgrade", defaults.upgrade) };
    section.close();
    drain
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

fn journal(field: &Field<'_>) -> Option<JournalSettings> {
    let section = field.section()?;
    let directory = section.require("directory", "`directory: /var/lib/plimsoll/journal`");
    let directory = directory.and_then(|field| field.text().map(PathBuf::from));
    // Below a megabyte a file of it would hold a second or two.
    let bytes_max = section.get("bytes_max").and_then(|field| field.number(1 << 20..=1 << 40));
    section.close();
    Some(JournalSettings { directory: directory?, bytes_max: bytes_max.unwrap_or(JOURNAL_BYTES_MAX) })
}

fn access_log(field: &Field<'_>) -> u32 {
    let Some(section) = field.section() else { return 0 };
    let sample = section.require("sample", "`sample: 1%`").and_then(|field| field.parsed(share));
    section.close();
    sample.map_or(0, |share| share.millionths())
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

/// Names are not looked up here: what they mean may change while we run.
fn endpoint(text: &str) -> Result<Endpoint, Mistake> {
    text.parse().map_err(|_| {
        Mistake::new(format!("`{text}` is not a host with a port"))
            .hint("write it like 127.0.0.1:3000 or shop.internal:3000")
    })
}

/// An address and a port.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, Mistake> {
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
