//! What the Redis driver reports → what went wrong. The only place that reads its codes.

use redis::{ErrorKind as Driver, RedisError, ServerErrorKind};

use crate::error::ErrorKind;

pub(super) fn classify(error: &RedisError) -> ErrorKind {
    if error.is_io_error() || error.is_connection_dropped() || error.is_timeout() {
        return ErrorKind::Unreachable;
    }
    match error.code() {
        Some("NOAUTH" | "WRONGPASS" | "NOPERM") => return ErrorKind::Auth,
        Some("MISCONF") => return unsaved(error.detail().unwrap_or_default()),
        Some("NOREPLICAS" | "READONLY") => return ErrorKind::ReadOnly,
        Some("OOM") => return ErrorKind::Full,
        Some(_) | None => {}
    }
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the driver's enum is open; what we do not know is `Other`"
    )]
    match error.kind() {
        Driver::AuthenticationFailed => ErrorKind::Auth,
        Driver::InvalidClientConfig => ErrorKind::Config,
        Driver::Parse => ErrorKind::Unreachable,
        Driver::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::TryAgain,
        ) => ErrorKind::Unreachable,
        _ => ErrorKind::Other,
    }
}

/// With an append-only file the server says what its disk answered, after a failed snapshot it does not.
fn unsaved(detail: &str) -> ErrorKind {
    if detail.contains("No space left") { ErrorKind::DiskFull } else { ErrorKind::NotSaving }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server answers, as the driver reads it.
    fn answered(line: &str) -> RedisError {
        let value = redis::parse_redis_value(line.as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

    #[test]
    fn answers_of_a_server_have_their_kinds() {
        for (line, kind) in [
            ("-NOAUTH Authentication required.\r\n", ErrorKind::Auth),
            ("-WRONGPASS invalid username-password pair\r\n", ErrorKind::Auth),
            ("-NOPERM this user has no permissions to run the 'evalsha' command\r\n", ErrorKind::Auth),
            ("-READONLY You can't write against a read only replica.\r\n", ErrorKind::ReadOnly),
            ("-MISCONF Errors writing to the AOF file: No space left on device\r\n", ErrorKind::DiskFull),
            ("-MISCONF Redis is configured to save RDB snapshots\r\n", ErrorKind::NotSaving),
            ("-OOM command not allowed when used memory > 'maxmemory'.\r\n", ErrorKind::Full),
            ("-LOADING Redis is loading the dataset in memory\r\n", ErrorKind::Unreachable),
            ("-CLUSTERDOWN Hash slot not served\r\n", ErrorKind::Unreachable),
            ("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ErrorKind::Other),
            ("-ERR unknown command\r\n", ErrorKind::Other),
        ] {
            assert_eq!(classify(&answered(line)), kind, "{line}");
        }
    }

    #[test]
    fn a_broken_connection_is_unreachable() {
        for kind in [
            std::io::ErrorKind::TimedOut,
            std::io::ErrorKind::ConnectionReset,
            std::io::ErrorKind::UnexpectedEof,
        ] {
            assert_eq!(classify(&RedisError::from(std::io::Error::from(kind))), ErrorKind::Unreachable);
        }
    }
}
