//! A controller that has been as full as it can be takes no more memory: not for a decision, not for who waits.
//!
//! A burst fills its tables first: the highest slot waits, every queue is full, and all who wait are answered at
//! once. From then on the allocations of each event are counted while a small shop goes through rushes, failures
//! and hangs. There is no unsafe code in this workspace, so the allocator that counts is from a crate; it counts
//! by thread.
//!
//! How long a decision takes is measured in `benches/micro`.

mod random;

use allocation_counter::measure;
use plimsoll_core::controller::{Arrival, Controller, Effect, Event, Outcome};
use plimsoll_core::decision::{Decision, Reason, RequestId};
use plimsoll_core::policy::{BreakerPolicy, Class, ClassId, Mode, Policy, QueueOrder, QueuePolicy, Share};
use plimsoll_core::standing::{Tenure, Value};
use plimsoll_core::time::Time;
use random::Random;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const CHECKOUT: usize = 0;
const CART: usize = 1;
const BROWSE: usize = 2;
/// How many of each class may wait.
const WAITING_MAX: [u32; 3] = [1, 2, 8];
/// More than this shop ever has at once.
const SLOTS: u32 = 1_024;

/// Two hundred requests a second are all it can do.
const WORKERS: usize = 8;
const SERVICE: Duration = Duration::from_millis(40);

/// What happens in every five seconds: five times as many come as can be served...
const CYCLE_MILLIS: u64 = 5_000;
const RUSH: Range<u64> = 1_000..5_000;
/// ...or a few less than that;
const CALM_GAP_MILLIS: u64 = 6;
/// the payment provider fails, for long enough to fail probes as well;
const PAYMENT_FAILS: Range<u64> = 1_500..2_500;
/// and the shop answers nobody, for longer than anybody may wait.
const HANGS: Range<u64> = 3_000..4_000;
/// Somebody leaves this often.
const LEAVE_MILLIS: u64 = 100;

fn policy() -> Policy {
    let names = ["checkout", "cart", "browse"];
    let classes = names.iter().enumerate().map(|(index, name)| class(index, name)).collect();
    Policy::new(Mode::Enforce, classes).expect("it keeps every bound")
}

fn class(index: usize, name: &str) -> Class {
    Class {
        name: name.into(),
        rank: index as u8,
        slo_latency: Duration::from_secs(1),
        patience: Duration::from_secs(2),
        floor: percent(5),
        ceiling: Share::ALL,
        queue: QueuePolicy {
            length_max: WAITING_MAX[index],
            wait_max: Duration::from_millis(500),
            order: if index == BROWSE { QueueOrder::Lifo } else { QueueOrder::Fifo },
        },
        breaker: Some(BreakerPolicy {
            window: Duration::from_millis(500),
            failure_ratio: percent(50),
            slow_call: Duration::from_secs(10),
            slow_ratio: percent(80),
            requests_min: 5,
            open_for: Duration::from_millis(100),
            probes: 2,
        }),
    }
}

fn percent(percent: u32) -> Share {
    Share::from_percent(percent).expect("at most 100")
}

/// One request that a worker is busy with.
#[derive(Clone, Copy, Debug)]
struct Serving {
    request: RequestId,
    sent: Time,
    until: Time,
}

/// A controller before a few workers, told each millisecond what happens in it.
struct Shop {
    controller: Controller,
    wakeup: Option<Time>,
    now: Time,
    random: Random,
    free_slots: VecDeque<u32>,
    /// The class of whoever holds a slot.
    classes: Vec<usize>,
    epochs: u32,
    /// Who was admitted and waits for a worker, and since when.
    line: VecDeque<(RequestId, Time)>,
    serving: Vec<Serving>,
    /// How many were refused, by reason.
    refused: [u32; Reason::ALL.len()],
    /// Allocations of the controller.
    allocations: u64,
}

impl Shop {
    fn new() -> Shop {
        Shop {
            controller: Controller::new(Arc::new(policy())),
            wakeup: None,
            now: Time::ZERO,
            random: Random(1),
            free_slots: (0..SLOTS).collect(),
            classes: vec![BROWSE; SLOTS as usize],
            epochs: 0,
            line: VecDeque::new(),
            serving: Vec::new(),
            refused: Default::default(),
            allocations: 0,
        }
    }

    /// Takes every seat and every place to wait, the latter under the highest slots, and lets all who wait be
    /// refused in one moment.
    fn be_full_once(&mut self) {
        while !self.controller.is_saturated() {
            let lowest = self.free_slots.pop_front().expect("it begins with few seats");
            self.ask(lowest, BROWSE, 0.5);
        }
        for (class, waiting_max) in WAITING_MAX.into_iter().enumerate() {
            for _ in 0..waiting_max {
                let highest = self.free_slots.pop_back().expect("few may wait");
                self.ask(highest, class, 0.5);
            }
        }
        self.now = Time::from_millis(600);
        let (answers, waiting): (u32, u32) = (self.tell(Event::Woken), WAITING_MAX.iter().sum());
        assert_eq!(answers, waiting, "as many waited as may");
    }

    fn pass_a_millisecond(&mut self) {
        self.now = self.now.after(Duration::from_millis(1));
        let moment = self.moment();
        if self.wakeup.is_some_and(|wakeup| wakeup <= self.now) {
            self.tell(Event::Woken);
        }
        if !HANGS.contains(&moment) {
            self.work();
        }
        if RUSH.contains(&moment) || moment.is_multiple_of(CALM_GAP_MILLIS) {
            self.arrive();
        }
        if moment.is_multiple_of(LEAVE_MILLIS) {
            self.leave();
        }
    }

    /// Milliseconds since the cycle began.
    fn moment(&self) -> u64 {
        self.now.as_nanos() / 1_000_000 % CYCLE_MILLIS
    }

    fn arrive(&mut self) {
        let class = match self.random.below(10) {
            0 => CHECKOUT,
            1..3 => CART,
            _ => BROWSE,
        };
        let value = self.random.unit() as f32;
        let slot = self.free_slots.pop_front().expect("there are more slots than seats");
        self.ask(slot, class, value);
    }

    fn ask(&mut self, slot: u32, class: usize, value: f32) {
        self.epochs += 1;
        self.classes[slot as usize] = class;
        let arrival = Arrival {
            request: RequestId { slot, epoch: self.epochs },
            class: ClassId::new(class).expect("there are three"),
            value: Value::new(value),
            tenure: Tenure::Fresh,
            usage_penalty: 0,
            lot: self.random.below(256) as u8,
            is_idempotent: class == BROWSE,
            deadline: self.now.after(Duration::from_secs(2)),
        };
        self.tell(Event::Arrived(arrival));
    }

    /// Lets the workers end what is done and begin what is next.
    fn work(&mut self) {
        let now = self.now;
        while let Some(done) = self.serving.iter().position(|serving| serving.until <= now) {
            let served = self.serving.swap_remove(done);
            self.finish(served);
        }
        while self.serving.len() < WORKERS
            && let Some((request, sent)) = self.line.pop_front()
        {
            let until = now.after(SERVICE.mul_f64(0.5 + self.random.unit()));
            self.serving.push(Serving { request, sent, until });
        }
    }

    fn finish(&mut self, served: Serving) {
        let Serving { request, sent, .. } = served;
        let pays = self.classes[request.slot as usize] == CHECKOUT;
        let fails = pays && PAYMENT_FAILS.contains(&self.moment());
        let outcome = if fails { Outcome::Failed } else { Outcome::Success };
        self.tell(Event::FirstByte { request, sent });
        self.tell(Event::Finished { request, outcome });
        self.free_slots.push_back(request.slot);
    }

    /// The client of a request that no worker has begun leaves.
    fn leave(&mut self) {
        let Some((request, _)) = self.line.pop_back() else { return };
        self.tell(Event::Abandoned { request });
        self.free_slots.push_back(request.slot);
    }

    /// Tells the controller and carries out its answers; returns how many there were.
    fn tell(&mut self, event: Event) -> u32 {
        let measured = measure(|| {
            self.controller.handle(event, self.now);
            self.wakeup = self.controller.next_wakeup();
        });
        self.allocations += measured.count_total;
        let mut answers = 0;
        while let Some(effect) = self.controller.poll_effect() {
            self.take(effect);
            answers += 1;
        }
        answers
    }

    fn take(&mut self, effect: Effect) {
        match effect.decision {
            Decision::Admit | Decision::AdmitObserved(_) => self.line.push_back((effect.request, self.now)),
            Decision::Queue => {}
            Decision::Shed(reason) => {
                self.refused[reason.index()] += 1;
                self.free_slots.push_back(effect.request.slot);
            }
        }
    }
}

#[test]
fn controller_that_has_been_full_once_allocates_nothing_more() {
    let mut shop = Shop::new();
    shop.be_full_once();
    assert!(shop.allocations > 0, "its tables were empty before");
    shop.allocations = 0;
    shop.refused = Default::default();
    for _ in 0..4 * CYCLE_MILLIS {
        shop.pass_a_millisecond();
    }
    let refused: Vec<_> = Reason::ALL.map(Reason::name).into_iter().zip(shop.refused).collect();
    assert!(refused.iter().all(|(_, count)| *count > 0), "it proves little about {refused:?}");
    assert_eq!(shop.allocations, 0);
}
