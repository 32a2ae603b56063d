//! What is counted of connections: how many there are, and which are turned away, and why.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::registration::{KindLabel, by_kind, registered};

/// Why a connection is closed by us, and not at the end of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// There are too many.
    TooMany,
    /// There are too many of its address.
    TooManyOfAddress,
    /// It comes from a hop that does not say for whom.
    ProxyHeader,
    /// It did not agree with us on TLS.
    Handshake,
    /// There are too many handshakes of its address.
    TooManyHandshakes,
    /// Frames of HTTP/2 that cost us work and nobody else.
    Flood,
    /// It takes what it is sent too slowly; over HTTP/2 that may end one stream of it only.
    Slow,
    /// The process has too much to do to survive more.
    Strained,
}

impl TurnedAway {
    /// All of them, in the order of their values.
    const ALL: [(TurnedAway, &str); 8] = [
        (TurnedAway::TooMany, "total"),
        (TurnedAway::TooManyOfAddress, "address"),
        (TurnedAway::ProxyHeader, "proxy_header"),
        (TurnedAway::Handshake, "handshake"),
        (TurnedAway::TooManyHandshakes, "handshake_rate"),
        (TurnedAway::Flood, "flood"),
        (TurnedAway::Slow, "slow"),
        (TurnedAway::Strained, "self_protection"),
    ];
}

/// The counters.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    /// Those there are.
    pub open: Gauge,
    turned_away: [Counter; TurnedAway::ALL.len()],
    certificates: [Counter; 2],
    strain: Family<KindLabel, Gauge>,
}

impl ConnectionMetrics {
    pub(super) fn new(registry: &mut Registry) -> ConnectionMetrics {
        let refused = by_kind(registry, "connections_refused", "Connections closed for what they are or do");
        let reloaded = by_kind(registry, "certificate_reloads", "Reloads of certificates, by result");
        let rung = "Rung of self-protection by measure: 1 keeps no connections, 2 refuses lower classes, 3 connections";
        ConnectionMetrics {
            open: registered(registry, "connections", "Connections of clients"),
            turned_away: TurnedAway::ALL.map(|(_, kind)| refused(kind)),
            certificates: ["applied", "rejected"].map(reloaded),
            strain: registered(registry, "self_protection", rung),
        }
    }

    /// Counts a connection that was closed.
    pub fn turn_away(&self, why: TurnedAway) {
        self.turned_away[why as usize].inc();
    }

    /// Tells how far up the ladder of self-protection a measure is.
    pub fn strained(&self, measure: &'static str, rung: i64) {
        self.strain.get_or_create(&KindLabel { kind: measure }).set(rung);
    }

    /// Counts a reload of certificates.
    pub fn certificates_reloaded(&self, applied: bool) {
        self.certificates[usize::from(!applied)].inc();
    }
}
