//! Journals of made-up traffic: written by the tap, through files, and decided again.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll_core::controller::{Arrival, Outcome};
use plimsoll_core::decision::{Decision, RequestId};
use plimsoll_core::policy::{Class, ClassId, Mode, Policy, QueueOrder, QueuePolicy, Share};
use plimsoll_core::standing::{Tenure, Value};

use super::*;
use crate::journal::entry::Grounds;
use crate::journal::files::{Header, JournalError, JournalFile, begin, files_at};
use crate::journal::tap::{Next, Tap};
use crate::journal::writer::{Journal, JournalMeters, JournalSettings, Tapped};

/// The generation of a canary.
const CANARY: u64 = 300;

fn policy(names: &[&str]) -> Arc<Policy> {
    let class = |(rank, name): (usize, &&str)| Class {
        name: (*name).to_owned(),
        rank: rank as u8,
        slo_latency: Duration::from_secs(1),
        patience: Duration::from_secs(2),
        floor: Share::NONE,
        ceiling: Share::ALL,
        queue: QueuePolicy { length_max: 8, wait_max: Duration::from_millis(500), order: QueueOrder::Fifo },
        breaker: None,
    };
    Arc::new(Policy::new(Mode::Enforce, names.iter().enumerate().map(class).collect()).unwrap())
}

/// Requests at once.
const HELD_MAX: usize = 100;

/// A core in overload, with a tap on it: as the gate has it.
struct Traffic {
    controller: Controller,
    tap: Tap,
    random: u64,
    now: Time,
    held: Vec<RequestId>,
    vacant: Vec<RequestId>,
    slots: u32,
    arrivals: u32,
    told: u64,
}

impl Traffic {
    fn new(seed: u64, tap: Tap) -> Traffic {
        let controller = Controller::new(policy(&["checkout", "browse"]));
        let (held, vacant) = (Vec::new(), Vec::new());
        Traffic {
            controller,
            tap,
            random: seed,
            now: Time::ZERO,
            held,
            vacant,
            slots: 0,
            arrivals: 0,
            told: 0,
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn tell(&mut self, event: Event, grounds: Grounds) {
        self.told += 1;
        self.tap.event(&self.controller, &event, &grounds, self.now);
        self.controller.handle(event, self.now);
        while let Some(effect) = self.controller.poll_effect() {
            self.tap.effect(&effect);
            match effect.decision {
                Decision::Admit => self.held.push(effect.request),
                Decision::Shed(_) => self.vacate(effect.request),
                Decision::Queue | Decision::AdmitObserved(_) => {}
            }
        }
    }

    fn vacate(&mut self, request: RequestId) {
        self.vacant.push(RequestId { slot: request.slot, epoch: request.epoch + 1 });
    }

    fn step(&mut self) {
        // Sometimes back: times are taken before the lock.
        let millis = self.random(4);
        let back = Time::from_nanos(self.now.as_nanos().saturating_sub(50));
        self.now = if millis == 3 { back } else { self.now.after(Duration::from_millis(millis)) };
        // A limit that answers of no time let grow must not make the state of the core grow with it.
        if self.held.is_empty() || self.held.len() < HELD_MAX && self.random(3) < 2 {
            let request = self.vacant.pop().unwrap_or_else(|| {
                self.slots += 1;
                RequestId { slot: self.slots - 1, epoch: 0 }
            });
            self.arrivals += 1;
            let arrival = Arrival {
                request,
                class: ClassId::new(self.random(2) as usize).unwrap(),
                value: Value::from_step(self.random(256) as u8),
                tenure: if self.random(2) == 0 { Tenure::Fresh } else { Tenure::Admitted },
                usage_penalty: self.random(40) as u8,
                lot: self.random(256) as u8,
                is_idempotent: !self.arrivals.is_multiple_of(3),
                deadline: self.now.after(Duration::from_secs(2)),
            };
            let grounds = Grounds {
                trace: u64::from(self.arrivals),
                class_by: 1,
                canary: self.arrivals.is_multiple_of(7).then_some(CANARY),
                route: Some(3),
                confidence: 0.5,
            };
            return self.tell(Event::Arrived(arrival), grounds);
        }
        let index = self.random(self.held.len() as u64) as usize;
        let request = self.held.swap_remove(index);
        self.tell(Event::FirstByte { request, sent: self.now }, Grounds::default());
        match self.random(10) {
            0 => self.tell(Event::Abandoned { request }, Grounds::default()),
            1 => self.tell(Event::Finished { request, outcome: Outcome::Overloaded }, Grounds::default()),
            _ => self.tell(Event::Finished { request, outcome: Outcome::Success }, Grounds::default()),
        }
        self.vacate(request);
    }

    fn change_policy(&mut self, names: &[&str]) {
        self.tap.announce(Arc::new(Stamp { generation: 2, ..Stamp::default() }));
        self.tell(Event::PolicyChanged(policy(names)), Grounds::default());
    }
}

impl Tapped for Mutex<Traffic> {
    fn take(&self, taken: &mut Vec<u8>, next: Next) -> u64 {
        self.lock().unwrap().tap.take(taken, next)
    }
}

fn tap() -> Tap {
    Tap::new(Arc::new(Stamp { generation: 1, policy: "digest".into(), ..Stamp::default() }))
}

/// Writes what `act` does; files are as small as `bytes_max` wants.
fn journal(directory: &Path, bytes_max: u64, tap: Tap, act: impl Fn(&Mutex<Traffic>)) {
    let traffic = Arc::new(Mutex::new(Traffic::new(11, tap)));
    let settings = JournalSettings { directory: directory.to_owned(), bytes_max };
    let pools: Vec<(String, Arc<dyn Tapped>)> = vec![("default".to_owned(), traffic.clone())];
    let journal = Journal::start(settings, 5_000_000_000, pools, JournalMeters::default()).unwrap();
    act(&traffic);
    journal.finish();
}

fn replayed(directory: &Path) -> Result<Replay, JournalError> {
    let mut replay = Replay::default();
    for path in files_at(directory)? {
        let file = JournalFile::read(&path)?;
        replay.begin(&file.header);
        file.each(|entry| replay.take(&entry))?;
    }
    replay.end();
    Ok(replay)
}

/// How much traffic is decided again: `make replay` asks for a million.
fn steps() -> usize {
    std::env::var("PLIMSOLL_REPLAY_STEPS").map_or(20_000, |steps| steps.parse().unwrap())
}

#[test]
fn a_journal_decides_again_what_was_decided() {
    let directory = tempfile::tempdir().unwrap();
    journal(directory.path(), 1 << 40, tap(), |traffic| {
        let some = |steps: usize| {
            for step in 0..steps {
                traffic.lock().unwrap().step();
                if step % 50_000 == 49_999 {
                    wait_until_taken(traffic);
                }
            }
        };
        some(steps() / 2);
        traffic.lock().unwrap().change_policy(&["browse", "checkout", "beacons"]);
        some(steps() / 2);
    });
    let replay = replayed(directory.path()).unwrap();
    assert_eq!(replay.difference(), None);
    let seen = replay.seen();
    println!("{seen:?}");
    assert!(seen.decisions as usize > steps() / 3 && seen.missing == 0, "{seen:?}");
    assert_eq!(replay.stamp().generation, 2);
}

#[test]
fn a_canary_is_told_where_it_begins_and_in_every_file_after_that() {
    let directory = tempfile::tempdir().unwrap();
    let canary =
        |text: &str| Arc::new(Stamp { generation: CANARY, text: text.to_owned(), ..Stamp::default() });
    journal(directory.path(), 1 << 30, tap(), |traffic| {
        let mut traffic = traffic.lock().unwrap();
        // Before the first state, in the middle, and where a file has ended.
        traffic.tap.begin_canary(canary("first"));
        (0..500).for_each(|_| traffic.step());
        traffic.tap.begin_canary(canary("second"));
        (0..500).for_each(|_| traffic.step());
        let mut taken = Vec::new();
        traffic.tap.take(&mut taken, Next::Begin);
        traffic.tap.put_back(taken);
        traffic.tap.begin_canary(canary("third"));
        (0..500).for_each(|_| traffic.step());
    });
    let (mut told, mut by_canary) = (Vec::new(), 0);
    let file = JournalFile::read(&files_at(directory.path()).unwrap()[0]).unwrap();
    file.each(|entry| {
        match entry {
            Entry::State { .. } => told.push("state".to_owned()),
            Entry::Canary(stamp) => told.push(stamp.text),
            Entry::Event { grounds: Some(Grounds { canary: Some(CANARY), .. }), .. } => by_canary += 1,
            _ => {}
        }
        Flow::More
    })
    .unwrap();
    assert_eq!(told, ["state", "first", "second", "state", "third"]);
    assert!(by_canary > 50, "{by_canary}");
    let replay = replayed(directory.path()).unwrap();
    assert_eq!(replay.difference(), None);
    assert_eq!(replay.canary(CANARY).unwrap().text, "third");
    assert_eq!(replay.canary(CANARY + 1), None);
}

#[test]
fn states_along_the_way_are_the_replays_own_bit_for_bit() {
    let directory = tempfile::tempdir().unwrap();
    journal(directory.path(), 1 << 30, tap(), |traffic| {
        let mut traffic = traffic.lock().unwrap();
        for _ in 0..20 {
            (0..500).for_each(|_| traffic.step());
            // As if a file had ended: a state comes next, in the same file here.
            let mut taken = Vec::new();
            traffic.tap.take(&mut taken, Next::Begin);
            traffic.tap.put_back(taken);
        }
    });
    let replay = replayed(directory.path()).unwrap();
    assert_eq!(replay.difference(), None);
    assert_eq!(replay.seen().states, 19);
}

/// Lets the writer take what there is, so that it makes a frame of its own.
fn wait_until_taken(traffic: &Mutex<Traffic>) {
    while !traffic.lock().unwrap().tap.is_taken() {
        std::thread::yield_now();
    }
}

#[test]
fn files_are_bounded_and_each_decides_by_itself() {
    const BYTES_MAX: u64 = 480_000;
    let directory = tempfile::tempdir().unwrap();
    journal(directory.path(), BYTES_MAX, tap(), |traffic| {
        for _ in 0..40 {
            (0..500).for_each(|_| traffic.lock().unwrap().step());
            wait_until_taken(traffic);
        }
    });
    let files = files_at(directory.path()).unwrap();
    let bytes: u64 = files.iter().map(|file| std::fs::metadata(file).unwrap().len()).sum();
    assert!(files.len() > 4 && bytes < BYTES_MAX * 5 / 4, "{bytes} bytes in {} files", files.len());
    for file in &files {
        let replay = replayed(file).unwrap();
        assert_eq!(replay.difference(), None, "{}", file.display());
        assert!(replay.seen().decisions > 0, "{}", file.display());
    }
    std::fs::remove_file(&files[1]).unwrap();
    let replay = replayed(directory.path()).unwrap();
    assert_eq!(replay.difference(), None);
    assert!(replay.seen().missing > 0, "a file between is gone");
}

#[test]
fn two_processes_that_share_a_directory_leave_each_other_what_is_being_written() {
    const BYTES_MAX: u64 = 640_000;
    let directory = tempfile::tempdir().unwrap();
    let begin = |started: u64, seed: u64| {
        let traffic = Arc::new(Mutex::new(Traffic::new(seed, tap())));
        let settings = JournalSettings { directory: directory.path().to_owned(), bytes_max: BYTES_MAX };
        let pools: Vec<(String, Arc<dyn Tapped>)> = vec![("default".to_owned(), traffic.clone())];
        (Journal::start(settings, started, pools, JournalMeters::default()).unwrap(), traffic)
    };
    let ((older, of_older), (newer, of_newer)) = (begin(5_000_000_000, 12), begin(6_000_000_000, 13));
    (0..60).for_each(|_| of_older.lock().unwrap().step());
    wait_until_taken(&of_older);
    for _ in 0..40 {
        (0..500).for_each(|_| of_newer.lock().unwrap().step());
        wait_until_taken(&of_newer);
    }
    (0..60).for_each(|_| of_older.lock().unwrap().step());
    older.finish();
    newer.finish();
    let files = files_at(directory.path()).unwrap();
    let told = |file: &Path| replayed(file).unwrap().seen().events;
    assert_eq!(told(&files[0]), told_by(&of_older), "the oldest was being written");
    assert!(files.len() > 4);
    let replay = replayed(directory.path()).unwrap();
    assert_eq!(replay.difference(), None);
}

/// The events that a core was told.
fn told_by(traffic: &Mutex<Traffic>) -> u64 {
    traffic.lock().unwrap().told
}

#[test]
fn what_the_buffer_had_no_room_for_is_counted_and_the_replay_goes_on_after_it() {
    let directory = tempfile::tempdir().unwrap();
    journal(directory.path(), 1 << 30, tap().bounded(60_000), |traffic| {
        let mut held = traffic.lock().unwrap();
        (0..5_000).for_each(|_| held.step());
        drop(held);
        wait_until_taken(traffic);
        (0..200).for_each(|_| traffic.lock().unwrap().step());
    });
    let replay = replayed(directory.path()).unwrap();
    assert_eq!(replay.difference(), None);
    let seen = replay.seen();
    assert!(seen.missing > 1_000 && seen.decisions > 200, "{seen:?}");
}

/// A journal in one file, and its records.
fn recorded(directory: &Path) -> (JournalFile, Vec<Entry>) {
    journal(directory, 1 << 30, tap(), |traffic| {
        let mut traffic = traffic.lock().unwrap();
        (0..1_000).for_each(|_| traffic.step());
    });
    let file = JournalFile::read(&files_at(directory).unwrap()[0]).unwrap();
    let mut entries = Vec::new();
    file.each(|entry| {
        entries.push(entry);
        Flow::More
    })
    .unwrap();
    (file, entries)
}

#[test]
fn the_first_decision_that_differs_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (file, mut entries) = recorded(directory.path());
    let mut decided = entries.iter_mut().filter_map(|entry| match entry {
        Entry::Decided(effect) => Some(effect),
        _ => None,
    });
    decided.nth(7).unwrap().evidence.limit += 1;
    let mut replay = Replay::default();
    replay.begin(&file.header);
    let stopped = entries.iter().position(|entry| replay.take(entry) == Flow::Stop);
    assert!(stopped.is_some() && replay.seen().decisions == 7, "{:?}", replay.seen());
    let message = &replay.difference().unwrap().message;
    assert!(message.contains("of 33 seats") && message.contains("of 32 seats"), "{message}");
}

#[test]
fn a_decision_that_the_journal_lacks_is_a_difference() {
    let directory = tempfile::tempdir().unwrap();
    let (file, mut entries) = recorded(directory.path());
    let last = entries.iter().rposition(|entry| matches!(entry, Entry::Decided(_))).unwrap();
    entries.truncate(last);
    let mut replay = Replay::default();
    replay.begin(&file.header);
    entries.iter().for_each(|entry| _ = replay.take(entry));
    replay.end();
    assert!(replay.difference().unwrap().message.ends_with("the journal has nothing"));
}

#[test]
fn a_file_ends_at_its_last_whole_frame_and_one_that_is_none_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (file, entries) = recorded(directory.path());
    assert!(entries.len() > 1_000);
    let bytes = std::fs::read(&file.path).unwrap();
    std::fs::write(&file.path, &bytes[..bytes.len() - 1]).unwrap();
    let replay = replayed(directory.path()).unwrap();
    assert!(replay.difference().is_none() && replay.seen().events < entries.len() as u64);
    for (bytes, says) in [
        (Vec::new(), "ends within its header"),
        (bytes[..30].to_vec(), "ends within its header"),
        ([b"PLJRNL4\n", &bytes[8..]].concat(), "another format"),
        (begin(&Header { version: "0.0.1".to_owned(), ..file.header }), "version 0.0.1"),
    ] {
        std::fs::write(&file.path, bytes).unwrap();
        let refused = replayed(directory.path()).unwrap_err();
        assert!(matches!(refused, JournalError::Foreign { .. }), "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
    }
    std::fs::write(&file.path, &bytes[1..]).unwrap();
    assert!(matches!(replayed(directory.path()), Err(JournalError::Damaged { .. })));
    std::fs::remove_file(&file.path).unwrap();
    assert!(matches!(replayed(directory.path()), Err(JournalError::Nothing { .. })));
}
