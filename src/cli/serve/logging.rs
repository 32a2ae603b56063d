//! What the process says on standard error, and how often others may say something in it.
//!
//! Ours is told from `info` on, until the admin API says otherwise; of the libraries,
//! errors only. Pingora has one for each head that breaks off, and anybody can send
//! those without number: what the libraries say is bounded by the second, and how
//! much was withheld is told with the next line. What counts is in the metrics.

use std::sync::{Mutex, PoisonError};

use env_logger::{Builder, Env, Logger};
use log::{Level, LevelFilter, Log, Metadata, Record};
use plimsoll_core::time::Time;

use crate::clock::Clock;

/// Where our own lines come from.
const OURS: &str = "plimsoll";
/// Lines of the libraries in a second: enough to see what is the matter.
const LINES_PER_S_MAX: u32 = 10;

/// Starts the log.
pub(super) fn start() {
    let logger = Builder::from_env(Env::default().default_filter_or("plimsoll=trace,error")).build();
    let filter = logger.filter();
    let log = Bounded { logger, clock: Clock::start(), allowance: Mutex::default() };
    // Started twice only by tests, which have no use for a second log.
    if log::set_boxed_logger(Box::new(log)).is_ok() {
        let is_chosen = std::env::var_os(env_logger::DEFAULT_FILTER_ENV).is_some();
        log::set_max_level(if is_chosen { filter } else { LevelFilter::Info });
    }
}

/// A log in which the libraries have an allowance.
struct Bounded {
    logger: Logger,
    clock: Clock,
    /// Held to take one line of it.
    allowance: Mutex<Allowance>,
}

impl Log for Bounded {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.logger.matches(record) {
            return;
        }
        if !record.target().starts_with(OURS) {
            let now = self.clock.now();
            let taken = self.allowance.lock().unwrap_or_else(PoisonError::into_inner).take(now);
            let Some(withheld) = taken else { return };
            if withheld > 0 {
                let told = format_args!("{withheld} lines of libraries were withheld");
                self.logger.log(&Record::builder().level(Level::Warn).target(OURS).args(told).build());
            }
        }
        self.logger.log(record);
    }

    fn flush(&self) {
        self.logger.flush();
    }
}

/// What is left of a second's lines.
#[derive(Debug, Default)]
struct Allowance {
    second: u64,
    told: u32,
    withheld: u64,
}

impl Allowance {
    /// Takes a line at `now`, with how many were withheld before it; `None` if it is withheld, too.
    fn take(&mut self, now: Time) -> Option<u64> {
        let second = now.since(Time::ZERO).as_secs();
        if second != self.second {
            (self.second, self.told) = (second, 0);
        }
        if self.told == LINES_PER_S_MAX {
            self.withheld += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_lines_and_the_next_one_tells_of_the_others() {
        let mut allowance = Allowance::default();
        let at = |ms| Time::from_millis(ms);
        for line in 0..LINES_PER_S_MAX {
            assert_eq!(allowance.take(at(5_000 + u64::from(line))), Some(0));
        }
        for _ in 0..3 {
            assert_eq!(allowance.take(at(5_999)), None);
        }
        assert_eq!(allowance.take(at(6_000)), Some(3));
        assert_eq!(allowance.take(at(6_000)), Some(0));
    }
}
