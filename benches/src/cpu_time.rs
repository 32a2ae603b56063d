//! The CPU time a process or a thread has used, as Linux counts it.
//!
//! Of a process: user and system time of all threads, ended ones included. The kernel
//! counts that in ticks of ten milliseconds: measure seconds, not moments.

use std::time::Duration;

/// Why the CPU time of a process is unknown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CpuTimeError {
    #[error("cannot read {path}, and CPU time is only known on Linux")]
    Read { path: String, source: std::io::Error },
    #[error("{path} is not as proc(5) describes it")]
    Format { path: String },
}

/// The CPU time that process `id` has used so far.
pub(crate) fn of_process(id: u32) -> Result<Duration, CpuTimeError> {
    let path = format!("/proc/{id}/stat");
    let stat =
        std::fs::read_to_string(&path).map_err(|source| CpuTimeError::Read { path: path.clone(), source })?;
    let ticks = ticks(&stat).ok_or(CpuTimeError::Format { path })?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// The CPU time that this thread has used so far.
pub(crate) fn of_this_thread() -> Result<Duration, CpuTimeError> {
    let path = "/proc/thread-self/schedstat";
    let stat =
        std::fs::read_to_string(path).map_err(|source| CpuTimeError::Read { path: path.into(), source })?;
    let nanos = stat.split_ascii_whitespace().next().and_then(|nanos| nanos.parse().ok());
    nanos.map(Duration::from_nanos).ok_or(CpuTimeError::Format { path: path.into() })
}

/// utime + stime, fields 14 and 15; the second field, a name, may contain spaces.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_process_does_not_shift_the_fields() {
        let stat = "42 (a) b) c) S 1 42 42 0 -1 4194560 1 2 3 4 700 30 0 0 20 0 1";
        assert_eq!(ticks(stat), Some(730));
        assert_eq!(ticks("42 (a) S 1"), None);
    }
}
