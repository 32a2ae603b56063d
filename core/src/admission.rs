//! Whether a request may wait: the load of each ring, and the wait to expect.
//!
//! A request is refused at the door when the wait ahead of it is longer than it
//! can use, instead of letting it wait in vain: the refusal costs the client
//! nothing then. Behind `n` seats of which better rings keep `b` busy, work
//! ahead of `w` seat-seconds takes `w / (n - b)`: the mean wait of a priority
//! queue (Cobham 1954), with all quantities measured.
//!
//! Where demand crosses the seats there are, it draws a line: a class whose
//! demand, together with that of better ones, does not fit is *overloaded*, and
//! has a line of its own through its cohorts. Above the line a queue is a burst
//! and may wait; below it, those of that class fill the gaps under CoDel's
//! target, and less important classes have nothing but their floors, or a beacon
//! would take the seat that a page is refused for a moment later. Who queued
//! before that was known has a grace: a late refusal costs more than an early one.
//!
//! It hands out no seats and keeps nobody waiting; the controller does.

mod class_load;
mod excess;

use crate::decision::{COHORTS, Side, Standing, WAIT_NEVER};
use crate::demand::REFRESH;
use crate::image::image;
use crate::policy::{CLASSES_MAX, Class, ClassId, ClassSet, Policy, SlowAlone};
use crate::queue::{Queue, Ring, RingSet};
use crate::seats::ceiling;
use crate::succession::Succession;
use crate::time::Time;
use class_load::ClassLoad;
use std::time::Duration;

/// Rates are measured again every [`REFRESH`], or as soon as this many times as many ask as did in such a time
/// before, for a spike need not last a tenth of a second to be seen...
const SURPRISE: f64 = 2.0;
/// ...but not within a time in which the arrivals of one busy client are all there are.
const REFRESH_MIN: Duration = Duration::from_millis(10);
/// A new measurement has this weight: a spike is believed within 200 ms.
const RATE_WEIGHT: f64 = 0.5;
/// Weight of the mean hold time of a moment in the one that this is judged by.
const STEADY_WEIGHT: f64 = 0.2;
/// Weight of one hold time in its class's mean.
const HOLD_WEIGHT: f64 = 0.05;
/// A queue that is not empty for longer than bursts last is no burst. At a utilisation of `u` a pool
/// of `n` seats held for `s` works off a burst in the order of `s / n / (1 - u)^2`, the relaxation
/// time of its queue; this is the last factor at 90 %.
const RELAXATION: f64 = 100.0;
/// The least such time, for pools so large that their bursts last a millisecond...
const STANDING_MIN: Duration = Duration::from_millis(100);
/// ...the least while the limit is still doubled, for then it is the limit that is short...
const STANDING_START: Duration = Duration::from_millis(200);
/// ...and the greatest, for a pool of one slow worker: shoppers leave after a few seconds.
const STANDING_MAX: Duration = Duration::from_secs(2);
/// Nor is a queue of more than a burst leaves behind: at a utilisation of `u` the part `u^k` of arrivals finds
/// `k` waiting (M/M/n), one in a thousand at 90 %.
const BURST_MAX: u32 = 64;
/// Those who wait when their class is shut out may have free seats all the same if it was open for so long
/// before. Not where it is shut out again and again: each time some of them would pass their betters by.
const GRACE_AFTER: Duration = Duration::from_secs(5);
/// A class that had to refuse somebody stays congested for this long, or it would let the next burst
/// wait in vain as soon as its queue is empty for a moment.
const CONGESTED_FOR: Duration = Duration::from_millis(500);
/// A class that is short of seats for a moment may wait this part of its SLO, by an estimate that errs on the long
/// side. Whoever has waited for as long is late by the time he is answered...
const SHORT_PART: f64 = 0.75;
/// ...one that may ask for more than there is this part...
const SHORT_OVER_PART: f64 = 0.5;
/// ...those above the line of one that does ask for more this part: they ask for less than
/// there is, so what they wait for is a burst...
const ABOVE_PART: f64 = 0.25;
/// ...and those below it this part, CoDel's target.
const TARGET_PART: f64 = 0.05;
/// The least of these: below it the proxy's own scheduling would be refused.
const WAIT_MIN: Duration = Duration::from_millis(5);

/// The part of the seats that those above a class leave it where there is enough for all: at 0.8 of what there is, as
/// much is free.
const LEAST_LEFT: f64 = 0.2;

/// The seats that there will be in a moment.
#[derive(Clone, Copy, Debug)]
pub struct SeatsToExpect {
    /// In all.
    pub limit: f64,
    /// The classes that may have no more than a part of them.
    pub slow_alone: SlowAlone,
}

/// The measured load of every ring, and since when each class has had a queue.
#[derive(Clone, Debug, Default)]
pub struct Load {
    refreshed: Time,
    /// How many asked since, and how many would make it measure early.
    asked: u32,
    surprise: u32,
    /// Whether the limit has been found.
    is_found: bool,
    classes: [ClassLoad; CLASSES_MAX],
    /// Those that leave what is below them nothing but floors, as soon as they are short of seats.
    may_shut: ClassSet,
    /// Those that had to refuse somebody lately, and perhaps a little longer: every decision asks for them.
    turned_away: ClassSet,
    /// How long a queue must have stood to be no burst.
    standing_after: Duration,
}

impl Load {
    /// A request asks.
    pub fn ask(&mut self, class: ClassId, standing: Standing) {
        self.asked += 1;
        self.of(class).demand.ask(standing);
    }

    /// A request was admitted or queued.
    pub fn accept(&mut self, ring: Ring) {
        self.of(ring.class()).accepted[ring.group()] += 1;
    }

    /// A permit of the class came back after `held`, its first byte after `latency` where `baseline` is healthy.
    pub fn release(&mut self, class: ClassId, held: Duration, latency: Duration, baseline: Duration) {
        let load = self.of(class);
        load.baseline = baseline.as_secs_f64();
        for (mean, seen) in [(&mut load.hold, held), (&mut load.latency, latency)] {
            let weight = if *mean == 0.0 { 1.0 } else { HOLD_WEIGHT };
            *mean += (seen.as_secs_f64() - *mean) * weight;
        }
    }

    /// So many of a class wait.
    pub fn note_waiting(&mut self, class: ClassId, waiting: u32, now: Time) {
        let load = self.of(class);
        load.waiting = waiting;
        load.queue_since = (waiting > 0).then(|| load.queue_since.unwrap_or(now));
    }

    /// Somebody of the class was refused for want of seats.
    pub fn refused(&mut self, class: ClassId, now: Time) {
        self.of(class).congested_until = now.after(CONGESTED_FOR);
        self.turned_away = self.turned_away.with(class);
    }

    /// Gives the classes of a new policy the load of their namesakes.
    pub(crate) fn succeed(&mut self, succession: &Succession) {
        self.classes = succession.carry(std::mem::take(&mut self.classes));
        // Whoever was, is told by the classes themselves.
        self.turned_away = ClassSet::ALL;
        self.note_who_may_shut();
    }

    /// When the rates are re-measured next.
    pub fn next_refresh(&self) -> Time {
        self.refreshed.after(REFRESH)
    }

    /// Whether the rates are to be measured again. Once the limit is found, lines are drawn for it at once.
    pub fn is_due(&self, is_found: bool, now: Time) -> bool {
        let age = now.since(self.refreshed);
        let is_surprising = age >= REFRESH_MIN && self.asked >= self.surprise.max(BURST_MAX);
        let has_been_found = age >= REFRESH_MIN && is_found && !self.is_found;
        age >= REFRESH || is_surprising || has_been_found
    }

    /// Measures the rates again; a full pool's latency is `full_ratio` times the healthy one.
    pub fn refresh(
        &mut self,
        policy: &Policy,
        seats: SeatsToExpect,
        full_ratio: f64,
        is_found: bool,
        now: Time,
    ) {
        let age = now.since(self.refreshed);
        let asked_per_refresh = f64::from(std::mem::take(&mut self.asked)) * REFRESH.div_duration_f64(age);
        self.surprise = (SURPRISE * asked_per_refresh) as u32;
        for class in &mut self.classes {
            class.demand.measure(age.as_secs_f64());
            let weight = if class.hold_steady == 0.0 { 1.0 } else { STEADY_WEIGHT };
            class.hold_steady += (class.hold - class.hold_steady) * weight;
            class.inside_steady += (class.waits_inside(full_ratio) - class.inside_steady) * weight;
            for (rate, accepted) in class.rates.iter_mut().zip(&mut class.accepted) {
                let measured = f64::from(std::mem::take(accepted)) / age.as_secs_f64();
                *rate += (measured - *rate) * RATE_WEIGHT;
            }
        }
        self.refreshed = now;
        self.turned_away = self.turned_away.filter(|id| self.has_refused_lately(*id, now)).collect();
        self.sum_better(seats.limit);
        self.sum_lent_back(policy, seats.limit);
        self.is_found = is_found;
        self.draw_lines(policy, seats);
        self.give_grace(policy, now);
    }

    /// Whoever queued before anybody knew that there is not enough may have the seats that are free, while an
    /// answer can still be in time: carts have the patience to wait for two seconds, and those who were seated
    /// then were late all the same, and had passed by the checkouts that were refused meanwhile.
    fn give_grace(&mut self, policy: &Policy, now: Time) {
        let open = self.open_rings(now);
        for id in policy.ids().filter(|id| !open.has_any_of(*id)) {
            let load = self.of(id);
            if now.since(load.shut_at) >= GRACE_AFTER {
                let class = policy.class(id);
                load.grace_until = now.after(class.queue.wait_max.min(class.slo_latency));
            }
            load.shut_at = now;
        }
    }

    /// While the limit is still looked for, nobody knows what fits: whoever is short is overloaded then.
    fn draw_lines(&mut self, policy: &Policy, seats: SeatsToExpect) {
        let (mut most, mut least, mut variance) = (0.0, 0.0, 0.0);
        for id in policy.ids() {
            let load = &mut self.classes[id.index()];
            // What waits for something else takes its seats with it.
            let is_slow_alone = seats.slow_alone.classes.contains(id);
            let inside = if is_slow_alone { 0.0 } else { load.inside_steady };
            let hold = (load.hold_steady - inside).max(0.0);
            let per_second = load.demand.per_second();
            let asks = per_second * hold;
            let floor = policy.class(id).floor.mean_seats(seats.limit as u32);
            let ceiling = f64::from(ceiling(policy, seats.slow_alone, seats.limit as u32, id));
            let left = (seats.limit - load.lent_back - most).max(floor).min(ceiling);
            // Seats are whole: a ceiling of all of them is none.
            load.has_ceiling = ceiling < seats.limit.floor();
            load.is_capped = load.has_ceiling && ceiling < asks;
            if load.is_capped {
                most += ceiling;
                least += ceiling;
            } else {
                most += asks;
                // A smaller limit shortens at once what is smoothed over a second: nobody is refused for the rest.
                least += per_second * hold.min(load.hold);
                variance += load.demand.variance() * hold.powi(2);
            }
            if self.is_found {
                load.demand.draw_line(left, hold);
                load.excess.judge(least..=most, variance.sqrt(), seats.limit - load.lent_back);
            } else {
                load.demand.draw_no_line();
                load.excess.presume();
            }
        }
        self.note_who_may_shut();
    }

    fn note_who_may_shut(&mut self) {
        let may_shut = |class: &ClassLoad| class.excess.is_hardly_over() && !class.is_capped;
        self.may_shut = ClassSet::ALL.filter(|id| may_shut(&self.classes[id.index()])).collect();
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
            kept += load.busy().min(class.floor.mean_seats(limit as u32));
        }
    }

    /// Whether the limit had been found when lines were drawn last: before, they are drawn for nobody.
    pub fn knows_seats(&self) -> bool {
        self.is_found
    }

    /// Whether somebody of the class was refused so lately that the class still counts as congested.
    pub fn has_refused_lately(&self, class: ClassId, now: Time) -> bool {
        now < self.classes[class.index()].congested_until
    }

    /// Whether the class gets fewer seats than it asks for at the moment: by a refusal, or a queue that
    /// stands.
    fn is_short(&self, class: ClassId, now: Time) -> bool {
        self.has_refused_lately(class, now) || self.has_standing_queue(class, now)
    }

    fn has_standing_queue(&self, class: ClassId, now: Time) -> bool {
        let load = &self.classes[class.index()];
        let least = if self.is_found { STANDING_MIN } else { STANDING_START };
        let standing_after = self.standing_after.clamp(least, STANDING_MAX);
        load.waiting >= BURST_MAX || load.queue_since.is_some_and(|since| now.since(since) >= standing_after)
    }

    /// Whether it is short of seats because there are fewer than are asked for.
    fn is_congested(&self, class: ClassId, now: Time) -> bool {
        let load = &self.classes[class.index()];
        (load.excess.is_there() || load.is_capped) && self.is_short(class, now)
    }

    /// On which side of its class's line a request is. Where there is enough for the class, all are above.
    pub fn side(&self, class: ClassId, standing: Standing, lot: u8, now: Time) -> Side {
        if self.is_congested(class, now) {
            self.classes[class.index()].demand.side(standing, lot)
        } else {
            Side::AboveLine
        }
    }

    /// The rings that may have more than their floors: those of classes down to the first that cannot
    /// have all it asks for.
    pub fn open_rings(&self, now: Time) -> RingSet {
        let first = self.first_shutting(now);
        first.map_or(RingSet::ALL, |class| RingSet::up_to(Ring::last_of(class)))
    }

    /// The first class that leaves those below it nothing but their floors, for it cannot have all it asks for.
    pub fn first_shutting(&self, now: Time) -> Option<ClassId> {
        self.may_shut.or(self.turned_away).into_iter().find(|class| self.shuts(*class, now))
    }

    /// A class that may ask for more than there is leaves the others nothing as soon as it is short of seats. One that
    /// does not ask for more has a burst; while it turns some of that away and others of it wait, nobody else is to
    /// pass them by either. (Not where it has a ceiling: what it lacks in a burst, others may have.)
    fn shuts(&self, class: ClassId, now: Time) -> bool {
        if self.may_shut.contains(class) {
            return self.is_short(class, now);
        }
        let has_ceiling = self.classes[class.index()].has_ceiling;
        !has_ceiling && self.has_refused_lately(class, now) && self.has_standing_queue(class, now)
    }

    /// How many cohorts of a class may wait for a seat, the best ones first, of the last perhaps a part; `None`
    /// where all may.
    pub fn cohorts_let_in(&self, class: ClassId, now: Time) -> Option<u16> {
        let let_in = || self.classes[class.index()].demand.cohorts_let_in();
        self.is_congested(class, now).then(let_in).filter(|cohorts| *cohorts < COHORTS)
    }

    /// The rings whose waiters may have free seats although their class is shut out.
    pub fn rings_in_grace(&self, now: Time) -> RingSet {
        let is_in_grace = |class: &ClassId| now < self.classes[class.index()].grace_until;
        RingSet::of_classes(ClassSet::ALL.filter(is_in_grace))
    }

    /// Whether a better class leaves this one nothing but its floor.
    fn is_shut(&self, class: ClassId, now: Time) -> bool {
        self.is_found && !self.open_rings(now).has_any_of(class)
    }

    /// The wait to expect in `ring` behind those in `queue`, with `limit` seats in all: by standing
    /// or in the class's own floor, whichever is shorter.
    pub fn wait(
        &self,
        policy: &Policy,
        queue: &Queue,
        ring: Ring,
        seats: SeatsToExpect,
        now: Time,
    ) -> Duration {
        let SeatsToExpect { limit, slow_alone } = seats;
        let id = ring.class();
        let class = policy.class(id);
        let own = RingSet::of_class(id);
        let load = &self.classes[id.index()];
        let floor = class.floor.mean_seats(limit as u32);
        let in_floor = wait_for(self.work_ahead(queue, ring, own) + load.hold, floor);
        if self.is_shut(id, now) {
            return in_floor;
        }
        let ceiling = f64::from(ceiling(policy, slow_alone, limit as u32, id));
        // Where there is enough for all, those above it leave the class something, whatever a moment's count of
        // them says: of two a second it says nothing.
        let least = if load.excess.is_there() { 0.0 } else { limit * LEAST_LEFT };
        let of_class = (limit - load.better[0] - load.lent_back).max(least);
        // Better cohorts of the class itself leave it a seat: they are its own requests of a moment
        // ago as often as not, and no queue of theirs stands. Where the class has enough they leave it
        // half: how many seats they keep busy is the measurement of a moment, and a cart that fits is
        // not to be refused for a burst of other carts.
        let left_by_own = if load.excess.is_there() { 1.0 } else { (of_class / 2.0).max(1.0) };
        let seats = (limit - load.better[ring.group()] - load.lent_back).max(of_class.min(left_by_own));
        // Those of another class that is slow by itself wait for something else.
        let waits_for_seats = |other: &ClassId| *other == id || !slow_alone.classes.contains(*other);
        let ahead = RingSet::of_classes(policy.ids().filter(waits_for_seats));
        let work = self.work_ahead(queue, ring, ahead) + load.hold;
        in_floor.min(wait_for(work, seats.min(ceiling)))
    }

    /// The wait after which a request that is served in its order is too late for the SLO of its class.
    pub fn wait_in_time(class: &Class) -> Duration {
        class.slo_latency.mul_f64(SHORT_PART)
    }

    /// The wait a request may have: what its class allows a burst, less once the class is short of seats,
    /// CoDel's target below the line, and never so much that its answer would come after the deadline.
    pub fn wait_allowed(
        &self,
        id: ClassId,
        class: &Class,
        side: Side,
        deadline: Time,
        now: Time,
    ) -> Duration {
        let part_of_slo = |part: f64| class.slo_latency.mul_f64(part).max(WAIT_MIN);
        let by_class = match side {
            Side::Beyond => Duration::ZERO,
            Side::BelowLine => part_of_slo(TARGET_PART),
            Side::AboveLine if self.is_congested(id, now) => part_of_slo(ABOVE_PART),
            Side::AboveLine if self.is_short(id, now) => {
                let may_be_over = self.classes[id.index()].excess.is_hardly_over();
                part_of_slo(if may_be_over { SHORT_OVER_PART } else { SHORT_PART })
            }
            Side::AboveLine | Side::Late => class.queue.wait_max,
        };
        by_class.min(class.queue.wait_max).min(deadline.since(now).saturating_sub(self.hold(id)))
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

image!(struct Load { refreshed, asked, surprise, is_found, classes, may_shut, turned_away, standing_after });

#[cfg(test)]
mod tests;
