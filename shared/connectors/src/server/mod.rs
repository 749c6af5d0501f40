//! What servers that speak SQL as text have in common: sessions, reading, the transactions of chunks, turns and fences,
//! foreign keys. An engine brings its [`Protocol`] and keeps what only it has in its own folder.

mod database;
pub(crate) mod driver;
pub(crate) mod foreign_keys;
mod gauge;
pub(crate) mod own;
pub(crate) mod pool;
pub(crate) mod read;
pub(crate) mod write;

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use model::convert::{ConvertError, refusal};
use model::limits::Gauge;
use model::{
    Activity, Column, Engine, ErrorKind, InstallId, Key, QuarantinedRow, Row, TablePlan, TableRef,
    TableSchema, Turn, Value,
};
use sqlx::Either;

pub(crate) use self::database::Database;
use self::pool::{Lease, Pool};
use crate::config::ConnectionConfig;
use crate::error::{Error, Result};
use crate::read_batches::Decoded;
use crate::sql::Dialect;
use crate::sql::write::written;
use crate::{Fence, ServerInfo};

/// A select list and how to decode what it gives.
#[derive(Debug, Clone)]
pub(crate) struct SelectList {
    pub(crate) text: String,
    /// Cells before the first column.
    pub(crate) lead: usize,
}

/// What statements give: rows, and after those of each statement how many it wrote.
pub(crate) type Parts<'a, R, E> = BoxStream<'a, std::result::Result<Either<u64, R>, E>>;

/// One engine's part of the work.
#[async_trait]
pub(crate) trait Protocol: Send + Sync + Sized + 'static {
    const ENGINE: Engine;
    const DIALECT: Dialect;

    type Connection: Send;
    type Row: Send + Sync;
    /// What the driver reports. Its text, which may hold values, ends in [`Self::failure`].
    type Failed: Send;
    /// What a session learned about its server when it was set up.
    type Server: Clone + Send + Sync;

    /// # Errors
    /// The configuration cannot be used.
    fn new(config: &ConnectionConfig) -> Result<Self>;

    async fn log_in(&self, config: &ConnectionConfig) -> std::result::Result<Self::Connection, Self::Failed>;

    /// Whether the session still answers.
    async fn ping(connection: &mut Self::Connection) -> bool;

    /// Sets the state that everything else relies on, and asserts that it came to be. Returns the server, and its name
    /// for the session, which is never 0.
    async fn set_up(
        connection: &mut Self::Connection,
        config: &ConnectionConfig,
        operation: &str,
    ) -> Result<(Self::Server, u64)>;

    /// Runs the statements of `sql`: rows, and after the rows of each statement how many it wrote (for an UPDATE, how
    /// many it found).
    fn run(connection: &mut Self::Connection, sql: String) -> Parts<'_, Self::Row, Self::Failed>;

    /// What stands behind a statement that writes, for a server that does not tell by itself how many rows it wrote.
    const COUNTED: &'static str = "";

    /// The text of a cell of the catalog; `None` for NULL.
    fn text(row: &Self::Row, at: usize) -> Option<Cow<'_, str>>;

    /// Where the column of this name stands in a row.
    fn place(row: &Self::Row, name: &str) -> Option<usize>;

    /// An error of a session in use.
    fn failure(failed: &Self::Failed, operation: &str) -> Error;

    /// An error before the session existed.
    fn login_failure(failed: &Self::Failed, operation: &str) -> Error;

    /// Ends session `id`.
    fn end_sql(id: u64) -> String;

    /// Selects a row while session `id` works on a statement.
    fn is_running_sql(id: u64) -> String;

    /// Bytes a statement should have.
    fn statement_bytes(server: &Self::Server) -> usize;

    /// Bytes after which the server takes no statement.
    fn statement_bytes_max(server: &Self::Server) -> usize;

    /// Rows that one INSERT may bring.
    const INSERT_ROWS_MAX: usize = usize::MAX;

    fn select_list(columns: &[Column], server: &Self::Server) -> SelectList;

    /// The value of `column` in the row's cell at this place.
    ///
    /// # Errors
    /// Why the row is set aside.
    fn value(row: &Self::Row, at: usize, column: &Column) -> std::result::Result<Value, ConvertError>;

    /// Whether the order of the column is the order of the values it prints, and each value finds itself.
    fn can_be_cut(column: &Column) -> bool;

    /// What the server says of itself, for `doctor`.
    async fn server(pool: &Arc<Pool<Self>>) -> Result<ServerInfo>;

    async fn tables(pool: &Arc<Pool<Self>>) -> Result<Vec<TableRef>>;

    /// As [`Source::activity`](crate::Source::activity).
    async fn activity(pool: &Arc<Pool<Self>>, watched: bool) -> Result<Activity>;

    async fn cascading_children(pool: &Arc<Pool<Self>>, table: &TableRef) -> Result<Vec<TableRef>>;

    /// The statement that reads a gauge, and the column that holds it; the first if it has no name.
    fn gauge_sql(gauge: &Gauge, server: &Self::Server) -> (String, Option<&'static str>);

    fn column_for(source: &Column) -> Column;

    /// As [`Target::admits`](crate::Target::admits). `server` is `None` before the first connection.
    fn admits(
        value: &Value,
        column: &Column,
        server: Option<&Self::Server>,
    ) -> std::result::Result<(), ConvertError>;

    async fn prepare(pool: &Arc<Pool<Self>>, plan: &TablePlan, install: InstallId, turn: Turn) -> Result<()>;

    async fn build_indexes(pool: &Arc<Pool<Self>>, plan: &TablePlan) -> Result<Vec<String>>;

    async fn describe(session: &mut Lease<Self>, table: &TableRef) -> Result<Option<TableSchema>>;

    /// The name under which the turn of a table is kept.
    fn turn_name(table: &TableRef, server: &Self::Server) -> String;

    /// Opens a transaction, raises the turn called `name` (a literal) unless another installation holds it, and selects
    /// install and turn, locked.
    fn raise_turn_sql(name: &str, install: InstallId, turn: Turn) -> String;

    /// Opens the transaction of a chunk: keeps the turn called `name` (a literal) as it is, raises the fence, and
    /// selects install and turn first, attempt and receipt last.
    fn begin_sql(plan: &TablePlan, fence: &Fence, name: &str) -> String;

    /// Commits the transaction of a chunk; the session is then as it was before [`Self::begin_sql`].
    fn commit_sql(_plan: &TablePlan) -> String {
        "COMMIT".to_owned()
    }

    /// What is sent behind a statement that writes, to be told in a row if the server bent a value.
    const WARNINGS: &'static str;

    /// The warning in a row that [`Self::WARNINGS`] brought.
    fn warning(_row: &Self::Row, operation: &str) -> Error {
        error::<Self>(ErrorKind::Conversion, operation)
    }

    /// Whether these rows are inserted by [`Self::load`] and not by INSERT.
    fn loads(_plan: &TablePlan, _rows: &[Row]) -> bool {
        false
    }

    /// Whether INSERT tells more of what [`Self::load`] refuses: then it is tried after it.
    const LOAD_IS_TERSE: bool = false;

    /// Where so many rows are put, to be updated from there as one set in the columns at these places; `None` where that is no
    /// gain, or not exact.
    fn stage(_plan: &TablePlan, _server: &Self::Server, _rows: usize, _changed: &[usize]) -> Option<Stage> {
        None
    }

    /// Inserts rows by a way of the engine's own, all or none; the caller has set a savepoint.
    fn load<'a>(
        _connection: &'a mut Self::Connection,
        _plan: &'a TablePlan,
        _rows: &'a [Row],
    ) -> BoxFuture<'a, std::result::Result<(), Self::Failed>> {
        std::future::ready(Ok(())).boxed()
    }
}

/// A table of the session's own, which ends with the transaction or the session.
pub(crate) struct Stage {
    pub(crate) table: TableRef,
    /// Places of its columns in the plan.
    pub(crate) places: Vec<usize>,
    /// Makes it, empty; also if it is there.
    pub(crate) open: String,
    /// Updates the target's rows from it, each by its key.
    pub(crate) update: String,
}

impl Stage {
    /// Places of the columns that a row is found by and of those that changed; `None` where the target computes one that it is
    /// found by, or there is nothing to set.
    pub(crate) fn places(plan: &TablePlan, changed: &[usize]) -> Option<Vec<usize>> {
        let mut places = written(plan);
        let is_found = plan.key.iter().all(|at| places.contains(at));
        places.retain(|at| plan.key.contains(at) || changed.contains(at));
        (is_found && places.len() > plan.key.len()).then_some(places)
    }
}

pub(crate) fn error<P: Protocol>(kind: ErrorKind, operation: &str) -> Error {
    Error::new(kind, P::ENGINE, operation)
}

/// A number in a catalog cell.
pub(crate) fn cell_number<P: Protocol>(row: &P::Row, at: usize) -> Option<u64> {
    P::text(row, at)?.parse().ok()
}

/// The row, or why it cannot be told. `key` are the places of the key columns in `columns`.
pub(crate) fn decode_row<P: Protocol>(
    row: &P::Row,
    list: &SelectList,
    columns: &[Column],
    key: &[usize],
) -> Decoded {
    let decoded = |at: usize| {
        // A decoder that panics costs its row, not the process.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| P::value(row, list.lead + at, &columns[at])))
            .unwrap_or_else(|_| Err(refusal(ErrorKind::Internal, "the decoder failed on the value")))
    };
    let mut cells: Row = Vec::with_capacity(columns.len());
    for (at, column) in columns.iter().enumerate() {
        match decoded(at) {
            Ok(value) => cells.push(value),
            Err(why) => {
                return Decoded::Undecodable(QuarantinedRow {
                    key: Key(key.iter().map(|i| decoded(*i).unwrap_or(Value::Null)).collect()),
                    column: Some(column.name.clone()),
                    kind: why.kind,
                    reason: why.reason,
                });
            }
        }
    }
    Decoded::Row(cells)
}
