//! Shows how a run is going, one line per second.
//!
//! On a terminal the line is redrawn in place; elsewhere, as in a CI log, every
//! line stays. It shows and decides nothing else.

use crate::open_loop::Run;
use crate::terminal;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Completes `work` on `run` while showing its progress; `label` says what is on at a time of the run.
pub(crate) async fn while_showing<T>(
    run: &Arc<Run>,
    label: impl Fn(Duration) -> String,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        result = work => result,
        never = show(run, label) => match never {},
    }
}

async fn show(run: &Arc<Run>, label: impl Fn(Duration) -> String) -> std::convert::Infallible {
    let mut time = Duration::ZERO;
    loop {
        time += Duration::from_secs(1);
        tokio::time::sleep_until(run.clock.instant(time)).await;
        let line = run.take_live().line();
        terminal::progress(&format!("{:>3} s  {:<17.17} {line}", time.as_secs(), label(time)));
    }
}
