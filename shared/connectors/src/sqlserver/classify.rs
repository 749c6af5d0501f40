//! The driver's errors in our words: kind, number and names. The server's text, which holds values, ends here.

use model::{Engine, ErrorKind};

use super::session::{Failed, error};
use crate::error::Error;

/// Numbers that Babelfish has for what has none in SQL Server.
const BABELFISH_MIN: u32 = 33_557_097;
/// What our own statements throw where a lock was not given in time.
pub(super) const NO_LOCK: u32 = 51_222;

/// An error of a session in use.
pub(super) fn failure(failed: &Failed, operation: &str) -> Error {
    match failed {
        Failed::Server(said) => server_error(said.code(), said.message(), operation),
        Failed::Io { .. } | Failed::Protocol(_) | Failed::Routing { .. } => {
            error(ErrorKind::ConnectionLost, operation)
        }
        Failed::Tls(_) => error(ErrorKind::Tls, operation),
        Failed::Encoding(_) | Failed::Utf8 | Failed::Utf16 => error(ErrorKind::Encoding, operation),
        Failed::Conversion(_) | Failed::BulkInput(_) => error(ErrorKind::Conversion, operation),
        // The driver's list depends on how it was built.
        #[allow(unreachable_patterns, clippy::wildcard_enum_match_arm, reason = "see above")]
        _ => error(ErrorKind::Internal, operation),
    }
}

/// An error before the session existed.
pub(super) fn login_failure(failed: &Failed, operation: &str) -> Error {
    #[allow(clippy::wildcard_enum_match_arm, reason = "all else is as in a session in use")]
    match failed {
        Failed::Tls(_) => error(ErrorKind::Tls, operation).with_object("the server's certificate"),
        // The driver tells a certificate that it does not trust as a failed handshake.
        Failed::Io { kind: std::io::ErrorKind::InvalidData, .. } => {
            error(ErrorKind::Tls, operation).with_object("the server's certificate")
        }
        Failed::Io { .. } => error(ErrorKind::Unreachable, operation),
        Failed::Protocol(_) => {
            error(ErrorKind::Tls, operation).with_object("what the server offers: see `tls`")
        }
        other => failure(other, operation),
    }
}

fn server_error(number: u32, message: &str, operation: &str) -> Error {
    let error = Error::new(kind(number, message), Engine::Sqlserver, operation).with_code(number.to_string());
    match object(number, message) {
        Some(name) => error.with_object(name),
        None => error,
    }
}

/// By the list of the server's errors; those of another product that speaks the protocol by its words, since it has one
/// number for many.
fn kind(number: u32, message: &str) -> ErrorKind {
    match number {
        1205 => ErrorKind::Deadlock,
        3960 | 3961 => ErrorKind::Deadlock,
        1222 | NO_LOCK => ErrorKind::LockWait,
        // The transaction has ended, by a trigger or because of an error: it is made anew.
        3903 | 3902 | 3971 | 3930 | 3931 | 3998 | 628 | 6401 | 266 => ErrorKind::Deadlock,
        596 | 64 | 233 | 10_053 | 10_054 | 10_060 | 17_830 | 6005 => ErrorKind::ConnectionLost,
        10_928 | 10_929 | 40_501 | 40_613 | 40_197 | 49_918..=49_920 | 17_809 => {
            ErrorKind::TooManyConnections
        }
        8003 | 8623 | 8632 | 701 | 802 | 191 | 10_738 | 511 | 1946 | 1919 => ErrorKind::TooLarge,
        2627 | 2601 => ErrorKind::DuplicateKey,
        547 if message.contains("CHECK") => ErrorKind::Check,
        547 => ErrorKind::ForeignKey,
        // 3609: a trigger took the row back; 50000 and above: what somebody raised.
        3609 | 550 | 50_000..BABELFISH_MIN => ErrorKind::Check,
        515 => ErrorKind::NotNull,
        2628 | 8152 | 4815 => ErrorKind::TooLong,
        220 | 8115 | 8134 | 242 | 517 | 1007 | 232 => ErrorKind::OutOfRange,
        241 | 244 | 245 | 248 | 257 | 8114 | 8169 | 9420 | 206 | 295 | 296 => ErrorKind::Conversion,
        1105 | 9002 | 1101 | 5149 => ErrorKind::DiskFull,
        3906 | 3908 | 978 | 976 | 3989 => ErrorKind::ReadOnly,
        18_456 | 18_452 | 18_470 | 18_486..=18_488 | 18_450 => ErrorKind::Authentication,
        229 | 230 | 262 | 297 | 300 | 916 | 1088 | 15_247 | 2760 | 6102 => ErrorKind::Permission,
        4060 | 911 | 942 => ErrorKind::UnknownDatabase,
        208 | 2812 => ErrorKind::UnknownTable,
        207 => ErrorKind::UnknownColumn,
        // A column can no longer be written, or is of another type.
        271 | 272 | 213 => ErrorKind::Drift,
        40_515 | 40_517 | 195 | BABELFISH_MIN.. => by_words(message),
        _ => ErrorKind::Internal,
    }
}

/// Babelfish has this number for whatever has none of its own.
fn by_words(message: &str) -> ErrorKind {
    let words: [(&str, ErrorKind); 8] = [
        ("lock timeout", ErrorKind::LockWait),
        ("deadlock", ErrorKind::Deadlock),
        ("could not serialize", ErrorKind::Deadlock),
        ("duplicate key", ErrorKind::DuplicateKey),
        ("too long", ErrorKind::TooLong),
        ("out of range", ErrorKind::OutOfRange),
        ("permission denied", ErrorKind::Permission),
        ("invalid input syntax", ErrorKind::Conversion),
    ];
    let found = words.iter().find(|(word, _)| message.contains(word));
    found.map_or(ErrorKind::Unsupported, |(_, kind)| *kind)
}

/// The name in the server's sentence, where it has a fixed form and what stands there is a name.
fn object(number: u32, message: &str) -> Option<String> {
    let leads: &[&str] = match number {
        207 => &["Invalid column name "],
        208 => &["Invalid object name "],
        229 | 230 => &["on the object ", "on the column "],
        262 => &["permission denied in database "],
        515 => &["into column "],
        547 | 2627 => &["constraint "],
        2601 => &["with unique index "],
        2628 => &["column "],
        4060 => &["Cannot open database "],
        911 => &["Database "],
        3906 => &["Failed to update database "],
        _ => return None,
    };
    let after = |lead: &&str| message.find(lead).map(|at| &message[at + lead.len()..]);
    let rest = leads.iter().find_map(after)?;
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let name = rest[1..].split(quote).next()?;
    (!name.is_empty() && name.chars().count() <= NAME_CHARS_MAX).then(|| name.to_owned())
}

/// Database, schema, table and column, each of 128 characters.
const NAME_CHARS_MAX: usize = 515;

#[cfg(test)]
mod tests {
    use super::*;

    /// One line per code of the table in docs/, with the server's own words.
    const CODES: &[(u32, &str, ErrorKind, Option<&str>)] = &[
        (
            1205,
            "Transaction (Process ID 52) was deadlocked on lock resources with another process",
            ErrorKind::Deadlock,
            None,
        ),
        (1222, "Lock request time out period exceeded.", ErrorKind::LockWait, None),
        (3960, "Snapshot isolation transaction aborted due to update conflict.", ErrorKind::Deadlock, None),
        (
            2627,
            "Violation of PRIMARY KEY constraint 'PK_t'. Cannot insert duplicate key in object 'dbo.t'. The duplicate key value is (secret).",
            ErrorKind::DuplicateKey,
            Some("PK_t"),
        ),
        (
            2601,
            "Cannot insert duplicate key row in object 'dbo.t' with unique index 'by_name'. The duplicate key value is (secret).",
            ErrorKind::DuplicateKey,
            Some("by_name"),
        ),
        (
            547,
            "The INSERT statement conflicted with the FOREIGN KEY constraint \"FK_a\". The conflict occurred in database \"d\", table \"dbo.p\", column 'id'.",
            ErrorKind::ForeignKey,
            Some("FK_a"),
        ),
        (
            547,
            "The UPDATE statement conflicted with the CHECK constraint \"CK_a\".",
            ErrorKind::Check,
            Some("CK_a"),
        ),
        (
            515,
            "Cannot insert the value NULL into column 'n', table 'd.dbo.t'; column does not allow nulls.",
            ErrorKind::NotNull,
            Some("n"),
        ),
        (
            2628,
            "String or binary data would be truncated in table 'd.dbo.t', column 'n'. Truncated value: 'secret'.",
            ErrorKind::TooLong,
            Some("n"),
        ),
        (
            245,
            "Conversion failed when converting the varchar value 'secret' to data type int.",
            ErrorKind::Conversion,
            None,
        ),
        (220, "Arithmetic overflow error for data type tinyint, value = 999.", ErrorKind::OutOfRange, None),
        (18_456, "Login failed for user 'u'.", ErrorKind::Authentication, None),
        (
            229,
            "The INSERT permission was denied on the object 't', database 'd', schema 'dbo'.",
            ErrorKind::Permission,
            Some("t"),
        ),
        (
            4060,
            "Cannot open database \"d\" requested by the login. The login failed.",
            ErrorKind::UnknownDatabase,
            Some("d"),
        ),
        (208, "Invalid object name 't'.", ErrorKind::UnknownTable, Some("t")),
        (207, "Invalid column name 'c'.", ErrorKind::UnknownColumn, Some("c")),
        (
            3906,
            "Failed to update database \"d\" because the database is read-only.",
            ErrorKind::ReadOnly,
            Some("d"),
        ),
        (50_001, "secret", ErrorKind::Check, None),
        (NO_LOCK, "lock", ErrorKind::LockWait, None),
        (102, "Incorrect syntax near 'secret'.", ErrorKind::Internal, None),
        (33_557_097, "canceling statement due to lock timeout", ErrorKind::LockWait, None),
    ];

    #[test]
    fn codes_become_kinds_and_names_but_never_values() {
        for (number, message, wanted, name) in CODES {
            assert_eq!(kind(*number, message), *wanted, "{number} {message}");
            assert_eq!(object(*number, message).as_deref(), *name, "{number} {message}");
        }
    }

    #[test]
    fn what_ends_without_a_code_is_told_apart_by_when_it_ended() {
        let io = |kind| Failed::Io { kind, message: String::new() };
        assert_eq!(failure(&io(std::io::ErrorKind::UnexpectedEof), "x").kind, ErrorKind::ConnectionLost);
        let logging_in = |kind| login_failure(&io(kind), "x").kind;
        assert_eq!(logging_in(std::io::ErrorKind::ConnectionRefused), ErrorKind::Unreachable);
        assert_eq!(logging_in(std::io::ErrorKind::InvalidData), ErrorKind::Tls);
    }
}
