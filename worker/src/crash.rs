//! Crash points k0 to k8, for tests: a build with the feature `failpoints` dies where the environment says.

/// Kills this process at once, as `kill -9` would, if `SYNCLINE_CRASH_AT` is `<point>` or `<point>:<n>` and this is
/// the n-th time (from 1) that the point is passed. Without the feature it is nothing.
#[cfg(feature = "failpoints")]
pub(crate) fn point(name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};

    static PASSED: AtomicU32 = AtomicU32::new(0);
    let Ok(wanted) = std::env::var("SYNCLINE_CRASH_AT") else {
        return;
    };
    let (point, times) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if point == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == times.parse().unwrap_or(1) {
        // Not an exit: no destructor runs, no socket is shut down politely.
        std::process::abort();
    }
}

#[cfg(not(feature = "failpoints"))]
pub(crate) const fn point(_name: &str) {}
