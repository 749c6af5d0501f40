//! MySQL and MariaDB as source or target: one protocol, told apart at connect where they differ.
//!
//! Everything goes as text: statements are put together in `sql` from typed values, rows come back as the bytes
//! the server printed and are decoded by our own codec.

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
use futures::StreamExt as _;
use futures::stream::BoxStream;
use model::convert::ConvertError;
use model::limits::Gauge;
use model::{Activity, Column, Engine, InstallId, TablePlan, TableRef, TableSchema, Turn, Value};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow, MySqlSslMode};
use sqlx::{ConnectOptions as _, Connection as _, Either};

use self::session::{Lease, Pool, Server};
use crate::config::ConnectionConfig;
use crate::error::{Error, Result};
use crate::server::driver::{self, Driven};
use crate::server::{Protocol, SelectList, Stage, cell_number};
use crate::sql::{Dialect, safe};
use crate::{Fence, ServerInfo};

/// A MySQL or MariaDB server: its part of what all servers of text SQL do.
pub(crate) struct Mysql {
    options: MySqlConnectOptions,
}

#[async_trait]
impl Protocol for Mysql {
    const ENGINE: Engine = Engine::Mysql;
    const DIALECT: Dialect = Dialect::Mysql;
    /// One row if the statement before it had a warning.
    const WARNINGS: &'static str = "; SHOW WARNINGS LIMIT 1";

    type Connection = MySqlConnection;
    type Row = MySqlRow;
    type Failed = sqlx::Error;
    type Server = Server;

    fn new(config: &ConnectionConfig) -> Result<Self> {
        Ok(Self { options: session::options(config)? })
    }

    /// `caching_sha2_password` wants a secure channel the first time it sees an account and remembers it from then
    /// on. Where plain text is allowed because nobody can listen, the account is introduced once over TLS.
    async fn log_in(&self, config: &ConnectionConfig) -> sqlx::Result<MySqlConnection> {
        let plain = self.options.connect().await;
        if !matches!(plain, Err(sqlx::Error::Configuration(_))) || !session::is_local(config) {
            return plain;
        }
        self.options.clone().ssl_mode(MySqlSslMode::Required).connect().await?.close().await?;
        self.options.connect().await
    }

    async fn ping(connection: &mut MySqlConnection) -> bool {
        connection.ping().await.is_ok()
    }

    async fn set_up(
        connection: &mut MySqlConnection,
        config: &ConnectionConfig,
        operation: &str,
    ) -> Result<(Server, u64)> {
        session::set_up(connection, config, operation).await
    }

    fn run(
        connection: &mut MySqlConnection,
        sql: String,
    ) -> BoxStream<'_, sqlx::Result<Either<u64, MySqlRow>>> {
        let parts = sqlx::raw_sql(safe(sql)).fetch_many(connection);
        parts.map(|part| Ok(part?.map_left(|done| done.rows_affected()))).boxed()
    }

    fn text(row: &MySqlRow, at: usize) -> Option<Cow<'_, str>> {
        driver::text::<Self>(row, at)
    }

    fn place(row: &MySqlRow, name: &str) -> Option<usize> {
        driver::place(row, name)
    }

    fn failure(failed: &sqlx::Error, operation: &str) -> Error {
        driver::failure::<Self>(failed, operation)
    }

    fn login_failure(failed: &sqlx::Error, operation: &str) -> Error {
        driver::login_failure::<Self>(failed, operation)
    }

    fn end_sql(id: u64) -> String {
        format!("KILL {id}")
    }

    fn is_running_sql(id: u64) -> String {
        format!("SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {id} AND COMMAND <> 'Sleep'")
    }

    fn statement_bytes(server: &Server) -> usize {
        session::STATEMENT_BYTES.min(server.packet_max / 2)
    }

    fn statement_bytes_max(server: &Server) -> usize {
        server.packet_max
    }

    fn select_list(columns: &[Column], _server: &Server) -> SelectList {
        codec::select_list(columns)
    }

    fn value(row: &MySqlRow, at: usize, column: &Column) -> std::result::Result<Value, ConvertError> {
        Self::cell(row, at).map_or(Ok(Value::Null), |bytes| codec::decode(bytes, &column.logical))
    }

    fn can_be_cut(column: &Column) -> bool {
        codec::can_be_cut(column)
    }

    fn gauge_sql(gauge: &Gauge, server: &Server) -> (String, Option<&'static str>) {
        match gauge {
            Gauge::Running => ("SHOW GLOBAL STATUS LIKE 'Threads_running'".to_owned(), Some("Value")),
            // A replica whose replication has stopped does not know how far it is behind.
            Gauge::Lag if server.mariadb => ("SHOW REPLICA STATUS".to_owned(), Some("Seconds_Behind_Master")),
            Gauge::Lag => ("SHOW REPLICA STATUS".to_owned(), Some("Seconds_Behind_Source")),
            // Never more than one statement, and none that writes: what is asked here is asked every second.
            Gauge::Query(query) => (format!("START TRANSACTION READ ONLY; {query}; COMMIT"), None),
        }
    }

    fn admits(
        value: &Value,
        column: &Column,
        server: Option<&Server>,
    ) -> std::result::Result<(), ConvertError> {
        limits::admits(value, column, server)
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
        let schema = table.schema.as_deref().or(server.database.as_deref()).unwrap_or_default();
        let name = format!("{schema}.{}", table.name);
        if server.folds_names { name.to_lowercase() } else { name }
    }

    fn begin_sql(plan: &TablePlan, fence: &Fence, name: &str) -> String {
        write::begin_sql(plan, fence, name)
    }

    fn warning(row: &MySqlRow, operation: &str) -> Error {
        let code = cell_number::<Self>(row, 1).and_then(|n| u16::try_from(n).ok()).unwrap_or_default();
        classify::of_code(code, &Self::text(row, 2).unwrap_or_default(), operation)
    }

    fn stage(plan: &TablePlan, _server: &Server, rows: usize, changed: &[usize]) -> Option<Stage> {
        stage::stage(plan, rows, changed)
    }
}

impl Driven for Mysql {
    const ACCOUNT_NEEDS: &'static str = "the account, whose caching_sha2_password needs `tls: verify`";

    fn cell(row: &MySqlRow, at: usize) -> Option<&[u8]> {
        codec::cell(row, at)
    }

    fn server_error(failed: &sqlx::Error, operation: &str) -> Option<Error> {
        classify::server_error(failed, operation)
    }
}
