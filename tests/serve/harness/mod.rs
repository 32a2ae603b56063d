//! What the tests are made of: a process, scripted upstreams, and raw HTTP between them.

pub(crate) mod frames;
pub(crate) mod wire;
pub(crate) mod upstream;
pub(crate) mod process;
pub(crate) mod lasting;
pub(crate) mod authority;

use std::time::Duration;

/// Bounds every wait. Generous, for a busy machine: a test that passes does not wait for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(5);

/// What `future` gives; a panic that names `what` if it gives nothing.
pub(crate) async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, future).await;
    outcome.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let holds = async {
        while !condition().await {
            tokio::time::sleep(STEP).await;
        }
    };
    bounded(what, holds).await;
}
