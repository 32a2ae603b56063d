//! What ends a run before its time: its user, or a target that answers nothing.
//!
//! A server that hangs, or the system before one that does, takes every connection. An hour of that looks like a slow
//! shop to whoever reads counts, so it is given up: see `tally::answers`. A target that stops later ends nothing, for
//! how a shop comes back may be what a run is about.
//!
//! What a run that was cut is worth is `findings`' to say.

use crate::open_loop::Run;
use std::time::Duration;

/// How often it is looked whether there are answers: what counts is ten times as long.
const LOOKED_EVERY: Duration = Duration::from_secs(1);

/// An end before its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// When it was, from the start of the run.
    pub(crate) at: Duration,
    /// Why.
    pub(crate) reason: Reason,
}

/// Why a run ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its user wants it.
    Asked,
    /// The target has answered nothing from the start.
    Silence,
}

/// Ends when `asked` does, or the target is given up.
pub(crate) async fn before_its_time(run: &Run, asked: impl Future<Output = ()>) -> Cut {
    let reason = tokio::select! {
        () = asked => Reason::Asked,
        () = nothing_heard(run) => Reason::Silence,
    };
    Cut { at: run.clock.elapsed(), reason }
}

/// Ends when the target is given up.
async fn nothing_heard(run: &Run) {
    let mut time = LOOKED_EVERY;
    while !run.answers().is_given_up_at(time) {
        time += LOOKED_EVERY;
        tokio::time::sleep_until(run.clock.instant(time)).await;
    }
}
