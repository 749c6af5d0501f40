//! Payloads nobody believed, on their way from the queue to the ledger: counted by reason, written now and then.
//!
//! The first of a reason is written at once, what follows every ten seconds as one row: a flood of forged jobs costs the
//! fleet's ledger next to nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ledger::Ledger;
use model::WorkerId;
use queue::{OnRejected, Rejection};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What the ledger calls them.
pub(crate) const KIND: &str = "job-rejected";
/// Between rows of one reason.
const EVERY: Duration = Duration::from_secs(10);

/// What was met since the last row.
#[derive(Debug, Default)]
struct Seen {
    count: u64,
    /// The id of one of them, if it looks like one of ours.
    job: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<BTreeMap<String, Seen>>,
    met: Notify,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, BTreeMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, reason: String, seen: Seen) {
        let mut all = self.seen();
        let entry = all.entry(reason).or_default();
        entry.count += seen.count;
        entry.job = seen.job.or(entry.job.take());
        drop(all);
        self.met.notify_one();
    }
}

/// Writes down what it is told.
#[derive(Debug)]
pub(crate) struct Incidents {
    ledger: Ledger,
    shared: Arc<Shared>,
}

impl Incidents {
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self { ledger, shared: Arc::default() }
    }

    /// What the queue is to call.
    pub(crate) fn listener(&self) -> OnRejected {
        let shared = Arc::clone(&self.shared);
        Arc::new(move |Rejection { reason, job }| shared.add(reason.to_string(), Seen { count: 1, job }))
    }

    /// Writes until `stop`, and once more then.
    pub(crate) async fn report(self, worker: WorkerId, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = self.shared.met.notified() => {}
                () = stop.cancelled() => {}
            }
            self.write(&worker).await;
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
        self.write(&worker).await;
    }

    async fn write(&self, worker: &WorkerId) {
        let all = std::mem::take(&mut *self.shared.seen());
        for (reason, seen) in all {
            let detail = json!({ "reason": reason, "count": seen.count, "job": seen.job });
            if let Err(error) = self.ledger.security_event(&worker.0, KIND, seen.count, &detail).await {
                tracing::warn!(error = %service::chain(&error), "a security event could not be recorded yet");
                self.shared.add(reason, seen);
            }
        }
    }
}
