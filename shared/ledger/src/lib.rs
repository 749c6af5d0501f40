//! The ledger: the durable record of runs, their tables, chunks, attempts and outcomes.
//!
//! The ledger is the truth; queues only deliver. Every write is conditional on the state it was decided from
//! (compare-and-set) and takes its time from the ledger's database, so two coordinators, a worker that wakes late
//! and a repeated call are all harmless.
//!
//! ```text
//! claim   ready ─▶ running      attempt + 1; the attempt number is the fence
//! beat    running               the lease is renewed; tells whether to stop
//! settle  running ─▶ done | ready (later) | quarantined
//! reap    running, lease over ─▶ ready | quarantined
//! ```
//!
//! One [`Ledger`] is a cheap handle on a pool of connections, over SQLite (one machine, several processes), MySQL/MariaDB
//! or PostgreSQL (many machines).

mod alerts;
mod audit;
mod cache;
mod chain;
mod chunks;
mod claim;
mod conflicts;
#[cfg(test)]
mod conformance;
mod connect;
mod control;
mod corrections;
mod counts;
mod dialect;
mod error;
mod events;
mod fields;
mod kept;
mod limits;
mod logins;
mod migrate;
mod past;
mod pipelines;
mod quarantine;
mod reap;
mod record;
mod requests;
mod retry;
mod runs;
mod security;
mod settle;
mod tables;
mod tallies;
mod tokens;
mod transact;
mod url;
mod views;
mod waiting;
mod watermarks;
mod workers;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::InstallId;
use secrecy::SecretString;
use sqlx::AnyPool;

pub use alerts::{Alert, NewAlert};
pub use audit::{Act, AuditEntry, AuditVerdict};
pub use chunks::{ChunkCost, Due};
pub use claim::{Beat, Claimed};
pub use conflicts::ConflictView;
pub use control::{Heeded, Which};
pub use corrections::Corrected;
pub use error::{Error, Result};
pub use events::Event;
pub use limits::{SHARE_LASTS, SHARE_RENEWED_AFTER, Share};
pub use logins::{Login, NewLogin};
pub use pipelines::{NewPipeline, Pipeline, Start, Started};
pub use quarantine::QuarantineView;
pub use reap::Reaped;
pub use record::PassTally;
pub use requests::{Answer, Asked};
pub use runs::Run;
pub use security::SecurityEvent;
pub use settle::{Again, Settled};
pub use tables::{NewTable, TableRow};
pub use tallies::{ChunkCell, QueueTally, Throughput};
pub use tokens::{NewToken, Role, Token};
pub use url::{LedgerUrl, ServerUrl};
pub use views::{AttemptOutcome, AttemptTally, AttemptView, ChunkPage, ChunkView};
pub use watermarks::Progress;
pub use workers::{Standing, WorkerView};

use crate::cache::Cache;
use crate::dialect::Dialect;

/// A handle on the ledger. Clones share one pool.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
    audit_key: Option<SecretString>,
}

struct Shared {
    pool: AnyPool,
    dialect: Dialect,
    /// Longest a call may take, retries included.
    deadline: Duration,
    /// SQLite has one writer at a time: within this process writers queue here, in order, instead of polling.
    gate: Option<Arc<tokio::sync::Mutex<()>>>,
    install: InstallId,
    cache: Cache,
    address: String,
}

impl Ledger {
    /// The installation: made once per ledger, the same for every process that shares it.
    #[must_use]
    pub fn install(&self) -> InstallId {
        self.shared.install
    }

    /// The ledger's address without user data, for messages.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.shared.address
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("address", &self.shared.address).finish_non_exhaustive()
    }
}
