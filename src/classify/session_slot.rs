//! What is remembered of one session, in the space of one cache line.
//!
//! Counters saturate. It knows no table, hash key or lock.

use std::time::Duration;

use plimsoll_core::time::Time;

use super::session::{Entry, SessionView, Stage, Visit};

/// A session silent for longer starts a new visit: the customary limit of web analytics.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(30 * 60);

/// The memory of one session; free by default.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    hash: u64,
    first: Time,
    last: Time,
    requests: u32,
    views: u16,
    searches: u16,
    carts: u16,
    checkouts: u16,
    admissions: u8,
    stage: Stage,
    entry: Entry,
    taken: bool,
    settled: bool,
    returning: bool,
    bequeathed: bool,
    broken: bool,
}

impl Slot {
    pub(super) fn new(hash: u64, now: Time) -> Slot {
        Slot { hash, first: now, last: now, taken: true, ..Slot::default() }
    }

    pub(super) fn is_taken(&self) -> bool {
        self.taken
    }

    pub(super) fn holds(&self, hash: u64) -> bool {
        self.taken && self.hash == hash
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Ascending order of who stays in the table.
    pub(super) fn worth(&self) -> (bool, bool, Stage, Time) {
        (self.taken, self.settled, self.stage, self.last)
    }

    pub(super) fn view(&self, now: Time) -> SessionView {
        if self.is_over(now) {
            return SessionView { returning: self.returning, ..SessionView::default() };
        }
        SessionView {
            requests: self.requests,
            views: u32::from(self.views),
            searches: u32::from(self.searches),
            carts: u32::from(self.carts),
            checkouts: u32::from(self.checkouts),
            age: now.since(self.first),
            idle: now.since(self.last),
            stage: self.stage,
            entry: self.entry,
            returning: self.returning,
            admitted: self.admissions > 0 && !self.broken,
        }
    }

    /// Starts a new visit if the last one is over. Who is settled stays so.
    pub(super) fn restart_if_over(&mut self, now: Time) {
        if self.is_over(now) {
            let Slot { hash, settled, returning, .. } = *self;
            *self = Slot { settled, returning, ..Slot::new(hash, now) };
        }
    }

    /// A request carries this cookie. One that nobody saw being set is from before.
    pub(super) fn claim(&mut self) {
        self.returning |= self.requests == 0 && !self.settled;
    }

    pub(super) fn record(&mut self, visit: Visit, entry: Entry, now: Time) {
        if self.requests == 0 {
            self.entry = entry;
        }
        self.requests = self.requests.saturating_add(1);
        self.last = now;
        self.stage = self.stage.max(visit.stage());
        self.broken &= !visit.is_step();
        let counter = match visit {
            Visit::Page => &mut self.views,
            Visit::Search => &mut self.searches,
            Visit::Cart => &mut self.carts,
            Visit::Checkout => &mut self.checkouts,
            Visit::Other => return,
        };
        *counter = counter.saturating_add(1);
    }

    pub(super) fn admit(&mut self, admitted_to_settle: u8) {
        self.admissions = self.admissions.saturating_add(1);
        self.settled |= self.admissions >= admitted_to_settle;
    }

    pub(super) fn refuse(&mut self, visit: Visit) {
        self.broken |= visit.is_step();
    }

    pub(super) fn settle(&mut self) {
        self.settled = true;
    }

    /// What the first successor takes over; nothing for later ones.
    pub(super) fn bequeath(&mut self) -> Option<Slot> {
        let first = !self.bequeathed;
        self.bequeathed = true;
        first.then(|| self.clone())
    }

    pub(super) fn inherit(&mut self, legacy: Option<Slot>) {
        let hash = self.hash;
        let past = legacy.unwrap_or_else(|| self.clone());
        *self = Slot { hash, settled: true, bequeathed: false, ..past };
    }

    fn is_over(&self, now: Time) -> bool {
        now.since(self.last) > IDLE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_fits_a_cache_line() {
        assert!(size_of::<Slot>() <= 64);
    }

    #[test]
    fn counters_stop_at_their_end() {
        let mut slot = Slot { views: u16::MAX, requests: u32::MAX, ..Slot::new(1, Time::ZERO) };
        slot.record(Visit::Page, Entry::Direct, Time::ZERO);
        assert_eq!(slot.view(Time::ZERO).views, u32::from(u16::MAX));
        assert_eq!(slot.view(Time::ZERO).requests, u32::MAX);
    }
}
