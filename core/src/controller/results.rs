//! What becomes of those who hold a permit: a first byte, a result, or that they leave.
//!
//! The limit learns from latencies and signs of overload, the breaker of the class from failures and slow calls.
//! Who leaves before his answer tells the one that it took at least so long.

use super::{Controller, Outcome};
use crate::breaker::Passage;
use crate::decision::RequestId;
use crate::policy::BreakerPolicy;
use crate::requests::{Phase, Request};
use crate::time::Time;
use crate::window::Health;

impl Controller {
    pub(super) fn first_byte(&mut self, id: RequestId, sent: Time, now: Time) {
        let Some(request) = self.requests.find(id) else { return };
        if request.phase != Phase::Admitted || request.first_byte.is_some() {
            return;
        }
        let latency = now.since(sent);
        request.first_byte = Some(latency);
        let class = request.class;
        self.seats.answer(class);
        self.note_unanswered(class, now);
        self.limit.observe(class.index(), latency, now);
    }

    pub(super) fn finish(&mut self, id: RequestId, outcome: Outcome, now: Time) {
        let Some(request) = self.requests.take_if(id, Phase::Admitted) else { return };
        self.give_back(&request, now);
        self.limit.result(outcome == Outcome::Overloaded, now);
        let Some(policy) = self.policy.class(request.class).breaker else {
            return self.return_probe(&request);
        };
        let latency = request.first_byte.unwrap_or_else(|| now.since(request.since));
        let slow = latency > policy.slow_call && !self.limit.shrinking(now);
        let health = Health { failed: outcome != Outcome::Success, slow };
        self.breakers[request.class.index()].record(&policy, request.passage, health, now);
    }

    pub(super) fn abandon(&mut self, id: RequestId, now: Time) {
        if let Some(request) = self.requests.take_if(id, Phase::Admitted) {
            self.give_back(&request, now);
            self.judge_abandoned(&request, now);
            if request.first_byte.is_none() {
                self.limit.give_up(request.class.index(), now.since(request.since), now);
            }
        } else if let Some(request) = self.requests.take_if(id, Phase::Waiting) {
            self.queue.leave(id.slot);
            self.note_waiting(request.class, now);
            self.return_probe(&request);
        }
    }

    /// Who leaves tells a breaker nothing, unless he waited as long as a slow call takes: all leave a provider
    /// that hangs, and there would never be a result.
    fn judge_abandoned(&mut self, request: &Request, now: Time) {
        let policy = self.policy.class(request.class).breaker;
        let waited = |policy: &BreakerPolicy| {
            request.first_byte.is_none() && now.since(request.since) >= policy.slow_call
        };
        match policy.filter(waited) {
            Some(policy) if !self.limit.shrinking(now) => {
                let health = Health { failed: false, slow: true };
                self.breakers[request.class.index()].record(&policy, request.passage, health, now);
            }
            _ => self.return_probe(request),
        }
    }

    fn give_back(&mut self, request: &Request, now: Time) {
        self.seats.give_back(request.class, request.first_byte.is_some());
        if request.first_byte.is_none() {
            self.note_unanswered(request.class, now);
        }
        // Nobody waits longer than that: a process that was suspended must not think that answers take
        // a minute, and admit nobody who could teach it better.
        let class = self.policy.class(request.class);
        let held = now.since(request.since).min(class.patience);
        let latency = request.first_byte.unwrap_or(held).min(held);
        self.load.release(request.class, held, latency, self.limit.baseline(request.class.index()));
        let limit = self.limit.around_trial() as u32;
        self.seats.rest(request.class, class.floor, limit, held, now);
    }

    pub(super) fn return_probe(&mut self, request: &Request) {
        if request.passage == Passage::Probe {
            self.breakers[request.class.index()].return_probe();
        }
    }
}
