//! The demo's last word: both runs side by side, by class.
//!
//! It prints counts and lets the reader judge; the last line is for the owner of
//! the shop, to whom a p99 means nothing.

use crate::arrivals::{Arrival, Schedule};
use crate::latencies::quantile;
use crate::origin::pages::Route;
use crate::report::{millis, optional_ms};
use crate::scenario::Scenario;
use crate::tally::Tally;
use crate::tally::cell::Cell;
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
            let lag = side.tally.worst_lag(self.scenario.told_phases());
            if let Some(lag) = lag.filter(|lag| lag.is_too_much()) {
                let (phase, lag) = (&self.scenario.phases[lag.phase].name, millis(lag.p99));
                let _ = write!(
                    board,
                    "\nThis machine was too busy to send the load on time ({lag:.0} ms late in {phase})."
                );
            }
        }
        board
    }

    fn busiest_phase(&self) -> Option<usize> {
        let rate = |index: &usize| self.scenario.rate(&self.scenario.phases[*index]);
        (0..self.scenario.phases.len()).max_by(|a, b| rate(a).total_cmp(&rate(b)))
    }

    fn table(&self, board: &mut String, title: &str, cell: impl Fn(&Tally, usize) -> Cell) {
        let heading = format!("{:>7} {:>8} {:>5} {:>5}", "in time", "refused", "p50", "p99");
        let _ = writeln!(board, "\n{title:<18} | {:<28} | through plimsoll", "straight at the shop");
        let _ = writeln!(board, "{:<10} {:>7} | {heading} | {heading}  ms", "class", "offered");
        for (class, name) in self.scenario.classes().iter().enumerate() {
            let (direct, guarded) = (cell(&self.direct.tally, class), cell(&self.guarded.tally, class));
            let (left, right) = (columns(&direct), columns(&guarded));
            let _ = writeln!(board, "{name:<10} {:>7} | {left} | {right}", direct.offered);
        }
    }

    fn verdict(&self) -> String {
        format!(
            "Of {} orders placed, the shop completed {} without plimsoll and {} with it.",
            self.orders_placed(),
            self.direct.orders,
            self.guarded.orders
        )
    }

    /// The orders in the schedule that both runs followed.
    fn orders_placed(&self) -> usize {
        let is_order = |arrival: &Arrival| {
            let request = &self.scenario.mix[arrival.template];
            Route::of(&request.method, &arrival.path(self.scenario)) == Route::Order
        };
        Schedule::new(self.scenario, self.scenario.seed).filter(is_order).count()
    }
}

fn columns(cell: &Cell) -> String {
    let quantile_ms = |at| optional_ms(quantile(&cell.served_us, at).map(millis));
    format!(
        "{:>7} {:>8} {:>5} {:>5}",
        share(cell.good, cell.offered),
        share(cell.refusals(), cell.offered),
        quantile_ms(0.5),
        quantile_ms(0.99)
    )
}

/// `part` out of `whole` in percent, rounded down, in less room than a report has.
fn share(part: u64, whole: u64) -> String {
    match (part * 1_000).checked_div(whole) {
        Some(share) => format!("{}.{}%", share / 10, share % 10),
        None => "-".into(),
    }
}
