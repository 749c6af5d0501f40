//! Connections: opening them, the state each must have, and what the shared parts ask of this protocol.

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use model::convert::ConvertError;
use model::spec::Tls;
use model::{Column, Engine, ErrorKind, Row, TablePlan, TableRef, TableSchema, Value};
use secrecy::ExposeSecret as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{ConnectOptions as _, Either};

use super::{catalog, classify, codec, write};
use crate::Fence;
use crate::config::{ConnectionConfig, Role};
use crate::error::{Error, Result};
use crate::server::{self, Protocol, SelectList, pool};
use crate::sql::{Dialect, safe};

pub(super) type Pool = pool::Pool<PostgresProtocol>;
pub(super) type Lease = pool::Lease<PostgresProtocol>;

/// Bytes of one statement: as for MySQL, about 1,000 rows of common width.
const STATEMENT_BYTES: usize = 1 << 20;
/// The server takes a message of just under 1 GiB.
const STATEMENT_BYTES_MAX: usize = 1_000_000_000;
/// Longest wait for a lock; well under any lease.
const LOCK_WAIT_SECONDS: u64 = 10;
/// A session between two batches of a slow source is not idle for longer.
const IDLE_SECONDS_MIN: u64 = 6;

/// PostgreSQL's part of the work that all servers have in common.
pub(crate) struct PostgresProtocol {
    options: PgConnectOptions,
}

/// What a session learned about its server when it was set up.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Product and version.
    pub(super) version: String,
    /// The first schema of the search path that exists.
    pub(super) schema: Option<String>,
}

pub(super) fn error(kind: ErrorKind, operation: &str) -> Error {
    server::error::<PostgresProtocol>(kind, operation)
}

#[async_trait]
impl Protocol for PostgresProtocol {
    const ENGINE: Engine = Engine::Postgres;
    const DIALECT: Dialect = Dialect::Postgres;
    /// A value that does not fit is an error here, always.
    const WARNINGS: &'static str = "";
    const LOADS: bool = true;

    type Connection = PgConnection;
    type Row = PgRow;
    type Server = Server;

    fn new(config: &ConnectionConfig) -> Result<Self> {
        Ok(Self { options: options(config)? })
    }

    async fn log_in(&self, _config: &ConnectionConfig) -> sqlx::Result<PgConnection> {
        self.options.connect().await
    }

    async fn set_up(
        connection: &mut PgConnection,
        config: &ConnectionConfig,
        operation: &str,
    ) -> Result<(Server, u64)> {
        set_up(connection, config, operation).await
    }

    fn run(connection: &mut PgConnection, sql: String) -> BoxStream<'_, sqlx::Result<Either<u64, PgRow>>> {
        let parts = sqlx::raw_sql(safe(sql)).fetch_many(connection);
        parts.map(|part| Ok(part?.map_left(|done| done.rows_affected()))).boxed()
    }

    fn cell(row: &PgRow, at: usize) -> Option<&[u8]> {
        codec::cell(row, at)
    }

    fn error(failed: &sqlx::Error, operation: &str) -> Error {
        classify::error(failed, operation)
    }

    fn connecting(failed: &sqlx::Error, operation: &str) -> Error {
        classify::connecting(failed, operation)
    }

    fn end_sql(id: u64) -> String {
        format!("SELECT pg_terminate_backend({id})")
    }

    fn is_running_sql(id: u64) -> String {
        format!("SELECT 1 FROM pg_stat_activity WHERE pid = {id} AND state <> 'idle'")
    }

    fn statement_bytes(_server: &Server) -> usize {
        STATEMENT_BYTES
    }

    fn statement_bytes_max(_server: &Server) -> usize {
        STATEMENT_BYTES_MAX
    }

    fn select_list(columns: &[Column]) -> SelectList {
        codec::select_list(columns)
    }

    fn decode(bytes: &[u8], column: &Column) -> std::result::Result<Value, ConvertError> {
        codec::decode(bytes, &column.logical)
    }

    fn can_be_cut(column: &Column) -> bool {
        codec::can_be_cut(column)
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

    fn load<'a>(
        connection: &'a mut PgConnection,
        plan: &'a TablePlan,
        rows: &'a [Row],
    ) -> BoxFuture<'a, sqlx::Result<()>> {
        write::copy_in(connection, plan, rows).boxed()
    }
}

fn options(config: &ConnectionConfig) -> Result<PgConnectOptions> {
    let spec = &config.spec;
    let host = spec.host.as_deref().unwrap_or("127.0.0.1");
    // Without the file of passwords: what is used stands in the spec.
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(host)
        .port(spec.port.unwrap_or(5432))
        .application_name("syncline")
        .statement_cache_capacity(0)
        // The driver logs the text of slow statements, and ours hold rows.
        .disable_statement_logging()
        .ssl_mode(match spec.tls {
            Tls::Verify => PgSslMode::VerifyFull,
            Tls::Insecure => PgSslMode::Require,
            Tls::Off => PgSslMode::Disable,
        });
    if host.starts_with('/') {
        // Nobody can listen, and the server offers no TLS there.
        options = options.socket(host).ssl_mode(PgSslMode::Disable);
    }
    if let Some(user) = &spec.user {
        options = options.username(user);
    }
    if let Some(password) = &config.password {
        options = options.password(password.expose_secret());
    }
    if let Some(database) = &spec.database {
        options = options.database(database);
    }
    if let Some(ca) = &spec.tls_ca {
        let pem = std::fs::read(ca)
            .map_err(|_| error(ErrorKind::Tls, "read the certificate authorities").with_object(ca.clone()))?;
        options = options.ssl_root_cert_from_pem(pem);
    }
    Ok(options)
}

/// What text means, in both directions; asserted, since a pooler between us and the server may swallow it.
const STATE: [(&str, &str); 8] = [
    ("client_encoding", "UTF8"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("extra_float_digits", "1"),
    ("lc_monetary", "C"),
];

/// Sets the state that everything else relies on, and asserts that it came to be.
async fn set_up(
    connection: &mut PgConnection,
    config: &ConnectionConfig,
    operation: &str,
) -> Result<(Server, u64)> {
    // A session whose client was cut off in the middle of a transaction lets go of its locks after so long.
    let idle_seconds = (config.deadline.as_secs() * 2).max(IDLE_SECONDS_MIN);
    // The server should tell of a lock before the client gives up.
    let lock_seconds = LOCK_WAIT_SECONDS.min(config.deadline.as_secs().saturating_sub(1)).max(1);
    let read_only = if config.role == Role::Source { "on" } else { "off" };
    let mut sql: Vec<String> = STATE.iter().map(|(name, value)| format!("SET {name} = '{value}'")).collect();
    sql.extend([
        // Rows that a policy hides would be missing without a word: the server is to refuse instead.
        "SET row_security = off".to_owned(),
        "SET default_transaction_isolation = 'read committed'".to_owned(),
        format!("SET default_transaction_read_only = {read_only}"),
        "SET statement_timeout = 0".to_owned(),
        format!("SET lock_timeout = '{lock_seconds}s'"),
        format!("SET idle_in_transaction_session_timeout = '{idle_seconds}s'"),
        // From version 14 on: a statement whose client is gone ends.
        "SELECT set_config(name, '2s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'"
            .to_owned(),
    ]);
    let settings: Vec<String> = STATE.iter().map(|(name, _)| format!("current_setting('{name}')")).collect();
    sql.push(format!(
        "SELECT current_setting('server_version'), current_schema(), pg_backend_pid(), {}",
        settings.join(", ")
    ));
    let mut set =
        pool::answers::<PostgresProtocol>(connection, sql.join("; "), config.deadline, operation).await?;
    let row = set.pop().and_then(|a| a.rows.into_iter().next());
    let row = row.ok_or_else(|| error(ErrorKind::Internal, operation).with_object("session state"))?;
    let text = |at| catalog::cell_text(&row, at);
    for (at, (name, wanted)) in STATE.iter().enumerate() {
        if text(at + 3) != Some(*wanted) {
            return Err(error(ErrorKind::Unsupported, operation)
                .with_object(format!("{name}, which the server does not let a session choose")));
        }
    }
    let number = text(0).and_then(|version| version.split(' ').next()).unwrap_or_default();
    let server = Server { version: format!("PostgreSQL {number}"), schema: text(1).map(ToOwned::to_owned) };
    Ok((server, catalog::cell_number(&row, 2).unwrap_or_default()))
}
