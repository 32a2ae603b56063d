//! What a process takes of the machine: memory, and descriptors, as Linux tells them.

use serde::Serialize;
use std::path::Path;

/// Why the vitals of a process are unknown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VitalsError {
    #[error("cannot read {path}, and memory and descriptors are only known on Linux")]
    Read { path: String, source: std::io::Error },
    #[error("{path} is not as proc(5) describes it")]
    Format { path: String },
}

/// What a process had at a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Vitals {
    /// Seconds from the start of the run.
    pub(crate) at_s: f64,
    /// Its resident memory.
    pub(crate) resident_kib: u64,
    /// Its open descriptors.
    pub(crate) descriptors: u64,
}

impl Vitals {
    /// What process `id` has now.
    pub(crate) fn of_process(id: u32, at_s: f64) -> Result<Vitals, VitalsError> {
        let path = format!("/proc/{id}/fd");
        let open = Path::new(&path).read_dir();
        let open = open.map_err(|source| VitalsError::Read { path: path.clone(), source })?;
        Ok(Vitals { at_s, resident_kib: resident_kib(id)?, descriptors: open.count() as u64 })
    }
}

/// The resident memory of process `id`, in KiB.
pub(crate) fn resident_kib(id: u32) -> Result<u64, VitalsError> {
    let path = format!("/proc/{id}/status");
    let status =
        std::fs::read_to_string(&path).map_err(|source| VitalsError::Read { path: path.clone(), source })?;
    resident(&status).ok_or(VitalsError::Format { path })
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_a_status() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   12345 kB\nThreads:\t1\n"), Some(12_345));
        assert_eq!(resident("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn own_memory_is_no_less_than_what_is_held() {
        // How much it grows by says nothing: tests beside this one let go of theirs.
        let held = vec![1_u8; 64 << 20];
        let resident = resident_kib(std::process::id()).unwrap();
        assert!(resident >= 64 * 1_024, "{resident} KiB with {} bytes", held.len());
    }

    #[test]
    fn own_descriptors_are_counted() {
        let count = || Vitals::of_process(std::process::id(), 0.0).unwrap().descriptors;
        let held: Vec<_> = (0..100).map(|_| std::fs::File::open("/proc/self/status").unwrap()).collect();
        // Tests beside this one open files, too; not as many.
        assert!(count() >= held.len() as u64);
    }
}
