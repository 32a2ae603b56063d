//! The machine a run was made on: numbers without it mean little.
//!
//! What Linux does not tell is left out. No host name: reports are passed on.

use serde::{Deserialize, Serialize};

/// What of a machine decides its numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The processor's own name.
    pub(crate) processor: Option<String>,
    /// How many cores this process may use.
    pub(crate) cores: Option<usize>,
    /// All of the memory.
    pub(crate) memory_mib: Option<u64>,
    /// The operating system and its release.
    pub(crate) system: Option<String>,
}

impl Machine {
    /// The machine this runs on.
    pub(crate) fn here() -> Machine {
        let memory_kib = value_in("/proc/meminfo", "MemTotal").and_then(|text| {
            let number = text.split_ascii_whitespace().next()?;
            number.parse::<u64>().ok()
        });
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        Machine {
            processor: value_in("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map(usize::from).ok(),
            memory_mib: memory_kib.map(|memory| memory / 1_024),
            system: release.map(|release| format!("Linux {}", release.trim())),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cores = self.cores.map(|cores| format!("{cores} cores"));
        let memory = self.memory_mib.map(|memory| format!("{:.1} GiB", memory as f64 / 1_024.0));
        let known = [self.processor.clone(), cores, memory, self.system.clone()];
        f.write_str(&known.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// The first `value` of a line `key : value` of a file of the kernel's.
fn value_in(path: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned())
}
