//! Puts the parts together: the same coordinator and worker, whether embedded in one process or spread over many.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use connectors::Connections;
use connectors::pool::ResolveSecret;
use coordinator::Coordinator;
use ledger::{Ledger, Standing, WorkerView};
use model::{ConnectionSpec, RunId, RunSpec, WorkerId};
use queue::{Queue, QueueConfig, SigningKey};
use service::{Drained, Shutdown};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use worker::{Paces, Worker};

use crate::deadline;

/// Connections beside those of the workers: planning, cutting, finishing.
const CONNECTIONS_SPARE: u32 = 4;
/// Between a worker's signs of life.
const BEAT: Duration = Duration::from_secs(5);
/// For chunks that were aborted: their yield is one write.
const YIELD_GRACE: Duration = Duration::from_secs(2);

/// Connections of this process. Passwords come from references; those that stand in `specs` themselves, which the
/// ledger does not keep, are found by where the connection leads and as whom.
pub(crate) fn connections(specs: &[&RunSpec], workers: usize) -> Connections {
    let inline: Vec<ConnectionSpec> = specs
        .iter()
        .flat_map(|spec| [&spec.source, &spec.target])
        .filter(|connection| connection.has_inline_secret())
        .cloned()
        .collect();
    let resolve: ResolveSecret = Arc::new(move |asked: &ConnectionSpec| {
        let known = inline.iter().find(|known| asked.password.is_none() && is_same_login(known, asked));
        service::resolve_password(known.unwrap_or(asked)).map_err(|error| service::chain(&error).to_string())
    });
    let per_worker = u32::try_from(workers).unwrap_or(u32::MAX).saturating_mul(2);
    Connections::new(resolve, per_worker.saturating_add(CONNECTIONS_SPARE), deadline::of_process())
}

/// What posts messages to people. What addresses refer to is resolved for each message.
pub(crate) fn alert_sender() -> alerts::Sender {
    let resolve: alerts::Resolve =
        Arc::new(|text: &str| service::resolve(text).map_err(|error| service::chain(&error).to_string()));
    alerts::Sender::new(resolve, env!("CARGO_PKG_VERSION"))
}

fn is_same_login(a: &ConnectionSpec, b: &ConnectionSpec) -> bool {
    a.engine == b.engine
        && a.host == b.host
        && a.port == b.port
        && a.database == b.database
        && a.user == b.user
}

/// This machine's name.
pub(crate) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain: String =
        name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    if plain.is_empty() { "localhost".to_owned() } else { plain }
}

/// Coordinator, queue and workers in one process.
#[derive(Debug)]
pub(crate) struct Embedded {
    pub(crate) coordinator: Coordinator,
    workers: usize,
    lease: Duration,
}

impl Embedded {
    /// # Errors
    /// None that is known: the queue is in this process.
    pub(crate) async fn new(
        ledger: Ledger,
        connections: Connections,
        workers: usize,
        lease: Duration,
    ) -> Result<Self, queue::Error> {
        let queue = Queue::open(QueueConfig::InProcess, SigningKey::ephemeral(), lease).await?;
        let coordinator = Coordinator::new(ledger, queue, connections, workers, Arc::new(Notify::new()));
        Ok(Self { coordinator, workers, lease })
    }

    /// Starts working on one run, and on no other that the ledger may hold: those belong to other processes, and
    /// their passwords are not known here.
    pub(crate) fn start(mut self, run: RunId, shutdown: &Shutdown) -> Started {
        self.coordinator.only = Some(run);
        self.start_as(attendant(run), shutdown)
    }

    /// Starts working on every run of the ledger.
    pub(crate) fn start_all(self, shutdown: &Shutdown) -> Started {
        self.start_as(WorkerId(format!("{}-{}{SERVES_ALL}", host(), std::process::id())), shutdown)
    }

    fn start_as(self, id: WorkerId, shutdown: &Shutdown) -> Started {
        let Self { coordinator, workers, lease } = self;
        let worker = Worker {
            id,
            ledger: coordinator.ledger.clone(),
            connections: coordinator.connections.clone(),
            lease,
            stuck_after: worker::STUCK_AFTER,
            paces: Paces::default(),
            settled: Arc::clone(&coordinator.nudge),
            sight: worker::Sight::default(),
        };
        let queue = coordinator.queue.clone();
        let stop = shutdown.stop();
        shutdown.spawn("coordinator", async move { coordinator.run(stop).await });
        Started { worker: start_worker(worker, queue, workers, shutdown) }
    }
}

/// A worker at work.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) worker: JoinHandle<Result<(), queue::Error>>,
}

impl Started {
    /// Stops and waits: chunks in hand are finished within `grace`, or given back if that is over or a second signal
    /// comes.
    pub(crate) async fn stop(self, shutdown: &Shutdown, grace: Duration) -> Drained {
        let drained = shutdown.wait(grace).await;
        let _ = tokio::time::timeout(YIELD_GRACE, self.worker).await;
        drained
    }
}

/// Takes chunks until `shutdown` stops it; the ledger knows that it lives, and when it leaves.
pub(crate) fn start_worker(
    worker: Worker,
    queue: Queue,
    concurrency: usize,
    shutdown: &Shutdown,
) -> JoinHandle<Result<(), queue::Error>> {
    let (stop, abort, asked) = (shutdown.stop(), shutdown.abort(), shutdown.clone());
    shutdown.spawn("worker", async move {
        let (ledger, id) = (worker.ledger.clone(), worker.id.clone());
        let alive = async {
            stay_until_drained(&ledger, &id, concurrency).await;
            tracing::info!("asked to drain");
            asked.request_stop();
            std::future::pending().await
        };
        let work = worker.run(&queue, concurrency, stop, abort);
        let done = tokio::select! {
            done = work => done,
            () = alive => Ok(()),
        };
        if let Err(error) = ledger.retire_worker(&id).await {
            tracing::warn!(error = %service::chain(&error), "the worker could not say goodbye");
        }
        done
    })
}

/// Registers and beats until the worker is asked to drain. What fails is tried again: leases decide, this is for
/// people.
async fn stay_until_drained(ledger: &Ledger, id: &WorkerId, concurrency: usize) {
    let (host, pid, version) = (host(), std::process::id(), env!("CARGO_PKG_VERSION"));
    let slots = u32::try_from(concurrency).unwrap_or(u32::MAX);
    loop {
        let told = ledger.register_worker(id, &host, pid, version, slots).await;
        match told {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(error = %service::chain(&error), "the ledger could not be told that the worker lives");
            }
        }
        tokio::time::sleep(BEAT).await;
    }
}

/// The worker of an embedded run: its name ends like the run's, so that others can tell whether the run is attended.
fn attendant(run: RunId) -> WorkerId {
    WorkerId(format!("{}-{}-{}", host(), std::process::id(), tail(run)))
}

fn tail(run: RunId) -> String {
    let text = run.to_string();
    text[text.len() - 8..].to_owned()
}

/// How the name of a worker ends that works on all runs of its ledger.
const SERVES_ALL: &str = "-serve";

/// Whether some process works on the run: the one that embeds it, one that serves all, or a shared fleet.
pub(crate) fn is_attended(run: RunId, is_shared: bool, workers: &[WorkerView], now_ms: i64) -> bool {
    let works_on_it =
        |worker: &WorkerView| is_shared || is_attendant(worker, run) || worker.id.0.ends_with(SERVES_ALL);
    workers.iter().any(|worker| works_on_it(worker) && is_alive(worker, now_ms))
}

/// Workers that embedded this run and are gone without a goodbye: nobody needs to wait for their leases.
pub(crate) fn dead_attendants(run: RunId, workers: &[WorkerView], now_ms: i64) -> Vec<WorkerId> {
    let dead = |worker: &&WorkerView| is_attendant(worker, run) && !is_alive(worker, now_ms);
    workers.iter().filter(dead).map(|worker| worker.id.clone()).collect()
}

fn is_attendant(worker: &WorkerView, run: RunId) -> bool {
    worker.id.0.ends_with(&format!("-{}", tail(run)))
}

pub(crate) fn is_alive(worker: &WorkerView, now_ms: i64) -> bool {
    if matches!(worker.standing(now_ms), Standing::Left | Standing::Silent) {
        return false;
    }
    let is_here = worker.host == host() && Path::new("/proc/self").exists();
    !is_here || Path::new(&format!("/proc/{}", worker.pid)).exists()
}
