//! The nouns of Syncline: no I/O, no async, no driver.
//!
//! The life of a chunk, on one page:
//!
//! ```text
//! planned ─▶ ready ──claim (attempt + 1)──▶ running ──settle──▶ done
//!              ▲                              │  │
//!              │   lease expired, retry later │  └──settle──▶ quarantined   (attempts exhausted,
//!              └──────────────────────────────┘               diverged, or a refusal)
//! ```
//!
//! A *run* executes a *spec*. Each table gets a *table plan*; its rows are cut into *chunks* (half-open key
//! ranges) that any worker may claim. The attempt number is the fence: what an older attempt writes is refused
//! by the ledger and by the target. Chunks roll up into tables, tables into the *run record*.

pub mod alert;
pub mod canonical;
pub mod cells;
pub mod chunk;
pub mod conflict;
pub mod convert;
pub mod decimal;
pub mod digest;
pub mod failure;
pub mod fields;
pub mod history;
pub mod human;
pub mod id;
pub mod key;
pub mod limits;
pub mod merge;
pub mod plan;
pub mod row;
pub mod run;
pub mod schedule;
pub mod schema;
pub mod spec;
pub mod temporal;
pub mod value;
pub mod watermark;

pub use canonical::RowEncoder;
pub use chunk::{Chunk, ChunkOutcome, ChunkState, Counts, Pass, Receipt};
pub use conflict::Conflict;
pub use convert::{ConvertError, convert};
pub use decimal::Decimal;
pub use digest::{ChunkDigest, RowDigest};
pub use failure::{Disposition, ErrorKind, Failure, RetryPolicy};
pub use fields::FieldRule;
pub use history::TargetHistory;
pub use id::{Attempt, ChunkId, InstallId, RunId, Turn, WorkerId};
pub use key::{Key, KeyRange};
pub use limits::Limits;
pub use merge::{MergePolicy, Verdict};
pub use plan::{ColumnPlan, NestPlan, TablePlan};
pub use row::{Correction, QuarantinedRow, Row, RowBatch};
pub use run::{RunKind, RunRecord, RunState, TableProgress, TableState, Waiting};
pub use schedule::Schedule;
pub use schema::{Column, Engine, ForeignKey, Index, LogicalType, TableRef, TableSchema};
pub use spec::{ConnectionSpec, Mode, RunSpec, TableSpec};
pub use temporal::{Date, DateTime, Time};
pub use value::Value;
pub use watermark::{Activity, Incremental, Mark, Watch, Watermark, Window};
