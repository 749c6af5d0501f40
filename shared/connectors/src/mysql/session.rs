//! Connections: opening them, the state each must have, and the pool.
//!
//! The pool is our own because sqlx's answers a refused connection with a time-out after the whole deadline, hides
//! why a session could not be set up, logs the driver's text and keeps a connection that was left in the middle of
//! something. Here a session goes back to the pool only when its user says that it is clean; any other way out
//! closes it, and the server rolls back what was open.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use model::spec::Tls;
use model::{Engine, ErrorKind};
use secrecy::ExposeSecret as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow, MySqlSslMode};
use sqlx::{ConnectOptions as _, Connection as _, Either};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{classify, codec};
use crate::circuit::Admitted;
use crate::config::{ConnectionConfig, Role};
use crate::error::{Error, Result};
use crate::sql::safe;

/// Zero dates, days past the end of a month and zero keys are values; everything else is checked strictly.
const SQL_MODE: [&str; 4] =
    ["STRICT_ALL_TABLES", "NO_ENGINE_SUBSTITUTION", "NO_AUTO_VALUE_ON_ZERO", "ALLOW_INVALID_DATES"];
/// Bytes of one statement: about 1,000 rows of common width, which measured best.
const STATEMENT_BYTES: usize = 1 << 20;
/// Longest wait for a row lock; well under any lease.
const LOCK_WAIT_SECONDS: u64 = 10;
/// Longest wait for a table's definition, held by somebody's ALTER TABLE.
const METADATA_LOCK_WAIT_SECONDS: u64 = 30;
/// How long the server waits for a reader that is itself held up by its target.
const SEND_WAIT_SECONDS: u64 = 600;
/// A session between two batches of a slow source is not idle for longer.
const IDLE_SECONDS_MIN: u64 = 6;
/// Time for ending a statement that passed its deadline.
const END_WITHIN: Duration = Duration::from_secs(2);
/// A session idle for longer is asked whether it still lives before it is used.
const PING_AFTER: Duration = Duration::from_secs(1);
/// A session idle for longer is closed: the server's own idle limit may have come.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// What a session learned about its server when it was set up.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) mariadb: bool,
    /// Product and version.
    pub(super) version: String,
    /// The connection's current database.
    pub(super) database: Option<String>,
    pub(super) packet_max: usize,
    /// Table names are compared without regard to letter case.
    pub(super) folds_names: bool,
}

impl Server {
    /// Bytes a statement should have.
    pub(super) fn statement_bytes(&self) -> usize {
        STATEMENT_BYTES.min(self.packet_max / 2)
    }
}

/// Sessions of one connection spec.
pub(super) struct Pool {
    options: MySqlConnectOptions,
    pub(super) config: ConnectionConfig,
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    /// The server as the first session found it.
    server: OnceLock<Server>,
}

struct Idle {
    session: Session,
    since: Instant,
}

struct Session {
    connection: MySqlConnection,
    server: Server,
    /// The server's name for this connection.
    id: u64,
}

/// The driver's options print the password.
impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("address", &self.config.spec.address()).finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(config: &ConnectionConfig) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            options: options(config)?,
            config: config.clone(),
            free: Arc::new(Semaphore::new(config.connections_max.max(1) as usize)),
            idle: Mutex::default(),
            server: OnceLock::new(),
        }))
    }

    /// The server, if any session has met it yet.
    pub(super) fn known_server(&self) -> Option<&Server> {
        self.server.get()
    }

    pub(super) fn deadline(&self) -> Duration {
        self.config.deadline
    }

    /// A session of one's own: an idle one that answers, or a new one. While the endpoint's circuit is open there is none.
    pub(super) async fn lease(self: &Arc<Self>, operation: &str) -> Result<Lease> {
        let waiting = tokio::time::timeout(self.deadline(), self.free.clone().acquire_owned());
        let Ok(Ok(permit)) = waiting.await else {
            return Err(error(ErrorKind::Timeout, operation));
        };
        if self.config.circuit.admit(Instant::now(), operation)? == Admitted::ToProbe {
            // What was idle while the endpoint was away proves nothing.
            self.forget_idle();
        }
        while let Some(Idle { mut session, since }) = self.pop_idle() {
            let age = since.elapsed();
            if age > IDLE_MAX {
                continue;
            }
            let lives = age < PING_AFTER
                || matches!(tokio::time::timeout(PING_AFTER, session.connection.ping()).await, Ok(Ok(())));
            if lives {
                return Ok(Lease { session: Some(session), pool: self.clone(), permit: Some(permit) });
            }
        }
        let session = self.connect(operation).await?;
        Ok(Lease { session: Some(session), pool: self.clone(), permit: Some(permit) })
    }

    fn pop_idle(&self) -> Option<Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Closes what is idle: the next session looks the endpoint up anew.
    fn forget_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Tells the circuit of a statement that failed; a server that has become read-only is left, to find the new primary.
    pub(super) fn note_failure(&self, failed: &Error) {
        self.config.circuit.note_failure(failed.kind, Instant::now());
        if failed.kind == ErrorKind::ReadOnly {
            self.config.circuit.refused_write(Instant::now());
            self.forget_idle();
        }
    }

    async fn connect(&self, operation: &str) -> Result<Session> {
        let connected = self.connect_once(operation).await;
        self.config.circuit.note(connected.as_ref().err().map(|failed| failed.kind), Instant::now());
        connected
    }

    async fn connect_once(&self, operation: &str) -> Result<Session> {
        let connecting = tokio::time::timeout(self.deadline(), self.log_in()).await;
        let mut connection = match connecting {
            Ok(Ok(connection)) => connection,
            Ok(Err(failed)) => return Err(classify::connecting(&failed, operation)),
            Err(_) => return Err(error(ErrorKind::Unreachable, operation)),
        };
        let (server, id) = set_up(&mut connection, &self.config, operation).await?;
        let _ = self.server.set(server.clone());
        Ok(Session { connection, server, id })
    }

    /// `caching_sha2_password` wants a secure channel the first time it sees an account and remembers it from then
    /// on. Where plain text is allowed because nobody can listen, the account is introduced once over TLS.
    async fn log_in(&self) -> sqlx::Result<MySqlConnection> {
        let plain = self.options.connect().await;
        if !matches!(plain, Err(sqlx::Error::Configuration(_))) || !is_local(&self.config) {
            return plain;
        }
        self.options.clone().ssl_mode(MySqlSslMode::Required).connect().await?.close().await?;
        self.options.connect().await
    }

    /// Ends session `id` at the server, so that a statement nobody waits for lets go of its locks. If that fails,
    /// the server's own limits end it.
    pub(super) async fn end(&self, id: u64, operation: &str) {
        let ending = async {
            let mut session = self.connect(operation).await?;
            answers(&mut session.connection, format!("KILL {id}"), END_WITHIN, operation).await
        };
        if !matches!(tokio::time::timeout(END_WITHIN, ending).await, Ok(Ok(_))) {
            tracing::warn!(operation, "a statement past its deadline could not be ended at the server");
        }
    }

    /// Whether the server still works on the statement of session `id`; asked from another session, outside the
    /// pool's limit.
    async fn is_running(&self, id: u64, operation: &str) -> Result<bool> {
        let mut session = self.connect(operation).await?;
        let sql =
            format!("SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {id} AND COMMAND <> 'Sleep'");
        let answers = answers(&mut session.connection, sql, self.deadline(), operation).await?;
        Ok(answers.first().is_some_and(|a| !a.rows.is_empty()))
    }
}

/// A session in use. Dropped without [`Lease::release`] it is closed.
pub(super) struct Lease {
    session: Option<Session>,
    pool: Arc<Pool>,
    permit: Option<OwnedSemaphorePermit>,
}

/// What one statement came to.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<MySqlRow>,
    /// Rows written; for an UPDATE, rows found.
    pub(super) affected: u64,
}

const TAKEN: &str = "a session leaves its lease only when the lease ends";

impl Lease {
    pub(super) fn server(&self) -> &Server {
        &self.session.as_ref().expect(TAKEN).server
    }

    /// Gives the session back for the next user. To be called only when no transaction is open, nothing is left to
    /// read and the session's state is as it was.
    pub(super) fn release(mut self) {
        if let Some(session) = self.session.take() {
            let idle = Idle { session, since: Instant::now() };
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
        }
        drop(self.permit.take());
    }

    /// The server's name for this session.
    pub(super) fn id(&self) -> u64 {
        self.session.as_ref().expect(TAKEN).id
    }

    /// Runs the statements of `sql` and collects what each came to.
    pub(super) async fn run(&mut self, operation: &str, sql: String) -> Result<Vec<Answer>> {
        let deadline = self.pool.deadline();
        let done = answers(self, sql, deadline, operation).await;
        if let Err(failed) = &done {
            self.pool.note_failure(failed);
        }
        if done.as_ref().is_err_and(|e| e.kind == ErrorKind::Timeout) {
            self.pool.end(self.id(), operation).await;
        }
        done
    }

    /// Rows of a single statement.
    pub(super) async fn rows(&mut self, operation: &str, sql: String) -> Result<Vec<MySqlRow>> {
        Ok(self.run(operation, sql).await?.into_iter().next().unwrap_or_default().rows)
    }

    /// Runs something that may rightly take longer than the deadline (building an index, counting): at each
    /// deadline the server is asked whether it is still at it.
    pub(super) async fn run_long(&mut self, operation: &str, sql: String) -> Result<Vec<Answer>> {
        let (pool, id) = (self.pool.clone(), self.id());
        let mut work = std::pin::pin!(collect(self, sql));
        loop {
            match tokio::time::timeout(pool.deadline(), &mut work).await {
                Ok(done) => {
                    let done = done.map_err(|e| classify::error(&e, operation));
                    return done.inspect_err(|failed| pool.note_failure(failed));
                }
                Err(_) if pool.is_running(id, operation).await? => {}
                Err(_) => return Err(error(ErrorKind::Timeout, operation)),
            }
        }
    }
}

impl Deref for Lease {
    type Target = MySqlConnection;

    fn deref(&self) -> &MySqlConnection {
        &self.session.as_ref().expect(TAKEN).connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut MySqlConnection {
        &mut self.session.as_mut().expect(TAKEN).connection
    }
}

pub(super) fn error(kind: ErrorKind, operation: &str) -> Error {
    Error::new(kind, Engine::Mysql, operation)
}

async fn answers(
    connection: &mut MySqlConnection,
    sql: String,
    deadline: Duration,
    operation: &str,
) -> Result<Vec<Answer>> {
    match tokio::time::timeout(deadline, collect(connection, sql)).await {
        Ok(done) => done.map_err(|e| classify::error(&e, operation)),
        Err(_) => Err(error(ErrorKind::Timeout, operation)),
    }
}

async fn collect(connection: &mut MySqlConnection, sql: String) -> sqlx::Result<Vec<Answer>> {
    let mut parts = sqlx::raw_sql(safe(sql)).fetch_many(connection);
    let (mut answers, mut current) = (Vec::new(), Answer::default());
    while let Some(part) = parts.try_next().await? {
        match part {
            Either::Right(row) => current.rows.push(row),
            Either::Left(done) => {
                current.affected = done.rows_affected();
                answers.push(std::mem::take(&mut current));
            }
        }
    }
    Ok(answers)
}

fn options(config: &ConnectionConfig) -> Result<MySqlConnectOptions> {
    let spec = &config.spec;
    let host = spec.host.as_deref().unwrap_or("127.0.0.1");
    let mut options = MySqlConnectOptions::new()
        .host(host)
        .port(spec.port.unwrap_or(3306))
        .charset("utf8mb4")
        .timezone(Some("+00:00".to_owned()))
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .statement_cache_capacity(0)
        // The driver logs the text of slow statements, and ours hold rows.
        .disable_statement_logging()
        .ssl_mode(match spec.tls {
            Tls::Verify => MySqlSslMode::VerifyIdentity,
            Tls::Insecure => MySqlSslMode::Required,
            Tls::Off => MySqlSslMode::Disabled,
        });
    if host.starts_with('/') {
        options = options.socket(host).host("localhost");
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
        options = options.ssl_ca_from_pem(pem);
    }
    Ok(options)
}

/// Whether nobody else can listen to what is sent.
fn is_local(config: &ConnectionConfig) -> bool {
    let host = config.spec.host.as_deref().unwrap_or("127.0.0.1");
    config.spec.tls == Tls::Off
        && (host.starts_with('/')
            || host.eq_ignore_ascii_case("localhost")
            || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()))
}

/// Sets the state that everything else relies on, and asserts that it came to be.
async fn set_up(
    connection: &mut MySqlConnection,
    config: &ConnectionConfig,
    operation: &str,
) -> Result<(Server, u64)> {
    // The server should tell of a lock before the client gives up.
    let lock_seconds = LOCK_WAIT_SECONDS.min(config.deadline.as_secs().saturating_sub(1)).max(1);
    // A session whose client was cut off in the middle of a transaction lets go of its locks after so long, even if the
    // network never says that the client is gone.
    let idle_seconds = (config.deadline.as_secs() * 2).max(IDLE_SECONDS_MIN);
    let receive_seconds = config.deadline.as_secs().max(1);
    let access = match config.role {
        Role::Source => {
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET SESSION TRANSACTION READ ONLY"
        }
        Role::Target => {
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET SESSION TRANSACTION READ WRITE"
        }
    };
    let sql = format!(
        "SET SESSION sql_mode = '{}', autocommit = 1, sql_select_limit = 18446744073709551615, sql_auto_is_null = 0, \
         foreign_key_checks = 1, unique_checks = 1, sql_safe_updates = 0, sql_notes = 1, \
         innodb_lock_wait_timeout = {lock_seconds}, lock_wait_timeout = {METADATA_LOCK_WAIT_SECONDS}, \
         wait_timeout = {idle_seconds}, net_read_timeout = {receive_seconds}, net_write_timeout = {SEND_WAIT_SECONDS}; {access}; \
         SELECT @@version, @@max_allowed_packet, @@lower_case_table_names, CONNECTION_ID(), @@sql_mode, @@time_zone, \
         @@character_set_client, @@character_set_connection, @@character_set_results, DATABASE()",
        SQL_MODE.join(",")
    );
    let mut set = answers(connection, sql, config.deadline, operation).await?;
    let row = set.pop().and_then(|a| a.rows.into_iter().next());
    let row = row.ok_or_else(|| error(ErrorKind::Internal, operation).with_object("session state"))?;
    let text = |i| codec::cell_text(&row, i).unwrap_or_default();
    assert_state(text(4), text(5), [text(6), text(7), text(8)], operation)?;
    let mariadb = text(0).contains("MariaDB");
    let number = text(0).split('-').next().unwrap_or_default();
    let server = Server {
        mariadb,
        version: format!("{} {number}", if mariadb { "MariaDB" } else { "MySQL" }),
        database: codec::cell_text(&row, 9).map(ToOwned::to_owned),
        packet_max: text(1).parse().unwrap_or(1 << 20),
        folds_names: text(2) != "0",
    };
    if !mariadb {
        // MySQL caches row estimates for a day.
        let fresh = "SET SESSION information_schema_stats_expiry = 0".to_owned();
        answers(connection, fresh, config.deadline, operation).await?;
    }
    Ok((server, text(3).parse().unwrap_or_default()))
}

fn assert_state(sql_mode: &str, time_zone: &str, charsets: [&str; 3], operation: &str) -> Result<()> {
    let modes: Vec<&str> = sql_mode.split(',').collect();
    let same_modes = modes.len() == SQL_MODE.len() && SQL_MODE.iter().all(|mode| modes.contains(mode));
    let wrong = [
        ("sql_mode", same_modes),
        ("time_zone", time_zone == "+00:00"),
        ("character set", charsets.iter().all(|c| *c == "utf8mb4")),
    ];
    match wrong.into_iter().find(|(_, right)| !right) {
        Some((setting, _)) => Err(error(ErrorKind::Unsupported, operation)
            .with_object(format!("{setting}, which the server does not let a session choose"))),
        None => Ok(()),
    }
}
