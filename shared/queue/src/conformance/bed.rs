//! Where a case runs: a queue of its own, and ways to look and to wait.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::server::{Server, private_or_given};
use crate::store::{Claim, Parcel, Timing};
use crate::{ChunkJob, Depth, Error, Queue, QueueConfig, RedisConfig, SigningKey, TlsFiles};

/// Far above what any case takes; only a failing one waits for it.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) struct Bed {
    pub(super) install: String,
    pub(super) key: SigningKey,
    config: QueueConfig,
    memory: Option<Queue>,
    /// Ends with the case.
    _server: Option<Server>,
}

impl Bed {
    pub(super) fn in_process() -> Self {
        Self::new(QueueConfig::InProcess, "in-process".into(), None)
    }

    pub(super) async fn redis() -> Self {
        let install = Uuid::now_v7().to_string();
        let (url, server) = private_or_given().await;
        Self::new(at(&url, &install), install, server)
    }

    pub(super) fn on(server: &Server) -> Self {
        let install = Uuid::now_v7().to_string();
        Self::new(at(&server.url(), &install), install, None)
    }

    fn new(config: QueueConfig, install: String, server: Option<Server>) -> Self {
        Self { install, key: SigningKey::ephemeral(), config, memory: None, _server: server }
    }

    pub(super) async fn queue(&mut self) -> Queue {
        self.queue_with(Timing::default()).await
    }

    /// A handle: a second one is a second process, as far as Redis can tell, and a clone in process.
    pub(super) async fn queue_with(&mut self, timing: Timing) -> Queue {
        if let Some(queue) = &self.memory {
            return queue.clone();
        }
        let queue = Queue::open_with(self.config.clone(), self.key.clone(), timing).await.unwrap();
        if matches!(self.config, QueueConfig::InProcess) {
            self.memory = Some(queue.clone());
        }
        queue
    }

    /// Leaves nothing on a server that is not ours.
    pub(super) async fn clean(&self) {
        if let QueueConfig::Redis(RedisConfig { url, install, .. }) = &self.config {
            let client = redis::Client::open(url().unwrap().expose_secret()).unwrap();
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            for name in ["ready", "jobs", "deadlines", "owners", "bell", "dead"] {
                let key = format!("{{syncline:{install}}}:{name}");
                let () = redis::cmd("DEL").arg(key).query_async(&mut connection).await.unwrap();
            }
        }
    }

    pub(super) fn job(&self, run: &str, chunk: usize) -> ChunkJob {
        ChunkJob::new(&self.install, run, format!("chunk{chunk}"), 1)
    }

    pub(super) fn jobs(&self, run: &str, count: usize) -> Vec<ChunkJob> {
        (0..count).map(|chunk| self.job(run, chunk)).collect()
    }
}

/// The queue of an install on a server.
pub(super) fn at(url: &str, install: &str) -> QueueConfig {
    let url = url.to_owned();
    let url = Arc::new(move || Ok(url.clone().into()));
    QueueConfig::Redis(RedisConfig { url, install: install.into(), tls: TlsFiles::default() })
}

/// A consumer running aside, whose handler waits at a gate.
pub(super) struct Running {
    pub(super) stop: CancellationToken,
    pub(super) gate: Arc<Semaphore>,
    seen: Arc<Mutex<Vec<String>>>,
    under_way: Arc<AtomicUsize>,
    pub(super) task: JoinHandle<Result<(), Error>>,
}

impl Running {
    /// Lets everything through.
    pub(super) fn open(queue: &Queue, name: &str, concurrency: usize) -> Self {
        let running = Self::gated(queue, name, concurrency);
        running.gate.add_permits(Semaphore::MAX_PERMITS / 2);
        running
    }

    /// Holds every job until the gate is given a permit for it.
    pub(super) fn gated(queue: &Queue, name: &str, concurrency: usize) -> Self {
        let (queue, name) = (queue.clone(), name.to_owned());
        let (stop, gate) = (CancellationToken::new(), Arc::new(Semaphore::new(0)));
        let (seen, under_way) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (pass, list, count) = (gate.clone(), seen.clone(), under_way.clone());
        let handler = move |job: ChunkJob| {
            let (pass, list, count) = (pass.clone(), list.clone(), count.clone());
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                list.lock().unwrap().push(job.job_id());
                pass.acquire().await.unwrap().forget();
                count.fetch_sub(1, Ordering::SeqCst);
            }
        };
        let token = stop.clone();
        let task =
            TaskTracker::new().spawn(async move { queue.consume(&name, concurrency, token, handler).await });
        Self { stop, gate, seen, under_way, task }
    }

    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }

    pub(super) async fn until_seen(&self, count: usize) {
        wait_until("jobs were seen", async || self.seen().len() >= count).await;
    }

    pub(super) async fn stopped(self) {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.expect("the consumer ends").unwrap().unwrap();
    }
}

/// Waits for a state, not for a time.
pub(super) async fn wait_until(what: &str, condition: impl AsyncFn() -> bool) {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, poll).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

pub(super) async fn until_depth(queue: &Queue, ready: u64, in_flight: u64) {
    wait_until(&format!("{ready} jobs are ready and {in_flight} in flight"), async || {
        let depth = queue.depth().await.unwrap();
        (depth.ready, depth.in_flight) == (ready, in_flight)
    })
    .await;
}

pub(super) async fn depth(queue: &Queue) -> (u64, u64, u64) {
    let Depth { ready, in_flight, dead } = queue.depth().await.unwrap();
    (ready, in_flight, dead)
}

/// Takes the next job as a worker would that then does nothing more.
pub(super) async fn claim(queue: &Queue, fence: &str) -> Option<Claim> {
    let parcel: Option<Parcel> = queue.store.claim(fence).await.unwrap();
    parcel.map(|parcel| Claim { id: parcel.id, fence: fence.into() })
}

/// Takes the next job as soon as there is one.
pub(super) async fn claim_soon(queue: &Queue, fence: &str) -> Claim {
    let claimed = async {
        loop {
            if let Some(claim) = claim(queue, fence).await {
                return claim;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, claimed).await.expect("a job becomes ready")
}

pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it ends in time")
}
