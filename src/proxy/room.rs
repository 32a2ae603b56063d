//! Memory that all requests share, up to a bound: for bodies on their way in, for responses on their way out.
//!
//! Counted by the byte, as it is filled. Who finds no room is told at once, and waits for none: what to do
//! without is the caller's.

use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many bytes, for all.
#[derive(Debug)]
pub(super) struct Room {
    bytes: Arc<Semaphore>,
    taken: Gauge,
}

/// Bytes that one request takes of it. Given back when dropped.
#[derive(Debug)]
pub(super) struct Taken {
    permit: OwnedSemaphorePermit,
    taken: Gauge,
}

impl Room {
    /// Room for `bytes`; `taken` tells how many of them are in use.
    pub(super) fn new(bytes: usize, taken: Gauge) -> Room {
        Room { bytes: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))), taken }
    }

    /// Adds so many bytes to `taken`, if there is room for them.
    pub(super) fn take(&self, bytes: usize, taken: &mut Option<Taken>) -> bool {
        let Ok(count) = u32::try_from(bytes) else { return false };
        let Ok(permit) = self.bytes.clone().try_acquire_many_owned(count) else { return false };
        self.taken.inc_by(i64::from(count));
        match taken {
            Some(taken) => taken.permit.merge(permit),
            None => *taken = Some(Taken { permit, taken: self.taken.clone() }),
        }
        true
    }
}

impl Taken {
    /// How many they are.
    pub(super) fn bytes(&self) -> usize {
        self.permit.num_permits()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.taken.dec_by(self.permit.num_permits() as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_up_to_its_bound_and_given_back() {
        let in_use = Gauge::default();
        let room = Room::new(1_000, in_use.clone());
        let (mut one, mut other) = (None, None);
        assert!(room.take(999, &mut one));
        assert!(room.take(1, &mut other));
        assert!(!room.take(1, &mut other));
        assert_eq!(in_use.get(), 1_000);
        drop(other);
        assert!(room.take(1, &mut one));
        drop(one);
        assert_eq!(in_use.get(), 0);
    }
}
