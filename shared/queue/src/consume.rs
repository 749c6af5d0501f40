//! The consumer: fetches jobs for an apalis worker, keeps them while they run, acknowledges them after.
//!
//! Three kinds of task: one fetches, one beats, one per job runs the handler. A store that does not answer makes them
//! wait; it never ends them. Whether a job succeeded is no business of this module: the handler settles in the ledger.

use std::collections::HashSet;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use apalis::prelude::{ParallelizeExt, WorkerBuilder, WorkerBuilderExt};
use backon::{BackoffBuilder, ExponentialBuilder};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::error::{Error, ErrorKind, chain};
use crate::feed::{Delivery, Feed, Shelf};
use crate::job::{ChunkJob, is_job_id};
use crate::sign::{Rejected, SigningKey};
use crate::store::{Bell, Claim, Parcel, Store, Timing, letter, shown};
use crate::{OnRejected, Queue, Rejection};

const RETRY_DELAY_MIN: Duration = Duration::from_millis(50);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(2);

/// What a consumer works with. `install` is absent in process, where there is only one.
pub(crate) struct Consumer {
    store: Arc<dyn Store>,
    key: SigningKey,
    install: Option<String>,
    timing: Timing,
    on_rejected: Option<OnRejected>,
    /// New per consumer, so that a restarted worker is not taken for the one that died.
    owner: String,
    deliveries: AtomicU64,
    in_hand: Mutex<HashSet<Claim>>,
    stop: CancellationToken,
}

impl Consumer {
    pub(crate) fn new(queue: Queue, worker_name: &str, stop: CancellationToken) -> Self {
        let Queue { store, key, install, timing, on_rejected } = queue;
        let owner = format!("{worker_name}-{}", Uuid::now_v7());
        Self {
            store,
            key,
            install,
            timing,
            on_rejected,
            owner,
            deliveries: AtomicU64::new(0),
            in_hand: Mutex::default(),
            stop,
        }
    }

    pub(crate) async fn run<H, F>(self, concurrency: usize, handler: H) -> Result<(), Error>
    where
        H: Fn(ChunkJob) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let consumer = Arc::new(self);
        // Dropping this future stops the fetching too; what runs already runs to its end.
        let _stop_if_dropped = consumer.stop.clone().drop_guard();
        let ended = CancellationToken::new();
        let shelf = Arc::new(Shelf::default());
        let tasks = TaskTracker::new();
        tasks.spawn(Arc::clone(&consumer).fetch(Arc::clone(&shelf)));
        let heart = TaskTracker::new();
        heart.spawn(Arc::clone(&consumer).beat(ended.clone()));

        let each = Arc::clone(&consumer);
        let executor = tasks.clone();
        let worker = WorkerBuilder::new(consumer.owner.as_str())
            .backend(Feed(shelf))
            .concurrency(concurrency.max(1))
            .parallelize(move |task| executor.spawn(task))
            .build(move |delivery: Delivery| Arc::clone(&each).serve(handler.clone(), delivery));
        let ran = worker.run().boxed().await;

        let asked_to = consumer.stop.is_cancelled();
        consumer.stop.cancel();
        tasks.close();
        tasks.wait().await;
        ended.cancel();
        heart.close();
        heart.wait().await;
        match ran {
            Ok(()) if asked_to => Ok(()),
            Ok(()) => Err(Error::new(ErrorKind::Stopped, "consume jobs")),
            Err(worker) => Err(Error::new(ErrorKind::Stopped, "consume jobs").because(worker)),
        }
    }

    /// Fetches one job whenever the worker has room for one, until told to stop.
    pub(crate) async fn fetch(self: Arc<Self>, shelf: Arc<Shelf>) {
        let mut bell = self.store.bell();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = shelf.wanted() => {}
            }
            let Some((parcel, claim)) = self.next(bell.as_mut()).await else {
                break;
            };
            match self.believe(&parcel) {
                // A stop that came meanwhile finds it there.
                Ok(job) => shelf.offer(Delivery { job, claim }),
                Err(reason) => self.bury(&parcel, &claim, reason).await,
            }
        }
        if let Some(unstarted) = shelf.close() {
            self.give_back(&unstarted.claim).await;
        }
    }

    /// The next job, however long it takes; `None` once told to stop.
    async fn next(&self, bell: &mut dyn Bell) -> Option<(Parcel, Claim)> {
        loop {
            let fence = format!("{}/{}", self.owner, self.deliveries.fetch_add(1, Ordering::Relaxed));
            let claiming = self.insist("fetch", || self.store.claim(&fence));
            // A claim under way may have taken a job already: it is given some time, even after a stop.
            let claimed = tokio::select! {
                claimed = claiming => claimed,
                () = self.drained() => return None,
            };
            if let Some(parcel) = claimed {
                let claim = Claim { id: parcel.id.clone(), fence };
                self.in_hand().insert(claim.clone());
                if self.stop.is_cancelled() {
                    self.give_back(&claim).await;
                    return None;
                }
                return Some((parcel, claim));
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = bell.heard(self.timing.idle) => {}
            }
        }
    }

    fn believe(&self, parcel: &Parcel) -> Result<ChunkJob, Rejected> {
        let job = self.key.decode(&parcel.payload)?;
        if self.install.as_ref().is_some_and(|install| *install != job.install) {
            return Err(Rejected::WrongInstall);
        }
        // Else one good envelope, copied under many ids, would keep the whole fleet busy.
        if job.job_id().as_bytes() != parcel.id {
            return Err(Rejected::WrongId);
        }
        Ok(job)
    }

    /// Runs one job to its end, whatever that is, and acknowledges it.
    async fn serve<H, F>(self: Arc<Self>, handler: H, delivery: Delivery)
    where
        H: Fn(ChunkJob) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Delivery { job, claim } = delivery;
        let id = job.job_id();
        // The panic hook prints the text; it may quote a value, so it is not repeated here.
        if AssertUnwindSafe(async move { handler(job).await }).catch_unwind().await.is_err() {
            error!(job = %id, "chunk handler panicked");
        }
        match self.settle(&claim, "acknowledge", || self.store.ack(&claim)).await {
            Some(true) => {}
            Some(false) => debug!(job = %id, "job was delivered again meanwhile"),
            None => warn!(job = %id, "job not acknowledged, it will be delivered again"),
        }
    }

    async fn bury(&self, parcel: &Parcel, claim: &Claim, reason: Rejected) {
        let letter = letter(parcel, reason);
        warn!(
            target: "syncline::security",
            event = "job_rejected",
            reason = %reason,
            job = ?shown(&parcel.id),
            "job payload not believed, set aside"
        );
        if let Some(told) = &self.on_rejected {
            let job = std::str::from_utf8(&parcel.id).ok().filter(|id| is_job_id(id)).map(str::to_owned);
            told(Rejection { reason, job });
        }
        self.settle(claim, "set aside", || self.store.bury(claim, &letter)).await;
    }

    async fn give_back(&self, claim: &Claim) {
        if self.settle(claim, "give back", || self.store.release(claim)).await.is_none() {
            warn!("job not given back, it will be delivered when its claim expires");
        }
    }

    /// Ends a claim, insisting as long as it is worth it: until it has expired, or a drain runs out of patience.
    async fn settle<T, F>(&self, claim: &Claim, step: &'static str, call: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let done = tokio::select! {
            done = self.insist(step, call) => Some(done),
            () = tokio::time::sleep(self.timing.visibility) => None,
            () = self.drained() => None,
        };
        self.in_hand().remove(claim);
        done
    }

    /// Calls until it succeeds: 50 ms to 2 s apart, with jitter.
    async fn insist<T, F>(&self, step: &'static str, call: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut delays = retry_delays();
        let mut failures = 0_u64;
        loop {
            match call().await {
                Ok(done) => {
                    if failures > 0 {
                        info!(step, failures, "queue answers again");
                    }
                    return done;
                }
                Err(error) if failures == 0 => {
                    warn!(step, kind = ?error.kind(), error = %chain(&error), "queue does not answer, waiting");
                }
                Err(error) => {
                    debug!(step, kind = ?error.kind(), error = %chain(&error), "queue still does not answer")
                }
            }
            failures += 1;
            tokio::time::sleep(delays.next().unwrap_or(RETRY_DELAY_MAX)).await;
        }
    }

    /// Extends every claim in hand, also while draining, until all handlers have ended.
    async fn beat(self: Arc<Self>, ended: CancellationToken) {
        let mut is_failing = false;
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
                () = tokio::time::sleep(self.timing.heartbeat) => {}
            }
            let claims: Vec<Claim> = self.in_hand().iter().cloned().collect();
            if claims.is_empty() && self.stop.is_cancelled() {
                return; // Nobody waits for `ended` if the consumer was dropped.
            }
            if claims.is_empty() {
                continue;
            }
            let extended = self.store.extend(&claims).await;
            let was_failing = std::mem::replace(&mut is_failing, extended.is_err());
            match extended {
                Ok(lost) if lost.is_empty() => {}
                Ok(lost) => {
                    let mut in_hand = self.in_hand();
                    in_hand.retain(|claim| !lost.contains(claim));
                    warn!(jobs = lost.len(), "jobs in hand were lost or taken over, the ledger decides");
                }
                // Once: a server that is away for an hour is news once.
                Err(error) if !was_failing => warn!(error = %chain(&error), "jobs in hand not extended"),
                Err(error) => debug!(error = %chain(&error), "jobs in hand still not extended"),
            }
        }
    }

    /// A drain has begun and a store that does not answer has had its time.
    async fn drained(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(self.timing.drain).await;
    }

    fn in_hand(&self) -> MutexGuard<'_, HashSet<Claim>> {
        self.in_hand.lock().expect("nothing panics while it holds the lock")
    }
}

/// The delays between tries at a store that does not answer.
pub(crate) fn retry_delays() -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::default()
        .with_min_delay(RETRY_DELAY_MIN)
        .with_max_delay(RETRY_DELAY_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}
