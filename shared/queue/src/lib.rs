//! Delivery of chunk jobs: gets a chunk's id to some worker soon.
//!
//! The ledger is the truth; the queue only delivers. Delivery is at least once: a job may come twice, and all jobs may
//! be lost with the server. Neither harms, because the worker claims the chunk in the ledger, and a reconciler queues
//! again whatever is due.
//!
//! Refuses to know what a chunk is, whether it succeeded, or when to try again. The only crate that names apalis and
//! redis.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod consume;
mod error;
mod feed;
mod job;
mod memory;
mod redis;
mod sign;
mod store;

#[cfg(test)]
mod conformance;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::consume::{Consumer, retry_delays};
pub use crate::error::{Error, ErrorKind};
pub use crate::job::ChunkJob;
use crate::memory::Memory;
use crate::redis::Redis;
pub use crate::sign::{Rejected, SigningKey};
use crate::store::{Parcel, Store, Timing};

/// Jobs per script call: a script blocks the whole server, and 500 take about 5 ms.
const PUSH_BATCH: usize = 500;

/// Tries of one push at a server that does not answer: a restart of the connection, not of the server.
const PUSH_TRIES: usize = 3;

/// Where jobs are kept.
#[derive(Clone)]
pub enum QueueConfig {
    /// In this process: nothing survives it, and nobody else sees the jobs.
    InProcess,
    /// On a Redis server (`redis://`, `rediss://`, `redis+unix://`), under the keys of one installation.
    Redis(RedisConfig),
}

/// Reads the server's address, with its secrets, anew; an error is a text without secrets.
pub type ReadAddress = Arc<dyn Fn() -> Result<SecretString, String> + Send + Sync>;

/// Where Redis is and who we are to it.
#[derive(Clone)]
pub struct RedisConfig {
    /// Called whenever a connection is made, so that a rotated password is found. `redis://`, `rediss://` (always
    /// verified), `redis+unix://`, or `redis+sentinel://host:port,host:port/master`.
    pub url: ReadAddress,
    /// 1 to 64 letters, digits, `-`, `_`, `.`, `:`.
    pub install: String,
    /// For `rediss://`.
    pub tls: TlsFiles,
}

/// PEM files for TLS, read whenever a connection is made.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// The authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key, for a server that asks.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl fmt::Debug for QueueConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InProcess => f.write_str("InProcess"),
            Self::Redis(config) => config.fmt(f),
        }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("install", &self.install).finish_non_exhaustive()
    }
}

/// A payload that was not believed and was set aside. Nothing of it is repeated but an id of our own form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub reason: Rejected,
    /// The id it was queued under; absent if no id of ours looks like it.
    pub job: Option<String>,
}

/// Told of every payload that is not believed. Called from the consumer: must return at once.
pub type OnRejected = Arc<dyn Fn(Rejection) + Send + Sync>;

/// How many jobs there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Waiting for a worker.
    pub ready: u64,
    /// With a worker.
    pub in_flight: u64,
    /// Payloads that were not believed; at most 1,000 are kept.
    pub dead: u64,
}

/// What the doctor reports about a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueInfo {
    /// `redis` or `in-process`.
    pub backend: &'static str,
    /// Product and version, if the server tells.
    pub version: Option<String>,
    /// Redis' `maxmemory-policy`; `None` if there is none, or the ACL user may not ask.
    pub maxmemory_policy: Option<String>,
    /// Whether an append-only file keeps the jobs over a restart; `None` if the ACL user may not ask.
    pub is_appending: Option<bool>,
    /// The server's clock, in milliseconds since 1970, about half a `round_trip` before it was received.
    pub server_time_ms: Option<u64>,
    /// How long the server took to say so.
    pub round_trip: Duration,
}

impl QueueInfo {
    /// Whether the server may throw jobs away when it is full; `None` if it does not tell.
    pub fn may_evict(&self) -> Option<bool> {
        match (&self.maxmemory_policy, self.backend) {
            (Some(policy), _) => Some(policy != "noeviction"),
            (None, "in-process") => Some(false),
            (None, _) => None,
        }
    }
}

/// A handle on the queue; clones share everything.
#[derive(Clone)]
pub struct Queue {
    store: Arc<dyn Store>,
    key: SigningKey,
    install: Option<String>,
    timing: Timing,
    on_rejected: Option<OnRejected>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("store", &self.store).field("key", &self.key).finish_non_exhaustive()
    }
}

impl Queue {
    /// Opens the queue. Redis must answer once; later it may come and go. `lease` is how long a worker keeps a job
    /// without a sign of life: that of its chunks.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a URL or install id of a wrong form; [`ErrorKind::Unreachable`], after
    /// about 10 s if the server is silent;
    /// [`ErrorKind::Auth`].
    pub async fn open(config: QueueConfig, key: SigningKey, lease: Duration) -> Result<Self, Error> {
        Self::open_with(config, key, Timing::of_lease(lease)).await
    }

    /// The same queue, whose consumers tell `told` of every payload they do not believe.
    #[must_use]
    pub fn on_rejected(self, told: OnRejected) -> Self {
        Self { on_rejected: Some(told), ..self }
    }

    pub(crate) async fn open_with(
        config: QueueConfig,
        key: SigningKey,
        timing: Timing,
    ) -> Result<Self, Error> {
        let (store, install): (Arc<dyn Store>, _) = match config {
            QueueConfig::InProcess => (Arc::new(Memory::new(timing.visibility)), None),
            QueueConfig::Redis(config) => {
                let install = config.install.clone();
                (Arc::new(Redis::open(config, timing.visibility).await?), Some(install))
            }
        };
        Ok(Self { store, key, install, timing, on_rejected: None })
    }

    /// Queues jobs and says how many are new. A job that is ready or in flight already, under the same id, stays as it
    /// is; so a push may be repeated, and must be after an error, since a part may have been queued.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidJob`] (then nothing was queued) for an id of a wrong form or a foreign install; else what
    /// the server said, after a few tries if it was unreachable.
    pub async fn push(&self, jobs: &[ChunkJob]) -> Result<usize, Error> {
        let parcels: Vec<Parcel> = jobs.iter().map(|job| self.parcel(job)).collect::<Result<_, _>>()?;
        let mut queued = 0;
        for batch in parcels.chunks(PUSH_BATCH) {
            queued += self.push_batch(batch).await?;
        }
        Ok(queued)
    }

    /// Counts, as of now: a reading for metrics, not a thing to decide by.
    ///
    /// # Errors
    /// What the server said.
    pub async fn depth(&self) -> Result<Depth, Error> {
        self.store.depth().await
    }

    /// Writes something that does no harm, to learn whether the server takes writes just now.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn probe(&self) -> Result<(), Error> {
        self.store.probe().await
    }

    /// Asks the server about itself, for the doctor. In process there is nothing to ask.
    ///
    /// # Errors
    /// If the server does not even tell the time. What its ACL hides is `None`.
    pub async fn check(&self) -> Result<QueueInfo, Error> {
        self.store.check().await
    }

    /// Runs up to `concurrency` handlers until `stop` is cancelled. Then it drains: fetches nothing more, puts a job
    /// fetched but not started back at the head, waits for the handlers under way, and returns.
    ///
    /// Each job is acknowledged when its handler ends, even by a panic: what came of it stands in the ledger. A server
    /// that does not answer makes the consumer wait. May run many times at once, here and elsewhere: each job goes to
    /// one of them, and to another only if this one stops extending its claim for a lease. If the future is dropped,
    /// fetching stops and handlers under way end on their own.
    ///
    /// # Errors
    /// [`ErrorKind::Stopped`] if the worker loop ended unasked, which is a defect; calling again is safe.
    pub async fn consume<H, F>(
        &self,
        worker_name: &str,
        concurrency: usize,
        stop: CancellationToken,
        handler: H,
    ) -> Result<(), Error>
    where
        H: Fn(ChunkJob) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        // A child: stopping this consumer must not stop whatever else the caller's token stands for.
        let consumer = Consumer::new(self.clone(), worker_name, stop.child_token());
        Box::pin(consumer.run(concurrency, handler)).await
    }

    /// Forgets all jobs of a run, so that a finished run leaves no key behind. Dead letters stay; they go a week after
    /// the last one. A handler still under way is not disturbed. Calling again changes nothing.
    ///
    /// # Errors
    /// What the server said; a part may be cleared already.
    pub async fn clear_run(&self, run: &str) -> Result<(), Error> {
        self.store.clear_run(run).await
    }

    fn parcel(&self, job: &ChunkJob) -> Result<Parcel, Error> {
        job.check()?;
        if self.install.as_ref().is_some_and(|install| *install != job.install) {
            return Err(Error::new(ErrorKind::InvalidJob, "queue a job of another install"));
        }
        Ok(Parcel { id: job.job_id().into_bytes(), payload: self.key.encode(job) })
    }

    async fn push_batch(&self, batch: &[Parcel]) -> Result<usize, Error> {
        let mut delays = retry_delays().take(PUSH_TRIES - 1);
        loop {
            let error = match self.store.push(batch).await {
                Ok(queued) => return Ok(queued),
                Err(error) => error,
            };
            match delays.next() {
                Some(delay) if error.kind() == ErrorKind::Unreachable => tokio::time::sleep(delay).await,
                Some(_) | None => return Err(error),
            }
        }
    }
}
