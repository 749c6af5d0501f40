//! Deadlines and retries: what the ledger's database refuses for a moment is asked again, within a bound.

use std::time::Duration;

use model::ErrorKind;

use crate::Ledger;
use crate::error::{Cause, Result};

/// Longest a call may take, retries included, unless [`Ledger::open_within`] says otherwise. Half a lease: a worker
/// still learns that its beat failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);
/// Longest for calls that touch every chunk of a run, or read a whole one.
const BULK_DEADLINE: Duration = Duration::from_secs(60);
/// One try of those takes no longer than other calls, but has at least this.
const BULK_TRY_MIN: Duration = Duration::from_secs(5);
/// Longest for opening: another process may be migrating.
pub(crate) const OPEN_DEADLINE: Duration = Duration::from_secs(60);

/// Tries after a deadlock or a lock wait: each means that someone else went forward.
const CONTENTION_TRIES: u32 = 10;
/// Tries after a lost connection: the second already has a fresh one.
const CONNECTION_TRIES: u32 = 3;
const BACKOFF_MS: u64 = 5;
const BACKOFF_MAX_MS: u64 = 500;

impl Ledger {
    /// Runs a call that reads.
    pub(crate) async fn read<T, F, Fut>(&self, operation: &'static str, once: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = std::result::Result<T, Cause>>,
    {
        let deadline = self.shared.deadline;
        retrying(operation, deadline, each(deadline), once).await
    }

    /// Runs a call that writes: `once` is a whole transaction and may run more than once, even after a commit whose
    /// answer was lost.
    pub(crate) async fn write<T, F, Fut>(&self, operation: &'static str, once: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = std::result::Result<T, Cause>>,
    {
        let deadline = self.shared.deadline;
        retrying(operation, deadline, each(deadline), once).await
    }

    /// Runs a call that touches every chunk of a run, or reads a whole one.
    pub(crate) async fn bulk<T, F, Fut>(&self, operation: &'static str, once: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = std::result::Result<T, Cause>>,
    {
        let each = self.shared.deadline.max(BULK_TRY_MIN);
        retrying(operation, BULK_DEADLINE, each, once).await
    }
}

/// Longest for one try: a second one, on another connection, still fits into the deadline.
fn each(deadline: Duration) -> Duration {
    deadline * 2 / 5
}

/// Runs `once` until it succeeds, fails for good, or the deadline is over. A try that gets no answer within `each` is
/// given up for another: its connection may lead nowhere.
pub(crate) async fn retrying<T, F, Fut>(
    operation: &'static str,
    deadline: Duration,
    each: Duration,
    mut once: F,
) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = std::result::Result<T, Cause>>,
{
    let tries = async {
        for tried in 1.. {
            let once = Box::pin(seam::call(operation, once(), lost));
            match tokio::time::timeout(each, once).await.unwrap_or(Err(Cause::Deadline(each))) {
                Err(cause) if tried < tries_max(cause.kind()) => {
                    tracing::debug!(operation, tried, kind = %cause.kind(), "ledger call is retried");
                    tokio::time::sleep(backoff(tried)).await;
                }
                done => return done,
            }
        }
        Err(Cause::Deadline(deadline))
    };
    let done = tokio::time::timeout(deadline, tries).await.unwrap_or(Err(Cause::Deadline(deadline)));
    done.map_err(|cause| cause.during(operation))
}

#[allow(clippy::wildcard_enum_match_arm, reason = "what is not named here is not worth a second try")]
const fn tries_max(kind: ErrorKind) -> u32 {
    match kind {
        ErrorKind::Deadlock | ErrorKind::LockWait => CONTENTION_TRIES,
        ErrorKind::ConnectionLost | ErrorKind::Timeout => CONNECTION_TRIES,
        _ => 1,
    }
}

/// Doubles, with jitter: the losers of one deadlock must not meet again.
fn backoff(tried: u32) -> Duration {
    let ceiling = (BACKOFF_MS << tried.min(10)).min(BACKOFF_MAX_MS);
    Duration::from_millis(ceiling / 2 + seam::dice() % (ceiling / 2 + 1))
}

/// What a call meets that a simulation loses: a connection that breaks.
fn lost() -> Cause {
    Cause::Driver(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()))
}
