//! What servers that speak SQL as text have in common: sessions, reading, the transactions of chunks, turns and fences,
//! foreign keys. An engine brings its [`Protocol`] and keeps what only it has in its own folder.

mod database;
pub(crate) mod foreign_keys;
mod gauge;
pub(crate) mod own;
pub(crate) mod pool;
pub(crate) mod read;
pub(crate) mod write;

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use model::convert::{ConvertError, refusal};
use model::limits::Gauge;
use model::{
    Column, Engine, ErrorKind, InstallId, Key, QuarantinedRow, Row, TablePlan, TableRef, TableSchema, Turn,
    Value,
};
use sqlx::{Connection, Either};

pub(crate) use self::database::Database;
use self::pool::{Lease, Pool};
use crate::config::ConnectionConfig;
use crate::error::{Error, Result};
use crate::read_batches::Decoded;
use crate::sql::Dialect;
use crate::{Fence, ServerInfo};

/// A select list and how to decode what it gives.
#[derive(Debug, Clone)]
pub(crate) struct SelectList {
    pub(crate) text: String,
    /// Cells before the first column.
    pub(crate) lead: usize,
}

/// One engine's part of the work.
#[async_trait]
pub(crate) trait Protocol: Send + Sync + Sized + 'static {
    const ENGINE: Engine;
    const DIALECT: Dialect;

    type Connection: Connection + Send;
    type Row: sqlx::Row + Send + Sync;
    /// What a session learned about its server when it was set up.
    type Server: Clone + Send + Sync;

    /// # Errors
    /// The configuration cannot be used.
    fn new(config: &ConnectionConfig) -> Result<Self>;

    async fn log_in(&self, config: &ConnectionConfig) -> sqlx::Result<Self::Connection>;

    /// Sets the state that everything else relies on, and asserts that it came to be. Returns the server, and its name
    /// for the session, which is never 0.
    async fn set_up(
        connection: &mut Self::Connection,
        config: &ConnectionConfig,
        operation: &str,
    ) -> Result<(Self::Server, u64)>;

    /// Runs the statements of `sql`: rows, and after the rows of each statement how many it wrote (for an UPDATE, how
    /// many it found).
    fn run(
        connection: &mut Self::Connection,
        sql: String,
    ) -> BoxStream<'_, sqlx::Result<Either<u64, Self::Row>>>;

    /// The bytes of a cell; `None` for NULL.
    fn cell(row: &Self::Row, at: usize) -> Option<&[u8]>;

    /// What the server itself said; `None` if it said nothing.
    fn server_error(failed: &sqlx::Error, operation: &str) -> Option<Error>;

    /// What an account may lack that the driver refuses to log in with.
    const ACCOUNT_NEEDS: &'static str;

    /// Ends session `id`.
    fn end_sql(id: u64) -> String;

    /// Selects a row while session `id` works on a statement.
    fn is_running_sql(id: u64) -> String;

    /// Bytes a statement should have.
    fn statement_bytes(server: &Self::Server) -> usize;

    /// Bytes after which the server takes no statement.
    fn statement_bytes_max(server: &Self::Server) -> usize;

    fn select_list(columns: &[Column]) -> SelectList;

    /// The value that the server printed as `bytes` for a column of this type.
    ///
    /// # Errors
    /// Why the row is set aside.
    fn decode(bytes: &[u8], column: &Column) -> std::result::Result<Value, ConvertError>;

    /// Whether the order of the column is the order of the values it prints, and each value finds itself.
    fn can_be_cut(column: &Column) -> bool;

    /// What the server says of itself, for `doctor`.
    async fn server(pool: &Arc<Pool<Self>>) -> Result<ServerInfo>;

    async fn tables(pool: &Arc<Pool<Self>>) -> Result<Vec<TableRef>>;

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

    /// What is sent behind a statement that writes, to be told in a row if the server bent a value.
    const WARNINGS: &'static str;

    /// The warning in a row that [`Self::WARNINGS`] brought.
    fn warning(_row: &Self::Row, operation: &str) -> Error {
        error::<Self>(ErrorKind::Conversion, operation)
    }

    /// Whether rows are inserted by [`Self::load`] and not by INSERT.
    const LOADS: bool = false;

    /// Inserts rows by a way of the engine's own, all or none; the caller has set a savepoint.
    fn load<'a>(
        _connection: &'a mut Self::Connection,
        _plan: &'a TablePlan,
        _rows: &'a [Row],
    ) -> BoxFuture<'a, sqlx::Result<()>> {
        std::future::ready(Err(sqlx::Error::Protocol("INSERT is the way".to_owned()))).boxed()
    }
}

/// An error of a session in use.
pub(crate) fn failure<P: Protocol>(failed: &sqlx::Error, operation: &str) -> Error {
    if let Some(said) = P::server_error(failed, operation) {
        return said;
    }
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the driver's list grows; what is new is our own bug first"
    )]
    let kind = match failed {
        // The driver takes a broken stream for a protocol error.
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            ErrorKind::ConnectionLost
        }
        sqlx::Error::Tls(_) => ErrorKind::Tls,
        _ => ErrorKind::Internal,
    };
    error::<P>(kind, operation)
}

/// An error before the session existed.
pub(crate) fn login_failure<P: Protocol>(failed: &sqlx::Error, operation: &str) -> Error {
    #[allow(clippy::wildcard_enum_match_arm, reason = "all else is as in a session in use")]
    let (kind, object) = match failed {
        // A handshake that fails inside rustls comes as invalid data.
        sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => {
            (ErrorKind::Tls, "the server's certificate")
        }
        sqlx::Error::Io(_) => return error::<P>(ErrorKind::Unreachable, operation),
        sqlx::Error::Tls(_) => (ErrorKind::Tls, "TLS as the server offers it"),
        sqlx::Error::Configuration(_) => (ErrorKind::Tls, P::ACCOUNT_NEEDS),
        sqlx::Error::Protocol(_) => (ErrorKind::Authentication, "the account's way to log in"),
        other => return failure::<P>(other, operation),
    };
    error::<P>(kind, operation).with_object(object)
}

pub(crate) fn error<P: Protocol>(kind: ErrorKind, operation: &str) -> Error {
    Error::new(kind, P::ENGINE, operation)
}

/// The text of a catalog cell; `None` for NULL.
pub(crate) fn cell_text<P: Protocol>(row: &P::Row, at: usize) -> Option<&str> {
    P::cell(row, at).and_then(|bytes| std::str::from_utf8(bytes).ok())
}

/// A number in a catalog cell.
pub(crate) fn cell_number<P: Protocol>(row: &P::Row, at: usize) -> Option<u64> {
    cell_text::<P>(row, at)?.parse().ok()
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
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match P::cell(row, list.lead + at) {
            Some(bytes) => P::decode(bytes, &columns[at]),
            None => Ok(Value::Null),
        }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::Mysql;
    use crate::postgres::Postgres;

    fn told_apart<P: Protocol>() {
        let io = |kind| sqlx::Error::Io(std::io::Error::from(kind));
        assert_eq!(failure::<P>(&io(std::io::ErrorKind::UnexpectedEof), "x").kind, ErrorKind::ConnectionLost);
        let logging_in = |kind| login_failure::<P>(&io(kind), "x").kind;
        assert_eq!(logging_in(std::io::ErrorKind::ConnectionRefused), ErrorKind::Unreachable);
        assert_eq!(logging_in(std::io::ErrorKind::InvalidData), ErrorKind::Tls);
    }

    #[test]
    fn what_ends_without_a_code_is_told_apart_by_when_it_ended() {
        told_apart::<Mysql>();
        told_apart::<Postgres>();
    }
}
