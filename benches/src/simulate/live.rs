//! The requests that are under way, by dense slot.
//!
//! A slot is used again; its epoch tells a step that was planned for an earlier
//! holder from one for the present. The same name goes to the controller, whose
//! caller must keep such a table.

use crate::crowd::Wish;
use crate::tally::Account;
use plimsoll_core::decision::RequestId;
use plimsoll_core::policy::ClassId;
use plimsoll_core::time::Time;

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// At its proxy, or on the way there or back.
    Proxy,
    /// In a station's line.
    Line(usize),
    /// Served by a station.
    Service(usize),
}

/// A request under way.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) account: Account,
    pub(crate) wish: Wish,
    /// What its proxy takes it for, once it is there.
    pub(crate) class: Option<ClassId>,
    pub(crate) is_inside: bool,
    /// Its proxy.
    pub(crate) door: usize,
    /// When its client meant to send it.
    pub(crate) intended: Time,
    /// When its last byte was sent to the origin, by the clock of its proxy.
    pub(crate) sent: Time,
    /// Its service time over the mean. Drawn on arrival, so that all contestants serve the same work.
    pub(crate) work: f64,
    pub(crate) position: Position,
    /// The endpoint whose worker it holds while it is at a dependency.
    pub(crate) endpoint: Option<usize>,
    /// Its client has an answer or has left.
    pub(crate) is_settled: bool,
}

impl Live {
    /// A request that is sent now, by way of `door`.
    pub(crate) fn new(wish: Wish, account: Account, work: f64, door: usize, now: Time) -> Live {
        Live {
            account,
            wish,
            class: None,
            is_inside: false,
            door,
            intended: now,
            sent: now,
            work,
            position: Position::Proxy,
            endpoint: None,
            is_settled: false,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Slot {
    epoch: u32,
    live: Option<Live>,
}

/// All requests under way.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    slots: Vec<Slot>,
    vacant: Vec<u32>,
}

impl Requests {
    /// Takes a request in and names it.
    pub(crate) fn enter(&mut self, live: Live) -> RequestId {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("memory ends before slots do")
        });
        let entry = &mut self.slots[slot as usize];
        entry.live = Some(live);
        RequestId { slot, epoch: entry.epoch }
    }

    /// The request of that name, unless it is gone.
    pub(crate) fn find(&mut self, id: RequestId) -> Option<&mut Live> {
        let slot = &mut self.slots[id.slot as usize];
        if slot.epoch == id.epoch { slot.live.as_mut() } else { None }
    }

    /// Forgets a request.
    pub(crate) fn leave(&mut self, id: RequestId) {
        let slot = &mut self.slots[id.slot as usize];
        if slot.epoch == id.epoch && slot.live.take().is_some() {
            slot.epoch = slot.epoch.wrapping_add(1);
            self.vacant.push(id.slot);
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrivals::ShopperId;
    use std::time::Duration;

    fn live() -> Live {
        let account = Account { phase: 0, class: 0, cost: 1.0, slo: Duration::from_secs(1) };
        let wish = Wish {
            template: 0,
            pattern: 0,
            number: 1,
            shopper: ShopperId(0),
            session: None,
            attempt: 0,
            is_loaded: false,
        };
        Live::new(wish, account, 1.0, 0, Time::ZERO)
    }

    #[test]
    fn slot_is_used_again_under_another_epoch() {
        let mut requests = Requests::default();
        let first = requests.enter(live());
        requests.leave(first);
        requests.leave(first);
        let second = requests.enter(live());
        assert_eq!((second.slot, second.epoch), (first.slot, first.epoch + 1));
        assert!(requests.find(first).is_none() && requests.find(second).is_some());
        assert_eq!(requests.len(), 1);
    }
}
