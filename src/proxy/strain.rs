//! How near the process is to its own end, and what it gives up so as not to get there.
//!
//! A ladder, by memory, descriptors and the delay of its own tasks, whichever is worst.
//! On the first rung connections are not kept, on the second the less important half of
//! the classes is refused, on the third connections are turned away. A shop is of use
//! while its checkout is, so the rest goes first; and a process that dies serves nobody.
//!
//! A rung is left when there is some way to the threshold again, so that it is not
//! entered and left with every request.

mod groups;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::telemetry::connections::ConnectionMetrics;

/// How often it is looked at: memory that is taken faster is taken by nothing that we bound.
const INTERVAL: Duration = Duration::from_secs(1);
/// A task that sleeps for this tells by how much later it is woken how long others wait.
const NAP: Duration = Duration::from_millis(100);
/// The share of memory and of descriptors at which each rung begins, in percent.
const SHARES: [u64; 3] = [80, 90, 95];
/// The delay at which each rung begins, in milliseconds: what is seen as slow, and what nobody waits for
/// twice. To keep connections costs no time, so that the first rung would not help and begins with the second.
const DELAYS: [u64; 3] = [500, 500, 2_000];
/// Naps at the least, however long they take.
const NAPS_MIN: u32 = 3;
/// A rung is left below this part of its threshold, in percent.
const LEFT_BELOW: u64 = 90;

/// What is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rung {
    /// Nothing.
    Calm,
    /// Connections end with their request.
    NoKeepAlive,
    /// The less important half of the classes is refused.
    LowerClasses,
    /// Connections are turned away.
    NoConnections,
}

const RUNGS: [Rung; 4] = [Rung::Calm, Rung::NoKeepAlive, Rung::LowerClasses, Rung::NoConnections];

/// One measure of strain.
#[derive(Clone, Copy, Debug)]
struct Measure {
    rung: Rung,
    thresholds: [u64; 3],
}

impl Measure {
    fn new(thresholds: [u64; 3]) -> Measure {
        Measure { rung: Rung::Calm, thresholds }
    }

    /// The rung for `value`, after the one before.
    fn climb(&mut self, value: u64) -> Rung {
        let is_on = |(index, threshold): (usize, &u64)| {
            let holds = self.rung > RUNGS[index];
            value >= if holds { threshold * LEFT_BELOW / 100 } else { *threshold }
        };
        self.rung = RUNGS[self.thresholds.iter().enumerate().take_while(|one| is_on(*one)).count()];
        self.rung
    }
}

/// What the process may take.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    memory_bytes: u64,
    descriptors: u64,
}

/// The ladder, for everybody to look at.
#[derive(Clone, Debug, Default)]
pub struct Strain(Arc<AtomicU8>);

impl Strain {
    /// Where it stands.
    pub(super) fn rung(&self) -> Rung {
        RUNGS[usize::from(self.0.load(Ordering::Relaxed))]
    }

    /// Watches the process, which may take so much memory, until it is dropped.
    pub async fn watch(self, memory_bytes_max: Option<u64>, clock: Clock, metrics: ConnectionMetrics) {
        let bounds = Bounds {
            memory_bytes: memory_bytes_max.or_else(memory_of_system).unwrap_or(u64::MAX),
            descriptors: rlimit::Resource::NOFILE.get_soft().unwrap_or(u64::MAX),
        };
        let of = |bound: u64| SHARES.map(|share| bound / 100 * share);
        let mut memory = Measure::new(of(bounds.memory_bytes));
        let mut descriptors = Measure::new(of(bounds.descriptors.max(100)));
        let mut delay = Measure::new(DELAYS);
        loop {
            let late = delay_over(INTERVAL, clock).await;
            // Reading takes as long as there are descriptors.
            let taken = tokio::task::spawn_blocking(|| (resident_bytes(), open_descriptors())).await;
            let (resident, open) = taken.unwrap_or_default();
            let rungs = [
                ("memory", memory.climb(resident.unwrap_or(0))),
                ("descriptors", descriptors.climb(open.unwrap_or(0))),
                ("delay", delay.climb(u64::try_from(late.as_millis()).unwrap_or(u64::MAX))),
            ];
            self.stand_on(rungs, &metrics);
        }
    }

    fn stand_on(&self, rungs: [(&'static str, Rung); 3], metrics: &ConnectionMetrics) {
        let worst = rungs.iter().map(|(_, rung)| *rung).max().unwrap_or(Rung::Calm);
        let before = self.0.swap(worst as u8, Ordering::Relaxed);
        if before != worst as u8 {
            log::warn!("self-protection: {worst:?}, by {rungs:?}");
        }
        for (measure, rung) in rungs {
            metrics.strained(measure, rung as i64);
        }
    }
}

/// The shortest delay of a nap over `time`: one that is late tells of a moment, all of them of a state.
async fn delay_over(time: Duration, clock: Clock) -> Duration {
    let began = clock.now();
    let mut shortest = Duration::MAX;
    let mut naps = 0;
    while naps < NAPS_MIN || clock.now().since(began) < time {
        let before = clock.now();
        tokio::time::sleep(NAP).await;
        shortest = shortest.min(clock.now().since(before).saturating_sub(NAP));
        naps += 1;
    }
    shortest
}

/// The least of what the container, or the service, and the machine have.
fn memory_of_system() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| kilobytes(&text, "MemTotal:"));
    [groups::memory_bytes_max(), machine].into_iter().flatten().min()
}

fn resident_bytes() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// `VmRSS:     1234 kB` in bytes.
fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

fn open_descriptors() -> Option<u64> {
    fs::read_dir("/proc/self/fd").ok()?.count().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn each_threshold_is_a_rung_and_is_left_with_some_way_to_go() {
        let mut measure = Measure::new(SHARES);
        for (value, expected) in [
            (79, Rung::Calm),
            (80, Rung::NoKeepAlive),
            (89, Rung::NoKeepAlive),
            (90, Rung::LowerClasses),
            (95, Rung::NoConnections),
            (86, Rung::NoConnections),
            (84, Rung::LowerClasses),
            (81, Rung::LowerClasses),
            (80, Rung::NoKeepAlive),
            (72, Rung::NoKeepAlive),
            (71, Rung::Calm),
            (79, Rung::Calm),
            (1_000, Rung::NoConnections),
            (0, Rung::Calm),
        ] {
            assert_eq!(measure.climb(value), expected, "at {value}");
        }
    }

    #[test]
    fn the_worst_measure_counts() {
        let strain = Strain::default();
        let metrics = Metrics::default().connections;
        let rungs =
            |memory, descriptors, delay| [("memory", memory), ("descriptors", descriptors), ("delay", delay)];
        assert_eq!(strain.rung(), Rung::Calm);
        strain.stand_on(rungs(Rung::NoKeepAlive, Rung::LowerClasses, Rung::Calm), &metrics);
        assert_eq!(strain.rung(), Rung::LowerClasses);
        strain.stand_on(rungs(Rung::Calm, Rung::Calm, Rung::NoConnections), &metrics);
        assert_eq!(strain.rung(), Rung::NoConnections);
        strain.stand_on(rungs(Rung::Calm, Rung::Calm, Rung::Calm), &metrics);
        assert_eq!(strain.rung(), Rung::Calm);
    }

    #[test]
    fn what_the_system_tells_is_read() {
        assert_eq!(kilobytes("Name: x\nVmRSS:\t    1234 kB\n", "VmRSS:"), Some(1_234 * 1_024));
        assert_eq!(kilobytes("VmRSS: many kB\n", "VmRSS:"), None);
        assert_eq!(kilobytes("", "VmRSS:"), None);
        if cfg!(target_os = "linux") {
            assert!(resident_bytes().is_some_and(|bytes| bytes > 0));
            assert!(open_descriptors().is_some_and(|count| count > 2));
        }
    }
}
