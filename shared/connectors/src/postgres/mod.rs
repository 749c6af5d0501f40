//! PostgreSQL as source or target.
//!
//! Everything goes as text: statements are put together in `sql` from typed values, loads go by COPY, rows come back as
//! the text the server printed, which is exact for every type, and are decoded by our own codec.

mod activity;
mod catalog;
mod classify;
mod codec;
mod ddl;
mod finish;
mod limits;
mod mapping;
mod server;
mod session;
mod stage;
mod write;

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use model::convert::ConvertError;
use model::limits::Gauge;
use model::{Activity, Column, Engine, InstallId, Row, TablePlan, TableRef, TableSchema, Turn, Value};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{ConnectOptions as _, Connection as _, Either};

use self::session::{Lease, Pool, Server};
use crate::config::ConnectionConfig;
use crate::error::{Error, Result};
use crate::server::driver::{self, Driven};
use crate::server::{Protocol, SelectList, Stage};
use crate::sql::{Dialect, safe};
use crate::{Fence, ServerInfo};

/// A PostgreSQL server: its part of what all servers of text SQL do.
pub(crate) struct Postgres {
    options: PgConnectOptions,
}

#[async_trait]
impl Protocol for Postgres {
    const ENGINE: Engine = Engine::Postgres;
    const DIALECT: Dialect = Dialect::Postgres;
    /// A value that does not fit is an error here, always.
    const WARNINGS: &'static str = "";

    type Connection = PgConnection;
    type Row = PgRow;
    type Failed = sqlx::Error;
    type Server = Server;

    fn new(config: &ConnectionConfig) -> Result<Self> {
        Ok(Self { options: session::options(config)? })
    }

    async fn log_in(&self, _config: &ConnectionConfig) -> sqlx::Result<PgConnection> {
        self.options.connect().await
    }

    async fn ping(connection: &mut PgConnection) -> bool {
        connection.ping().await.is_ok()
    }

    async fn set_up(
        connection: &mut PgConnection,
        config: &ConnectionConfig,
        operation: &str,
    ) -> Result<(Server, u64)> {
        session::set_up(connection, config, operation).await
    }

    fn run(connection: &mut PgConnection, sql: String) -> BoxStream<'_, sqlx::Result<Either<u64, PgRow>>> {
        let parts = sqlx::raw_sql(safe(sql)).fetch_many(connection);
        parts.map(|part| Ok(part?.map_left(|done| done.rows_affected()))).boxed()
    }

    fn text(row: &PgRow, at: usize) -> Option<Cow<'_, str>> {
        driver::text::<Self>(row, at)
    }

    fn place(row: &PgRow, name: &str) -> Option<usize> {
        driver::place(row, name)
    }

    fn failure(failed: &sqlx::Error, operation: &str) -> Error {
        driver::failure::<Self>(failed, operation)
    }

    fn login_failure(failed: &sqlx::Error, operation: &str) -> Error {
        driver::login_failure::<Self>(failed, operation)
    }

    fn end_sql(id: u64) -> String {
        format!("SELECT pg_terminate_backend({id})")
    }

    fn is_running_sql(id: u64) -> String {
        format!("SELECT 1 FROM pg_stat_activity WHERE pid = {id} AND state <> 'idle'")
    }

    fn statement_bytes(_server: &Server) -> usize {
        session::STATEMENT_BYTES
    }

    fn statement_bytes_max(_server: &Server) -> usize {
        session::STATEMENT_BYTES_MAX
    }

    fn select_list(columns: &[Column], _server: &Server) -> SelectList {
        codec::select_list(columns)
    }

    fn value(row: &PgRow, at: usize, column: &Column) -> std::result::Result<Value, ConvertError> {
        Self::cell(row, at).map_or(Ok(Value::Null), |bytes| codec::decode(bytes, &column.logical))
    }

    fn can_be_cut(column: &Column) -> bool {
        codec::can_be_cut(column)
    }

    fn gauge_sql(gauge: &Gauge, _server: &Server) -> (String, Option<&'static str>) {
        let sql = match gauge {
            Gauge::Running => {
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend'"
                    .to_owned()
            }
            // Where all that was received is replayed, nothing is behind, however long ago the last transaction was.
            Gauge::Lag => "SELECT CASE WHEN NOT pg_is_in_recovery() THEN NULL \
                 WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 \
                 ELSE EXTRACT(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END"
                .to_owned(),
            // Never more than one statement, and none that writes: what is asked here is asked every second.
            Gauge::Query(query) => format!("BEGIN READ ONLY; {query}; COMMIT"),
        };
        (sql, None)
    }

    fn admits(
        value: &Value,
        column: &Column,
        _server: Option<&Server>,
    ) -> std::result::Result<(), ConvertError> {
        limits::admits(value, column)
    }

    async fn server(pool: &Arc<Pool>) -> Result<ServerInfo> {
        server::server(pool).await
    }

    async fn tables(pool: &Arc<Pool>) -> Result<Vec<TableRef>> {
        catalog::tables(pool).await
    }

    async fn cascading_children(pool: &Arc<Pool>, table: &TableRef) -> Result<Vec<TableRef>> {
        catalog::cascading_children(pool, table).await
    }

    async fn activity(pool: &Arc<Pool>, watched: bool) -> Result<Activity> {
        activity::activity(pool, watched).await
    }

    fn column_for(source: &Column) -> Column {
        mapping::column_for(source)
    }

    async fn prepare(pool: &Arc<Pool>, plan: &TablePlan, install: InstallId, turn: Turn) -> Result<()> {
        write::prepare(pool, plan, install, turn).await
    }

    async fn build_indexes(pool: &Arc<Pool>, plan: &TablePlan) -> Result<Vec<String>> {
        finish::build_indexes(pool, plan).await
    }

    fn raise_turn_sql(name: &str, install: InstallId, turn: Turn) -> String {
        write::raise_turn_sql(name, install, turn)
    }

    async fn describe(session: &mut Lease, table: &TableRef) -> Result<Option<TableSchema>> {
        catalog::describe(session, table).await
    }

    fn turn_name(table: &TableRef, server: &Server) -> String {
        let schema = table.schema.as_deref().or(server.schema.as_deref()).unwrap_or_default();
        format!("{schema}.{}", table.name)
    }

    fn begin_sql(plan: &TablePlan, fence: &Fence, name: &str) -> String {
        write::begin_sql(plan, fence, name)
    }

    fn loads(_plan: &TablePlan, _rows: &[Row]) -> bool {
        true
    }

    fn stage(plan: &TablePlan, server: &Server, rows: usize, changed: &[usize]) -> Option<Stage> {
        if server.may_stage { stage::stage(plan, rows, changed) } else { None }
    }

    fn load<'a>(
        connection: &'a mut PgConnection,
        plan: &'a TablePlan,
        rows: &'a [Row],
    ) -> BoxFuture<'a, sqlx::Result<()>> {
        write::copy_in(connection, plan, rows).boxed()
    }
}

impl Driven for Postgres {
    const ACCOUNT_NEEDS: &'static str = "what the driver expects of the account";

    fn cell(row: &PgRow, at: usize) -> Option<&[u8]> {
        codec::cell(row, at)
    }

    fn server_error(failed: &sqlx::Error, operation: &str) -> Option<Error> {
        classify::server_error(failed, operation)
    }
}
