//! Connections: how they are opened, and the state each must have.

use model::ErrorKind;
use model::spec::{Tls, is_loopback};
use secrecy::ExposeSecret as _;
use sqlx::ConnectOptions as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};

use super::Mysql;
use crate::config::{ConnectionConfig, Role};
use crate::error::{Error, Result};
use crate::server::{self, driver, pool};

pub(super) type Pool = pool::Pool<Mysql>;
pub(super) type Lease = pool::Lease<Mysql>;

pub(super) fn error(kind: ErrorKind, operation: &str) -> Error {
    server::error::<Mysql>(kind, operation)
}

/// Zero dates, days past the end of a month and zero keys are values; everything else is checked strictly.
const SQL_MODE: [&str; 4] =
    ["STRICT_ALL_TABLES", "NO_ENGINE_SUBSTITUTION", "NO_AUTO_VALUE_ON_ZERO", "ALLOW_INVALID_DATES"];
/// Bytes of one statement: about 1,000 rows of common width, which measured best.
pub(super) const STATEMENT_BYTES: usize = 1 << 20;
/// Longest wait for a row lock; well under any lease.
const LOCK_WAIT_SECONDS: u64 = 10;
/// Longest wait for a table's definition, held by somebody's ALTER TABLE.
const METADATA_LOCK_WAIT_SECONDS: u64 = 30;
/// How long the server waits for a reader that is itself held up by its target.
const SEND_WAIT_SECONDS: u64 = 600;
/// A session between two batches of a slow source is not idle for longer.
const IDLE_SECONDS_MIN: u64 = 6;

/// What a session learned about its server when it was set up.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(super) mariadb: bool,
    /// Product and version.
    pub(super) version: String,
    /// The connection's current database.
    pub(super) database: Option<String>,
    pub(super) packet_max: usize,
    /// Table names are compared without regard to letter case.
    pub(super) folds_names: bool,
}

pub(super) fn options(config: &ConnectionConfig) -> Result<MySqlConnectOptions> {
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
pub(super) fn is_local(config: &ConnectionConfig) -> bool {
    let host = config.spec.host.as_deref().unwrap_or("127.0.0.1");
    config.spec.tls == Tls::Off && is_loopback(host)
}

/// Sets the state that everything else relies on, and asserts that it came to be.
pub(super) async fn set_up(
    connection: &mut MySqlConnection,
    config: &ConnectionConfig,
    operation: &str,
) -> Result<(Server, u64)> {
    // The server should tell of a lock before the client gives up.
    let lock_seconds = LOCK_WAIT_SECONDS.min(config.deadline.as_secs().saturating_sub(1)).max(1);
    // A session whose client was cut off in the middle of a transaction lets go of its locks after so long, even if the
    // network never says that the client is gone.
    let kept = config.age_max().filter(|_| config.spec.pool.min > 0).map_or(0, |age| age.as_secs());
    let idle_seconds = (config.deadline.as_secs() * 2).max(IDLE_SECONDS_MIN).max(kept);
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
    let mut set = pool::answers::<Mysql>(connection, sql, config.deadline, operation).await?;
    let row = set.pop().and_then(|a| a.rows.into_iter().next());
    let row = row.ok_or_else(|| error(ErrorKind::Internal, operation).with_object("session state"))?;
    let text = |i| driver::cell_text::<Mysql>(&row, i).unwrap_or_default();
    assert_state(text(4), text(5), [text(6), text(7), text(8)], operation)?;
    let mariadb = text(0).contains("MariaDB");
    let number = text(0).split('-').next().unwrap_or_default();
    let server = Server {
        mariadb,
        version: format!("{} {number}", if mariadb { "MariaDB" } else { "MySQL" }),
        database: driver::cell_text::<Mysql>(&row, 9).map(ToOwned::to_owned),
        packet_max: text(1).parse().unwrap_or(1 << 20),
        folds_names: text(2) != "0",
    };
    if !mariadb {
        // MySQL caches row estimates for a day.
        let fresh = "SET SESSION information_schema_stats_expiry = 0".to_owned();
        pool::answers::<Mysql>(connection, fresh, config.deadline, operation).await?;
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
