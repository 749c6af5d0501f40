//! The installation at one time, for pages and metrics.

use ledger::{Ledger, Pipeline, QueueTally, Result, Run, Standing, WorkerView};
use model::RunRecord;

/// Everything that is known of the installation at one time.
pub(crate) struct Scene {
    pub(crate) now_ms: i64,
    pub(crate) pipelines: Vec<(Pipeline, Vec<Run>)>,
    pub(crate) active: Vec<RunRecord>,
    pub(crate) workers: Vec<WorkerView>,
    pub(crate) queue: QueueTally,
    /// When the last security event was.
    pub(crate) security_ms: Option<i64>,
}

impl Scene {
    /// Reads it; `runs` is how many runs of each pipeline.
    pub(crate) async fn read(ledger: &Ledger, runs: u32) -> Result<Self> {
        Ok(Self {
            pipelines: pipelines(ledger, runs).await?,
            active: active(ledger).await?,
            now_ms: ledger.now_ms().await?,
            workers: ledger.workers().await?,
            queue: ledger.queue_tally().await?,
            security_ms: ledger.security_events(1).await?.first().map(|event| event.at_ms),
        })
    }

    /// Workers that are there.
    pub(crate) fn alive(&self) -> impl Iterator<Item = &WorkerView> {
        let is_there = |worker: &&WorkerView| {
            matches!(worker.standing(self.now_ms), Standing::Alive | Standing::Draining)
        };
        self.workers.iter().filter(is_there)
    }
}

/// All pipelines, each with its last `runs` runs.
pub(crate) async fn pipelines(ledger: &Ledger, runs: u32) -> Result<Vec<(Pipeline, Vec<Run>)>> {
    let mut pipelines = Vec::new();
    for pipeline in ledger.pipelines().await? {
        let last = ledger.runs_of(&pipeline.name, runs).await?;
        pipelines.push((pipeline, last));
    }
    Ok(pipelines)
}

/// The records of the runs that are under way.
pub(crate) async fn active(ledger: &Ledger) -> Result<Vec<RunRecord>> {
    let mut active = Vec::new();
    for run in ledger.active_runs().await? {
        active.extend(ledger.record(run.id).await?);
    }
    Ok(active)
}
