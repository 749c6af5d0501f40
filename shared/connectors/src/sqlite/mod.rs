//! SQLite: a file as source or target.
//!
//! SQLite types its values, not its columns, so a column's declared type decides what its values should mean and
//! the storage class what they are; where the two disagree, the row is quarantined. Types whose values NUMERIC
//! affinity would bend (long decimals, unsigned 64-bit integers, JSON) are declared with `TEXT` in their name.

mod catalog;
mod classify;
mod codec;
mod history;
mod read;
mod write;

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use model::convert::ConvertError;
use model::limits::Gauge;
use model::{
    Activity, Attempt, ChunkId, Column, Engine, ErrorKind, InstallId, Key, RowBatch, RunId, TablePlan,
    TableRef, TableSchema, TargetHistory, Turn, Value,
};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};

use crate::config::{ConnectionConfig, Role};
use crate::error::{Error, Result};
use crate::{ChunkWrite, Fence, ServerInfo, Slice, Source, Target};

/// How long a statement waits for another process to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// A SQLite database file.
pub(crate) struct Sqlite {
    pool: SqlitePool,
    path: String,
    deadline: Duration,
    batch_rows: usize,
    /// One writer at a time in this process, in the order they came: SQLite's own waiting is not fair.
    writer: Arc<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Sqlite {
    /// Opens the file lazily. A target that does not exist is made; a source is opened read-only.
    pub(crate) fn open(config: &ConnectionConfig) -> Result<Self> {
        let path = config.spec.path.clone().unwrap_or_default();
        let failed = |kind| Error::new(kind, Engine::Sqlite, format!("open {path}"));
        let exists = std::path::Path::new(&path).exists();
        let mut options = SqliteConnectOptions::from_str("sqlite::memory:")
            .map_err(|_| failed(ErrorKind::Internal))?
            .in_memory(false)
            .shared_cache(false)
            .filename(&path)
            .foreign_keys(false)
            .busy_timeout(BUSY_TIMEOUT);
        options = match config.role {
            Role::Source => options.read_only(true).create_if_missing(false),
            // Only a file we make gets write-ahead logging; an existing one keeps its journal mode.
            Role::Target if !exists => options.create_if_missing(true).journal_mode(SqliteJournalMode::Wal),
            Role::Target => options.create_if_missing(true),
        };
        let pool = SqlitePoolOptions::new()
            .max_connections(config.connections_max)
            .min_connections(config.spec.pool.min)
            .max_lifetime(config.age_max())
            .acquire_timeout(config.wait_max())
            // On a full disk SQLite ends a transaction by itself; the driver, whose rollback finds none, counts it as
            // open for ever, and begins no other. Whatever was to be rolled back is by the time of an answer.
            .after_release(|conn, _| {
                Box::pin(async move { Ok(conn.ping().await.is_ok() && !conn.is_in_transaction()) })
            })
            .connect_lazy_with(options);
        Ok(Self {
            pool,
            path,
            deadline: config.deadline,
            batch_rows: config.batch_rows(),
            writer: Arc::default(),
        })
    }

    /// Runs one operation under the deadline and brings its error into our words.
    async fn bounded<T>(
        &self,
        operation: impl Into<String>,
        work: impl Future<Output = sqlx::Result<T>> + Send,
    ) -> Result<T> {
        write::bounded(self.deadline, &operation.into(), work).await
    }
}

#[async_trait]
impl Source for Sqlite {
    fn engine(&self) -> Engine {
        Engine::Sqlite
    }

    async fn server(&self) -> Result<ServerInfo> {
        catalog::server(self).await
    }

    async fn tables(&self) -> Result<Vec<TableRef>> {
        catalog::tables(self).await
    }

    async fn describe(&self, table: &TableRef) -> Result<Option<TableSchema>> {
        catalog::describe(self, table).await
    }

    async fn next_boundary(
        &self,
        table: &TableSchema,
        key: &[String],
        from: Option<&Key>,
        rows: u64,
    ) -> Result<Option<Key>> {
        read::next_boundary(self, table, key, from, rows).await
    }

    async fn count(&self, table: &TableRef, at_most: u64) -> Result<u64> {
        read::count(self, table, at_most).await
    }

    async fn gauge(&self, gauge: &Gauge) -> Result<Option<u64>> {
        read::gauge(self, gauge).await
    }

    async fn activity(&self, watched: bool) -> Result<Activity> {
        read::activity(self, watched).await
    }

    async fn greatest(&self, table: &TableSchema, column: &str) -> Result<Option<Value>> {
        read::greatest(self, table, column).await
    }

    fn read<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<RowBatch>> {
        read::read(self, slice)
    }
}

#[async_trait]
impl Target for Sqlite {
    fn column_for(&self, source: &Column) -> Column {
        catalog::column_for(source)
    }

    fn admits(&self, value: &Value, column: &Column) -> std::result::Result<(), ConvertError> {
        codec::admits(value, column)
    }

    async fn prepare(&self, plan: &TablePlan, install: InstallId, turn: Turn) -> Result<()> {
        write::prepare(self, plan, install, turn).await
    }

    async fn begin(&self, plan: &Arc<TablePlan>, fence: &Fence) -> Result<Box<dyn ChunkWrite>> {
        Ok(Box::new(write::Write::begin(self, plan, fence).await?))
    }

    async fn build_indexes(&self, plan: &TablePlan) -> Result<Vec<String>> {
        write::build_indexes(self, plan).await
    }

    async fn check_foreign_keys(&self, plan: &TablePlan) -> Result<Vec<String>> {
        write::check_foreign_keys(self, plan).await
    }

    /// None: our connections open the file with `foreign_keys` off, so no foreign key acts by itself.
    async fn cascading_children(&self, _table: &TableRef) -> Result<Vec<TableRef>> {
        Ok(Vec::new())
    }

    async fn forget_run(&self, install: InstallId, run: RunId) -> Result<()> {
        write::forget_run(self, install, run).await
    }

    async fn history(&self, install: InstallId) -> Result<TargetHistory> {
        history::history(self, install).await
    }

    async fn attempts(
        &self,
        install: InstallId,
        run: RunId,
        after: Option<ChunkId>,
        limit: u32,
    ) -> Result<Vec<(ChunkId, Attempt)>> {
        history::attempts(self, (install, run), after, limit).await
    }

    async fn raise_turns(&self, install: InstallId, turn: Turn) -> Result<u64> {
        history::raise_turns(self, install, turn).await
    }
}
