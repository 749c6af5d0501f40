//! What a connector reports: kind, operation, object; never a driver's text, which may hold values or secrets.

use std::fmt;
use std::time::Duration;

use model::{Disposition, Engine, ErrorKind, Failure};

pub type Result<T> = std::result::Result<T, Error>;

/// A failed operation on a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    pub kind: ErrorKind,
    pub engine: Engine,
    /// What was being done, to which object: `read table orders`.
    pub operation: String,
    /// The engine's own code: `1062`, `SQLITE_BUSY`.
    pub code: Option<String>,
    /// Constraint, column or other name the engine reported; never a value.
    pub object: Option<String>,
    /// The endpoint is not asked before so much time has passed: nothing was tried, and nothing is to be blamed.
    pub retry_after: Option<Duration>,
}

impl Error {
    #[must_use]
    pub fn new(kind: ErrorKind, engine: Engine, operation: impl Into<String>) -> Self {
        Self { kind, engine, operation: operation.into(), code: None, object: None, retry_after: None }
    }

    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    #[must_use]
    pub fn with_object(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }

    pub(crate) const fn not_before(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Whether the failure is about the server or the connection, not about the one thing that was tried.
    pub(crate) fn ends_all(&self) -> bool {
        use ErrorKind::{Authentication, DiskFull, Permission, ReadOnly, Tls};
        self.kind.disposition() == Disposition::Retry
            || matches!(self.kind, DiskFull | ReadOnly | Authentication | Permission | Tls)
    }

    /// The kind, and the engine's code: for a note that names the rest.
    pub(crate) fn reason(&self) -> String {
        self.code.as_ref().map_or_else(|| self.kind.to_string(), |code| format!("{} [{code}]", self.kind))
    }

    /// The failure as the ledger keeps it.
    #[must_use]
    pub fn failure(&self) -> Failure {
        Failure::new(self.kind, self.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} failed: {}", self.engine, self.operation, self.kind)?;
        if let Some(object) = &self.object {
            write!(f, " on {object}")?;
        }
        if let Some(code) = &self.code {
            write!(f, " [{code}]")?;
        }
        Ok(())
    }
}
