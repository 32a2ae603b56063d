//! A shop in virtual time: what a policy would do to requests under a stated load.
//!
//! The core that decides in the proxy decides here; only the shop behind it is made up: sixteen
//! workers of 40 ms, one pool, answers that never fail. Arrivals, services and answers are events
//! of one agenda, and whatever is random comes from a fixed seed, so that a forecast is the same
//! on every machine and each time.
//!
//! Clients do not leave before their patience ends, and a policy that only observes is forecast as
//! if it enforced: the question is what it would do. A class that is observed by itself is not: that
//! is what it would do with the mode changed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::agenda::Agenda;
use plimsoll_core::controller::{Arrival, Controller, Event, Outcome};
use plimsoll_core::decision::{Decision, RequestId};
use plimsoll_core::policy::{ClassId, Mode, Policy};
use plimsoll_core::standing::{Tenure, Value};
use plimsoll_core::time::Time;

/// The shop of the project's demo: 16 workers ...
const WORKERS: usize = 16;
/// ... that take 40 ms a request, give or take half of it.
const SERVICE: Duration = Duration::from_millis(40);
/// By then the limit has found the shop's capacity, whatever it started from.
const WARM_UP: Duration = Duration::from_secs(10);
/// What is looked at after that; at 0.1x of capacity it still holds 400 requests.
const MEASURED: Duration = Duration::from_secs(10);
/// The least load of the class in question: enough of it to speak of a share.
const ASKED_LOAD_MIN: f64 = 0.05;
/// Any number does; this one says that it was chosen for nothing else.
const SEED: u64 = 0x706c_696d_736f_6c6c;

/// A request as the core sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Its class.
    pub class: ClassId,
    /// What it is worth.
    pub value: Value,
}

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Answered within its patience.
    Served,
    /// Answered too late.
    Late,
    /// Refused.
    Shed,
}

impl Fate {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Fate::Served => "served",
            Fate::Late => "late",
            Fate::Shed => "shed",
        }
    }
}

/// Requests per second that the shop can answer.
pub fn capacity() -> f64 {
    WORKERS as f64 / SERVICE.as_secs_f64()
}

/// The share of requests like `ask` that are served while each class offers the shop so many times
/// its capacity.
pub fn share_served(policy: &Policy, offered: &[(ClassId, f64)], ask: Ask, values: &[Value]) -> f64 {
    let mut loads = offered.to_vec();
    match loads.iter_mut().find(|(class, _)| *class == ask.class) {
        Some((_, load)) => *load = load.max(ASKED_LOAD_MIN),
        None => loads.push((ask.class, ASKED_LOAD_MIN)),
    }
    let total: f64 = loads.iter().map(|(_, load)| load).sum();
    let mut random = Random(SEED);
    let mut shop = Shop::new(policy);
    let mut asked = Vec::new();
    let mut now = Time::ZERO;
    while now < Time::ZERO.after(WARM_UP + MEASURED) {
        // The gap to the next event of a Poisson process.
        now = now.after(Duration::from_secs_f64(-(1.0 - random.unit()).ln() / (capacity() * total)));
        let class = pick(&loads, random.unit() * total);
        let value = if class == ask.class { ask.value } else { values[class.index()] };
        let request = shop.arrive(now, Ask { class, value });
        if class == ask.class && now >= Time::ZERO.after(WARM_UP) {
            asked.push(request);
        }
    }
    let fates = shop.close();
    let served = asked.iter().filter(|request| fates[**request] == Fate::Served).count();
    served as f64 / asked.len().max(1) as f64
}

fn pick(loads: &[(ClassId, f64)], at: f64) -> ClassId {
    let mut left = at;
    for (class, load) in loads {
        left -= load;
        if left < 0.0 {
            return *class;
        }
    }
    loads.last().expect("the class in question is among them").0
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Answered(usize),
    Wake,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    arrived: Time,
    patience: Duration,
    sent: Time,
    fate: Option<Fate>,
}

/// The shop, with its requests by their numbers from zero.
pub struct Shop {
    controller: Controller,
    random: Random,
    now: Time,
    agenda: Agenda<Step>,
    requests: Vec<Live>,
    busy: usize,
    waiting: VecDeque<usize>,
}

impl Shop {
    /// A shop in front of which `policy` decides, as if it enforced.
    pub fn new(policy: &Policy) -> Shop {
        Shop {
            controller: Controller::new(Arc::new(policy.in_mode(Mode::Enforce))),
            random: Random(SEED),
            now: Time::ZERO,
            agenda: Agenda::default(),
            requests: Vec::new(),
            busy: 0,
            waiting: VecDeque::new(),
        }
    }

    /// A request comes at `now`, not before those that came already. Answers its number.
    pub fn arrive(&mut self, now: Time, ask: Ask) -> usize {
        self.carry_on_until(now);
        let number = self.requests.len();
        let class = self.controller.policy().class(ask.class);
        let patience = class.patience;
        self.requests.push(Live { arrived: now, patience, sent: now, fate: None });
        let request = id(number);
        self.tell(Event::Arrived(Arrival {
            request,
            class: ask.class,
            value: ask.value,
            tenure: Tenure::Fresh,
            usage_penalty: 0,
            // Evenly spread, as a hash would.
            lot: (number * 151) as u8,
            is_idempotent: true,
            deadline: now.after(patience),
        }));
        number
    }

    /// Another policy of the same classes decides from `now` on, which is not before what has happened.
    pub fn change_policy(&mut self, now: Time, policy: &Policy) {
        self.carry_on_until(now);
        self.tell(Event::PolicyChanged(Arc::new(policy.in_mode(Mode::Enforce))));
    }

    /// Nobody comes any more: how each request ended.
    pub fn close(mut self) -> Vec<Fate> {
        // Nobody waits longer than the longest patience, and no service takes a minute.
        let last = self.requests.iter().map(|live| live.patience).max().unwrap_or_default();
        self.carry_on_until(self.now.after(last + Duration::from_secs(60)));
        // Who has no answer even now came too late for one.
        self.requests.iter().map(|live| live.fate.unwrap_or(Fate::Late)).collect()
    }

    fn carry_on_until(&mut self, until: Time) {
        while let Some((when, step)) = self.agenda.pop_before(until) {
            self.now = when;
            match step {
                Step::Answered(number) => self.answer(number),
                Step::Wake => self.tell(Event::Woken),
            }
        }
        self.now = until;
    }

    /// Tells the controller and carries out its answers.
    fn tell(&mut self, event: Event) {
        let before = self.controller.next_wakeup();
        self.controller.handle(event, self.now);
        while let Some(effect) = self.controller.poll_effect() {
            let number = effect.request.slot as usize;
            match effect.decision {
                Decision::Admit | Decision::AdmitObserved(_) => {
                    self.requests[number].sent = self.now;
                    self.waiting.push_back(number);
                    self.start_services();
                }
                Decision::Queue => {}
                Decision::Shed(_) => self.requests[number].fate = Some(Fate::Shed),
            }
        }
        let wakeup = self.controller.next_wakeup();
        if let Some(wakeup) = wakeup.filter(|_| wakeup != before) {
            self.agenda.plan(wakeup, Step::Wake);
        }
    }

    fn start_services(&mut self) {
        while self.busy < WORKERS
            && let Some(number) = self.waiting.pop_front()
        {
            self.busy += 1;
            let time = SERVICE.mul_f64(0.5 + self.random.unit());
            self.agenda.plan(self.now.after(time), Step::Answered(number));
        }
    }

    fn answer(&mut self, number: usize) {
        self.busy -= 1;
        self.start_services();
        let Live { arrived, patience, sent, .. } = self.requests[number];
        let fate = if self.now.since(arrived) <= patience { Fate::Served } else { Fate::Late };
        self.requests[number].fate = Some(fate);
        self.tell(Event::FirstByte { request: id(number), sent });
        self.tell(Event::Finished { request: id(number), outcome: Outcome::Success });
    }
}

fn id(number: usize) -> RequestId {
    RequestId { slot: u32::try_from(number).expect("a forecast has fewer than 2^32 requests"), epoch: 0 }
}

/// SplitMix64 (Steele, Lea & Flood 2014): the same on every machine.
struct Random(u64);

impl Random {
    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::storefront;
    use plimsoll_core::policy::ClassSet;

    fn served(class: &str, load: f64) -> f64 {
        let policy = storefront();
        let values: Vec<Value> = policy.classes.iter().map(|class| Value::new(class.value)).collect();
        let offered: Vec<_> =
            policy.core.ids().map(|class| (class, load / policy.classes.len() as f64)).collect();
        let class = policy.core.class_named(class).unwrap();
        share_served(&policy.core, &offered, Ask { class, value: values[class.index()] }, &values)
    }

    #[test]
    fn below_capacity_everybody_is_served() {
        assert!(served("analytics", 0.5) > 0.99, "{}", served("analytics", 0.5));
    }

    #[test]
    fn in_overload_the_least_important_go_first() {
        let at_4x = ["checkout", "cart", "search", "analytics"].map(|class| served(class, 4.0));
        // Checkout and cart alone are all that the shop can carry, and browse has a floor.
        assert!(at_4x[0] > 0.99 && at_4x[1] > 0.6, "{at_4x:?}");
        assert!(at_4x[2] < 0.2 && at_4x[3] < 0.2, "{at_4x:?}");
    }

    #[test]
    fn a_forecast_is_the_same_each_time() {
        assert_eq!(served("browse", 1.5), served("browse", 1.5));
    }

    #[test]
    fn a_policy_that_observes_is_forecast_as_if_it_enforced() {
        let policy = storefront();
        let observing = Policy::new(Mode::Observe, policy.core.classes().to_vec()).unwrap();
        let mut shop = Shop::new(&observing);
        let ask = Ask { class: observing.least_important(), value: Value::new(0.1) };
        (0..10_000).for_each(|_| _ = shop.arrive(Time::ZERO, ask));
        assert!(shop.close().contains(&Fate::Shed));
    }

    #[test]
    fn a_class_that_is_observed_by_itself_is_not_refused() {
        let policy = storefront();
        let class = policy.core.least_important();
        let observed = Policy::clone(&policy.core).observing(ClassSet::EMPTY.with(class));
        let mut shop = Shop::new(&observed);
        let ask = Ask { class, value: Value::new(0.1) };
        (0..10_000).for_each(|_| _ = shop.arrive(Time::ZERO, ask));
        assert!(!shop.close().contains(&Fate::Shed));
    }
}
