//! What engines share that sqlx speaks to: bytes of cells, and errors of the driver in our words.

use std::borrow::Cow;

use model::ErrorKind;
use sqlx::{Column as _, Row};

use super::{Protocol, error};
use crate::error::Error;

/// What an engine adds to the driver.
pub(crate) trait Driven: Protocol<Failed = sqlx::Error> {
    /// The bytes of a cell; `None` for NULL.
    fn cell(row: &Self::Row, at: usize) -> Option<&[u8]>;

    /// What the server itself said; `None` if it said nothing.
    fn server_error(failed: &sqlx::Error, operation: &str) -> Option<Error>;

    /// What an account may lack that the driver refuses to log in with.
    const ACCOUNT_NEEDS: &'static str;
}

/// See [`Protocol::text`].
pub(crate) fn text<P: Driven>(row: &P::Row, at: usize) -> Option<Cow<'_, str>> {
    cell_text::<P>(row, at).map(Cow::Borrowed)
}

/// The text of a catalog cell; `None` for NULL.
pub(crate) fn cell_text<P: Driven>(row: &P::Row, at: usize) -> Option<&str> {
    P::cell(row, at).and_then(|bytes| std::str::from_utf8(bytes).ok())
}

/// See [`Protocol::place`].
pub(crate) fn place<R: Row>(row: &R, name: &str) -> Option<usize> {
    row.columns().iter().position(|column| column.name() == name)
}

/// See [`Protocol::failure`].
pub(crate) fn failure<P: Driven>(failed: &sqlx::Error, operation: &str) -> Error {
    if let Some(said) = P::server_error(failed, operation) {
        return said;
    }
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the driver's list grows; what is new is our own bug first"
    )]
    let kind = match failed {
        // The driver takes a broken stream for a protocol error.
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            ErrorKind::ConnectionLost
        }
        sqlx::Error::Tls(_) => ErrorKind::Tls,
        _ => ErrorKind::Internal,
    };
    error::<P>(kind, operation)
}

/// See [`Protocol::login_failure`].
pub(crate) fn login_failure<P: Driven>(failed: &sqlx::Error, operation: &str) -> Error {
    #[allow(clippy::wildcard_enum_match_arm, reason = "all else is as in a session in use")]
    let (kind, object) = match failed {
        // A handshake that fails inside rustls comes as invalid data.
        sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => {
            (ErrorKind::Tls, "the server's certificate")
        }
        sqlx::Error::Io(_) => return error::<P>(ErrorKind::Unreachable, operation),
        sqlx::Error::Tls(_) => (ErrorKind::Tls, "TLS as the server offers it"),
        sqlx::Error::Configuration(_) => (ErrorKind::Tls, P::ACCOUNT_NEEDS),
        sqlx::Error::Protocol(_) => (ErrorKind::Authentication, "the account's way to log in"),
        other => return failure::<P>(other, operation),
    };
    error::<P>(kind, operation).with_object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::Mysql;
    use crate::postgres::Postgres;

    fn told_apart<P: Driven>() {
        let io = |kind| sqlx::Error::Io(std::io::Error::from(kind));
        assert_eq!(failure::<P>(&io(std::io::ErrorKind::UnexpectedEof), "x").kind, ErrorKind::ConnectionLost);
        let logging_in = |kind| login_failure::<P>(&io(kind), "x").kind;
        assert_eq!(logging_in(std::io::ErrorKind::ConnectionRefused), ErrorKind::Unreachable);
        assert_eq!(logging_in(std::io::ErrorKind::InvalidData), ErrorKind::Tls);
    }

    #[test]
    fn what_ends_without_a_code_is_told_apart_by_when_it_ended() {
        told_apart::<Mysql>();
        told_apart::<Postgres>();
    }
}
