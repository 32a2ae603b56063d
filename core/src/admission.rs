//! Whether a request may wait: standings, the load of each ring, and the wait to expect.
//!
//! A request is refused at the door when the wait ahead of it is longer than it
//! can use, instead of letting it wait in vain: the refusal costs the client
//! nothing then. Behind `n` seats of which better rings keep `b` busy, work
//! ahead of `w` seat-seconds takes `w / (n - b)`: the mean wait of a priority
//! queue (Cobham 1954), with all quantities measured.
//!
//! It hands out no seats and keeps nobody waiting; the controller does.

use crate::decision::Standing;
use crate::image::image;
use crate::policy::{CLASSES_MAX, Class, ClassId, Policy};
use crate::queue::{COHORT_GROUPS, Queue, Ring, RingSet};
use crate::succession::Succession;
use crate::time::Time;
use std::time::Duration;

/// Cohorts in a rank.
const COHORTS: u16 = 128;
/// The quantised value spans this part of the cohorts; penalties and bonuses move within the rest.
const VALUE_COHORTS: f32 = 95.0;
/// What a session that was admitted before is ahead of a fresh one: one cohort group.
const ADMITTED_BONUS: u16 = 16;
/// The largest penalty for recent usage: two cohort groups.
pub const USAGE_PENALTY_MAX: u8 = 32;

/// Rates are re-measured this often...
const REFRESH: Duration = Duration::from_millis(100);
/// ...and a new measurement has this weight: a spike is believed within 200 ms.
const RATE_WEIGHT: f64 = 0.5;
/// Weight of one hold time in its class's mean.
const HOLD_WEIGHT: f64 = 0.05;
/// A wait nobody would bear; stands for "never".
const WAIT_NEVER: Duration = Duration::from_secs(3_600);
/// A queue that is not empty for longer than bursts last is no burst. At a utilisation of `u` a pool
/// of `n` seats held for `s` works off a burst in the order of `s / n / (1 - u)^2`, the relaxation
/// time of its queue; this is the last factor at 90 %.
const RELAXATION: f64 = 100.0;
/// The least such time, for pools so large that their bursts last a millisecond...
const STANDING_MIN: Duration = Duration::from_millis(100);
/// ...and the greatest, for a pool of one slow worker: shoppers leave after a few seconds.
const STANDING_MAX: Duration = Duration::from_secs(2);
/// A class that had to refuse somebody stays congested for this long, or it would let the next burst
/// wait in vain as soon as its queue is empty for a moment.
const CONGESTED_FOR: Duration = Duration::from_millis(500);
/// With a standing queue a class may wait this part of its SLO, CoDel's target.
const TARGET_DIVISOR: u32 = 20;
/// The least target: below it the proxy's own scheduling would be refused.
const TARGET_MIN: Duration = Duration::from_millis(5);

/// What the model thinks a request is worth, in [0, 1], quantised to 256 steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value(u8);

impl Value {
    /// Of a model output; what is not a number is worth nothing.
    pub fn new(value: f32) -> Value {
        // `as` saturates, and turns NaN into 0.
        Value((value * 255.0) as u8)
    }

    /// The step, of 256.
    pub const fn step(self) -> u8 {
        self.0
    }

    /// Of a step.
    pub const fn from_step(step: u8) -> Value {
        Value(step)
    }

    /// Back in [0, 1].
    pub fn get(self) -> f32 {
        f32::from(self.0) / 255.0
    }
}

/// Whether the session of a request has been served before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenure {
    /// It has not, or nobody vouches for it.
    Fresh,
    /// It has: refusing it now would waste what was spent on it.
    Admitted,
}

/// The standing of a request, from its class's rank and what is known of it.
pub fn standing(class: &Class, value: Value, tenure: Tenure, usage_penalty: u8) -> Standing {
    let worth = (value.get() * VALUE_COHORTS) as u16;
    let bonus = if tenure == Tenure::Admitted { ADMITTED_BONUS } else { 0 };
    let penalty = u16::from(usage_penalty.min(USAGE_PENALTY_MAX));
    let cohort = (COHORTS - 1 - worth).saturating_add(penalty).saturating_sub(bonus);
    Standing(u16::from(class.rank) * COHORTS + cohort.min(COHORTS - 1))
}

/// The same cohort in the rank of another class.
pub(crate) fn restand(class: &Class, standing: Standing) -> Standing {
    Standing(u16::from(class.rank) * COHORTS + standing.0 % COHORTS)
}

/// The ring a standing waits in.
pub fn ring_of(class: ClassId, standing: Standing) -> Ring {
    let group = usize::from(standing.0 % COHORTS) * COHORT_GROUPS / usize::from(COHORTS);
    Ring::new(class, group)
}

/// The measured load of one class.
#[derive(Clone, Debug, Default)]
struct ClassLoad {
    /// Requests let in since the last refresh, by cohort group.
    accepted: [u32; COHORT_GROUPS],
    /// The same per second, smoothed.
    rates: [f64; COHORT_GROUPS],
    /// Seats that strictly better rings keep busy, those of better classes included.
    better: [f64; COHORT_GROUPS],
    /// Seats that the floors of less important classes keep busy.
    lent_back: f64,
    /// Mean seconds a permit is held; zero while unknown.
    hold: f64,
    queue_since: Option<Time>,
    congested_until: Time,
}

impl ClassLoad {
    fn busy(&self) -> f64 {
        self.rates.iter().sum::<f64>() * self.hold
    }
}

/// The measured load of every ring, and since when each class has had a queue.
#[derive(Clone, Debug, Default)]
pub struct Load {
    refreshed: Time,
    classes: [ClassLoad; CLASSES_MAX],
    /// How long a queue must have stood to be no burst.
    standing_after: Duration,
}

impl Load {
    /// A request was admitted or queued.
    pub fn accept(&mut self, ring: Ring) {
        self.of(ring.class()).accepted[ring.group()] += 1;
    }

    /// A permit of the class came back after `held`.
    pub fn release(&mut self, class: ClassId, held: Duration) {
        let mean = &mut self.of(class).hold;
        let weight = if *mean == 0.0 { 1.0 } else { HOLD_WEIGHT };
        *mean += (held.as_secs_f64() - *mean) * weight;
    }

    /// The queue of a class became empty, or was.
    pub fn queue_empty(&mut self, class: ClassId) {
        self.of(class).queue_since = None;
    }

    /// Somebody of the class waits.
    pub fn queue_occupied(&mut self, class: ClassId, now: Time) {
        self.of(class).queue_since.get_or_insert(now);
    }

    /// Somebody of the class was refused because the wait was too long.
    pub fn refused(&mut self, class: ClassId, now: Time) {
        self.of(class).congested_until = now.after(CONGESTED_FOR);
    }

    /// Gives the classes of a new policy the load of their namesakes.
    pub(crate) fn succeed(&mut self, succession: &Succession) {
        self.classes = succession.carry(std::mem::take(&mut self.classes));
    }

    /// Re-measures the rates if they are due.
    pub fn refresh(&mut self, policy: &Policy, limit: f64, now: Time) {
        let age = now.since(self.refreshed);
        if age < REFRESH {
            return;
        }
        for class in &mut self.classes {
            for (rate, accepted) in class.rates.iter_mut().zip(&mut class.accepted) {
                let measured = f64::from(std::mem::take(accepted)) / age.as_secs_f64();
                *rate += (measured - *rate) * RATE_WEIGHT;
            }
        }
        self.refreshed = now;
        self.sum_better(limit);
        self.sum_lent_back(policy, limit);
    }

    fn sum_better(&mut self, limit: f64) {
        let mut busy = 0.0;
        let mut per_second = 0.0;
        for class in &mut self.classes {
            for (better, rate) in class.better.iter_mut().zip(class.rates) {
                *better = busy;
                busy += rate * class.hold;
                per_second += rate;
            }
        }
        if per_second > 0.0 {
            self.standing_after = seconds(RELAXATION * busy / per_second / limit.max(1.0));
        }
    }

    fn sum_lent_back(&mut self, policy: &Policy, limit: f64) {
        let mut kept = 0.0;
        for (load, class) in self.classes.iter_mut().zip(policy.classes()).rev() {
            load.lent_back = kept;
            kept += load.busy().min(class.floor.seats(limit as u32).into());
        }
    }

    /// Whether somebody of the class was refused so lately that the class still counts as congested.
    pub fn has_refused_lately(&self, class: ClassId, now: Time) -> bool {
        now < self.classes[class.index()].congested_until
    }

    /// Whether the class gets fewer seats than it asks for: by a queue that stands, or a refusal.
    fn is_congested(&self, class: ClassId, now: Time) -> bool {
        let load = &self.classes[class.index()];
        let standing_after = self.standing_after.clamp(STANDING_MIN, STANDING_MAX);
        let stands = |since: Time| now.since(since) >= standing_after;
        self.has_refused_lately(class, now) || load.queue_since.is_some_and(stands)
    }

    /// The wait to expect in `ring` behind those in `queue`, with `limit` seats in all: by standing
    /// or in the class's own floor, whichever is shorter.
    pub fn wait(&self, policy: &Policy, queue: &Queue, ring: Ring, limit: f64, now: Time) -> Duration {
        let id = ring.class();
        let class = policy.class(id);
        let own = RingSet::of_class(id);
        let load = &self.classes[id.index()];
        let floor = f64::from(class.floor.seats(limit as u32));
        let in_floor = wait_for(self.work_ahead(queue, ring, own) + load.hold, floor);
        // While a better class cannot have all it asks for, nothing is left for those below it.
        if (0..id.index()).filter_map(ClassId::new).any(|better| self.is_congested(better, now)) {
            return in_floor;
        }
        let ceiling = f64::from(class.ceiling.seats(limit as u32));
        let of_class = limit - load.better[0] - load.lent_back;
        // Better cohorts of the class itself leave it a seat: they are its own requests of a moment
        // ago as often as not, and no queue of theirs stands.
        let seats = (limit - load.better[ring.group()] - load.lent_back).max(of_class.min(1.0));
        let work = self.work_ahead(queue, ring, RingSet::ALL) + load.hold;
        in_floor.min(wait_for(work, seats.min(ceiling)))
    }

    /// The wait a request may have: what its class allows a burst, CoDel's target once the class is
    /// congested, and never so much that its answer would come after the deadline.
    pub fn wait_allowed(&self, id: ClassId, class: &Class, deadline: Time, now: Time) -> Duration {
        let target = (class.slo_latency / TARGET_DIVISOR).max(TARGET_MIN);
        let by_class =
            if self.is_congested(id, now) { target.min(class.queue.wait_max) } else { class.queue.wait_max };
        by_class.min(deadline.since(now).saturating_sub(self.hold(id)))
    }

    /// How long a permit of the class is held, in the mean.
    pub fn hold(&self, class: ClassId) -> Duration {
        seconds(self.classes[class.index()].hold)
    }

    /// Seat-seconds of those of `among` who wait in `ring` or a better one.
    fn work_ahead(&self, queue: &Queue, ring: Ring, among: RingSet) -> f64 {
        let ahead = queue.occupied().and(among).take_while(|other| *other <= ring);
        ahead.map(|ring| f64::from(queue.ring_length(ring)) * self.classes[ring.class().index()].hold).sum()
    }

    fn of(&mut self, class: ClassId) -> &mut ClassLoad {
        &mut self.classes[class.index()]
    }
}

fn wait_for(work: f64, seats: f64) -> Duration {
    if seats <= 0.0 { WAIT_NEVER } else { seconds(work / seats) }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(WAIT_NEVER).min(WAIT_NEVER)
}

image!(struct ClassLoad { accepted, rates, better, lent_back, hold, queue_since, congested_until });
image!(struct Load { refreshed, classes, standing_after });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Mode, QueueOrder, QueuePolicy, Share};

    fn class(name: &str, rank: u8, floor: u32) -> Class {
        Class {
            name: name.into(),
            rank,
            slo_latency: Duration::from_secs(1),
            patience: Duration::from_secs(2),
            floor: Share::from_percent(floor).unwrap(),
            ceiling: Share::ALL,
            queue: QueuePolicy {
                length_max: 8,
                wait_max: Duration::from_millis(500),
                order: QueueOrder::Fifo,
            },
            breaker: None,
        }
    }

    fn policy() -> Policy {
        Policy::new(Mode::Enforce, vec![class("checkout", 0, 0), class("browse", 1, 20)]).unwrap()
    }

    fn id(index: usize) -> ClassId {
        ClassId::new(index).unwrap()
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    /// What a load allows a class, with a deadline far away.
    fn allowed(load: &Load, index: usize, now: Time) -> Duration {
        load.wait_allowed(id(index), policy().class(id(index)), at(1_000_000), now)
    }

    #[test]
    fn worth_moves_a_standing_within_its_rank_only() {
        let class = class("browse", 3, 0);
        let of = |value, tenure, penalty| standing(&class, Value::new(value), tenure, penalty).0;
        assert_eq!(of(0.0, Tenure::Fresh, 0), 3 * 128 + 127);
        assert_eq!(of(1.0, Tenure::Fresh, 0), 3 * 128 + 32);
        assert_eq!(of(1.0, Tenure::Admitted, 0), 3 * 128 + 16);
        assert_eq!(of(1.0, Tenure::Fresh, 255), 3 * 128 + 64, "no penalty is above the largest");
        assert_eq!(of(0.0, Tenure::Fresh, USAGE_PENALTY_MAX), 3 * 128 + 127);
    }

    #[test]
    fn value_that_is_no_number_is_worth_nothing() {
        assert_eq!(Value::new(f32::NAN), Value::new(0.0));
        assert_eq!(Value::new(7.0), Value::new(1.0));
        assert_eq!(Value::new(-1.0), Value::new(0.0));
    }

    #[test]
    fn another_rank_keeps_the_cohort() {
        let fresh = standing(&class("browse", 3, 0), Value::new(0.5), Tenure::Fresh, 0);
        let same = standing(&class("cart", 1, 0), Value::new(0.5), Tenure::Fresh, 0);
        assert_eq!(restand(&class("cart", 1, 0), fresh), same);
    }

    #[test]
    fn refusal_leaves_only_the_target_for_half_a_second() {
        let mut load = Load::default();
        assert_eq!(allowed(&load, 0, at(0)), Duration::from_millis(500));
        load.refused(id(0), at(0));
        assert_eq!(allowed(&load, 0, at(499)), Duration::from_millis(50));
        assert_eq!(allowed(&load, 0, at(500)), Duration::from_millis(500));
    }

    #[test]
    fn queue_that_stands_longer_than_a_burst_leaves_only_the_target() {
        let mut load = Load::default();
        load.queue_occupied(id(0), at(0));
        load.queue_occupied(id(0), at(90));
        assert_eq!(allowed(&load, 0, at(99)), Duration::from_millis(500));
        assert_eq!(allowed(&load, 0, at(100)), Duration::from_millis(50));
        load.queue_empty(id(0));
        assert_eq!(allowed(&load, 0, at(100)), Duration::from_millis(500));
    }

    #[test]
    fn wait_leaves_time_to_answer_before_the_deadline() {
        let mut load = Load::default();
        load.release(id(0), Duration::from_millis(100));
        let wait = |deadline| load.wait_allowed(id(0), policy().class(id(0)), deadline, at(0));
        assert_eq!(wait(at(300)), Duration::from_millis(200));
        assert_eq!(wait(at(100)), Duration::ZERO);
        assert_eq!(wait(at(0)), Duration::ZERO);
    }

    #[test]
    fn wait_is_the_work_ahead_over_the_seats() {
        let mut load = Load::default();
        load.release(id(0), Duration::from_millis(100));
        let ring = Ring::new(id(0), 0);
        let mut queue = Queue::default();
        queue.join(0, ring, at(500));
        queue.join(1, ring, at(500));
        queue.join(2, Ring::new(id(0), 1), at(500));
        // Two ahead and itself, a tenth of a second each; the one in a worse ring does not count.
        let wait = load.wait(&policy(), &queue, ring, 10.0, at(0));
        assert_eq!(wait, Duration::from_millis(30));
    }

    #[test]
    fn congested_better_class_leaves_the_others_their_floor() {
        let mut load = Load::default();
        load.release(id(1), Duration::from_millis(100));
        let wait = |load: &Load, now| load.wait(&policy(), &Queue::default(), Ring::new(id(1), 0), 10.0, now);
        assert_eq!(wait(&load, at(0)), Duration::from_millis(10));
        load.refused(id(0), at(0));
        // 20 % of ten seats instead of all of them.
        assert_eq!(wait(&load, at(499)), Duration::from_millis(50));
        assert_eq!(wait(&load, at(500)), Duration::from_millis(10));
    }

    #[test]
    fn seats_that_better_rings_keep_busy_are_not_counted_on() {
        let mut load = Load::default();
        load.release(id(0), Duration::from_millis(100));
        load.release(id(1), Duration::from_millis(100));
        let wait = |load: &Load| load.wait(&policy(), &Queue::default(), Ring::new(id(1), 0), 10.0, at(100));
        let before = wait(&load);
        for _ in 0..10 {
            load.accept(Ring::new(id(0), 0));
        }
        load.refresh(&policy(), 10.0, at(99));
        assert_eq!(wait(&load), before, "not due yet");
        // Half of the hundred a second are believed: five seats.
        load.refresh(&policy(), 10.0, at(100));
        assert_eq!(wait(&load), Duration::from_millis(20));
    }

    #[test]
    fn new_policy_finds_the_load_of_a_class_by_its_name() {
        let old = policy();
        let classes = vec![class("browse", 0, 0), class("checkout", 1, 0), class("bots", 2, 0)];
        let new = Policy::new(Mode::Enforce, classes).unwrap();
        let mut load = Load::default();
        load.release(id(0), Duration::from_millis(100));
        load.refused(id(0), at(0));
        load.succeed(&Succession::between(&old, &new));
        assert_eq!(load.hold(id(1)), Duration::from_millis(100));
        assert_eq!(load.hold(id(0)), Duration::ZERO);
        assert_eq!(allowed(&load, 1, at(1)), Duration::from_millis(50), "it is still congested");
        assert_eq!(allowed(&load, 0, at(1)), Duration::from_millis(500));
    }
}
