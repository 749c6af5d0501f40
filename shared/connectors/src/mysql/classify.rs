//! The driver's errors in our words: kind, code and names. The driver's text, which holds values, ends here.

use model::{Engine, ErrorKind};
use sqlx::mysql::MySqlDatabaseError;

use crate::error::Error;

/// See [`Protocol::server_error`](crate::server::Protocol::server_error).
pub(super) fn server_error(failed: &sqlx::Error, operation: &str) -> Option<Error> {
    let said: &MySqlDatabaseError = failed.as_database_error()?.try_downcast_ref()?;
    Some(of_code(said.number(), said.message(), operation))
}

/// An error or warning of the server.
pub(super) fn of_code(code: u16, message: &str, operation: &str) -> Error {
    let error = Error::new(kind(code, message), Engine::Mysql, operation).with_code(code.to_string());
    match object(code, message) {
        Some(name) => error.with_object(name),
        None => error,
    }
}

/// MySQL's and MariaDB's numbers agree where both have them.
fn kind(code: u16, message: &str) -> ErrorKind {
    match code {
        1053 | 1079 | 1152 | 1158..=1161 | 1184 | 1927 | 3169 => ErrorKind::ConnectionLost,
        1969 | 3024 => ErrorKind::StatementTimeout,
        // Somebody ended the statement alone.
        1317 => ErrorKind::Timeout,
        // 1412 and 1020: the snapshot is gone, or the row changed under it.
        1020 | 1180 | 1213 | 1412 | 1614 | 3101 => ErrorKind::Deadlock,
        1205 | 3572 => ErrorKind::LockWait,
        1040 | 1203 | 1226 => ErrorKind::TooManyConnections,
        1153 | 1197 | 1206 | 1301 | 1713 => ErrorKind::TooLarge,
        1022 | 1062 | 1169 | 1586 | 1859 => ErrorKind::DuplicateKey,
        1216 | 1217 | 1451 | 1452 => ErrorKind::ForeignKey,
        // 1644: a trigger refuses the row.
        1644 | 3819 | 4025 => ErrorKind::Check,
        1048 | 1263 | 1364 => ErrorKind::NotNull,
        1406 => ErrorKind::TooLong,
        1264 | 1292 | 1411 | 1441 | 1690 => ErrorKind::OutOfRange,
        1366 if message.starts_with("Incorrect string value") => ErrorKind::Encoding,
        1300 | 1977 | 3854 | 3988 => ErrorKind::Encoding,
        1265 | 1366 | 1367 | 1416 | 3140..=3158 | 3643 | 4038 => ErrorKind::Conversion,
        1021 | 1114 => ErrorKind::DiskFull,
        1026 | 1030 if names_full_disk(message) => ErrorKind::DiskFull,
        1290 | 1792 | 1836 => ErrorKind::ReadOnly,
        1045 | 1130 | 1251 | 1524 | 1698 | 1820 | 1862 | 3118 | 3955 | 4151 => ErrorKind::Authentication,
        1044 | 1095 | 1142 | 1143 | 1227 | 1345 | 1370 | 1449 => ErrorKind::Permission,
        1129 => ErrorKind::Unreachable,
        1049 => ErrorKind::UnknownDatabase,
        1051 | 1146 | 1932 => ErrorKind::UnknownTable,
        1054 => ErrorKind::UnknownColumn,
        // The forced index, or a column of the list, went away.
        1072 | 1136 | 1176 => ErrorKind::Drift,
        3159 => ErrorKind::Tls,
        1005 | 1025 | 1059 | 1067 | 1069 | 1070 | 1071 | 1073 | 1074 | 1075 | 1101 | 1103 | 1115 | 1117
        | 1118 | 1163 | 1166 | 1167 | 1170 | 1193 | 1215 | 1235 | 1253 | 1267 | 1273 | 1286 | 1289 | 1425
        | 1426 | 1427 | 1439 | 1442 | 1665 | 1709 | 1821 | 1822 | 1824 | 1826 | 3750 | 3780 => {
            ErrorKind::Unsupported
        }
        _ => ErrorKind::Internal,
    }
}

fn names_full_disk(message: &str) -> bool {
    message.contains("error 28") || message.contains("rrno: 28") || message.contains("rror: 28")
}

/// The name in the server's message, where the message has a fixed form and what stands there is a name.
fn object(code: u16, message: &str) -> Option<String> {
    match code {
        // "Duplicate entry '<value>' for key '<name>'": the value comes first and may look like anything.
        1062 | 1169 | 1586 | 1859 => last_quoted(message, "for key "),
        // "Column '<name>' cannot be null", "Field '<name>' doesn't have a default value"
        1048 => first_quoted(message, "Column "),
        1364 => first_quoted(message, "Field "),
        1054 => first_quoted(message, "Unknown column "),
        1049 => first_quoted(message, "Unknown database "),
        1146 => first_quoted(message, "Table "),
        1205 | 1213 => None,
        1264 | 1265 | 1292 | 1366 | 1406 | 3140 => {
            last_quoted(message, "for column ").map(|name| last_part(&name))
        }
        1451 | 1452 => between(message, "CONSTRAINT `", "`"),
        3819 => first_quoted(message, "Check constraint "),
        4025 => first_quoted(message, "CONSTRAINT "),
        1142 | 1143 => last_quoted(message, "for table ").or_else(|| last_quoted(message, "in table ")),
        1044 => last_quoted(message, "to database "),
        1290 => between(message, "with the ", " option"),
        _ => None,
    }
    .filter(|name| !name.is_empty() && name.chars().count() <= NAME_CHARS_MAX)
}

/// Schema, table and column, each of 64 characters.
const NAME_CHARS_MAX: usize = 200;

fn first_quoted(message: &str, lead: &str) -> Option<String> {
    quoted(message.strip_prefix(lead)?)
}

fn last_quoted(message: &str, lead: &str) -> Option<String> {
    quoted(&message[message.rfind(lead)? + lead.len()..])
}

/// The column of `db.table.column`, which is how MariaDB names it; MySQL says `column`. A dot within a name is
/// taken for a joint, so no more than a part of a name is lost.
fn last_part(name: &str) -> String {
    name.rsplit_once('.').map_or(name, |(_, last)| last).to_owned()
}

/// A name in `'`, or several in backticks joined by dots.
fn quoted(text: &str) -> Option<String> {
    match text.chars().next()? {
        '\'' => text[1..].split_once('\'').map(|(name, _)| name.to_owned()),
        '`' => {
            let end = text[1..].find("` ").map_or_else(|| text.trim_end_matches('.').len(), |at| at + 2);
            Some(text[..end].replace('`', ""))
        }
        _ => None,
    }
}

fn between(message: &str, lead: &str, end: &str) -> Option<String> {
    let rest = &message[message.find(lead)? + lead.len()..];
    rest.split_once(end).map(|(name, _)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line per code of drivers.md, section 7, with the servers' own words.
    const CODES: &[(u16, &str, ErrorKind, Option<&str>)] = &[
        (
            1062,
            "Duplicate entry 'for key 'x'' for key 'orders.PRIMARY'",
            ErrorKind::DuplicateKey,
            Some("orders.PRIMARY"),
        ),
        (1062, "Duplicate entry 'secret' for key 'email'", ErrorKind::DuplicateKey, Some("email")),
        (1048, "Column 'name' cannot be null", ErrorKind::NotNull, Some("name")),
        (1364, "Field 'name' doesn't have a default value", ErrorKind::NotNull, Some("name")),
        (1406, "Data too long for column 'name' at row 3", ErrorKind::TooLong, Some("name")),
        (1264, "Out of range value for column 'n' at row 1", ErrorKind::OutOfRange, Some("n")),
        (
            1366,
            "Incorrect string value: '\\xF0\\x9F' for column 'c' at row 1",
            ErrorKind::Encoding,
            Some("c"),
        ),
        (
            1366,
            "Incorrect string value: 'x' for column `shop`.`t`.`c` at row 1",
            ErrorKind::Encoding,
            Some("c"),
        ),
        (1366, "Incorrect integer value: 'abc' for column 'n' at row 1", ErrorKind::Conversion, Some("n")),
        (
            1292,
            "Incorrect datetime value: '2038-01-20' for column 'ts' at row 1",
            ErrorKind::OutOfRange,
            Some("ts"),
        ),
        (1292, "Truncated incorrect DOUBLE value: 'secret'", ErrorKind::OutOfRange, None),
        (
            1452,
            "Cannot add or update a child row: a foreign key constraint fails (`d`.`t`, CONSTRAINT `fk_p` FOREIGN KEY (`p`) REFERENCES `p` (`id`))",
            ErrorKind::ForeignKey,
            Some("fk_p"),
        ),
        (3819, "Check constraint 'positive' is violated.", ErrorKind::Check, Some("positive")),
        (4025, "CONSTRAINT `t.positive` failed for `d`.`t`", ErrorKind::Check, Some("t.positive")),
        (
            1213,
            "Deadlock found when trying to get lock; try restarting transaction",
            ErrorKind::Deadlock,
            None,
        ),
        (1205, "Lock wait timeout exceeded; try restarting transaction", ErrorKind::LockWait, None),
        (1412, "Table definition has changed, please retry transaction", ErrorKind::Deadlock, None),
        (3024, "Query execution was interrupted", ErrorKind::StatementTimeout, None),
        (
            1969,
            "Query execution was interrupted (max_statement_time exceeded)",
            ErrorKind::StatementTimeout,
            None,
        ),
        (1317, "Query execution was interrupted", ErrorKind::Timeout, None),
        (1053, "Server shutdown in progress", ErrorKind::ConnectionLost, None),
        (1927, "Connection was killed", ErrorKind::ConnectionLost, None),
        (1040, "Too many connections", ErrorKind::TooManyConnections, None),
        (
            1203,
            "User u already has more than 'max_user_connections' active connections",
            ErrorKind::TooManyConnections,
            None,
        ),
        (1226, "User 'u' has exceeded the 'max_questions' resource", ErrorKind::TooManyConnections, None),
        (1153, "Got a packet bigger than 'max_allowed_packet' bytes", ErrorKind::TooLarge, None),
        (1021, "Disk full", ErrorKind::DiskFull, None),
        (1114, "The table 't' is full", ErrorKind::DiskFull, None),
        (
            1030,
            "Got error 28 \"No space left on device\" from storage engine InnoDB",
            ErrorKind::DiskFull,
            None,
        ),
        (1030, "Got error 168 from storage engine", ErrorKind::Internal, None),
        (
            1290,
            "The MariaDB server is running with the --read-only option so it cannot execute this statement",
            ErrorKind::ReadOnly,
            Some("--read-only"),
        ),
        (1836, "Running in read-only mode", ErrorKind::ReadOnly, None),
        (1792, "Cannot execute statement in a READ ONLY transaction", ErrorKind::ReadOnly, None),
        (1045, "Access denied for user 'u'@'h' (using password: YES)", ErrorKind::Authentication, None),
        (1142, "INSERT command denied to user 'u'@'h' for table `d`.`t`", ErrorKind::Permission, Some("d.t")),
        (1142, "INSERT command denied to user 'u'@'h' for table 't'", ErrorKind::Permission, Some("t")),
        (1044, "Access denied for user 'u'@'h' to database 'd'", ErrorKind::Permission, Some("d")),
        (
            1143,
            "SELECT command denied to user 'u'@'h' for column 'c' in table 't'",
            ErrorKind::Permission,
            Some("t"),
        ),
        (1049, "Unknown database 'd'", ErrorKind::UnknownDatabase, Some("d")),
        (1146, "Table 'd.t' doesn't exist", ErrorKind::UnknownTable, Some("d.t")),
        (1054, "Unknown column 'c' in 'field list'", ErrorKind::UnknownColumn, Some("c")),
        (1176, "Key 'k' doesn't exist in table 't'", ErrorKind::Drift, None),
        (1071, "Specified key was too long; max key length is 3072 bytes", ErrorKind::Unsupported, None),
        (1064, "You have an error in your SQL syntax near 'secret'", ErrorKind::Internal, None),
    ];

    #[test]
    fn codes_become_kinds_and_names_but_never_values() {
        for (code, message, kind, object) in CODES {
            let error = of_code(*code, message, "test");
            assert_eq!((error.kind, error.object.as_deref()), (*kind, *object), "{code} {message}");
            assert!(!error.to_string().contains("secret"), "{code}");
        }
    }
}
