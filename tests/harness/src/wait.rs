//! Waiting for a state, never for a time.

use std::time::{Duration, Instant};

/// Asks every 10 ms until `condition` holds.
///
/// # Panics
/// It does not hold within `deadline`; the message says what was waited for.
pub async fn wait_until(what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + deadline;
    while !condition().await {
        assert!(Instant::now() < end, "waited {deadline:?} for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
