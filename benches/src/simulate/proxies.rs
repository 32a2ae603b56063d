//! The proxies before the shop: which of them a request meets, and what their clocks show.
//!
//! Each has a door of its own and knows nothing of the others. Their clocks run
//! with virtual time until a phase lets them jump, as a machine's does that was
//! suspended; clients and shop do not notice.

use super::door::{Answer, Ask, Door, Gauge, News, Reasons, add_reasons};
use plimsoll_core::policy::ClassId;
use plimsoll_core::time::Time;
use rand::SeedableRng;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::SmallRng;
use std::time::Duration;

/// The shortest time there is.
const MOMENT: Duration = Duration::from_nanos(1);

/// A proxy, and when it wants to be woken in the world's time.
struct Proxy<'a> {
    door: Box<dyn Door + 'a>,
    wake_at: Time,
}

/// All proxies.
pub(crate) struct Proxies<'a> {
    proxies: Vec<Proxy<'a>>,
    /// Which of them sees how much of the traffic.
    shares: WeightedIndex<f64>,
    random: SmallRng,
    /// By how much their clocks are ahead.
    ahead: Duration,
}

impl<'a> Proxies<'a> {
    /// Proxies with these doors and shares of the traffic.
    pub(crate) fn new(doors: Vec<(Box<dyn Door + 'a>, f64)>, seed: u64) -> Proxies<'a> {
        let shares = doors.iter().map(|(_, share)| *share);
        Proxies {
            shares: WeightedIndex::new(shares).expect("a scenario's shares are positive"),
            proxies: doors.into_iter().map(|(door, _)| Proxy { door, wake_at: Time::NEVER }).collect(),
            random: SmallRng::seed_from_u64(seed),
            ahead: Duration::ZERO,
        }
    }

    /// The proxy that a request meets.
    pub(crate) fn choose(&mut self) -> usize {
        if self.proxies.len() == 1 { 0 } else { self.shares.sample(&mut self.random) }
    }

    /// How many there are.
    pub(crate) fn number(&self) -> usize {
        self.proxies.len()
    }

    /// What their clocks show at `now`.
    pub(crate) fn clock(&self, now: Time) -> Time {
        now.after(self.ahead)
    }

    /// Their clocks jump forward.
    pub(crate) fn jump(&mut self, by: Duration) {
        self.ahead += by;
    }

    /// Who wants to be woken first, and when.
    pub(crate) fn next_wakeup(&self) -> (usize, Time) {
        let due = self.proxies.iter().enumerate().min_by_key(|(_, proxy)| proxy.wake_at);
        due.map_or((0, Time::NEVER), |(index, proxy)| (index, proxy.wake_at))
    }

    /// What a proxy takes a request for.
    pub(crate) fn class_of(&self, proxy: usize, ask: &Ask, now: Time) -> ClassId {
        self.proxies[proxy].door.class_of(ask, self.clock(now))
    }

    /// Tells a proxy what happened and collects its answers.
    pub(crate) fn tell(&mut self, proxy: usize, news: News, now: Time, answers: &mut Vec<Answer>) {
        let clock = self.clock(now);
        let Proxy { door, wake_at } = &mut self.proxies[proxy];
        door.tell(news, clock, answers);
        // Strictly later, or one that asks for a moment that has come would be woken for ever.
        let in_world = |at: Time| Time::ZERO.after(at.since(Time::ZERO).saturating_sub(self.ahead));
        *wake_at = door.next_wakeup().map_or(Time::NEVER, |at| in_world(at).max(now.after(MOMENT)));
    }

    /// Why all of them have refused whom.
    pub(crate) fn reasons(&self) -> Reasons {
        let mut reasons = Reasons::new();
        for Proxy { door, .. } in &self.proxies {
            add_reasons(&mut reasons, &door.reasons());
        }
        reasons
    }

    /// How many a proxy may let in at once, if it limits that.
    pub(crate) fn limit(&self, proxy: usize, now: Time) -> Option<f64> {
        self.proxies[proxy].door.gauge(self.clock(now)).limit
    }

    /// What a plot shows of all of them together.
    pub(crate) fn gauge(&self, now: Time) -> Gauge {
        let mut sum = Gauge::default();
        for Proxy { door, .. } in &self.proxies {
            let gauge = door.gauge(self.clock(now));
            sum.inflight += gauge.inflight;
            sum.limit = sum.limit.map_or(gauge.limit, |limit| Some(limit + gauge.limit.unwrap_or_default()));
        }
        sum
    }
}
