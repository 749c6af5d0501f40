//! Executes one chunk at a time, keeps nothing, decides nothing.
//!
//! Everything a worker needs comes with the claim, out of the ledger; what it did goes back with the settle. It may
//! be killed at any instant: the failpoints k0 to k8 are the instants that tests choose.

mod behind;
mod convert;
mod correct;
pub mod diff;
mod expected;
mod fields;
mod job;
mod keyed;
mod lease;
mod merge;
mod nest;
mod pace;
mod passes;
mod progress;
mod retry;
pub mod scan;
mod sight;
mod split;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use connectors::Connections;
use ledger::Ledger;
use model::WorkerId;
use queue::Queue;
use tokio_util::sync::CancellationToken;

pub use fields::Fields;
pub use pace::Paces;
pub use sight::Sight;

/// A lease, unless the configuration says otherwise.
pub const LEASE: Duration = Duration::from_secs(30);
/// An attempt that moves nothing for so long is given up, unless the configuration says otherwise: longer than any single
/// wait on a database may take with its tries.
pub const STUCK_AFTER: Duration = Duration::from_secs(180);

/// What a worker works with.
#[derive(Debug, Clone)]
pub struct Worker {
    pub id: WorkerId,
    pub ledger: Ledger,
    pub connections: Connections,
    /// How long a claim holds without a heartbeat.
    pub lease: Duration,
    /// How long an attempt may go without a step: no batch read, nothing committed.
    pub stuck_after: Duration,
    /// How fast it may go in runs that have limits.
    pub paces: Paces,
    /// Told after every settle, so that a coordinator in the same process need not wait for its next tick.
    pub settled: Arc<tokio::sync::Notify>,
    /// What it can see; a new worker sees all.
    pub sight: Sight,
}

impl Worker {
    /// Takes chunks from the queue, `concurrency` at a time, until `stop` is cancelled; then finishes what it holds.
    /// `abort` makes it give back what it holds instead. While it cannot see the ledger or a database of its chunks, it
    /// takes none.
    ///
    /// # Errors
    /// The queue could not be read at all; a queue that is away for a while is waited for.
    pub async fn run(
        &self,
        queue: &Queue,
        concurrency: usize,
        stop: CancellationToken,
        abort: CancellationToken,
    ) -> Result<(), queue::Error> {
        let worker = Arc::new(self.clone());
        let handler = move |job: queue::ChunkJob| {
            let (worker, abort) = (worker.clone(), abort.clone());
            async move { job::process(&worker, job, &abort).await }
        };
        while !stop.is_cancelled() {
            self.sight.restored(&self.ledger, &self.connections, &stop).await;
            let fetching = stop.child_token();
            let lost = self.sight.next_loss();
            let mut work =
                std::pin::pin!(queue.consume(&self.id.0, concurrency, fetching.clone(), handler.clone()));
            tokio::select! {
                done = &mut work => return done,
                () = lost => {
                    fetching.cancel();
                    work.await?;
                }
            }
        }
        Ok(())
    }

    /// Processes one job, as [`Worker::run`] does with each that the queue delivers. Always returns: what came of it is
    /// in the ledger. A job that comes twice or late finds its chunk taken or settled, and changes nothing.
    pub async fn process(&self, job: queue::ChunkJob, abort: &CancellationToken) {
        job::process(self, job, abort).await;
    }
}
