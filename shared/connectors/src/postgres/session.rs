//! Connections: how they are opened, and the state each must have.

use model::ErrorKind;
use model::spec::Tls;
use secrecy::ExposeSecret as _;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};

use super::{Postgres, catalog};
use crate::config::{ConnectionConfig, Role};
use crate::error::{Error, Result};
use crate::server::{self, pool};

pub(super) type Pool = pool::Pool<Postgres>;
pub(super) type Lease = pool::Lease<Postgres>;

/// Bytes of one statement: as for MySQL, about 1,000 rows of common width.
pub(super) const STATEMENT_BYTES: usize = 1 << 20;
/// The server takes a message of just under 1 GiB.
pub(super) const STATEMENT_BYTES_MAX: usize = 1_000_000_000;
/// Longest wait for a lock; well under any lease.
const LOCK_WAIT_SECONDS: u64 = 10;
/// A session between two batches of a slow source is not idle for longer.
const IDLE_SECONDS_MIN: u64 = 6;

/// What a session learned about its server when it was set up.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Product and version.
    pub(super) version: String,
    /// The first schema of the search path that exists.
    pub(super) schema: Option<String>,
    /// Whether the account may make temporary tables.
    pub(super) may_stage: bool,
}

pub(super) fn error(kind: ErrorKind, operation: &str) -> Error {
    server::error::<Postgres>(kind, operation)
}

pub(super) fn options(config: &ConnectionConfig) -> Result<PgConnectOptions> {
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

/// Before 12, floats are not printed with all digits, and no column is generated.
const VERSION_MIN: u64 = 130_000;
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
pub(super) async fn set_up(
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
        // Notices, such as of a table that is there already, are not for the log.
        "SET client_min_messages = warning".to_owned(),
        format!("SET lock_timeout = '{lock_seconds}s'"),
        format!("SET idle_in_transaction_session_timeout = '{idle_seconds}s'"),
        // From version 14 on: a statement whose client is gone ends.
        "SELECT set_config(name, '2s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'"
            .to_owned(),
    ]);
    let settings: Vec<String> = STATE.iter().map(|(name, _)| format!("current_setting('{name}')")).collect();
    sql.push(format!(
        "SELECT current_setting('server_version'), current_schema(), pg_backend_pid(), \
         current_setting('server_version_num'), \
         has_database_privilege(current_database(), 'TEMPORARY')::text, {}",
        settings.join(", ")
    ));
    let mut set = pool::answers::<Postgres>(connection, sql.join("; "), config.deadline, operation).await?;
    let row = set.pop().and_then(|a| a.rows.into_iter().next());
    let row = row.ok_or_else(|| error(ErrorKind::Internal, operation).with_object("session state"))?;
    let text = |at| catalog::cell_text(&row, at);
    if catalog::cell_number(&row, 3).is_some_and(|number| number < VERSION_MIN) {
        return Err(error(ErrorKind::Unsupported, operation)
            .with_object(format!("PostgreSQL {}: 13 or newer is needed", text(0).unwrap_or_default())));
    }
    for (at, (name, wanted)) in STATE.iter().enumerate() {
        if text(at + 5) != Some(*wanted) {
            return Err(error(ErrorKind::Unsupported, operation)
                .with_object(format!("{name}, which the server does not let a session choose")));
        }
    }
    let number = text(0).and_then(|version| version.split(' ').next()).unwrap_or_default();
    let server = Server {
        version: format!("PostgreSQL {number}"),
        schema: text(1).map(ToOwned::to_owned),
        may_stage: text(4) == Some("true"),
    };
    Ok((server, catalog::cell_number(&row, 2).unwrap_or_default()))
}
