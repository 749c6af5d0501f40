//! Runs: one execution of a spec, and the record people read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::chunk::{Counts, named_enum};
use crate::digest::ChunkDigest;
use crate::failure::Failure;
use crate::id::{RunId, Turn};
use crate::limits::Limits;

named_enum!(
    /// What a run is for.
    #[derive(Default)]
    RunKind {
        #[default]
        Copy = "copy",
        /// Compares both sides and writes nothing.
        Verify = "verify",
    }
);

named_enum!(
    /// Where a run stands. `running → done | done-with-quarantine | failed | cancelled`; a failed or cancelled run
    /// can be resumed.
    RunState {
        Running = "running",
        Done = "done",
        /// Done, but rows or chunks were set aside, or differences were found.
        DoneWithQuarantine = "done-with-quarantine",
        Failed = "failed",
        Cancelled = "cancelled",
    }
);

impl RunState {
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Running)
    }

    /// Whether the run did what it should, be it that rows or chunks were set aside.
    #[must_use]
    pub const fn ended_well(self) -> bool {
        matches!(self, Self::Done | Self::DoneWithQuarantine)
    }
}

named_enum!(
    /// Where a table of a run stands. States follow one another in this order; `failed` and `held` end it early.
    TableState {
        /// Waiting for its plan.
        Pending = "pending",
        /// Chunks are being cut; those already cut run.
        Planning = "planning",
        /// All chunks of the current pass exist.
        Working = "working",
        /// Rows are in: indexes and checks.
        Finishing = "finishing",
        Done = "done",
        /// Stopped with a cause.
        Failed = "failed",
        /// Stopped before a mass delete; waits for a person.
        Held = "held",
    }
);

impl TableState {
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Held)
    }
}

/// Chunks of a table or run by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkTally {
    pub ready: u64,
    pub running: u64,
    pub done: u64,
    pub quarantined: u64,
    pub cancelled: u64,
}

impl ChunkTally {
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.ready + self.running + self.done + self.quarantined + self.cancelled
    }

    #[must_use]
    pub const fn open(&self) -> u64 {
        self.ready + self.running
    }
}

/// One table in the run record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableProgress {
    pub table: u32,
    pub source: String,
    pub target: String,
    pub mode: String,
    pub state: TableState,
    pub counts: Counts,
    pub chunks: ChunkTally,
    /// Attempts beyond the first, over all chunks.
    pub retries: u64,
    pub source_digest: ChunkDigest,
    pub target_digest: ChunkDigest,
    /// The planner's estimate of rows, for progress only.
    pub rows_estimate: Option<u64>,
    /// What was not compared and why, indexes not built, constraints not added.
    pub notes: Vec<String>,
    pub cause: Option<Failure>,
    /// When its first chunk was claimed, and, once the table has ended, when its last one ended.
    pub started_ms: Option<i64>,
    pub ended_ms: Option<i64>,
}

/// What a running run waits for, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// `queue`, for instance.
    pub on: String,
    /// For people: `queue read-only (disk full)`.
    pub reason: String,
}

impl Waiting {
    /// `on`, where a database has said that it has enough: nothing of the run may be claimed either, since the queue may
    /// hold a good part of it.
    pub const BRAKE: &str = "brake";
}

/// The roll-up of a run: chunk → table → run. Times are milliseconds since 1970 on the ledger's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    pub id: RunId,
    pub turn: Turn,
    pub kind: RunKind,
    pub spec_name: String,
    pub state: RunState,
    pub cause: Option<Failure>,
    /// Since when a person has it paused.
    pub paused_ms: Option<i64>,
    /// What it may do in a second, over all workers.
    pub limits: Limits,
    /// Why nothing of it is handed out just now.
    pub waiting: Option<Waiting>,
    pub created_ms: i64,
    pub ended_ms: Option<i64>,
    pub now_ms: i64,
    pub counts: Counts,
    pub chunks: ChunkTally,
    pub retries: u64,
    pub tables: Vec<TableProgress>,
}
