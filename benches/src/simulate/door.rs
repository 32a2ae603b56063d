//! What stands between clients and the shop: the one trait of everyone in the contest.
//!
//! A door is told what happens and answers at once or later. It sees what a proxy
//! can see: who asks for what, when answers come, who leaves. Those that must be
//! woken say when.

use crate::arrivals::ShopperId;
use plimsoll_core::controller::Outcome;
use plimsoll_core::decision::RequestId;
use plimsoll_core::policy::ClassId;
use plimsoll_core::time::Time;
use std::collections::BTreeMap;

/// A request at the door.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// Its name, until it is answered or leaves.
    pub(crate) id: RequestId,
    /// What it asks for: indexes into the scenario's mix and the paths there.
    pub(crate) template: usize,
    pub(crate) pattern: usize,
    /// Its class by the policy, for a session of which nothing is known. Lower is more important.
    pub(crate) class: ClassId,
    /// Whose it is.
    pub(crate) shopper: ShopperId,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum News {
    /// A request asks to be let in.
    Arrived(Ask),
    /// The first byte of an answer came; the last of the request had been sent at `sent`.
    FirstByte { id: RequestId, sent: Time },
    /// An answer has come in whole.
    Finished { id: RequestId, outcome: Outcome },
    /// A client has left, before or after it was let in.
    Left(RequestId),
    /// The policy was read again, and says what it said.
    Reloaded,
    /// Time has passed.
    Woken,
}

/// What a door says to one of those who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Come in.
    Admit(RequestId),
    /// Go away.
    Refuse(RequestId),
}

/// What a plot shows of a door.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gauge {
    /// How many may be inside at once, if the door limits that.
    pub(crate) limit: Option<f64>,
    /// How many are.
    pub(crate) inflight: u32,
}

/// How many were refused, by class of the policy and by reason.
pub(crate) type Reasons = BTreeMap<String, BTreeMap<&'static str, u64>>;

/// Adds `other` to `reasons`.
pub(crate) fn add_reasons(reasons: &mut Reasons, other: &Reasons) {
    for (class, counts) in other {
        for (reason, number) in counts {
            *reasons.entry(class.clone()).or_default().entry(reason).or_default() += number;
        }
    }
}

/// One proxy, of whatever make.
pub(crate) trait Door {
    /// Takes note of `news` and appends the answers it leads to.
    fn tell(&mut self, news: News, now: Time, answers: &mut Vec<Answer>);

    /// What it takes a request for, by what it knows of its session.
    fn class_of(&self, ask: &Ask, _now: Time) -> ClassId {
        ask.class
    }

    /// When to wake it, if nothing happens before.
    fn next_wakeup(&mut self) -> Option<Time> {
        None
    }

    /// Why it has refused whom, if it says so.
    fn reasons(&self) -> Reasons {
        Reasons::new()
    }

    /// What a plot shows of it.
    fn gauge(&self, now: Time) -> Gauge;
}
