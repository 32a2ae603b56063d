//! The features of a session at one of its requests, for the value head.
//!
//! Counts and times enter as logarithms, for the second page view says more than the fiftieth.
//! The hour and the weekday enter as points on a circle, for 23 h is next to 0 h.
//!
//! Whether the session was admitted before stays out: a model fed with our own decisions would
//! learn to repeat them.

use std::f32::consts::TAU;

use crate::classify::session::SessionView;

/// The length of the session vector.
pub const SESSION_LEN: usize = 21;

/// A session vector, in the order of the schema.
pub type SessionFeatures = [f32; SESSION_LEN];

/// The names of the features, in vector order.
pub(super) const NAMES: [&str; SESSION_LEN] = [
    "requests.log",
    "views.log",
    "searches.log",
    "carts.log",
    "checkouts.log",
    "age_s.log",
    "idle_s.log",
    "stage.arrived",
    "stage.browsing",
    "stage.cart",
    "stage.checkout",
    "entry.direct",
    "entry.search",
    "entry.social",
    "entry.referral",
    "entry.campaign",
    "returning",
    "hour.sin",
    "hour.cos",
    "weekday.sin",
    "weekday.cos",
];

/// The time of the day and the week, as far as it tells about buying: in UTC where the proxy takes it, so that a
/// journal's hours and those of serving are the same whatever zone either machine is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalTime {
    /// The hour, 0 to 23.
    pub hour: u8,
    /// The day of the week, Monday is 0.
    pub weekday: u8,
}

/// Writes the vector the value head reads; every number in it is finite.
pub fn write_session(session: &SessionView, time: LocalTime, vector: &mut SessionFeatures) {
    let counts = [session.requests, session.views, session.searches, session.carts, session.checkouts];
    let (hour_sin, hour_cos) = (TAU * f32::from(time.hour) / 24.0).sin_cos();
    let (weekday_sin, weekday_cos) = (TAU * f32::from(time.weekday) / 7.0).sin_cos();

    *vector = [0.0; SESSION_LEN];
    for (feature, count) in vector.iter_mut().zip(counts) {
        *feature = (count as f32).ln_1p();
    }
    vector[5] = session.age.as_secs_f32().ln_1p();
    vector[6] = session.idle.as_secs_f32().ln_1p();
    vector[7 + session.stage as usize] = 1.0;
    vector[11 + session.entry as usize] = 1.0;
    vector[16] = f32::from(u8::from(session.returning));
    vector[17..].copy_from_slice(&[hour_sin, hour_cos, weekday_sin, weekday_cos]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::session::{Entry, Stage};
    use std::time::Duration;

    fn value(vector: &SessionFeatures, name: &str) -> f32 {
        vector[NAMES.iter().position(|known| *known == name).unwrap()]
    }

    #[test]
    fn each_part_of_the_view_lands_under_its_name() {
        let session = SessionView {
            carts: 1,
            age: Duration::from_secs(59),
            stage: Stage::Checkout,
            entry: Entry::Campaign,
            returning: true,
            ..SessionView::default()
        };
        let mut vector = [f32::NAN; SESSION_LEN];
        write_session(&session, LocalTime { hour: 6, weekday: 0 }, &mut vector);
        assert_eq!(value(&vector, "carts.log"), 2.0_f32.ln());
        assert_eq!(value(&vector, "age_s.log"), 60.0_f32.ln());
        assert_eq!(value(&vector, "stage.checkout"), 1.0);
        assert_eq!(value(&vector, "entry.campaign"), 1.0);
        assert_eq!(value(&vector, "entry.direct"), 0.0);
        assert_eq!(value(&vector, "returning"), 1.0);
        assert!((value(&vector, "hour.sin") - 1.0).abs() < 1e-6);
        assert_eq!(value(&vector, "weekday.cos"), 1.0);
    }

    #[test]
    fn the_largest_session_is_finite() {
        let session = SessionView {
            requests: u32::MAX,
            age: Duration::MAX,
            idle: Duration::MAX,
            ..SessionView::default()
        };
        let mut vector = [f32::NAN; SESSION_LEN];
        write_session(&session, LocalTime { hour: u8::MAX, weekday: u8::MAX }, &mut vector);
        assert!(vector.iter().all(|value| value.is_finite()), "{vector:?}");
    }
}
