//! The gate before one pool: the core's controller behind a lock, and those who wait for its answer.
//!
//! The lock guards the controller and the table of waiters; it is held for one
//! event and its effects, never across an `.await`. A request asks once. Most are
//! answered at once; one that must wait gets a [`Ticket`] and is woken by whoever
//! frees its seat. What is taken is given back by drop: a [`Permit`] that was not
//! finished and a [`Ticket`] that was not answered are abandoned, so a client
//! that leaves, a task that is dropped and a panic are one and the same case.
//!
//! It knows no HTTP. The decisions are the core's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plimsoll_core::breaker::Forced;
use plimsoll_core::controller::memory::Learned;
use plimsoll_core::controller::{Arrival, Controller, Effect, Event, Outcome, Snapshot};
use plimsoll_core::decision::{Decision, Evidence, RequestId};
use plimsoll_core::policy::{ClassId, Policy};
use plimsoll_core::retries::RetryBudget;
use plimsoll_core::time::Time;
use tokio::sync::{Notify, oneshot};

use crate::clock::Clock;
use crate::journal::entry::{Grounds, Stamp};
use crate::journal::tap::{Next, Tap};
use crate::journal::writer::Tapped;

/// The timer looks again at least this often, should a wakeup be lost.
const TIMER_IDLE: Duration = Duration::from_secs(1);

/// What a request that asked gets.
#[derive(Debug)]
pub enum Asked {
    /// The answer.
    Answered(Answer),
    /// A place to wait for it.
    Waiting(Ticket),
    /// The policy has changed since the request was judged; judge it anew.
    Stale,
}

/// The core's answer, with the permit if there is one.
#[derive(Debug)]
pub struct Answer {
    /// What was decided: never [`Decision::Queue`].
    pub decision: Decision,
    /// On what.
    pub evidence: Evidence,
    /// There for as long as the upstream works on the request, if it was admitted.
    pub permit: Option<Permit>,
}

#[derive(Debug, Default)]
struct Waiter {
    epoch: u32,
    answer: Option<oneshot::Sender<Effect>>,
}

#[derive(Debug)]
struct State {
    controller: Controller,
    waiters: Vec<Waiter>,
    vacant: Vec<u32>,
    /// When the timer will look next.
    armed: Time,
    /// What is journalled, if it is.
    tap: Option<Tap>,
    retries: RetryBudget,
}

/// The gate before one pool.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
    timer: Notify,
    clock: Clock,
    /// Whether the last event left no seat free; read without the lock, for it is only a hint.
    saturated: AtomicBool,
}

impl Gate {
    /// A gate that decides under `policy`.
    pub fn new(policy: Arc<Policy>, clock: Clock) -> Arc<Gate> {
        let state = State {
            controller: Controller::new(policy),
            waiters: Vec::new(),
            vacant: Vec::new(),
            armed: Time::NEVER,
            tap: None,
            retries: RetryBudget::default(),
        };
        Arc::new(Gate {
            state: Mutex::new(state),
            timer: Notify::new(),
            clock,
            saturated: AtomicBool::new(false),
        })
    }

    /// Journals from now on; decisions are made under the generation of `stamp`.
    pub fn journal(&self, stamp: Arc<Stamp>) {
        self.lock().tap = Some(Tap::new(stamp));
    }

    /// What was learned of the pool; `None` while too little is.
    pub fn learned(&self) -> Option<Learned> {
        self.lock().controller.learned()
    }

    /// Begins with what an earlier process learned of the pool.
    pub fn resume(&self, learned: &Learned) {
        let now = self.clock.now();
        self.lock().controller.resume(learned, now);
    }

    /// Asks for a permit under `policy`, with the arrival of the request by the name that it gets here. The
    /// grounds are for the journal.
    pub fn ask(
        self: &Arc<Gate>,
        policy: &Arc<Policy>,
        grounds: &Grounds,
        arrival: impl FnOnce(RequestId) -> Arrival,
    ) -> Asked {
        let now = self.clock.now();
        let mut state = self.lock();
        if !Arc::ptr_eq(state.controller.policy(), policy) {
            return Asked::Stale;
        }
        let request = state.enter();
        let answer = state.tell_on(Event::Arrived(arrival(request)), grounds, now);
        self.note_saturation(&state);
        match answer {
            Some(effect) => {
                state.leave_if_refused(&effect);
                drop(state);
                Asked::Answered(self.answer(effect))
            }
            None => {
                let (sender, receiver) = oneshot::channel();
                state.waiters[request.slot as usize].answer = Some(sender);
                self.rearm(&mut state);
                drop(state);
                let gate = Some(self.clone());
                Asked::Waiting(Ticket { gate, request, receiver, arrived: now })
            }
        }
    }

    /// Whether the answer to a request of `class` may depend on its value. Without the lock where seats
    /// are free: it is only a hint.
    pub fn depends_on_value(&self, class: ClassId, deadline: Time) -> bool {
        self.saturated.load(Ordering::Relaxed)
            && self.lock().controller.depends_on_value(class, deadline, self.clock.now())
    }

    /// Takes leave to try a request at another endpoint. There is none while somebody is refused: what a
    /// retry takes, another one lacks.
    pub fn may_retry(&self) -> bool {
        let now = self.clock.now();
        let mut state = self.lock();
        !state.controller.is_shedding(now) && state.retries.spend(now)
    }

    fn note_saturation(&self, state: &State) {
        self.saturated.store(state.controller.is_saturated(), Ordering::Relaxed);
    }

    /// Decides under another policy from now on, which belongs to the generation of `stamp`.
    pub fn change_policy(&self, policy: Arc<Policy>, stamp: &Arc<Stamp>) {
        let mut state = self.lock();
        if let Some(tap) = &mut state.tap {
            tap.announce(stamp.clone());
        }
        state.tell(Event::PolicyChanged(policy), self.clock.now());
        self.note_saturation(&state);
    }

    /// From now on requests may be judged by the canary of `stamp`: the journal tells its policy before the first.
    pub fn begin_canary(&self, stamp: &Arc<Stamp>) {
        if let Some(tap) = &mut self.lock().tap {
            tap.begin_canary(stamp.clone());
        }
    }

    /// Opens or closes the breaker of a class by hand, or leaves it to itself. False if there is no such
    /// class.
    pub fn force_breaker(&self, class: &str, forced: Option<Forced>) -> bool {
        let mut state = self.lock();
        let Some(class) = state.controller.policy().class_named(class) else { return false };
        state.tell(Event::BreakerForced { class, forced }, self.clock.now());
        true
    }

    /// The state for people and dashboards.
    pub fn snapshot(&self) -> Snapshot {
        self.lock().controller.snapshot(self.clock.now())
    }

    /// Wakes the controller when it wants to be woken. Runs until it is dropped.
    pub async fn run_timer(&self) {
        loop {
            let wait = self.time_to_wakeup();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.timer.notified() => continue,
            }
            self.tell(Event::Woken);
        }
    }

    fn time_to_wakeup(&self) -> Duration {
        let mut state = self.lock();
        state.armed = state.controller.next_wakeup().unwrap_or(Time::NEVER);
        state.armed.since(self.clock.now()).min(TIMER_IDLE)
    }

    fn rearm(&self, state: &mut State) {
        let wakeup = state.controller.next_wakeup().unwrap_or(Time::NEVER);
        if wakeup < state.armed {
            state.armed = wakeup;
            self.timer.notify_one();
        }
    }

    fn tell(&self, event: Event) {
        let mut state = self.lock();
        state.tell(event, self.clock.now());
        self.note_saturation(&state);
    }

    fn give_back(&self, request: RequestId, event: Event) {
        let now = self.clock.now();
        let mut state = self.lock();
        state.vacate(request);
        state.retries.earn(now);
        state.tell(event, now);
        self.note_saturation(&state);
        self.rearm(&mut state);
    }

    fn answer(self: &Arc<Gate>, effect: Effect) -> Answer {
        let permit = effect
            .decision
            .is_admitted()
            .then(|| Permit { gate: Some(self.clone()), request: effect.request });
        Answer { decision: effect.decision, evidence: effect.evidence, permit }
    }

    /// Nothing that runs under the lock panics half way through a change, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tapped for Gate {
    fn take(&self, taken: &mut Vec<u8>, next: Next) -> u64 {
        self.lock().tap.as_mut().map_or(0, |tap| tap.take(taken, next))
    }
}

impl State {
    fn enter(&mut self) -> RequestId {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.waiters.push(Waiter::default());
            u32::try_from(self.waiters.len() - 1).expect("memory ends before slots do")
        });
        RequestId { slot, epoch: self.waiters[slot as usize].epoch }
    }

    fn vacate(&mut self, request: RequestId) {
        let waiter = &mut self.waiters[request.slot as usize];
        if waiter.epoch == request.epoch {
            waiter.epoch = waiter.epoch.wrapping_add(1);
            waiter.answer = None;
            self.vacant.push(request.slot);
        }
    }

    fn tell(&mut self, event: Event, now: Time) -> Option<Effect> {
        self.tell_on(event, &Grounds::default(), now)
    }

    /// Returns the answer to the arriving request, if the event was one and it is answered; hands the
    /// others to those who wait for them.
    fn tell_on(&mut self, event: Event, grounds: &Grounds, now: Time) -> Option<Effect> {
        let arriving = match &event {
            Event::Arrived(arrival) => Some(arrival.request),
            _ => None,
        };
        if let Some(tap) = &mut self.tap {
            tap.event(&self.controller, &event, grounds, now);
        }
        self.controller.handle(event, now);
        let mut own = None;
        while let Some(effect) = self.controller.poll_effect() {
            if let Some(tap) = &mut self.tap {
                tap.effect(&effect);
            }
            if effect.decision == Decision::Queue {
                continue;
            } else if arriving == Some(effect.request) {
                own = Some(effect);
            } else {
                self.hand_over(effect);
            }
        }
        own
    }

    fn hand_over(&mut self, effect: Effect) {
        let waiter = &mut self.waiters[effect.request.slot as usize];
        let answer = if waiter.epoch == effect.request.epoch { waiter.answer.take() } else { None };
        self.leave_if_refused(&effect);
        // Whoever has stopped waiting gives back by drop what it was just given.
        if let Some(answer) = answer {
            let _ = answer.send(effect);
        }
    }

    fn leave_if_refused(&mut self, effect: &Effect) {
        if matches!(effect.decision, Decision::Shed(_)) {
            self.vacate(effect.request);
        }
    }
}

/// A place in the queue. Dropped without an answer, it is given up.
#[derive(Debug)]
pub struct Ticket {
    gate: Option<Arc<Gate>>,
    request: RequestId,
    receiver: oneshot::Receiver<Effect>,
    arrived: Time,
}

impl Ticket {
    /// Waits for the answer. May be dropped and called again.
    pub async fn answered(&mut self) -> Answer {
        let effect = (&mut self.receiver).await;
        let gate = self.gate.take().expect("a ticket is answered once");
        gate.answer(effect.expect("the gate answers each that waits before it forgets it"))
    }

    /// When its request asked.
    pub fn arrived(&self) -> Time {
        self.arrived
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.give_back(self.request, Event::Abandoned { request: self.request });
        }
    }
}

/// The right to occupy the pool. Dropped unfinished, its request was abandoned.
#[derive(Debug)]
pub struct Permit {
    gate: Option<Arc<Gate>>,
    request: RequestId,
}

impl Permit {
    /// The first byte of the answer is here; the last of the request was sent at `sent`.
    pub fn first_byte(&self, sent: Time) {
        if let Some(gate) = &self.gate {
            gate.tell(Event::FirstByte { request: self.request, sent });
        }
    }

    /// The upstream is done with the request.
    pub fn finish(mut self, outcome: Outcome) {
        if let Some(gate) = self.gate.take() {
            gate.give_back(self.request, Event::Finished { request: self.request, outcome });
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.give_back(self.request, Event::Abandoned { request: self.request });
        }
    }
}
