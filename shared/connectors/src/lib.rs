//! The databases: two traits, one folder per engine.
//!
//! A connector decodes and encodes values with its own codec, orders nothing itself (only the database compares
//! keys), and never lets a driver's error text out: see [`Error`]. What every implementation owes is written at
//! the trait methods and held by the conformance suite.

pub mod circuit;
pub mod config;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod error;
mod fences;
#[cfg(any(test, feature = "testing"))]
pub mod flaky;
mod gauge;
pub mod memory;
mod mongodb;
mod mysql;
pub mod pool;
mod postgres;
mod read_batches;
mod server;
mod sql;
mod sqlite;
mod sqlserver;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use model::convert::{ConvertError, refusal};
use model::limits::Gauge;
use model::{
    Activity, Attempt, ChunkId, Column, Engine, ErrorKind, InstallId, Key, KeyRange, Receipt, Row, RowBatch,
    RunId, TablePlan, TableRef, TableSchema, TargetHistory, Turn, Value,
};

pub use circuit::Circuit;
pub use config::{ConnectionConfig, Role};
pub use error::{Error, Result};
pub use fences::{AttemptPages, fence_of};
pub use pool::Connections;

/// Most rows of a batch.
pub const BATCH_ROWS_MAX: usize = 1_000;
/// Bytes after which a batch is full, whatever its rows: memory stays flat for any row width.
pub const BATCH_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// In a note of [`Target::check_foreign_keys`], what tells rows that break a foreign key from other remarks.
pub const WITHOUT_PARENT: &str = "without a parent in";

/// The part of a table that one read covers.
#[derive(Debug, Clone)]
pub struct Slice {
    pub table: TableSchema,
    /// What is read, in this order.
    pub columns: Arc<[Column]>,
    /// Names of the key columns, in key order.
    pub key: Vec<String>,
    pub rows: Selection,
}

/// Which rows of a table.
#[derive(Debug, Clone)]
pub enum Selection {
    /// A key range in this database's own order; rows come in that order.
    Range(KeyRange),
    /// The rows with exactly these keys, as this database compares them (its collation may find more or fewer
    /// than byte equality would); in any order.
    Keys(Vec<Key>),
    /// A range over these columns instead of the key's, in their order.
    Window { by: Vec<String>, range: KeyRange },
}

impl Selection {
    /// The rows of the source that a copy reads in a range of its chunks: all of them, or those that the plan's window
    /// shows.
    #[must_use]
    pub fn of_source(plan: &TablePlan, range: KeyRange) -> Self {
        let Some(start) = plan.start() else { return Self::Range(range) };
        let KeyRange { lower, upper } = range;
        Self::Window { by: plan.cut_by(), range: KeyRange { lower: lower.or(Some(start)), upper } }
    }
}

/// What `doctor` and the run record say about a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// Product and version, e.g. `MariaDB 10.11.19`.
    pub version: String,
    /// The session accepts writes.
    pub writable: bool,
    /// Encrypted transport; `None` where there is none to encrypt.
    pub encrypted: Option<bool>,
    /// Facts a person should know: settings that will hurt.
    pub notes: Vec<String>,
}

/// A database that rows can be read from.
#[async_trait]
pub trait Source: Debug + Send + Sync {
    fn engine(&self) -> Engine;

    /// Connects if necessary and says what is there.
    async fn server(&self) -> Result<ServerInfo>;

    /// Base tables (no views, nothing of Syncline's or the system's), sorted by name.
    async fn tables(&self) -> Result<Vec<TableRef>>;

    /// The table as its catalog has it now, under the name the catalog gives it where the engine takes names without
    /// regard to letter case; `None` if it does not exist.
    async fn describe(&self, table: &TableRef) -> Result<Option<TableSchema>>;

    /// The key that stands `rows` places after `from` (or after the first row) in this database's own order, or
    /// `None` if the table ends before. Reads only the key's index. `rows` is at least 1. `from` may have fewer columns
    /// than the key: then it stands before all keys that begin with it.
    ///
    /// # Errors
    /// `NotNull`, naming the column, if the key found there holds a NULL: such rows have no place in any range.
    async fn next_boundary(
        &self,
        table: &TableSchema,
        key: &[String],
        from: Option<&Key>,
        rows: u64,
    ) -> Result<Option<Key>>;

    /// Rows in a table, counted up to `at_most`; reads no more than those.
    async fn count(&self, table: &TableRef, at_most: u64) -> Result<u64>;

    /// What the database says about itself: asked often, so it costs little. `None` where it does not say.
    ///
    /// # Errors
    /// `Unsupported` for a gauge that this engine does not have, or a query that finds no number.
    async fn gauge(&self, gauge: &Gauge) -> Result<Option<u64>>;

    /// The clock, and what is under way here that may still commit a change with a mark of now, if `watched`; otherwise
    /// the clock alone.
    ///
    /// # Errors
    /// `Permission` if this user may not see the work of others; `Unsupported` where the engine cannot tell.
    async fn activity(&self, watched: bool) -> Result<Activity>;

    /// The greatest value in a column; `None` if there is none. Reads the end of its index, or the table.
    async fn greatest(&self, table: &TableSchema, column: &str) -> Result<Option<Value>>;

    /// Streams a slice in batches bounded by [`BATCH_ROWS_MAX`] and [`BATCH_BYTES_MAX`]. One statement, so one
    /// snapshot. A row that cannot be decoded is in [`RowBatch::undecodable`] of its batch; a connection that
    /// breaks is an error, never an early end.
    fn read<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<RowBatch>>;
}

/// Who writes: checked in every write transaction against what the target remembers.
#[derive(Debug, Clone)]
pub struct Fence {
    pub install: InstallId,
    pub run: RunId,
    pub turn: Turn,
    pub chunk: ChunkId,
    pub attempt: Attempt,
}

/// A database that rows can be written to. What cannot be read back cannot be verified: every target is a source.
#[async_trait]
pub trait Target: Source {
    /// The column this engine would make for `source`: name, native type and the logical type that reads back.
    fn column_for(&self, source: &Column) -> Column;

    /// Whether rows may bring columns that a table does not have yet: where nothing declares its columns, they come to
    /// be with the rows.
    fn takes_new_columns(&self) -> bool {
        false
    }

    /// Whether it keeps documents within rows, which [`Self::member`] makes.
    fn takes_documents(&self) -> bool {
        false
    }

    /// A value as member of a document within a row, in JSON as this engine reads it; `None` for NULL. Asked after
    /// [`Self::admits`].
    ///
    /// # Errors
    /// The reason, without the value; always where [`Self::takes_documents`] is not so.
    fn member(
        &self,
        _value: &Value,
        _column: &Column,
    ) -> std::result::Result<Option<serde_json::Value>, ConvertError> {
        Err(refusal(ErrorKind::Unsupported, "this engine keeps no documents within rows"))
    }

    /// What the column keeps of a value by a loss that plans tell beforehand, and what that loss is; `None` where it is
    /// kept whole. Asked of no key, before conversion.
    fn cut(&self, _value: &Value, _column: &Column) -> Option<(Value, &'static str)> {
        None
    }

    /// Whether the engine can store this value in this column exactly; asked after conversion.
    ///
    /// # Errors
    /// The reason, without the value: NaN in MySQL, 16 significant digits in SQLite's NUMERIC.
    fn admits(&self, value: &Value, column: &Column) -> std::result::Result<(), ConvertError>;

    /// Makes Syncline's own tables and the target table if missing, and raises the table's turn, so that writers
    /// of older runs stop. Called again, it changes nothing.
    ///
    /// # Errors
    /// `Overtaken` if a newer run holds the table or another installation does; `ReadOnly`, `Permission`.
    async fn prepare(&self, plan: &TablePlan, install: InstallId, turn: Turn) -> Result<()>;

    /// Opens a write transaction for one attempt at one chunk: checks the turn, raises the fence, finds the
    /// receipt of an earlier attempt. Dropping it rolls back.
    ///
    /// # Errors
    /// `Overtaken` if a newer run holds the table; `Fenced` if a newer attempt was here, or if the table's turn is
    /// not one that this run has taken: another installation's, none, or a lower one.
    async fn begin(&self, plan: &Arc<TablePlan>, fence: &Fence) -> Result<Box<dyn ChunkWrite>>;

    /// Builds the secondary indexes of a table this run made. Returns notes on what could not be built. Called
    /// again, it builds only what is missing.
    async fn build_indexes(&self, plan: &TablePlan) -> Result<Vec<String>>;

    /// Adds the foreign keys of a table this run made (where the engine can) and counts rows that break any
    /// foreign key of the table. Returns one note per broken or missing constraint; one that counts broken rows
    /// holds [`WITHOUT_PARENT`]. Called again, it adds only what is missing.
    async fn check_foreign_keys(&self, plan: &TablePlan) -> Result<Vec<String>>;

    /// Tables whose foreign keys to `table` act by themselves when a row of it is deleted (`ON DELETE CASCADE`,
    /// `SET NULL`, `SET DEFAULT`), sorted; `table` itself if it refers to itself so. Empty where our connections
    /// keep foreign keys from acting.
    async fn cascading_children(&self, table: &TableRef) -> Result<Vec<TableRef>>;

    /// Forgets the fences of a finished run, so that they do not pile up. Receipts go with them.
    async fn forget_run(&self, install: InstallId, run: RunId) -> Result<()>;

    /// What Syncline's own tables remember of this installation; empty where they do not exist. Makes nothing.
    async fn history(&self, install: InstallId) -> Result<TargetHistory>;

    /// The fences of a run: chunks and the highest attempt that wrote each, by the text of the chunk's id, at most
    /// `limit` of them after chunk `after`. Empty where Syncline's own tables do not exist.
    async fn attempts(
        &self,
        install: InstallId,
        run: RunId,
        after: Option<ChunkId>,
        limit: u32,
    ) -> Result<Vec<(ChunkId, Attempt)>>;

    /// Raises the turn of every table that this installation holds here to `turn`; how many stood lower. From then on
    /// no run of a lower turn can write them, not even one whose worker wakes up late. Called again, it changes
    /// nothing. Tables of other installations stay theirs.
    async fn raise_turns(&self, install: InstallId, turn: Turn) -> Result<u64>;
}

/// One write transaction. A call that fails leaves the transaction as it was before the call, unless the error's
/// disposition is retry: then the whole transaction is lost.
#[async_trait]
pub trait ChunkWrite: Send {
    /// What an earlier attempt committed; if there is one, nothing is to be written.
    fn receipt(&self) -> Option<&Receipt>;

    /// Target rows at these keys, in plan order of columns, locked until the end.
    async fn existing(&mut self, keys: &[Key]) -> Result<RowBatch>;

    /// Inserts all rows or none.
    async fn insert(&mut self, rows: &[Row]) -> Result<()>;

    /// Overwrites columns of the rows at these keys, all or none: at least those at the places `changed`, at most all
    /// beside the key. The others hold what the rows say already, or are to. A row that is not there (any more) is an error
    /// of kind `Internal`, unless there is nothing beside the key to overwrite.
    async fn update(&mut self, rows: &[Row], changed: &[usize]) -> Result<()>;

    /// Deletes the rows at these keys; all or none. Returns how many there were.
    async fn delete(&mut self, keys: &[Key]) -> Result<u64>;

    /// Stores the receipt and commits. An error with disposition retry means the outcome is unknown: the next
    /// attempt finds the receipt or does not.
    async fn commit(self: Box<Self>, receipt: &Receipt) -> Result<()>;
}

/// Opens a connection pool to the database of `config`: the only match on the engine. Connects lazily; call
/// [`Source::server`] to find out whether it works.
///
/// # Errors
/// The configuration cannot be used (a missing file, an unreadable certificate).
pub fn open(config: &ConnectionConfig) -> Result<Arc<dyn Target>> {
    match config.spec.engine {
        Engine::Sqlite => Ok(Arc::new(sqlite::Sqlite::open(config)?)),
        Engine::Mysql => Ok(Arc::new(server::Database::<mysql::Mysql>::open(config)?)),
        Engine::Postgres => Ok(Arc::new(server::Database::<postgres::Postgres>::open(config)?)),
        Engine::Sqlserver => Ok(Arc::new(server::Database::<sqlserver::Sqlserver>::open(config)?)),
        Engine::Mongodb => Ok(Arc::new(mongodb::Mongodb::open(config)?)),
        Engine::Memory => {
            Ok(Arc::new(memory::Memory::named(config.spec.database.as_deref().unwrap_or_default())))
        }
    }
}
