//! The policy the core decides under: classes with their ranks, shares, queues and breakers.
//!
//! Validated and immutable. The operator's file has more in it (routes, refusal
//! bodies, cookies); what is here is only what a decision needs. Building a
//! [`Policy`] checks every bound, so that the rest of the core need not.
//!
//! It does not parse anything and knows no file, line or unit suffix.

use crate::image::{Image, image};
use std::sync::Arc;
use std::time::Duration;

/// The most classes a policy may have. Sixteen classes of eight rings fill the queue's
/// 128-bit map.
pub const CLASSES_MAX: usize = 16;
/// The longest queue a class may have.
pub const QUEUE_LENGTH_MAX: u32 = 65_536;

/// The position of a class in its policy's order of rank: 0 is shed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(u8);

impl ClassId {
    /// The class at `index`, if it can exist at all.
    pub fn new(index: usize) -> Option<ClassId> {
        let index = u8::try_from(index).ok()?;
        (usize::from(index) < CLASSES_MAX).then_some(ClassId(index))
    }

    /// The position as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Some of the classes of a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassSet(u16);

impl ClassSet {
    /// None of them.
    pub const EMPTY: ClassSet = ClassSet(0);
    /// All there can be.
    pub const ALL: ClassSet = ClassSet(u16::MAX);

    /// These and one more.
    pub fn with(self, class: ClassId) -> ClassSet {
        ClassSet(self.0 | 1 << class.index())
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, other: ClassSet) -> ClassSet {
        ClassSet(self.0 & other.0)
    }

    /// Those that are in either.
    #[must_use]
    pub fn or(self, other: ClassSet) -> ClassSet {
        ClassSet(self.0 | other.0)
    }

    /// These without one.
    #[must_use]
    pub fn without(self, class: ClassId) -> ClassSet {
        ClassSet(self.0 & !(1 << class.index()))
    }

    /// Whether a class is among them.
    pub fn contains(self, class: ClassId) -> bool {
        self.0 & 1 << class.index() != 0
    }
}

impl Iterator for ClassSet {
    type Item = ClassId;

    fn next(&mut self) -> Option<ClassId> {
        let first = ClassId::new(self.0.trailing_zeros() as usize)?;
        *self = self.without(first);
        Some(first)
    }
}

impl FromIterator<ClassId> for ClassSet {
    fn from_iter<I: IntoIterator<Item = ClassId>>(classes: I) -> ClassSet {
        classes.into_iter().fold(ClassSet::EMPTY, ClassSet::with)
    }
}

/// The classes that are slow by themselves.
#[derive(Clone, Copy, Debug)]
pub struct SlowAlone {
    /// These.
    pub classes: ClassSet,
    /// They have a part of so many seats. A limit that has not been found yet may be far above what the
    /// pool can do, and a part of it would be all of the pool.
    pub seats: u32,
}

/// A share of the limit, in millionths: 200 000 is 20 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// Nothing.
    pub const NONE: Share = Share(0);
    /// All of it.
    pub const ALL: Share = Share(1_000_000);

    /// A share of `millionths`, if that is at most all of it.
    pub const fn from_millionths(millionths: u32) -> Option<Share> {
        if millionths <= 1_000_000 { Some(Share(millionths)) } else { None }
    }

    /// A share of `percent`, if that is at most all of it.
    pub const fn from_percent(percent: u32) -> Option<Share> {
        Share::from_millionths(percent.saturating_mul(10_000))
    }

    /// The share in millionths.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// The nearest number of seats of `limit`; any share above nothing is at least one.
    pub fn seats(self, limit: u32) -> u32 {
        let seats = (u64::from(self.0) * u64::from(limit) + 500_000) / 1_000_000;
        u32::try_from(seats).unwrap_or(u32::MAX).max(u32::from(self.0 > 0))
    }

    /// How many of these seats it has in the mean: a share of less than one seat has one for a part of the time.
    pub fn mean_seats(self, limit: u32) -> f64 {
        self.part_of_a_seat(limit).unwrap_or_else(|| self.seats(limit).into())
    }

    /// The part of the time that it has a seat, if that is not all of it: after each holder the seat rests.
    pub fn part_of_a_seat(self, limit: u32) -> Option<f64> {
        let millionths = u64::from(self.0) * u64::from(limit);
        (1..1_000_000).contains(&millionths).then(|| millionths as f64 / 1e6)
    }
}

/// In which order a class serves those who wait with the same standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueOrder {
    /// The one whose deadline is nearest first: those who arrived first, unless they were slow to upload.
    Fifo,
    /// The newest first: the oldest have likely given up. Where nobody has to wait for long there is hardly a
    /// difference.
    Lifo,
}

/// How many of a class may wait, how long, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePolicy {
    /// How many may wait at once.
    pub length_max: u32,
    /// The longest wait; the patience of the class bounds it as well.
    pub wait_max: Duration,
    /// Who goes first among equals.
    pub order: QueueOrder,
}

/// When a class stops sending requests to an upstream that fails them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Over how long results are counted.
    pub window: Duration,
    /// Opens when this share of the window's results failed.
    pub failure_ratio: Share,
    /// A result slower than this is slow.
    pub slow_call: Duration,
    /// Opens when this share of the window's results was slow.
    pub slow_ratio: Share,
    /// No opening before the window holds this many results.
    pub requests_min: u32,
    /// How long it stays open before probes are let through.
    pub open_for: Duration,
    /// How many probes must succeed to close it; at most this many are out at once.
    pub probes: u32,
}

/// What the core knows of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// The operator's name for it; a policy change carries state over by name.
    pub name: String,
    /// How important it is: 0 is shed last.
    pub rank: u8,
    /// The latency its answers should keep.
    pub slo_latency: Duration,
    /// How long a request may take in all before its answer is worth nothing.
    pub patience: Duration,
    /// Seats it can always reclaim; lent out while unused.
    pub floor: Share,
    /// Seats it may ever hold.
    pub ceiling: Share,
    /// Its queue.
    pub queue: QueuePolicy,
    /// Its breaker; `None` never opens.
    pub breaker: Option<BreakerPolicy>,
}

/// Whether decisions are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Refuse what must be refused.
    Enforce,
    /// Decide and count, and admit everything.
    Observe,
}

impl Mode {
    /// The name in policies and the admin API.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Observe => "observe",
        }
    }
}

#[cfg(test)]
impl Class {
    /// A class for unit tests: all seats, no floor, no breaker.
    pub(crate) fn sample(name: &str, rank: u8) -> Class {
        Class {
            name: name.into(),
            rank,
            slo_latency: Duration::from_secs(1),
            patience: Duration::from_secs(2),
            floor: Share::NONE,
            ceiling: Share::ALL,
            queue: QueuePolicy {
                length_max: 8,
                wait_max: Duration::from_millis(800),
                order: QueueOrder::Fifo,
            },
            breaker: None,
        }
    }
}

/// Why a policy is not one. The shell has better messages with lines; these are the last net.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// There is no class, or more than [`CLASSES_MAX`].
    ClassCount(usize),
    /// Two classes have this name.
    DuplicateName(String),
    /// Two classes have this rank.
    DuplicateRank(u8),
    /// The floors add up to more than the whole limit.
    FloorsAboveAll,
    /// The ceiling of this class is nothing, or below its floor.
    CeilingTooLow(String),
    /// This class may queue none or more than [`QUEUE_LENGTH_MAX`].
    QueueLength(String),
    /// This class has a breaker without probes, window or minimum.
    Breaker(String),
}

/// The validated policy of one pool: at least one class, in order of rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    mode: Mode,
    /// The classes that are observed whatever the mode is.
    observed: ClassSet,
    classes: Vec<Class>,
}

impl Policy {
    /// Checks the classes and orders them by rank.
    ///
    /// # Errors
    /// The first bound that is broken.
    pub fn new(mode: Mode, mut classes: Vec<Class>) -> Result<Policy, PolicyError> {
        if classes.is_empty() || classes.len() > CLASSES_MAX {
            return Err(PolicyError::ClassCount(classes.len()));
        }
        classes.sort_by_key(|class| class.rank);
        check_unique(&classes)?;
        classes.iter().try_for_each(check_class)?;
        let floors: u64 = classes.iter().map(|class| u64::from(class.floor.0)).sum();
        if floors > u64::from(Share::ALL.0) {
            return Err(PolicyError::FloorsAboveAll);
        }
        Ok(Policy { mode, observed: ClassSet::EMPTY, classes })
    }

    /// Appends it as bytes, for [`Policy::from_image`].
    pub fn write_image(&self, out: &mut Vec<u8>) {
        self.mode.write(out);
        self.observed.write(out);
        self.classes.write(out);
    }

    /// The policy of an image; `None` if it is none, or one that breaks a bound.
    pub fn from_image(mut image: &[u8]) -> Option<Policy> {
        let policy = Policy::read(&mut image)?;
        image.is_empty().then_some(policy)
    }

    fn read(input: &mut &[u8]) -> Option<Policy> {
        let (mode, observed, classes) = (Image::read(input)?, Image::read(input)?, Image::read(input)?);
        Policy::new(mode, classes).ok().map(|policy| policy.observing(observed))
    }

    /// The same classes, with decisions carried out or not.
    pub fn in_mode(&self, mode: Mode) -> Policy {
        Policy { mode, ..self.clone() }
    }

    /// The same, with these classes observed whatever the mode is.
    pub fn observing(self, observed: ClassSet) -> Policy {
        Policy { observed, ..self }
    }

    /// The classes that are observed whatever the mode is.
    pub fn observed(&self) -> ClassSet {
        self.observed
    }

    /// Whether decisions about a class are carried out.
    pub fn mode_of(&self, class: ClassId) -> Mode {
        if self.observed.contains(self.nearest(class)) { Mode::Observe } else { self.mode }
    }

    /// Whether decisions are carried out where a class says nothing else.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The classes, the most important first.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// The class at `id`; the least important one if the policy has no such class.
    pub fn class(&self, id: ClassId) -> &Class {
        &self.classes[self.nearest(id).index()]
    }

    /// `id`, or the least important class if the policy has no such class.
    pub fn nearest(&self, id: ClassId) -> ClassId {
        id.min(self.least_important())
    }

    /// The class that is shed first.
    pub fn least_important(&self) -> ClassId {
        ClassId::new(self.classes.len() - 1).expect("a policy has 1 to CLASSES_MAX classes")
    }

    /// The class of that name.
    pub fn class_named(&self, name: &str) -> Option<ClassId> {
        ClassId::new(self.classes.iter().position(|class| class.name == name)?)
    }

    /// The ids of all classes, the most important first.
    pub fn ids(&self) -> impl Iterator<Item = ClassId> + use<> {
        (0..self.classes.len()).filter_map(ClassId::new)
    }
}

fn check_unique(by_rank: &[Class]) -> Result<(), PolicyError> {
    for (index, class) in by_rank.iter().enumerate() {
        let later = &by_rank[index + 1..];
        if later.iter().any(|other| other.rank == class.rank) {
            return Err(PolicyError::DuplicateRank(class.rank));
        }
        if later.iter().any(|other| other.name == class.name) {
            return Err(PolicyError::DuplicateName(class.name.clone()));
        }
    }
    Ok(())
}

fn check_class(class: &Class) -> Result<(), PolicyError> {
    if class.ceiling == Share::NONE || class.ceiling < class.floor {
        return Err(PolicyError::CeilingTooLow(class.name.clone()));
    }
    if class.queue.length_max == 0 || class.queue.length_max > QUEUE_LENGTH_MAX {
        return Err(PolicyError::QueueLength(class.name.clone()));
    }
    let breaker_holds = class
        .breaker
        .is_none_or(|breaker| breaker.probes > 0 && breaker.requests_min > 0 && !breaker.window.is_zero());
    if breaker_holds { Ok(()) } else { Err(PolicyError::Breaker(class.name.clone())) }
}

image!(newtype Share);
image!(newtype ClassSet);
image!(enum QueueOrder { 0 => Fifo, 1 => Lifo });
image!(struct QueuePolicy { length_max, wait_max, order });
image!(struct BreakerPolicy { window, failure_ratio, slow_call, slow_ratio, requests_min, open_for, probes });
image!(struct Class { name, rank, slo_latency, patience, floor, ceiling, queue, breaker });
image!(enum Mode { 0 => Enforce, 1 => Observe });

impl Image for ClassId {
    fn write(&self, out: &mut Vec<u8>) {
        (self.index() as u8).write(out);
    }

    fn read(input: &mut &[u8]) -> Option<ClassId> {
        ClassId::new(u8::read(input)?.into())
    }
}

impl Image for Arc<Policy> {
    fn write(&self, out: &mut Vec<u8>) {
        self.write_image(out);
    }

    fn read(input: &mut &[u8]) -> Option<Arc<Policy>> {
        Policy::read(input).map(Arc::new)
    }
}
