//! The demo's last word: both runs side by side, by class.
//!
//! It prints counts and lets the reader judge; the last line is for the owner of
//! the shop, to whom a p99 means nothing.

use crate::open_loop::LAG_P99_MAX;
use crate::report::{millis, optional_ms, ratio};
use crate::scenario::Scenario;
use crate::tally::{Cell, Tally, quantile};
use std::fmt::Write;

/// What came of one of the two runs.
pub(crate) struct Side {
    /// What the shoppers saw.
    pub(crate) tally: Tally,
    /// Orders the shop has confirmed.
    pub(crate) orders: u64,
}

/// The two runs of a demo.
pub(crate) struct Contest<'a> {
    /// What both were put through.
    pub(crate) scenario: &'a Scenario,
    /// Straight at the shop.
    pub(crate) direct: Side,
    /// Through plimsoll.
    pub(crate) guarded: Side,
}

impl Contest<'_> {
    /// The scoreboard as text.
    pub(crate) fn scoreboard(&self) -> String {
        let mut board = String::new();
        if let Some(busiest) = self.busiest_phase() {
            let phase = &self.scenario.phases[busiest];
            let title = format!("{} ({})", phase.name, phase.load);
            self.table(&mut board, &title, |tally, class| tally.cell(busiest, class).clone());
        }
        self.table(&mut board, "the whole day", Tally::class_total);
        let _ = write!(board, "\n{}", self.verdict());
        for side in [&self.direct, &self.guarded] {
            if side.tally.lag_p99() > LAG_P99_MAX {
                let lag = millis(side.tally.lag_p99());
                let _ =
                    write!(board, "\nThis machine was too busy to send the load on time ({lag:.0} ms late).");
            }
        }
        board
    }

    fn busiest_phase(&self) -> Option<usize> {
        let rate = |index: &usize| self.scenario.rate(&self.scenario.phases[*index]);
        (0..self.scenario.phases.len()).max_by(|a, b| rate(a).total_cmp(&rate(b)))
    }

    fn table(&self, board: &mut String, title: &str, cell: impl Fn(&Tally, usize) -> Cell) {
        let _ = writeln!(board, "\n{title:<22}| {:<42}| through plimsoll", "straight at the shop");
        let heading = format!("{:>10} {:>10} {:>9} {:>10}", "in time", "refused", "p50 ms", "p99 ms");
        let _ = writeln!(board, "{:<11}{:>10} | {heading} | {heading}", "class", "offered");
        for (class, name) in self.scenario.classes().iter().enumerate() {
            let (direct, guarded) = (cell(&self.direct.tally, class), cell(&self.guarded.tally, class));
            let (left, right) = (columns(&direct), columns(&guarded));
            let _ = writeln!(board, "{name:<11}{:>10} | {left} | {right}", direct.offered);
        }
    }

    fn verdict(&self) -> String {
        format!("Orders completed: {} without plimsoll, {} with it.", self.direct.orders, self.guarded.orders)
    }
}

fn columns(cell: &Cell) -> String {
    let quantile_ms = |share| optional_ms(quantile(&cell.served_us, share).map(millis));
    format!(
        "{:>10} {:>10} {:>9} {:>10}",
        ratio(cell.good, cell.offered),
        ratio(cell.refusals(), cell.offered),
        quantile_ms(0.5),
        quantile_ms(0.99)
    )
}
