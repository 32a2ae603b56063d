//! Keeps a server on a core of its own, away from the load that measures it.
//!
//! A process starts on the core of the thread that starts it, so this thread moves
//! there for a moment and comes back. Where the system does not let it, nothing is
//! pinned: the figures then only spread more.

use core_affinity::CoreId;
use std::future::Future;

/// One core for this thread and one for those it measures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    own: CoreId,
    other: CoreId,
}

impl Cores {
    /// Moves this thread to one of two cores for good, and leaves the other to those it measures.
    pub(crate) fn part() -> Option<Cores> {
        let mut cores = core_affinity::get_core_ids()?.into_iter();
        let cores = Cores { own: cores.next()?, other: cores.next()? };
        core_affinity::set_for_current(cores.own).then_some(cores)
    }

    /// The number of the core of those who are measured.
    pub(crate) fn other(&self) -> usize {
        self.other.id
    }
}

/// Moves this thread, which serves those who are measured, to their core, if there is one.
pub(crate) fn move_to_other(cores: Option<Cores>) {
    if let Some(cores) = cores {
        core_affinity::set_for_current(cores.other);
    }
}

/// Completes `start`, which starts processes, on the core of those who are measured, if there is one.
pub(crate) async fn apart<T>(cores: Option<Cores>, start: impl Future<Output = T>) -> T {
    let Some(Cores { own, other }) = cores else { return start.await };
    core_affinity::set_for_current(other);
    let started = start.await;
    core_affinity::set_for_current(own);
    started
}
