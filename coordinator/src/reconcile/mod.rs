//! Idempotent loops that make the ledger's wish come true. They take no input but the ledger, so that restart, failover
//! and the happy path are the same path; two coordinators are harmless.

mod brake;
mod dispatch;
mod finish;
mod log;
mod past;
mod plan;
mod queue;
mod reap;
mod schedule;
mod window;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::queue::Queue;
use connectors::Connections;
use ledger::{Ledger, Run};
use model::{Disposition, ErrorKind, Pass, RetryPolicy, RunId, RunKind};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

pub use plan::submit;

/// Between looks at the ledger while a run is under way, unless nudged.
const TICK_BUSY: Duration = Duration::from_millis(100);
/// Between looks while ledger or queue are away.
const TICK_AWAY: Duration = Duration::from_secs(1);
/// Tries at planning, cutting or finishing a table before the run halts: with doubling delays, most of a minute.
const TRIES_MAX: u32 = 8;
/// Between looks at the schedules of pipelines, however busy the loop is.
const SCHEDULE_EVERY: Duration = Duration::from_millis(500);
/// Between looks while there is none.
const TICK_IDLE: Duration = Duration::from_millis(500);

/// Work on one pass of one table (or on all tables of a run: `u32::MAX`).
type TableWork = (RunId, u32, Pass);

/// Plans, dispatches, reaps and finishes.
#[derive(Debug, Clone)]
pub struct Coordinator {
    pub ledger: Ledger,
    pub queue: Queue,
    pub connections: Connections,
    /// Chunks that all workers together can hold; decides how many jobs are in the queue at once.
    pub concurrency: usize,
    /// Wakes the loop at once: a chunk was settled, a run submitted.
    pub nudge: Arc<tokio::sync::Notify>,
    /// Sees to this run alone: an embedded run must leave those of other processes to them.
    pub only: Option<RunId>,
    /// Cutting and finishing of single tables go on beside the loop: here is which.
    pub(crate) under_way: Arc<Mutex<HashSet<TableWork>>>,
    pub(crate) tasks: TaskTracker,
    failures: Arc<Mutex<HashMap<TableWork, u32>>>,
    pub(crate) health: Arc<queue::Health>,
    pub(crate) readings: brake::Readings,
    watch: Arc<Mutex<reap::Watch>>,
    scheduled: Arc<Mutex<Option<Instant>>>,
}

impl Coordinator {
    #[must_use]
    pub fn new(
        ledger: Ledger,
        queue: Queue,
        connections: Connections,
        concurrency: usize,
        nudge: Arc<tokio::sync::Notify>,
    ) -> Self {
        Self {
            ledger,
            queue,
            connections,
            concurrency,
            nudge,
            only: None,
            under_way: Arc::default(),
            tasks: TaskTracker::new(),
            failures: Arc::default(),
            health: Arc::default(),
            readings: Arc::default(),
            watch: Arc::default(),
            scheduled: Arc::default(),
        }
    }

    /// Works until `stop` is cancelled. A ledger or queue that is away for a while is waited for.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let began = Instant::now();
            let pause = match self.tick().await {
                Ok(true) => TICK_BUSY,
                Ok(false) => TICK_IDLE,
                Err(error) => {
                    warn!(error = %error, "tick failed");
                    if matches!(&error, TickError::Ledger(error) if error.is_away()) {
                        self.watch().missed();
                    }
                    TICK_AWAY
                }
            };
            // Every settled chunk is a nudge: looks that followed each other without rest would take the ledger's time
            // from the workers.
            let rest = began.elapsed().min(TICK_BUSY);
            let nudged = async {
                tokio::time::sleep(rest).await;
                self.nudge.notified().await;
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = nudged => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.tasks.close();
        // Tables being cut stop at their next boundary; what they cut is in the ledger.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.tasks.wait()).await;
    }

    /// One look at every active run. Returns whether there is any.
    ///
    /// # Errors
    /// The ledger or the queue could not be reached; the next tick tries again.
    pub async fn tick(&self) -> Result<bool, TickError> {
        reap::tick(self).await?;
        if self.is_time_for_schedules() {
            schedule::tick(self).await?;
        }
        let mut runs = self.ledger.active_runs().await?;
        runs.retain(|run| self.only.is_none_or(|only| only == run.id));
        let is_busy = !runs.is_empty();
        self.watch().compared.retain(|known| runs.iter().any(|run| run.id == *known));
        runs.retain(|run| past::is_compared(self, run));
        for run in &runs {
            // One run that cannot be seen to must not keep the others waiting.
            if let Err(error) = self.see_to(run).await {
                warn!(run = %run.id, error = %error, "run not seen to");
            }
        }
        queue::tick(self, &runs);
        Ok(is_busy)
    }

    fn is_time_for_schedules(&self) -> bool {
        let mut last = self.scheduled.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = last.is_none_or(|last| last.elapsed() >= SCHEDULE_EVERY);
        if is_time {
            *last = Some(Instant::now());
        }
        is_time
    }

    async fn see_to(&self, run: &Run) -> Result<(), TickError> {
        if run.cancel_requested {
            return finish::cancel(self, run).await;
        }
        if run.paused_ms.is_none() {
            plan::tick(self, run).await?;
        }
        finish::tick(self, run).await
    }

    /// Runs `work` on one table beside the loop, unless that is already under way in this process. What fails is
    /// tried again at the next tick, or ends the run if every try would fail alike.
    pub(crate) fn beside<F>(&self, run: &Run, table: u32, pass: Pass, work: F)
    where
        F: Future<Output = Result<(), connectors::Error>> + Send + 'static,
    {
        let name = (run.id, table, pass);
        if !self.lock().insert(name) {
            return;
        }
        let this = self.clone();
        self.tasks.spawn(seam::belonging(async move {
            match work.await {
                Ok(()) => drop(this.failures().remove(&name)),
                Err(error) => this.table_failed(name, &error).await,
            }
            this.lock().remove(&name);
            this.nudge.notify_one();
        }));
    }

    /// Waits before the next try, or halts the run where every try would fail alike or enough have.
    async fn table_failed(&self, name: TableWork, error: &connectors::Error) {
        let (run, table, _) = name;
        if let Some(wait) = error.retry_after.filter(|_| error.kind.disposition() == Disposition::Retry) {
            // Nothing was tried: the endpoint's circuit is open. Whoever looks whether it is back is counted.
            tokio::time::sleep(wait).await;
            return;
        }
        if error.object.as_deref() == Some(LEDGER_AWAY) {
            // However long that takes: it says nothing of the table, and could not be recorded anyway.
            warn!(run = %run, table, error = %error, "table work waits for the ledger");
            tokio::time::sleep(TICK_AWAY).await;
            return;
        }
        let tries = *self.failures().entry(name).and_modify(|n| *n += 1).or_insert(1);
        warn!(run = %run, table, tries, error = %error, "table work failed");
        // A login that is refused may be one that is being changed: the next try takes what the password's reference
        // leads to by then.
        let may_heal = error.kind == ErrorKind::Authentication
            || matches!(error.kind.disposition(), Disposition::Retry | Disposition::Shrink);
        if may_heal && tries < TRIES_MAX {
            tokio::time::sleep(RetryPolicy::default().delay(tries, 1.0)).await;
            return;
        }
        self.failures().remove(&name);
        log::halted(run, error);
        if let Err(error) = self.ledger.halt_run(run, &error.failure()).await {
            warn!(error = %error, "the failure could not be recorded");
        }
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<TableWork, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) -> std::sync::MutexGuard<'_, reap::Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<TableWork>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a tick ended early.
#[derive(Debug, thiserror::Error)]
pub enum TickError {
    #[error("the ledger could not be used: {0}")]
    Ledger(#[from] ledger::Error),
    #[error("the queue could not be used: {0}")]
    Queue(#[from] ::queue::Error),
}

/// An error of the ledger in a connector's words, for work beside the loop.
pub(crate) fn ledger_error(error: &ledger::Error) -> connectors::Error {
    let told = connectors::Error::new(
        ErrorKind::ConnectionLost,
        model::Engine::Sqlite,
        format!("use the ledger ({error})"),
    );
    if error.is_away() { told.with_object(LEDGER_AWAY) } else { told }
}

/// Marks an error of [`ledger_error`] that a wait may heal.
const LEDGER_AWAY: &str = "the ledger, which is away";

pub(crate) fn first_pass(kind: RunKind) -> Pass {
    match kind {
        RunKind::Copy => Pass::Copy,
        RunKind::Verify => Pass::Verify,
    }
}
