//! What can go wrong with delivery, and what the caller should tell the operator.

use std::error::Error as StdError;
use std::fmt;

/// A failure of the queue: what it was doing, what kind of failure it was, and the cause.
///
/// `Display` says only what this layer was doing; walk `source()` for the rest. No message holds a
/// URL, a password or a payload.
#[derive(Debug, thiserror::Error)]
#[error("queue: cannot {operation}: {kind}")]
pub struct Error {
    kind: ErrorKind,
    operation: &'static str,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kinds of failure an operator can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The URL, the install id or the signing key cannot be used at all.
    Config,
    /// A job that must not be queued: a foreign install, an id of a wrong form.
    InvalidJob,
    /// No answer: down, restarting, loading, or the network is cut.
    Unreachable,
    /// Wrong password, or the ACL user may not do this.
    Auth,
    /// The server answers but takes no writes: it is a replica, or misses its own.
    ReadOnly,
    /// It takes no writes because its disk is full.
    DiskFull,
    /// It takes no writes because it could not save the last ones; its disk may be full.
    NotSaving,
    /// The server reached `maxmemory`.
    Full,
    /// The worker loop ended although nobody asked it to.
    Stopped,
    /// Anything else the server said.
    Other,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, operation: &'static str) -> Self {
        Self { kind, operation, source: None }
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl ErrorKind {
    /// Whether the same call may succeed later without anybody changing its arguments.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Unreachable
            | Self::Auth
            | Self::ReadOnly
            | Self::DiskFull
            | Self::NotSaving
            | Self::Full
            | Self::Other => true,
            Self::Config | Self::InvalidJob | Self::Stopped => false,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "not configured correctly",
            Self::InvalidJob => "the job is not valid",
            Self::Unreachable => "unreachable",
            Self::Auth => "auth failed",
            Self::ReadOnly => "read-only (a replica)",
            Self::DiskFull => "read-only (disk full)",
            Self::NotSaving => "read-only (it cannot save to its disk)",
            Self::Full => "out of memory",
            Self::Stopped => "the worker loop ended by itself",
            Self::Other => "the server refused",
        })
    }
}

/// The whole chain of causes on one line, for a log field.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
