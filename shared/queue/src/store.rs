//! Where queued jobs are kept: the one seam between the consumer and its two stores.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::error::Error;
use crate::sign::{PAYLOAD_BYTES_MAX, Rejected};
use crate::{Depth, QueueInfo};

/// Dead letters kept: enough to see a pattern, too few to fill a server.
pub(crate) const DEAD_MAX: usize = 1_000;

/// Claims returned to ready in one call: a bounded pause, however many workers died.
pub(crate) const EXPIRED_BATCH: usize = 100;

/// How long things may take. The lease decides; tests pass in shorter ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// An unextended claim is over after this long.
    pub(crate) visibility: Duration,
    /// Six beats fit into one visibility, so that five may be lost.
    pub(crate) heartbeat: Duration,
    /// The slow poll under the bell: finds expired claims and anything the bell missed.
    pub(crate) idle: Duration,
    /// What a drain waits for a store that does not answer.
    pub(crate) drain: Duration,
}

impl Timing {
    /// A job stays with a worker as long as a chunk does: what a dead worker held comes back when its leases end,
    /// whether it died before its claim in the ledger or after.
    pub(crate) fn of_lease(lease: Duration) -> Self {
        Self {
            visibility: lease,
            heartbeat: lease / 6,
            idle: Duration::from_secs(1),
            drain: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
impl Default for Timing {
    fn default() -> Self {
        Self::of_lease(Duration::from_secs(30))
    }
}

/// A job id as stored. Bytes, since whoever forges one need not write text, and it must still be removable.
pub(crate) type StoredId = Vec<u8>;

/// A payload and the id it is queued under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parcel {
    pub(crate) id: StoredId,
    pub(crate) payload: Vec<u8>,
}

/// The right to a job until its deadline. The fence is unique per delivery: a worker that lost a job and got it
/// again holds two different claims.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Claim {
    pub(crate) id: StoredId,
    pub(crate) fence: String,
}

/// A store of jobs. Every method may be repeated after an error: repeating changes nothing more.
#[async_trait]
pub(crate) trait Store: Debug + Send + Sync {
    /// Queues what is not queued or in flight under the same id already; says how many were.
    async fn push(&self, parcels: &[Parcel]) -> Result<usize, Error>;

    /// Returns expired claims (a bounded batch) to ready, then takes the first ready job for `fence`.
    async fn claim(&self, fence: &str) -> Result<Option<Parcel>, Error>;

    /// Moves the deadlines of `claims` on; says which are no longer theirs.
    async fn extend(&self, claims: &[Claim]) -> Result<Vec<Claim>, Error>;

    /// Forgets the job. `false`, and no change, if the claim is somebody else's by now.
    async fn ack(&self, claim: &Claim) -> Result<bool, Error>;

    /// As `ack`, and keeps `letter` in the dead-letter list.
    async fn bury(&self, claim: &Claim, letter: &str) -> Result<bool, Error>;

    /// Puts the job back at the head. `false`, and no change, if the claim is somebody else's by now.
    async fn release(&self, claim: &Claim) -> Result<bool, Error>;

    /// Writes something that does no harm, to learn whether the server takes writes.
    async fn probe(&self) -> Result<(), Error>;

    /// Counts, as of now.
    async fn depth(&self) -> Result<Depth, Error>;

    /// What the doctor wants to know.
    async fn check(&self) -> Result<QueueInfo, Error>;

    /// Forgets all jobs of a run, ready or in flight. Dead letters stay.
    async fn clear_run(&self, run: &str) -> Result<(), Error>;

    /// A bell of its own for one consumer.
    fn bell(&self) -> Box<dyn Bell>;
}

/// Tells one consumer that there may be work.
#[async_trait]
pub(crate) trait Bell: Send {
    /// Returns when there may be work, and in any case after `limit`. May be dropped while waiting.
    async fn heard(&mut self, limit: Duration);
}

/// What is kept of a payload that was not believed, as JSON. Everything in it is untrusted.
pub(crate) fn letter(parcel: &Parcel, rejected: Rejected) -> String {
    #[derive(Serialize)]
    struct Letter {
        id: String,
        reason: String,
        payload: String,
    }
    let letter =
        Letter { id: shown(&parcel.id), reason: rejected.to_string(), payload: shown(&parcel.payload) };
    serde_json::to_string(&letter).expect("strings always serialize")
}

/// Untrusted bytes as bounded text.
pub(crate) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(PAYLOAD_BYTES_MAX)]).into_owned()
}
