//! SQL Server as source or target.
//!
//! Statements go as text, put together in `sql` from typed values; rows come back as the driver's typed cells and are
//! decoded by our own codec. What reads is a snapshot, or locks what it reads: see `session`.

mod activity;
mod bulk;
mod catalog;
mod classify;
mod codec;
mod ddl;
mod finish;
mod limits;
mod mapping;
mod moment;
mod server;
mod session;
mod write;

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use model::convert::ConvertError;
use model::limits::Gauge;
use model::{Activity, Column, Engine, InstallId, TablePlan, TableRef, TableSchema, Turn, Value};
use tiberius::Row;

use self::session::{Connection, Failed, Lease, Pool, Server};
use crate::config::ConnectionConfig;
use crate::error::{Error, Result};
use crate::server::{Parts, Protocol, SelectList};
use crate::sql::Dialect;
use crate::{Fence, ServerInfo};

/// A SQL Server: its part of what all servers of text SQL do.
pub(crate) struct Sqlserver {
    config: tiberius::Config,
}

#[async_trait]
impl Protocol for Sqlserver {
    const ENGINE: Engine = Engine::Sqlserver;
    const DIALECT: Dialect = Dialect::Sqlserver;
    /// A value that does not fit is an error here, always.
    const WARNINGS: &'static str = "";
    const COUNTED: &'static str = session::COUNTED;
    const INSERT_ROWS_MAX: usize = 1_000;
    const LOAD_IS_TERSE: bool = true;

    type Connection = Connection;
    type Row = Row;
    type Failed = Failed;
    type Server = Server;

    fn new(config: &ConnectionConfig) -> Result<Self> {
        Ok(Self { config: session::options(config)? })
    }

    async fn log_in(&self, _config: &ConnectionConfig) -> std::result::Result<Connection, Failed> {
        session::log_in(&self.config).await
    }

    async fn ping(connection: &mut Connection) -> bool {
        match connection.simple_query("SELECT 1").await {
            Ok(answer) => answer.into_results().await.is_ok(),
            Err(_) => false,
        }
    }

    async fn set_up(
        connection: &mut Connection,
        config: &ConnectionConfig,
        operation: &str,
    ) -> Result<(Server, u64)> {
        session::set_up(connection, config, operation).await
    }

    fn run(connection: &mut Connection, sql: String) -> Parts<'_, Row, Failed> {
        session::run(connection, sql)
    }

    fn text(row: &Row, at: usize) -> Option<Cow<'_, str>> {
        codec::text(row, at)
    }

    fn place(row: &Row, name: &str) -> Option<usize> {
        row.columns().iter().position(|column| column.name() == name)
    }

    fn failure(failed: &Failed, operation: &str) -> Error {
        classify::failure(failed, operation)
    }

    fn login_failure(failed: &Failed, operation: &str) -> Error {
        classify::login_failure(failed, operation)
    }

    fn end_sql(id: u64) -> String {
        format!("KILL {id}")
    }

    /// A user who may not see others' sessions cannot tell: then the statement is taken to run.
    fn is_running_sql(id: u64) -> String {
        format!(
            "SELECT 1 WHERE HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE') = 0 OR EXISTS \
             (SELECT 1 FROM sys.dm_exec_sessions AS s WHERE s.session_id = {id} AND s.status = 'running')"
        )
    }

    fn statement_bytes(_server: &Server) -> usize {
        session::STATEMENT_BYTES
    }

    fn statement_bytes_max(_server: &Server) -> usize {
        session::STATEMENT_BYTES_MAX
    }

    fn select_list(columns: &[Column], server: &Server) -> SelectList {
        codec::select_list(columns, server)
    }

    fn value(row: &Row, at: usize, column: &Column) -> std::result::Result<Value, ConvertError> {
        codec::value(row, at, column)
    }

    fn can_be_cut(column: &Column) -> bool {
        codec::can_be_cut(column)
    }

    fn gauge_sql(gauge: &Gauge, _server: &Server) -> (String, Option<&'static str>) {
        let sql = match gauge {
            Gauge::Running => {
                "SELECT COUNT(*) FROM sys.dm_exec_sessions AS s WHERE s.is_user_process = 1 AND s.status = 'running'"
                    .to_owned()
            }
            // Without an availability group nothing is behind.
            Gauge::Lag => "SELECT MAX(r.secondary_lag_seconds) FROM sys.dm_hadr_database_replica_states AS r \
                 WHERE r.database_id = DB_ID()"
                .to_owned(),
            // What it may have changed is taken back: what is asked here is asked every second.
            Gauge::Query(query) => format!("BEGIN TRANSACTION; {query}; ROLLBACK TRANSACTION"),
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
        let schema = table.schema.as_deref().unwrap_or(&server.schema);
        let name = format!("{schema}.{}", table.name);
        if server.folds_names { name.to_lowercase() } else { name }
    }

    fn begin_sql(plan: &TablePlan, fence: &Fence, name: &str) -> String {
        write::begin_sql(plan, fence, name)
    }

    fn loads(plan: &TablePlan, rows: &[model::Row]) -> bool {
        bulk::takes(plan, rows)
    }

    fn load<'a>(
        connection: &'a mut Connection,
        plan: &'a TablePlan,
        rows: &'a [model::Row],
    ) -> BoxFuture<'a, std::result::Result<(), Failed>> {
        bulk::load(connection, plan, rows).boxed()
    }

    fn commit_sql(plan: &TablePlan) -> String {
        write::commit_sql(plan)
    }
}
