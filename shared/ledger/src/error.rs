//! What can go wrong with the ledger, and which database codes mean it.

use std::time::Duration;

use model::ErrorKind;
use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::PgDatabaseError;

/// A ledger operation failed. `Display` names the operation and the kind, never what the database said: that is
/// the `source`.
#[derive(Debug, thiserror::Error)]
#[error("the ledger could not {operation} ({kind})")]
pub struct Error {
    /// What was being done, to follow "could not".
    pub operation: &'static str,
    pub kind: ErrorKind,
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl Error {
    /// Whether the ledger's database does not answer, or takes no writes, for reasons that may pass by themselves or
    /// by a person's hand: whoever has something to record holds it until then.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::ConnectionLost
                | ErrorKind::Unreachable
                | ErrorKind::Timeout
                | ErrorKind::Deadlock
                | ErrorKind::LockWait
                | ErrorKind::TooManyConnections
                | ErrorKind::DiskFull
                | ErrorKind::ReadOnly
        )
    }
}

pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation failed, before the operation is named.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error(transparent)]
    Driver(#[from] sqlx::Error),
    #[error("no answer from the ledger's database within {0:?}")]
    Deadline(Duration),
    #[error("the ledger has version {found}, this program knows versions up to {known}: use a newer program")]
    Newer { found: i64, known: i64 },
    #[error("column `{column}` of the ledger holds what this version cannot read")]
    Unreadable { column: &'static str },
    #[error("a {what} does not fit the ledger")]
    Unstorable { what: &'static str },
    #[error("the ledger's address {0}")]
    Address(&'static str),
    #[error("the ledger's file cannot be made")]
    File(#[source] std::io::Error),
    #[error("more than one run has an id that starts with this text: give more of it")]
    Ambiguous,
    #[error("the audit log is kept with a key that this process has not: set SYNCLINE_AUDIT_KEY")]
    AuditKey,
}

impl Cause {
    pub(crate) fn during(self, operation: &'static str) -> Error {
        Error { operation, kind: self.kind(), source: Box::new(self) }
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Driver(error) => classify(error),
            Self::Deadline(_) => ErrorKind::Timeout,
            Self::Newer { .. } | Self::Address(_) | Self::Ambiguous => ErrorKind::Unsupported,
            Self::Unreadable { .. } | Self::Unstorable { .. } => ErrorKind::Internal,
            Self::AuditKey => ErrorKind::Permission,
            Self::File(error) => of_file(error.kind()),
        }
    }
}

/// The kind of a driver's error; the only place that reads driver codes.
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "sqlx::Error is non-exhaustive; most of it is our own mistake"
)]
fn classify(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => ErrorKind::ConnectionLost,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => ErrorKind::Unreachable,
        sqlx::Error::Tls(_) => ErrorKind::Tls,
        sqlx::Error::Configuration(_) => ErrorKind::Unsupported,
        sqlx::Error::Database(database) => of_database(&**database),
        _ => ErrorKind::Internal,
    }
}

fn of_database(error: &dyn DatabaseError) -> ErrorKind {
    if let Some(mysql) = error.try_downcast_ref::<MySqlDatabaseError>() {
        return of_mysql(mysql.number());
    }
    if let Some(postgres) = error.try_downcast_ref::<PgDatabaseError>() {
        return of_postgres(postgres.code());
    }
    of_sqlite(error.code().and_then(|code| code.parse().ok()).unwrap_or(0))
}

const fn of_mysql(number: u16) -> ErrorKind {
    match number {
        1213 => ErrorKind::Deadlock,
        1205 => ErrorKind::LockWait,
        1040 | 1203 | 1226 => ErrorKind::TooManyConnections,
        1044 | 1142 | 1143 | 1227 | 1370 => ErrorKind::Permission,
        1045 | 1251 | 1698 => ErrorKind::Authentication,
        1049 => ErrorKind::UnknownDatabase,
        1146 => ErrorKind::UnknownTable,
        1054 => ErrorKind::UnknownColumn,
        1062 | 1586 => ErrorKind::DuplicateKey,
        1153 => ErrorKind::TooLarge,
        1406 => ErrorKind::TooLong,
        1021 | 1114 => ErrorKind::DiskFull,
        1290 | 1792 | 1836 => ErrorKind::ReadOnly,
        1053 | 1079 | 1158 | 1159 | 1160 | 1161 | 1927 => ErrorKind::ConnectionLost,
        1317 | 1969 | 3024 => ErrorKind::Timeout,
        _ => ErrorKind::Internal,
    }
}

/// By SQLSTATE.
fn of_postgres(state: &str) -> ErrorKind {
    match state {
        "40001" | "40P01" => ErrorKind::Deadlock,
        "55P03" => ErrorKind::LockWait,
        "53300" => ErrorKind::TooManyConnections,
        "42501" => ErrorKind::Permission,
        "28000" | "28P01" => ErrorKind::Authentication,
        "3D000" => ErrorKind::UnknownDatabase,
        "42P01" => ErrorKind::UnknownTable,
        "42703" => ErrorKind::UnknownColumn,
        "23505" => ErrorKind::DuplicateKey,
        "54000" => ErrorKind::TooLarge,
        "22001" => ErrorKind::TooLong,
        "53100" => ErrorKind::DiskFull,
        "25006" => ErrorKind::ReadOnly,
        // Shut down by an administrator, crashed, or starting up; a transaction that idled too long.
        "57P01" | "57P02" | "57P03" | "25P03" => ErrorKind::ConnectionLost,
        "57014" => ErrorKind::Timeout,
        _ if state.starts_with("08") => ErrorKind::ConnectionLost,
        _ => ErrorKind::Internal,
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "std's kinds are many; all others mean that it is not there"
)]
const fn of_file(kind: std::io::ErrorKind) -> ErrorKind {
    match kind {
        std::io::ErrorKind::PermissionDenied => ErrorKind::Permission,
        std::io::ErrorKind::StorageFull => ErrorKind::DiskFull,
        std::io::ErrorKind::ReadOnlyFilesystem => ErrorKind::ReadOnly,
        _ => ErrorKind::Unreachable,
    }
}

/// By SQLite's extended result code, whose low byte is the primary one.
const fn of_sqlite(code: i32) -> ErrorKind {
    match code & 0xff {
        3 | 23 => ErrorKind::Permission,
        5 | 6 => ErrorKind::LockWait,
        8 => ErrorKind::ReadOnly,
        10 | 14 => ErrorKind::Unreachable,
        11 | 26 => ErrorKind::Unsupported,
        13 => ErrorKind::DiskFull,
        18 => ErrorKind::TooLarge,
        19 => ErrorKind::DuplicateKey,
        _ => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_kinds() {
        let mysql = [
            (1213, ErrorKind::Deadlock),
            (1205, ErrorKind::LockWait),
            (1045, ErrorKind::Authentication),
            (1049, ErrorKind::UnknownDatabase),
            (1290, ErrorKind::ReadOnly),
            (9999, ErrorKind::Internal),
        ];
        for (number, kind) in mysql {
            assert_eq!(of_mysql(number), kind, "{number}");
        }
        let sqlite = [
            (5, ErrorKind::LockWait),
            (517, ErrorKind::LockWait), // SQLITE_BUSY_SNAPSHOT
            (8, ErrorKind::ReadOnly),
            (13, ErrorKind::DiskFull),
            (1, ErrorKind::Internal),
        ];
        for (code, kind) in sqlite {
            assert_eq!(of_sqlite(code), kind, "{code}");
        }
        let postgres = [
            ("40P01", ErrorKind::Deadlock),
            ("55P03", ErrorKind::LockWait),
            ("25006", ErrorKind::ReadOnly),
            ("53100", ErrorKind::DiskFull),
            ("57P03", ErrorKind::ConnectionLost),
            ("08006", ErrorKind::ConnectionLost),
            ("XX000", ErrorKind::Internal),
        ];
        for (state, kind) in postgres {
            assert_eq!(of_postgres(state), kind, "{state}");
        }
    }

    #[test]
    fn the_text_of_an_error_names_the_operation_only() {
        let error = Cause::Driver(sqlx::Error::Protocol("hunter2".to_owned())).during("settle a chunk");
        assert_eq!(error.to_string(), "the ledger could not settle a chunk (connection-lost)");
    }
}
