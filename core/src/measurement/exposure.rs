//! The time that requests of each class have waited for their first byte, whether they had it or not.
//!
//! Of what a short window sees the quick answers are too many, for the long ones have not come yet. The mean of
//! all is the time waited over the answers that came (Epstein & Sobel, "Life testing", 1953: exact for exponential
//! times, and better than the mean of the answers for any that are spread).

use crate::image::image;
use crate::policy::{CLASSES_MAX, ClassId};
use crate::succession::Succession;
use crate::time::Time;

/// Since the window began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Exposures {
    of_class: [Exposure; CLASSES_MAX],
    /// Of all classes: asked for with each answer, so it is kept.
    all: Exposure,
}

#[derive(Clone, Copy, Debug, Default)]
struct Exposure {
    /// Who waits now, since when that many do, and seat-seconds until then.
    unanswered: u32,
    since: Time,
    area: f64,
}

impl Exposure {
    fn area(&self, now: Time) -> f64 {
        self.area + f64::from(self.unanswered) * now.since(self.since).as_secs_f64()
    }

    fn set(&mut self, unanswered: u32, now: Time) {
        *self = Exposure { unanswered, since: now, area: self.area(now) };
    }

    fn restart(self, now: Time) -> Exposure {
        Exposure { since: now, area: 0.0, ..self }
    }
}

impl Exposures {
    /// So many of a class wait from now on.
    pub(super) fn set(&mut self, class: ClassId, unanswered: u32, now: Time) {
        let exposure = &mut self.of_class[class.index()];
        self.all.set(self.all.unanswered - exposure.unanswered + unanswered, now);
        exposure.set(unanswered, now);
    }

    /// Begins a window.
    pub(super) fn restart(self, now: Time) -> Exposures {
        let of_class = self.of_class.map(|exposure| exposure.restart(now));
        Exposures { of_class, all: self.all.restart(now) }
    }

    /// Gives the classes of a new policy what their namesakes have waited; who else waits is told next.
    pub(super) fn succeed(&mut self, succession: &Succession, now: Time) {
        self.of_class = succession.carry(self.of_class);
        self.all.set(self.of_class.iter().map(|exposure| exposure.unanswered).sum(), now);
    }

    /// Who waits in all.
    pub(super) fn unanswered(&self) -> u32 {
        self.all.unanswered
    }

    /// Seat-seconds of a class, by its index.
    pub(super) fn of_class(&self, class: usize, now: Time) -> f64 {
        self.of_class[class].area(now)
    }

    /// Seat-seconds of all.
    pub(super) fn of_all(&self, now: Time) -> f64 {
        self.all.area(now)
    }
}

image!(struct Exposure { unanswered, since, area });
image!(struct Exposures { of_class, all });
