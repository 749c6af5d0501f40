//! SQLite's result codes in our words. Its texts name tables and columns but never values; still only names are
//! taken from them.

use model::{Engine, ErrorKind};
use sqlx::error::DatabaseError as _;
use sqlx::sqlite::SqliteError;

use crate::error::Error;

/// The error of an operation.
pub(super) fn error(error: &sqlx::Error, operation: String) -> Error {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what a driver may add is our own bug until it is classified"
    )]
    match error {
        sqlx::Error::Database(database) => {
            let Some(sqlite) = database.try_downcast_ref::<SqliteError>() else {
                return Error::new(ErrorKind::Internal, Engine::Sqlite, operation);
            };
            let code = sqlite.code().map(|c| c.into_owned()).unwrap_or_default();
            let number: i32 = code.parse().unwrap_or(0);
            let ours = Error::new(kind(number, sqlite.message()), Engine::Sqlite, operation).with_code(code);
            match object(number, sqlite.message()) {
                Some(object) => ours.with_object(object),
                None => ours,
            }
        }
        sqlx::Error::PoolTimedOut => Error::new(ErrorKind::Timeout, Engine::Sqlite, operation),
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => {
            Error::new(ErrorKind::ConnectionLost, Engine::Sqlite, operation)
        }
        _ => Error::new(ErrorKind::Internal, Engine::Sqlite, operation),
    }
}

/// The kind of an (extended) result code; code 1 says more in its text only.
fn kind(code: i32, message: &str) -> ErrorKind {
    match code {
        1555 | 2067 | 2579 => ErrorKind::DuplicateKey,
        787 => ErrorKind::ForeignKey,
        275 | 3091 => ErrorKind::Check,
        1299 => ErrorKind::NotNull,
        1 if message.starts_with("no such table") => ErrorKind::UnknownTable,
        1 if message.contains("no such column") || message.contains("has no column named") => {
            ErrorKind::UnknownColumn
        }
        _ => match code & 0xff {
            3 | 23 => ErrorKind::Permission,
            5 | 6 => ErrorKind::LockWait,
            8 => ErrorKind::ReadOnly,
            9 => ErrorKind::Timeout,
            10 => ErrorKind::ConnectionLost,
            13 => ErrorKind::DiskFull,
            14 | 11 | 26 => ErrorKind::UnknownDatabase,
            18 => ErrorKind::TooLarge,
            19 => ErrorKind::Check,
            20 => ErrorKind::Conversion,
            _ => ErrorKind::Internal,
        },
    }
}

/// `UNIQUE constraint failed: t.a, t.b` and `no such table: t` name their object after the colon.
fn object(code: i32, message: &str) -> Option<String> {
    let names_object = code & 0xff == 19 && code != 275 || message.starts_with("no such table");
    names_object.then(|| message.split_once(": ").map(|(_, object)| object.to_owned())).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_kinds() {
        for (code, message, expected) in [
            (5, "database is locked", ErrorKind::LockWait),
            (517, "database is locked", ErrorKind::LockWait),
            (1555, "UNIQUE constraint failed: t.id", ErrorKind::DuplicateKey),
            (2067, "UNIQUE constraint failed: t.email", ErrorKind::DuplicateKey),
            (1299, "NOT NULL constraint failed: t.a", ErrorKind::NotNull),
            (787, "FOREIGN KEY constraint failed", ErrorKind::ForeignKey),
            (275, "CHECK constraint failed: a > 0", ErrorKind::Check),
            (13, "database or disk is full", ErrorKind::DiskFull),
            (1032, "attempt to write a readonly database", ErrorKind::ReadOnly),
            (14, "unable to open database file", ErrorKind::UnknownDatabase),
            (26, "file is not a database", ErrorKind::UnknownDatabase),
            (1, "no such table: t", ErrorKind::UnknownTable),
            (1, "table t has no column named b", ErrorKind::UnknownColumn),
            (1, "near \"x\": syntax error", ErrorKind::Internal),
        ] {
            assert_eq!(kind(code, message), expected, "{code} {message}");
        }
        assert_eq!(object(2067, "UNIQUE constraint failed: t.email").as_deref(), Some("t.email"));
    }
}
