//! What happens when, in virtual time: for whoever runs the controller without a clock, as simulations, forecasts
//! and reruns do.
//!
//! A binary heap, except for steps that are planned in the order in which they
//! will happen: where every client has the same patience, their leavings are a plain
//! queue, and the heap stays as small as the shop is busy. Steps of one moment
//! happen in the order they were planned, so that a run is the same each time.
//!
//! It does not know what a step does. The controller does not know it: who drives it in real time has a clock.

use crate::time::Time;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// Steps to come.
#[derive(Debug)]
pub struct Agenda<S> {
    heap: BinaryHeap<Entry<S>>,
    in_order: VecDeque<Entry<S>>,
    planned: u64,
}

#[derive(Debug)]
struct Entry<S> {
    at: Time,
    number: u64,
    step: S,
}

impl<S> Entry<S> {
    fn key(&self) -> (Time, u64) {
        (self.at, self.number)
    }
}

impl<S> PartialEq for Entry<S> {
    fn eq(&self, other: &Entry<S>) -> bool {
        self.key() == other.key()
    }
}

impl<S> Eq for Entry<S> {}

impl<S> PartialOrd for Entry<S> {
    fn partial_cmp(&self, other: &Entry<S>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<S> Ord for Entry<S> {
    /// The standard heap gives the greatest first; we want the earliest.
    fn cmp(&self, other: &Entry<S>) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl<S> Default for Agenda<S> {
    fn default() -> Agenda<S> {
        Agenda { heap: BinaryHeap::new(), in_order: VecDeque::new(), planned: 0 }
    }
}

impl<S> Agenda<S> {
    /// Plans a step.
    pub fn plan(&mut self, at: Time, step: S) {
        let entry = self.entry(at, step);
        self.heap.push(entry);
    }

    /// Plans a step that is not before any other planned this way; one that is goes to the heap.
    pub fn plan_in_order(&mut self, at: Time, step: S) {
        if self.in_order.back().is_some_and(|last| at < last.at) {
            return self.plan(at, step);
        }
        let entry = self.entry(at, step);
        self.in_order.push_back(entry);
    }

    /// When the next step is.
    pub fn next_at(&self) -> Option<Time> {
        [self.heap.peek(), self.in_order.front()].into_iter().flatten().map(|entry| entry.at).min()
    }

    /// The next step.
    pub fn pop(&mut self) -> Option<(Time, S)> {
        let is_heap_next = match (self.heap.peek(), self.in_order.front()) {
            (Some(heap), Some(front)) => heap.key() < front.key(),
            (heap, _) => heap.is_some(),
        };
        let entry = if is_heap_next { self.heap.pop() } else { self.in_order.pop_front() };
        entry.map(|entry| (entry.at, entry.step))
    }

    /// The next step, if it is before `until`.
    pub fn pop_before(&mut self, until: Time) -> Option<(Time, S)> {
        self.next_at().filter(|at| *at < until)?;
        self.pop()
    }

    fn entry(&mut self, at: Time, step: S) -> Entry<S> {
        self.planned += 1;
        Entry { at, number: self.planned, step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(mut agenda: Agenda<char>) -> String {
        std::iter::from_fn(|| agenda.pop()).map(|(_, step)| step).collect()
    }

    #[test]
    fn steps_come_in_order_of_time_and_then_of_planning() {
        let mut agenda = Agenda::default();
        agenda.plan(Time::from_millis(3), 'd');
        agenda.plan_in_order(Time::from_millis(2), 'b');
        agenda.plan(Time::from_millis(1), 'a');
        agenda.plan(Time::from_millis(2), 'c');
        agenda.plan_in_order(Time::from_millis(3), 'e');
        assert_eq!(agenda.next_at(), Some(Time::from_millis(1)));
        assert_eq!(agenda.pop_before(Time::from_millis(1)), None);
        assert_eq!(agenda.pop_before(Time::from_millis(2)), Some((Time::from_millis(1), 'a')));
        assert_eq!(drain(agenda), "bcde");
    }

    #[test]
    fn step_planned_out_of_order_still_comes_in_time() {
        let mut agenda = Agenda::default();
        agenda.plan_in_order(Time::from_millis(5), 'b');
        agenda.plan_in_order(Time::from_millis(4), 'a');
        assert_eq!(drain(agenda), "ab");
    }
}
