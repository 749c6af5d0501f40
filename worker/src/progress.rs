//! Whether an attempt gets anywhere: noted by its work, looked at by its heartbeat.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Steps that an attempt has made. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<AtomicU64>);

impl Progress {
    /// A batch came, a transaction was committed, a wait for others is rightly going on.
    pub(crate) fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn steps(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
