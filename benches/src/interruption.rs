//! The user wants a command to end: Ctrl-C, or SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit code of a command that was ended and has no result, as shells have it.
pub(crate) const ENDED: u8 = 130;
/// Exit code of a run that was ended and tells what it had measured, as k6 has it.
pub(crate) const PARTIAL: u8 = 105;

/// Ends when the user has asked for an end so many times, from now on and not only once somebody waits for it: who
/// presses Ctrl-C while a run is being prepared is heard as well.
pub(crate) fn interruptions(times: u32) -> impl Future<Output = ()> {
    let [mut interrupt, mut terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(listen);
    async move {
        for _ in 0..times {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
    }
}

fn listen(kind: SignalKind) -> Signal {
    signal(kind).expect("a runtime with signals is running")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Duration;

    #[tokio::test]
    async fn end_that_is_asked_for_before_anybody_waits_is_not_lost() {
        let asked = interruptions(1);
        let id = std::process::id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(tokio::time::timeout(Duration::from_secs(60), asked).await.is_ok());
    }
}
