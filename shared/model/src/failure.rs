//! What can go wrong, and what follows: one exhaustive table.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What went wrong, independent of the engine. Native codes become kinds in `<engine>/classify.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    ConnectionLost,
    Unreachable,
    Timeout,
    Deadlock,
    LockWait,
    TooManyConnections,
    TooLarge,
    /// The server ended a statement that took longer than it allows.
    StatementTimeout,
    DuplicateKey,
    ForeignKey,
    Check,
    NotNull,
    TooLong,
    OutOfRange,
    Conversion,
    Encoding,
    /// `insert-only` met a different row at the key.
    KeyExists,
    DiskFull,
    ReadOnly,
    Authentication,
    Permission,
    Tls,
    UnknownDatabase,
    UnknownTable,
    UnknownColumn,
    Drift,
    /// A newer attempt owns the chunk.
    Fenced,
    /// A newer run holds the table's turn: nothing of this run can be written there any more.
    Overtaken,
    /// The target has seen turns, runs or attempts that the ledger does not know: the ledger was restored to an older
    /// state.
    LedgerBehind,
    /// Source and target differ after the copy.
    Diverged,
    /// Too many workers died on this chunk.
    WorkerDied,
    Unsupported,
    /// Stopped before doing harm: a mass delete, a lossy type.
    Refused,
    /// A broken promise of our own.
    Internal,
}

/// What follows from an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// Try again after a delay; counts as an attempt.
    Retry,
    /// Try again at once with half the rows.
    Shrink,
    /// Set the rows concerned aside and go on.
    QuarantineRow,
    /// Set the chunk aside and go on with the others.
    QuarantineChunk,
    /// Every chunk would fail alike: stop the table or run and say what to do.
    Halt,
    /// Someone newer does the work: stop without a trace.
    Stand,
}

impl ErrorKind {
    /// The one table. No wildcard: a new kind does not compile until it is placed.
    #[must_use]
    pub const fn disposition(self) -> Disposition {
        match self {
            Self::ConnectionLost
            | Self::Unreachable
            | Self::Timeout
            | Self::Deadlock
            | Self::LockWait
            | Self::TooManyConnections => Disposition::Retry,
            Self::TooLarge | Self::StatementTimeout => Disposition::Shrink,
            Self::DuplicateKey
            | Self::ForeignKey
            | Self::Check
            | Self::NotNull
            | Self::TooLong
            | Self::OutOfRange
            | Self::Conversion
            | Self::Encoding
            | Self::KeyExists => Disposition::QuarantineRow,
            Self::Diverged => Disposition::Retry,
            Self::WorkerDied | Self::Internal => Disposition::QuarantineChunk,
            Self::DiskFull
            | Self::ReadOnly
            | Self::Authentication
            | Self::Permission
            | Self::Tls
            | Self::UnknownDatabase
            | Self::UnknownTable
            | Self::UnknownColumn
            | Self::Drift
            | Self::Overtaken
            | Self::LedgerBehind
            | Self::Unsupported
            | Self::Refused => Disposition::Halt,
            Self::Fenced => Disposition::Stand,
        }
    }

    /// Whether the same work, begun anew in the same attempt, may well succeed: nothing is wrong with the rows. Two sides
    /// that differ after a copy are an attempt of their own.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self.disposition(), Disposition::Retry) && !matches!(self, Self::Diverged)
    }

    /// Whether it speaks against the network or the server as a whole: there was no answer.
    #[must_use]
    pub const fn is_of_network(self) -> bool {
        matches!(self, Self::ConnectionLost | Self::Unreachable | Self::Timeout)
    }

    /// The stored and printed name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectionLost => "connection-lost",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Deadlock => "deadlock",
            Self::LockWait => "lock-wait",
            Self::TooManyConnections => "too-many-connections",
            Self::TooLarge => "too-large",
            Self::StatementTimeout => "statement-timeout",
            Self::DuplicateKey => "duplicate-key",
            Self::ForeignKey => "foreign-key",
            Self::Check => "check",
            Self::NotNull => "not-null",
            Self::TooLong => "too-long",
            Self::OutOfRange => "out-of-range",
            Self::Conversion => "conversion",
            Self::Encoding => "encoding",
            Self::KeyExists => "key-exists",
            Self::DiskFull => "disk-full",
            Self::ReadOnly => "read-only",
            Self::Authentication => "authentication",
            Self::Permission => "permission",
            Self::Tls => "tls",
            Self::UnknownDatabase => "unknown-database",
            Self::UnknownTable => "unknown-table",
            Self::UnknownColumn => "unknown-column",
            Self::Drift => "drift",
            Self::Fenced => "fenced",
            Self::Overtaken => "overtaken",
            Self::LedgerBehind => "ledger-behind",
            Self::Diverged => "diverged",
            Self::WorkerDied => "worker-died",
            Self::Unsupported => "unsupported",
            Self::Refused => "refused",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why an attempt, table or run failed: the kind, and a sentence without values or secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: ErrorKind,
    pub message: String,
}

impl Failure {
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.kind)
    }
}

/// Workers that may die on one chunk.
pub const WORKER_DEATHS_MAX: u32 = 3;
/// Times that an attempt begins anew after a transient failure, before the chunk is given back.
pub const RETRIES_INSIDE: u32 = 3;
/// Delay before the second attempt, if the spec names none.
const RETRY_BASE: Duration = Duration::from_millis(200);
/// No delay of ours is longer.
const RETRY_CAP: Duration = Duration::from_secs(30);
/// No delay that a spec asks for is longer.
const RETRY_CAP_GIVEN: Duration = Duration::from_secs(3_600);

/// How often a chunk is tried, and how long it waits between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts a chunk gets in all, those that ended with their worker included.
    pub attempts: u32,
    /// Milliseconds before the second attempt, doubled for each one after; absent: moments, since most failures heal at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 5, delay_ms: None }
    }
}

impl RetryPolicy {
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The delay before the attempt that follows `attempt`. Our own is full jitter over a doubling ceiling; one that the
    /// spec names is waited for at least, with up to a quarter more. `dice` in `0.0..1.0` is passed in, so that tests
    /// choose it.
    #[must_use]
    pub fn delay(&self, attempt: u32, dice: f64) -> Duration {
        let (dice, times) = (dice.clamp(0.0, 1.0), 1 << attempt.saturating_sub(1).min(16));
        match self.delay_ms {
            None => RETRY_BASE.saturating_mul(times).min(RETRY_CAP).mul_f64(dice),
            Some(base) => {
                let least = Duration::from_millis(base).saturating_mul(times).min(RETRY_CAP_GIVEN);
                least.mul_f64(0.25f64.mul_add(dice, 1.0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap() {
        let ours = RetryPolicy::default();
        assert_eq!(ours.delay(1, 1.0), Duration::from_millis(200));
        assert_eq!(ours.delay(3, 1.0), Duration::from_millis(800));
        assert_eq!(ours.delay(3, 0.5), Duration::from_millis(400));
        assert_eq!(ours.delay(40, 1.0), RETRY_CAP);
    }

    /// 4-07.
    #[test]
    fn a_delay_of_30_seconds_is_30_60_120_and_a_little_more() {
        let given = RetryPolicy { attempts: 4, delay_ms: Some(30_000) };
        let waits = [1, 2, 3].map(|attempt| given.delay(attempt, 0.0).as_secs());
        assert_eq!(waits, [30, 60, 120]);
        assert_eq!(given.delay(1, 1.0), Duration::from_millis(37_500));
        assert_eq!(given.delay(40, 0.0), RETRY_CAP_GIVEN);
    }

    #[test]
    fn the_name_is_the_stored_form() {
        let stored = serde_json::to_string(&ErrorKind::TooManyConnections).expect("serialises");
        assert_eq!(stored, format!("\"{}\"", ErrorKind::TooManyConnections));
        let stored = serde_json::to_string(&ErrorKind::Overtaken).expect("serialises");
        assert_eq!(stored, format!("\"{}\"", ErrorKind::Overtaken));
    }

    #[test]
    fn what_is_tried_again_inside_an_attempt() {
        for kind in [
            ErrorKind::ConnectionLost,
            ErrorKind::Unreachable,
            ErrorKind::Timeout,
            ErrorKind::Deadlock,
            ErrorKind::LockWait,
            ErrorKind::TooManyConnections,
        ] {
            assert!(kind.is_transient(), "{kind}");
        }
        for kind in [ErrorKind::Diverged, ErrorKind::TooLarge, ErrorKind::ReadOnly, ErrorKind::Fenced] {
            assert!(!kind.is_transient(), "{kind}");
        }
        assert!(ErrorKind::Timeout.is_of_network() && !ErrorKind::StatementTimeout.is_of_network());
    }

    /// A newer attempt settles the chunk, so the older one keeps quiet; after a newer run nobody settles it.
    #[test]
    fn a_run_that_was_overtaken_says_so() {
        assert_eq!(ErrorKind::Fenced.disposition(), Disposition::Stand);
        assert_eq!(ErrorKind::Overtaken.disposition(), Disposition::Halt);
    }
}
