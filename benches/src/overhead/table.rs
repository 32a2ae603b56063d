//! One table of what everybody costs, as text, as Markdown and as JSON.

use super::Turn;
use super::spread::Spread;
use crate::report::machine::Machine;
use serde::{Deserialize, Serialize};

/// Whom ratios are of.
const YARDSTICK: &str = "bare-pingora";

/// What the turns of one contender showed.
pub(super) struct Costs {
    name: &'static str,
    proxied_us: Vec<f64>,
    refused_us: Vec<f64>,
    idle_kib: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

impl Costs {
    /// Nothing yet.
    pub(super) fn of(name: &'static str) -> Costs {
        let [proxied_us, refused_us, idle_kib, p50_ms, p99_ms] = Default::default();
        Costs { name, proxied_us, refused_us, idle_kib, p50_ms, p99_ms }
    }

    pub(super) fn add(&mut self, turn: &Turn) {
        self.proxied_us.push(turn.proxied_us);
        self.refused_us.push(turn.refused_us);
        self.idle_kib.push(turn.idle_kib);
        self.p50_ms.push(turn.added.p50_ms);
        self.p99_ms.push(turn.added.p99_ms);
    }
}

/// The results of a comparison.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Overhead {
    pub(crate) machine: Machine,
    rounds: u32,
    idle_connections: u32,
    rows: Vec<Row>,
}

/// What one proxy costs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    name: String,
    /// Microseconds of CPU time.
    pub(crate) cpu_per_request_us: Option<Spread>,
    /// The median over the yardstick's.
    pub(crate) times_bare_pingora: Option<f64>,
    pub(crate) cpu_per_refusal_us: Option<Spread>,
    pub(crate) memory_per_idle_connection_kib: Option<Spread>,
    pub(crate) added_p50_ms: Option<Spread>,
    pub(crate) added_p99_ms: Option<Spread>,
}

impl Overhead {
    /// The results of `costs`, on a machine that was looked at before this thread was bound to one core.
    pub(super) fn new(machine: Machine, rounds: u32, idle_connections: u32, costs: &[Costs]) -> Overhead {
        let median = |costs: &Costs| Spread::of(&costs.proxied_us).map(|spread| spread.median);
        let yardstick = costs.iter().find(|costs| costs.name == YARDSTICK).and_then(median);
        let row = |costs: &Costs| Row {
            name: costs.name.into(),
            cpu_per_request_us: Spread::of(&costs.proxied_us),
            times_bare_pingora: median(costs).zip(yardstick).map(|(own, bare)| own / bare),
            cpu_per_refusal_us: Spread::of(&costs.refused_us),
            memory_per_idle_connection_kib: Spread::of(&costs.idle_kib),
            added_p50_ms: Spread::of(&costs.p50_ms),
            added_p99_ms: Spread::of(&costs.p99_ms),
        };
        Overhead { machine, rounds, idle_connections, rows: costs.iter().map(row).collect() }
    }

    /// What the proxy of that name costs.
    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// The table for a terminal.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "one thread each, {} rounds, {} idle connections, on {}\nmedians, and in brackets the least and the \
             most\n{HEADING}",
            self.rounds, self.idle_connections, self.machine
        );
        for row in &self.rows {
            let [name, request, ratio, refusal, idle, p50, p99] = row.cells();
            text.push_str(&format!(
                "\n{name:<13}{request:>22}{ratio:>7}{refusal:>22}{idle:>22}{p50:>26}{p99:>26}"
            ));
        }
        text
    }

    /// The table for a document.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!(
            "One thread each, {} rounds, {} idle connections; medians, and in brackets the least and the most.\n\n\
             {COLUMNS}",
            self.rounds, self.idle_connections
        );
        self.rows.iter().for_each(|row| text.push_str(&format!("| {} |\n", row.cells().join(" | "))));
        text
    }
}

const COLUMNS: &str = "\
| who | CPU us per request | over bare Pingora's | CPU us per refusal | KiB per idle connection | added p50, ms | added p99, ms |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
";

const HEADING: &str = "               CPU us per request  ratio    CPU us per refusal     KiB per idle conn.            \
                       added p50 ms              added p99 ms";

impl Row {
    fn cells(&self) -> [String; 7] {
        [
            self.name.clone(),
            shown(self.cpu_per_request_us),
            self.times_bare_pingora.map_or("-".into(), |times| format!("{times:.2}")),
            shown(self.cpu_per_refusal_us),
            shown(self.memory_per_idle_connection_kib),
            shown_finely(self.added_p50_ms),
            shown_finely(self.added_p99_ms),
        ]
    }
}

fn shown(spread: Option<Spread>) -> String {
    spread.map_or("-".into(), |spread| format!("{spread:.1}"))
}

fn shown_finely(spread: Option<Spread>) -> String {
    spread.map_or("-".into(), |spread| format!("{spread:.2}"))
}
