//! The driver's errors in our words: kind, code and names. The server's sentences, which hold values, end here.

use bson::{Bson, Document};
use model::{Engine, ErrorKind};
use mongodb::error::{
    ErrorKind as Driver, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure,
};

use crate::error::{Error, Result};

/// What failed before, at or after the server.
pub(super) fn error(failed: &mongodb::error::Error, operation: &str) -> Error {
    let new = |kind| Error::new(kind, Engine::Mongodb, operation);
    if let Some(code) = code(failed) {
        let mut kind = kind(code);
        // The outcome of a commit, or a conflict that has a code of its own.
        if kind == ErrorKind::Internal && failed.contains_label(TRANSIENT_TRANSACTION_ERROR) {
            kind = ErrorKind::Deadlock;
        }
        if failed.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) {
            kind = ErrorKind::ConnectionLost;
        }
        return new(kind).with_code(code.to_string());
    }
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the driver's enum is open; what is left is our own mistake"
    )]
    match &*failed.kind {
        Driver::Io(io) => new(io_kind(io)),
        Driver::ConnectionPoolCleared { message, .. } | Driver::ServerSelection { message, .. } => {
            new(unreachable_kind(message))
        }
        Driver::DnsResolve { .. } => new(ErrorKind::Unreachable),
        Driver::Authentication { .. } => new(ErrorKind::Authentication),
        Driver::InvalidTlsConfig { .. } => new(ErrorKind::Tls),
        Driver::IncompatibleServer { .. } | Driver::SessionsNotSupported => new(ErrorKind::Unsupported),
        _ if failed.contains_label(TRANSIENT_TRANSACTION_ERROR) => new(ErrorKind::Deadlock),
        _ => new(ErrorKind::Internal),
    }
}

/// The server's code, wherever the driver keeps it.
fn code(failed: &mongodb::error::Error) -> Option<i32> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "only these come from a server")]
    match &*failed.kind {
        Driver::Command(command) => Some(command.code),
        Driver::Write(WriteFailure::WriteError(failure)) => Some(failure.code),
        Driver::Write(WriteFailure::WriteConcernError(failure)) => Some(failure.code),
        _ => None,
    }
}

/// The answer to a write command, whose single writes may have failed although it is one.
///
/// # Errors
/// The first of them, or that the write did not reach enough members.
pub(super) fn checked(answer: Document, operation: &str) -> Result<Document> {
    write_error(&answer, operation).map_or(Ok(answer), Err)
}

fn write_error(answer: &Document, operation: &str) -> Option<Error> {
    if let Ok(concern) = answer.get_document("writeConcernError") {
        let code = concern.get_i32("code").unwrap_or_default();
        let failed = Error::new(ErrorKind::Timeout, Engine::Mongodb, operation).with_code(code.to_string());
        return Some(failed.with_object("members that have not acknowledged it"));
    }
    let failures = answer.get_array("writeErrors").ok()?;
    let failure = failures.first().and_then(Bson::as_document)?;
    let code = failure.get_i32("code").unwrap_or_default();
    let failed = Error::new(kind(code), Engine::Mongodb, operation).with_code(code.to_string());
    Some(match object(failure) {
        Some(name) => failed.with_object(name),
        None => failed,
    })
}

/// Fields of the index or rule that refused a document: names, which the server sends apart from its sentence.
fn object(failure: &Document) -> Option<String> {
    if let Ok(pattern) = failure.get_document("keyPattern") {
        return Some(pattern.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
    }
    let details = failure.get_document("errInfo").ok()?.get_document("details").ok()?;
    let rules = details.get_array("schemaRulesNotSatisfied").ok()?;
    let rule = rules.first().and_then(Bson::as_document)?;
    if let Ok(missing) = rule.get_array("missingProperties") {
        return missing.first().and_then(Bson::as_str).map(str::to_owned);
    }
    let properties = rule.get_array("propertiesNotSatisfied").ok()?;
    let property = properties.first().and_then(Bson::as_document)?;
    property.get_str("propertyName").ok().map(str::to_owned)
}

/// By the list of codes in the server's manual.
const fn kind(code: i32) -> ErrorKind {
    match code {
        // Write conflict, a transaction that the server ended, a cursor or snapshot that is gone.
        112 | 134 | 225 | 244 | 251 | 365 | 43 | 239 | 246 => ErrorKind::Deadlock,
        // What a server calls internal, as a transaction that another session has ended: worth another attempt, and no more
        // than a chunk has.
        1 => ErrorKind::Deadlock,
        24 | 46 => ErrorKind::LockWait,
        // 290: a transaction that took longer than its life.
        50 | 262 | 290 => ErrorKind::StatementTimeout,
        // A transaction of more than an oplog entry, or than the cache holds.
        257 | 388 => ErrorKind::TooLarge,
        11601 | 64 | 133 | 202 => ErrorKind::Timeout,
        6 | 7 | 89 | 91 | 9001 | 11600 | 11602 => ErrorKind::ConnectionLost,
        11000 | 11001 | 12582 => ErrorKind::DuplicateKey,
        121 => ErrorKind::Check,
        // A document of more than 16 MiB, also one that an update makes so; one that is nested too deep.
        10334 | 17419 | 17420 | 17280 | 15 => ErrorKind::TooLong,
        14031 => ErrorKind::DiskFull,
        10107 | 13435 | 13436 | 189 => ErrorKind::ReadOnly,
        18 | 391 => ErrorKind::Authentication,
        13 => ErrorKind::Permission,
        26 => ErrorKind::UnknownTable,
        // What this server or its topology does not have, transactions above all.
        20 | 48 | 59 | 67 | 73 | 85 | 86 | 115 | 123 | 263 => ErrorKind::Unsupported,
        _ => ErrorKind::Internal,
    }
}

fn io_kind(failed: &std::io::Error) -> ErrorKind {
    let text = failed.to_string();
    if failed.kind() == std::io::ErrorKind::TimedOut {
        ErrorKind::Timeout
    } else if failed.kind() == std::io::ErrorKind::ConnectionRefused {
        ErrorKind::Unreachable
    } else if is_of_tls(&text) {
        ErrorKind::Tls
    } else {
        ErrorKind::ConnectionLost
    }
}

/// A server that cannot be chosen, by what its last look met.
fn unreachable_kind(message: &str) -> ErrorKind {
    if is_of_tls(message) { ErrorKind::Tls } else { ErrorKind::Unreachable }
}

fn is_of_tls(text: &str) -> bool {
    ["certificate", "HandshakeFailure", "received corrupt message", "UnknownIssuer"]
        .iter()
        .any(|w| text.contains(w))
}

#[cfg(test)]
mod tests {
    use bson::doc;
    use model::Disposition;

    use super::*;

    /// The codes of the table in docs/.
    const CODES: &[(i32, ErrorKind)] = &[
        (112, ErrorKind::Deadlock),
        (1, ErrorKind::Deadlock),
        (251, ErrorKind::Deadlock),
        (43, ErrorKind::Deadlock),
        (239, ErrorKind::Deadlock),
        (24, ErrorKind::LockWait),
        (257, ErrorKind::TooLarge),
        (388, ErrorKind::TooLarge),
        (290, ErrorKind::StatementTimeout),
        (50, ErrorKind::StatementTimeout),
        (91, ErrorKind::ConnectionLost),
        (11600, ErrorKind::ConnectionLost),
        (11000, ErrorKind::DuplicateKey),
        (121, ErrorKind::Check),
        (10334, ErrorKind::TooLong),
        (14031, ErrorKind::DiskFull),
        (10107, ErrorKind::ReadOnly),
        (13435, ErrorKind::ReadOnly),
        (189, ErrorKind::ReadOnly),
        (18, ErrorKind::Authentication),
        (13, ErrorKind::Permission),
        (26, ErrorKind::UnknownTable),
        (20, ErrorKind::Unsupported),
        (9, ErrorKind::Internal),
    ];

    #[test]
    fn every_code_has_a_kind() {
        for (code, wanted) in CODES {
            assert_eq!(kind(*code), *wanted, "{code}");
        }
    }

    #[test]
    fn a_refused_document_names_the_rule_and_no_value() {
        let answer = |failure: Document| doc! { "n": 0, "writeErrors": [failure] };
        let duplicate = doc! {
            "index": 0, "code": 11000, "errmsg": "E11000 dup key: { email: \"canary\" }",
            "keyPattern": { "email": 1, "shop": 1 }, "keyValue": { "email": "canary" },
        };
        let found = write_error(&answer(duplicate), "write table people").expect("an error");
        assert_eq!(found.kind, ErrorKind::DuplicateKey);
        assert_eq!(found.object.as_deref(), Some("email, shop"));
        assert!(!format!("{found} {found:?}").contains("canary"));
        let rule = doc! { "operatorName": "properties", "propertiesNotSatisfied": [{ "propertyName": "n" }] };
        let details = doc! { "details": { "schemaRulesNotSatisfied": [rule] } };
        let found = write_error(&answer(doc! { "code": 121, "errInfo": details }), "x").expect("an error");
        assert_eq!((found.kind, found.object.as_deref()), (ErrorKind::Check, Some("n")));
        assert_eq!(found.kind.disposition(), Disposition::QuarantineRow);
        let missing = doc! { "operatorName": "required", "missingProperties": ["m"] };
        let details = doc! { "details": { "schemaRulesNotSatisfied": [missing] } };
        let found = write_error(&answer(doc! { "code": 121, "errInfo": details }), "x").expect("an error");
        assert_eq!(found.object.as_deref(), Some("m"));
        assert_eq!(write_error(&doc! { "n": 1 }, "x"), None);
    }
}
