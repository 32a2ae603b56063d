//! Shows how a run is going, second by second.
//!
//! On a terminal there is a dashboard, redrawn in place; elsewhere, as in a CI
//! log, every second is a line that stays. It shows and decides nothing else.

use crate::dashboard::Dashboard;
use crate::gauges::Gauges;
use crate::open_loop::Run;
use crate::terminal;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A run as those who watch it know it.
pub(crate) struct Watched<'a> {
    /// What is running.
    pub(crate) title: &'a str,
    /// The classes, in the order in which they are counted.
    pub(crate) classes: &'a [&'a str],
    /// What the proxy says of itself.
    pub(crate) gauges: &'a Gauges,
}

/// Completes `work` on `run` while showing its progress; `label` says what is on at a time of the run.
pub(crate) async fn while_showing<T>(
    run: &Arc<Run>,
    watched: &Watched<'_>,
    label: impl Fn(Duration) -> String,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        result = work => result,
        never = watched.gauges.watch(run.clock) => match never {},
        never = show(run, watched, label) => match never {},
    }
}

async fn show(run: &Arc<Run>, watched: &Watched<'_>, label: impl Fn(Duration) -> String) -> Infallible {
    let mut dashboard = Dashboard::open(watched);
    let mut time = Duration::ZERO;
    loop {
        time += Duration::from_secs(1);
        tokio::time::sleep_until(run.clock.instant(time)).await;
        run.with_timeline(|timeline| {
            timeline.close_before(time);
            match &mut dashboard {
                Some(dashboard) => dashboard.draw(watched, timeline, &label(time)),
                None => terminal::line(&format!(
                    "{:>3} s  {:<17.17} {}",
                    time.as_secs(),
                    label(time),
                    timeline.total().last_line()
                )),
            }
        });
    }
}
