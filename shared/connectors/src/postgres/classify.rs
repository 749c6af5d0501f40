//! The driver's errors in our words: kind, code and names. The driver's text, which holds values, ends here.

use model::{Engine, ErrorKind};
use sqlx::postgres::PgDatabaseError;

use crate::error::Error;

/// See [`Protocol::server_error`](crate::server::Protocol::server_error).
pub(super) fn server_error(failed: &sqlx::Error, operation: &str) -> Option<Error> {
    let said: &PgDatabaseError = failed.as_database_error()?.try_downcast_ref()?;
    let code = said.code();
    let error = Error::new(kind(code, said.message()), Engine::Postgres, operation).with_code(code);
    // The server sends names in fields of their own; its sentences hold values.
    let copied = said.r#where().and_then(copied_column);
    let named = [said.constraint(), said.column(), copied, said.table()].into_iter().flatten().next();
    Some(match named.map(ToOwned::to_owned).or_else(|| object(code, said.message())) {
        Some(name) => error.with_object(name),
        None => error,
    })
}

/// SQLSTATE, by appendix A of the server's manual.
fn kind(code: &str, message: &str) -> ErrorKind {
    match code {
        "57014" if message.contains("statement timeout") => ErrorKind::StatementTimeout,
        // Somebody ended the statement alone.
        "57014" => ErrorKind::Timeout,
        "25P03" | "57P01" | "57P02" | "57P03" | "57P05" => ErrorKind::ConnectionLost,
        "40001" | "40P01" => ErrorKind::Deadlock,
        "55P03" | "55006" => ErrorKind::LockWait,
        "53300" | "53400" => ErrorKind::TooManyConnections,
        "53100" => ErrorKind::DiskFull,
        "58030" if message.contains("No space left") => ErrorKind::DiskFull,
        "23505" => ErrorKind::DuplicateKey,
        "23503" | "23001" => ErrorKind::ForeignKey,
        // P0001: a trigger refuses the row. 44000: a view's own check.
        "23514" | "23P01" | "23000" | "44000" | "P0001" => ErrorKind::Check,
        "23502" => ErrorKind::NotNull,
        "22001" | "22026" => ErrorKind::TooLong,
        "22003" | "22008" | "22015" | "22009" => ErrorKind::OutOfRange,
        "22021" | "22P05" => ErrorKind::Encoding,
        "25006" => ErrorKind::ReadOnly,
        "42501" => ErrorKind::Permission,
        "3D000" => ErrorKind::UnknownDatabase,
        "42P01" | "3F000" => ErrorKind::UnknownTable,
        "42703" => ErrorKind::UnknownColumn,
        // A column became another type, or can no longer be written.
        "42804" | "428C9" => ErrorKind::Drift,
        "42704" | "42883" | "42602" | "42622" | "42P16" | "42830" | "42809" | "55000" => {
            ErrorKind::Unsupported
        }
        _ => match code.get(..2) {
            Some("08") => ErrorKind::ConnectionLost,
            Some("28") => ErrorKind::Authentication,
            Some("22") => ErrorKind::Conversion,
            Some("53" | "54") => ErrorKind::TooLarge,
            Some("0A") => ErrorKind::Unsupported,
            _ => ErrorKind::Internal,
        },
    }
}

/// The column in `COPY table, line 3, column name: "value"`.
fn copied_column(context: &str) -> Option<&str> {
    let rest = context.strip_prefix("COPY ")?;
    let (_, column) = rest.split_once(", column ")?;
    column.split(": ").next()
}

/// The name in the server's sentence, where it has a fixed form and what stands there is a name.
fn object(code: &str, message: &str) -> Option<String> {
    let leads: &[&str] = match code {
        "42P01" => &["relation "],
        "42703" => &["column "],
        "3D000" => &["database "],
        "42501" => &["for table ", "for schema ", "for sequence ", "for database ", "to set parameter "],
        _ => return None,
    };
    let after = |lead: &&str| message.find(lead).map(|at| &message[at + lead.len()..]);
    let name = leads.iter().find_map(after)?.trim_start_matches('"').split('"').next()?.trim();
    (!name.is_empty() && name.chars().count() <= NAME_CHARS_MAX).then(|| name.to_owned())
}

/// Schema, table and column, each of 63 bytes.
const NAME_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    /// One line per code of the table in docs/, with the server's own words.
    const CODES: &[(&str, &str, ErrorKind, Option<&str>)] = &[
        ("57014", "canceling statement due to statement timeout", ErrorKind::StatementTimeout, None),
        ("57014", "canceling statement due to user request", ErrorKind::Timeout, None),
        ("57P01", "terminating connection due to administrator command", ErrorKind::ConnectionLost, None),
        ("08006", "connection failure", ErrorKind::ConnectionLost, None),
        ("40P01", "deadlock detected", ErrorKind::Deadlock, None),
        ("55P03", "canceling statement due to lock timeout", ErrorKind::LockWait, None),
        ("53300", "sorry, too many clients already", ErrorKind::TooManyConnections, None),
        ("53100", "could not extend file: No space left on device", ErrorKind::DiskFull, None),
        ("54000", "index row size 3000 exceeds maximum 2704", ErrorKind::TooLarge, None),
        ("22P02", "invalid input syntax for type integer: \"secret\"", ErrorKind::Conversion, None),
        ("22007", "invalid input syntax for type date: \"secret\"", ErrorKind::Conversion, None),
        ("22008", "date/time field value out of range: \"secret\"", ErrorKind::OutOfRange, None),
        ("22021", "invalid byte sequence for encoding \"UTF8\": 0x00", ErrorKind::Encoding, None),
        ("22P05", "unsupported Unicode escape sequence", ErrorKind::Encoding, None),
        ("25006", "cannot execute INSERT in a read-only transaction", ErrorKind::ReadOnly, None),
        ("28P01", "password authentication failed for user \"u\"", ErrorKind::Authentication, None),
        ("42501", "permission denied for table orders", ErrorKind::Permission, Some("orders")),
        (
            "42501",
            "query would be affected by row-level security policy for table \"t\"",
            ErrorKind::Permission,
            Some("t"),
        ),
        (
            "42501",
            "permission denied to set parameter \"session_replication_role\"",
            ErrorKind::Permission,
            Some("session_replication_role"),
        ),
        ("3D000", "database \"d\" does not exist", ErrorKind::UnknownDatabase, Some("d")),
        ("42P01", "relation \"t\" does not exist", ErrorKind::UnknownTable, Some("t")),
        ("42703", "column \"c\" does not exist", ErrorKind::UnknownColumn, Some("c")),
        ("42704", "data type json has no default operator class", ErrorKind::Unsupported, None),
        ("42601", "syntax error at or near \"secret\"", ErrorKind::Internal, None),
    ];

    #[test]
    fn copy_names_the_column_and_its_value_is_left() {
        for (context, name) in [
            ("COPY t, line 3, column n: \"secret\"", Some("n")),
            ("COPY my table, line 3, column a b: null input", Some("a b")),
            ("COPY t, line 3: \"secret\"", None),
            ("PL/pgSQL function f() line 1", None),
        ] {
            assert_eq!(copied_column(context), name, "{context}");
        }
    }

    #[test]
    fn codes_become_kinds_and_names_but_never_values() {
        for (code, message, wanted, name) in CODES {
            assert_eq!(kind(code, message), *wanted, "{code} {message}");
            assert_eq!(object(code, message).as_deref(), *name, "{code} {message}");
        }
    }
}
