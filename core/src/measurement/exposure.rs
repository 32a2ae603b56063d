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
pub(super) struct Exposures([Exposure; CLASSES_MAX]);

/// That of one class.
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
}

impl Exposures {
    /// So many of a class wait from now on.
    pub(super) fn set(&mut self, class: ClassId, unanswered: u32, now: Time) {
        let exposure = &mut self.0[class.index()];
        *exposure = Exposure { unanswered, since: now, area: exposure.area(now) };
    }

    /// Begins a window.
    pub(super) fn restart(mut self, now: Time) -> Exposures {
        self.0.iter_mut().for_each(|exposure| *exposure = Exposure { since: now, area: 0.0, ..*exposure });
        self
    }

    /// Gives the classes of a new policy what their namesakes have waited.
    pub(super) fn succeed(&mut self, succession: &Succession) {
        self.0 = succession.carry(self.0);
    }

    /// Who waits in all.
    pub(super) fn unanswered(&self) -> u32 {
        self.0.iter().map(|exposure| exposure.unanswered).sum()
    }

    /// Seat-seconds of a class, by its index.
    pub(super) fn of_class(&self, class: usize, now: Time) -> f64 {
        self.0[class].area(now)
    }

    /// Seat-seconds of all.
    pub(super) fn of_all(&self, now: Time) -> f64 {
        self.0.iter().map(|exposure| exposure.area(now)).sum()
    }
}

image!(struct Exposure { unanswered, since, area });
image!(newtype Exposures);
