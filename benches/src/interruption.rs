//! The user wants a command to end: Ctrl-C, or SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit code of a command that was ended and has no result, as shells have it.
pub(crate) const ENDED: u8 = 130;
/// Exit code of a run that was ended and tells what it had measured, as k6 has it.
pub(crate) const PARTIAL: u8 = 105;

/// Ends when the user has asked for an end so many times.
pub(crate) async fn interruptions(times: u32) {
    let [mut interrupt, mut terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(listen);
    for _ in 0..times {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

fn listen(kind: SignalKind) -> Signal {
    signal(kind).expect("a runtime with signals is running")
}
