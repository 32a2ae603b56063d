//! Who waits, in which order: one ring per class and cohort group, under one bitmap.
//!
//! A ring keeps its waiters by deadline, nearest first, as a doubly linked list
//! threaded through one table of nodes. So joining, leaving and being served
//! are a few index writes without allocation, and the best waiter of any set of
//! rings is one `trailing_zeros`. Arrivals mostly come in deadline order; one
//! that spent its patience on a slow upload, or joins the last ring of its class
//! where the late ones are, walks past those with more time, at most as many as
//! its class may have waiting.
//!
//! It does not know why anybody waits, nor how many seats there are.

use crate::image::image;
use crate::policy::{CLASSES_MAX, ClassId, QueueOrder};
use crate::time::Time;

/// Cohorts of a class that share a ring: 128 cohorts in eight groups of sixteen.
pub const COHORT_GROUPS: usize = 8;
/// Rings in all: one bit each in a `u128`.
pub const RINGS: usize = CLASSES_MAX * COHORT_GROUPS;

const NONE: u32 = u32::MAX;

/// One ring. Lower rings are served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ring(u8);

impl Ring {
    /// The ring of a class's cohort group; groups past the last one share it.
    pub fn new(class: ClassId, group: usize) -> Ring {
        let group = group.min(COHORT_GROUPS - 1);
        Ring((class.index() * COHORT_GROUPS + group) as u8)
    }

    /// The ring of a class that is served last.
    pub fn last_of(class: ClassId) -> Ring {
        Ring::new(class, COHORT_GROUPS - 1)
    }

    /// The position: 0 is served first.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The cohort group within its class.
    pub const fn group(self) -> usize {
        self.index() % COHORT_GROUPS
    }

    /// The class it belongs to.
    pub fn class(self) -> ClassId {
        ClassId::new(self.index() / COHORT_GROUPS).expect("a ring index is below RINGS")
    }
}

/// A set of rings, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingSet(u128);

impl RingSet {
    /// No ring.
    pub const EMPTY: RingSet = RingSet(0);
    /// Every ring.
    pub const ALL: RingSet = RingSet(u128::MAX);

    /// The rings up to one, and it.
    pub fn up_to(ring: Ring) -> RingSet {
        RingSet(u128::MAX >> (RINGS - 1 - ring.index()))
    }

    /// The rings of one class.
    pub fn of_class(class: ClassId) -> RingSet {
        RingSet(0xff << (class.index() * COHORT_GROUPS))
    }

    /// The rings of several classes.
    pub fn of_classes(classes: impl Iterator<Item = ClassId>) -> RingSet {
        classes.map(RingSet::of_class).fold(RingSet::EMPTY, RingSet::or)
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, other: RingSet) -> RingSet {
        RingSet(self.0 & other.0)
    }

    /// Those that are in either.
    #[must_use]
    pub fn or(self, other: RingSet) -> RingSet {
        RingSet(self.0 | other.0)
    }

    /// Whether any ring of a class is among them.
    pub fn has_any_of(self, class: ClassId) -> bool {
        !self.and(RingSet::of_class(class)).is_empty()
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The one served first.
    pub fn first(self) -> Option<Ring> {
        (self.0 != 0).then(|| Ring(self.0.trailing_zeros() as u8))
    }

    /// The one served last.
    pub fn last(self) -> Option<Ring> {
        (self.0 != 0).then(|| Ring((RINGS as u32 - 1 - self.0.leading_zeros()) as u8))
    }

    fn set(&mut self, ring: Ring) {
        self.0 |= 1 << ring.0;
    }

    fn clear(&mut self, ring: Ring) {
        self.0 &= !(1 << ring.0);
    }
}

impl Iterator for RingSet {
    type Item = Ring;

    fn next(&mut self) -> Option<Ring> {
        let ring = self.first()?;
        self.clear(ring);
        Some(ring)
    }
}

#[derive(Clone, Copy, Debug)]
struct Node {
    earlier: u32,
    later: u32,
    deadline: Time,
    ring: Option<Ring>,
}

const VACANT: Node = Node { earlier: NONE, later: NONE, deadline: Time::NEVER, ring: None };

#[derive(Clone, Copy, Debug)]
struct Ends {
    earliest: u32,
    latest: u32,
    length: u32,
}

/// All that wait before one pool, by slot.
#[derive(Clone, Debug)]
pub struct Queue {
    nodes: Vec<Node>,
    rings: Vec<Ends>,
    occupied: RingSet,
}

impl Default for Queue {
    fn default() -> Queue {
        let empty = Ends { earliest: NONE, latest: NONE, length: 0 };
        Queue { nodes: Vec::new(), rings: vec![empty; RINGS], occupied: RingSet::EMPTY }
    }
}

impl Queue {
    /// The rings in which somebody waits.
    pub fn occupied(&self) -> RingSet {
        self.occupied
    }

    /// How many wait in a ring.
    pub fn ring_length(&self, ring: Ring) -> u32 {
        self.rings[ring.index()].length
    }

    /// How many of a class wait.
    pub fn class_length(&self, class: ClassId) -> u32 {
        self.occupied.and(RingSet::of_class(class)).map(|ring| self.ring_length(ring)).sum()
    }

    /// Lets `slot` wait in `ring` until `deadline`. A slot that waits already stays where it is.
    pub fn join(&mut self, slot: u32, ring: Ring, deadline: Time) {
        let needed = slot as usize + 1;
        if self.nodes.len() < needed {
            self.nodes.resize(needed, VACANT);
        }
        if self.nodes[slot as usize].ring.is_some() {
            return;
        }
        let earlier = self.last_not_after(ring, deadline);
        let ends = &mut self.rings[ring.index()];
        let later = if earlier == NONE { ends.earliest } else { self.nodes[earlier as usize].later };
        ends.length += 1;
        self.nodes[slot as usize] = Node { earlier, later, deadline, ring: Some(ring) };
        self.link(ring, earlier, slot);
        self.link(ring, slot, later);
        self.occupied.set(ring);
    }

    /// Takes `slot` out, wherever it waits. False if it did not wait.
    pub fn leave(&mut self, slot: u32) -> bool {
        let Some(node) = self.nodes.get(slot as usize).copied() else { return false };
        let Some(ring) = node.ring else { return false };
        self.link(ring, node.earlier, node.later);
        self.nodes[slot as usize] = VACANT;
        let ends = &mut self.rings[ring.index()];
        ends.length -= 1;
        if ends.length == 0 {
            self.occupied.clear(ring);
        }
        true
    }

    /// Lets a waiter wait in another ring with the deadline it has.
    pub fn change_ring(&mut self, slot: u32, ring: Ring) {
        let Some(deadline) = self.nodes.get(slot as usize).map(|node| node.deadline) else { return };
        self.rejoin(slot, ring, deadline);
    }

    /// Lets a waiter wait in another ring until another deadline.
    pub fn rejoin(&mut self, slot: u32, ring: Ring, deadline: Time) {
        if self.leave(slot) {
            self.join(slot, ring, deadline);
        }
    }

    /// Who is served next in a ring.
    pub fn next(&self, ring: Ring, order: QueueOrder) -> Option<u32> {
        let ends = self.rings[ring.index()];
        let slot = match order {
            QueueOrder::Fifo => ends.earliest,
            QueueOrder::Lifo => ends.latest,
        };
        (slot != NONE).then_some(slot)
    }

    /// Somebody whose deadline has come, if there is one.
    pub fn expired(&self, now: Time) -> Option<u32> {
        let earliest = |ring: Ring| self.rings[ring.index()].earliest;
        self.occupied.map(earliest).find(|slot| self.nodes[*slot as usize].deadline <= now)
    }

    /// The next deadline of all that wait.
    pub fn next_deadline(&self) -> Option<Time> {
        let earliest = |ring: Ring| self.rings[ring.index()].earliest;
        self.occupied.map(|ring| self.nodes[earliest(ring) as usize].deadline).min()
    }

    /// The one in `ring` after which a waiter of that deadline belongs, or [`NONE`] for the front.
    fn last_not_after(&self, ring: Ring, deadline: Time) -> u32 {
        let mut slot = self.rings[ring.index()].latest;
        while slot != NONE && self.nodes[slot as usize].deadline > deadline {
            slot = self.nodes[slot as usize].earlier;
        }
        slot
    }

    /// Makes two waiters of a ring neighbours; [`NONE`] stands for the ring's end.
    fn link(&mut self, ring: Ring, earlier: u32, later: u32) {
        match earlier {
            NONE => self.rings[ring.index()].earliest = later,
            slot => self.nodes[slot as usize].later = later,
        }
        match later {
            NONE => self.rings[ring.index()].latest = earlier,
            slot => self.nodes[slot as usize].earlier = earlier,
        }
    }
}

image!(newtype Ring);
image!(newtype RingSet);
image!(struct Node { earlier, later, deadline, ring });
image!(struct Ends { earliest, latest, length });
image!(struct Queue { nodes, rings, occupied });

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(class: usize, group: usize) -> Ring {
        Ring::new(ClassId::new(class).unwrap(), group)
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn drain(queue: &mut Queue, order: QueueOrder) -> Vec<u32> {
        let mut served = Vec::new();
        while let Some(first) = queue.occupied().first() {
            let slot = queue.next(first, order).unwrap();
            assert!(queue.leave(slot));
            served.push(slot);
        }
        served
    }

    #[test]
    fn better_rings_go_first_and_deadlines_order_a_ring() {
        let mut queue = Queue::default();
        queue.join(0, ring(3, 0), at(10));
        queue.join(1, ring(0, 7), at(90));
        queue.join(2, ring(0, 2), at(80));
        queue.join(3, ring(0, 2), at(70));
        queue.join(4, ring(0, 2), at(80));
        assert_eq!(drain(&mut queue, QueueOrder::Fifo), [3, 2, 4, 1, 0]);
        assert_eq!(queue.next_deadline(), None);
    }

    #[test]
    fn newest_first_serves_the_latest_deadline() {
        let mut queue = Queue::default();
        for slot in 0..3 {
            queue.join(slot, ring(5, 1), at(u64::from(slot)));
        }
        assert_eq!(drain(&mut queue, QueueOrder::Lifo), [2, 1, 0]);
    }

    #[test]
    fn one_who_leaves_from_the_middle_leaves_no_gap() {
        let mut queue = Queue::default();
        for slot in 0..3 {
            queue.join(slot, ring(1, 1), at(u64::from(slot)));
        }
        assert!(queue.leave(1));
        assert!(!queue.leave(1));
        assert_eq!(queue.class_length(ClassId::new(1).unwrap()), 2);
        assert_eq!(drain(&mut queue, QueueOrder::Fifo), [0, 2]);
    }

    #[test]
    fn expiry_is_found_at_its_moment_and_not_before() {
        let mut queue = Queue::default();
        queue.join(7, ring(2, 0), at(50));
        queue.join(8, ring(1, 0), at(60));
        assert_eq!(queue.next_deadline(), Some(at(50)));
        assert_eq!(queue.expired(at(49)), None);
        assert_eq!(queue.expired(at(50)), Some(7));
    }

    #[test]
    fn last_ring_is_the_least_important() {
        let mut queue = Queue::default();
        queue.join(0, ring(15, 7), at(1));
        queue.join(1, ring(0, 0), at(1));
        assert_eq!(queue.occupied().last(), Some(ring(15, 7)));
        assert_eq!(queue.occupied().first(), Some(ring(0, 0)));
    }
}
