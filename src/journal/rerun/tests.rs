//! A shop of four workers in overload, journalled, and asked again.

use std::time::Duration;

use plimsoll_core::controller::Outcome;
use plimsoll_core::policy::{Class, Mode, QueueOrder, QueuePolicy, Share};
use plimsoll_core::standing::{Tenure, Value};

use super::*;
use crate::journal::entry::{Entry, Grounds, Stamp};
use crate::journal::replay::Replay;

const WORKERS: usize = 4;
const SERVICE: Duration = Duration::from_millis(40);

/// Classes by rank.
fn policy(names: [&str; 2]) -> Arc<Policy> {
    let class = |(rank, name): (usize, &str)| Class {
        name: name.to_owned(),
        rank: rank as u8,
        slo_latency: Duration::from_secs(1),
        patience: Duration::from_secs(2),
        floor: Share::NONE,
        ceiling: Share::ALL,
        queue: QueuePolicy { length_max: 64, wait_max: Duration::from_millis(300), order: QueueOrder::Fifo },
        breaker: None,
    };
    Arc::new(Policy::new(Mode::Enforce, names.into_iter().enumerate().map(class).collect()).unwrap())
}

#[derive(Clone, Copy, Debug)]
enum Next {
    Answer(u32),
    Arrival(u32),
}

/// The shop, with a recollection of all that happens.
struct Shop {
    controller: Controller,
    recollection: Recollection,
    replay: Replay,
    events: u64,
    now: Time,
    random: u64,
    sent: Vec<Time>,
    busy: usize,
    waiting: VecDeque<u32>,
    agenda: Agenda<Next>,
}

impl Shop {
    fn new(seed: u64) -> Shop {
        println!("seed {seed}");
        let mut shop = Shop {
            controller: Controller::new(policy(["checkout", "browse"])),
            recollection: Recollection::default(),
            replay: Replay::default(),
            events: 0,
            now: Time::from_millis(1),
            random: seed,
            sent: Vec::new(),
            busy: 0,
            waiting: VecDeque::new(),
            agenda: Agenda::default(),
        };
        shop.note_state();
        shop
    }

    fn unit(&mut self) -> f64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn note_state(&mut self) {
        let mut image = Vec::new();
        self.controller.write_image(&mut image);
        self.note(&Entry::State { at: self.now, events: self.events, stamp: Stamp::default(), image });
    }

    fn note(&mut self, entry: &Entry) {
        self.recollection.take(entry, &self.replay);
        self.replay.take(entry);
        assert_eq!(self.replay.difference(), None);
    }

    fn tell(&mut self, event: Event) {
        let grounds = matches!(event, Event::Arrived(_)).then(Grounds::default);
        self.events += 1;
        self.note(&Entry::Event { at: self.now, event: event.clone(), grounds, stamp: None });
        self.controller.handle(event, self.now);
        while let Some(effect) = self.controller.poll_effect() {
            self.note(&Entry::Decided(effect));
            if effect.decision == Decision::Admit {
                self.sent[effect.request.slot as usize] = self.now;
                self.waiting.push_back(effect.request.slot);
                self.start();
            }
        }
    }

    fn start(&mut self) {
        while self.busy < WORKERS
            && let Some(number) = self.waiting.pop_front()
        {
            self.busy += 1;
            let service = SERVICE.mul_f64(0.5 + self.unit());
            self.agenda.plan(self.now.after(service), Next::Answer(number));
        }
    }

    /// So many requests at `load` times what the workers can do, every second one a checkout.
    fn offer(&mut self, requests: u32, load: f64) {
        let first = self.sent.len() as u32;
        let gap = SERVICE.as_secs_f64() / WORKERS as f64 / load;
        let mut at = self.now;
        for number in first..first + requests {
            at = at.after(Duration::from_secs_f64(2.0 * gap * self.unit()));
            self.agenda.plan(at, Next::Arrival(number));
            self.sent.push(Time::ZERO);
        }
        while let Some((at, next)) = self.agenda.pop() {
            self.now = self.now.max(at);
            match next {
                Next::Arrival(number) => self.arrive(number),
                Next::Answer(number) => self.answer(number),
            }
        }
    }

    fn arrive(&mut self, number: u32) {
        let value = Value::new(self.unit() as f32);
        self.tell(Event::Arrived(Arrival {
            request: RequestId { slot: number, epoch: 0 },
            class: ClassId::new(number as usize % 2).unwrap(),
            value,
            tenure: Tenure::Fresh,
            usage_penalty: 0,
            lot: 0,
            is_idempotent: true,
            deadline: self.now.after(Duration::from_secs(2)),
        }));
    }

    fn answer(&mut self, number: u32) {
        let request = RequestId { slot: number, epoch: 0 };
        self.busy -= 1;
        self.start();
        self.tell(Event::FirstByte { request, sent: self.sent[number as usize] });
        self.tell(Event::Finished { request, outcome: Outcome::Success });
    }
}

/// The share of each class that was shed: checkout, then browse.
fn shed(asked: &[Asked], fates: impl Iterator<Item = Fate>) -> [f64; 2] {
    let mut counts = [[0.0; 2]; 2];
    for (asked, fate) in asked.iter().zip(fates) {
        let [all, shed] = &mut counts[asked.arrival.class.index()];
        *all += 1.0;
        *shed += f64::from(u8::from(fate == Fate::Shed));
    }
    counts.map(|[all, shed]| shed / all)
}

fn shed_again(shop: &Shop, under: &Under<'_>) -> [f64; 2] {
    let stretch = &shop.recollection.stretches[0];
    shed(&stretch.asked, rerun(&shop.recollection, stretch, under).into_iter())
}

#[test]
fn under_the_policy_of_then_it_is_what_it_was() {
    let mut shop = Shop::new(5);
    shop.offer(6_000, 1.6);
    let stretch = &shop.recollection.stretches[0];
    assert_eq!(stretch.asked.len(), 6_000);
    let then = shed(&stretch.asked, stretch.asked.iter().map(|asked| asked.fate));
    let again = shed_again(&shop, &Under::Then);
    println!("{then:?} {again:?}");
    assert!(then[0] < 0.05 && then[1] > 0.5, "{then:?}");
    assert!((then[0] - again[0]).abs() < 0.05 && (then[1] - again[1]).abs() < 0.05, "{then:?} {again:?}");
}

#[test]
fn where_ranks_are_exchanged_the_other_class_is_shed() {
    let mut shop = Shop::new(6);
    shop.offer(6_000, 1.6);
    let other = policy(["browse", "checkout"]);
    let classes: Vec<ClassId> = (0..6_000).map(|number| ClassId::new(1 - number % 2).unwrap()).collect();
    let [checkout, browse] = shed_again(&shop, &Under::Another(&other, &classes));
    assert!(browse < 0.1 && checkout > 0.5, "{checkout} {browse}");
}

#[test]
fn below_capacity_nobody_is_shed_under_any_policy() {
    let mut shop = Shop::new(7);
    shop.offer(2_000, 0.4);
    let other = policy(["browse", "checkout"]);
    let classes: Vec<ClassId> = (0..2_000).map(|number| ClassId::new(1 - number % 2).unwrap()).collect();
    assert_eq!(shed_again(&shop, &Under::Then), [0.0, 0.0]);
    assert_eq!(shed_again(&shop, &Under::Another(&other, &classes)), [0.0, 0.0]);
}

#[test]
fn after_a_gap_it_goes_on_from_the_next_state() {
    let mut shop = Shop::new(8);
    shop.offer(500, 1.6);
    shop.note(&Entry::Dropped(3));
    shop.events += 3;
    shop.note_state();
    shop.offer(500, 1.6);
    let asked: Vec<usize> = shop.recollection.stretches.iter().map(|stretch| stretch.asked.len()).collect();
    assert_eq!(asked, [500, 500]);
    for stretch in &shop.recollection.stretches {
        let fates = rerun(&shop.recollection, stretch, &Under::Then);
        assert!(fates.iter().filter(|fate| **fate == Fate::Served).count() > 250);
    }
}
