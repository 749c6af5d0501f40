//! Why a spec cannot be run.

use connectors::Error;
use model::ErrorKind;

/// Why a spec cannot be run. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct PlanError {
    pub kind: ErrorKind,
    pub what: String,
    /// What to do about it.
    pub next: String,
}

impl PlanError {
    pub(crate) fn new(kind: ErrorKind, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { kind, what: what.into(), next: next.into() }
    }
}

impl From<Error> for PlanError {
    fn from(error: Error) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest has one answer: look")]
        let next = match error.kind {
            ErrorKind::Authentication => "check user and password of this connection in the spec",
            ErrorKind::Unreachable | ErrorKind::ConnectionLost | ErrorKind::Timeout => {
                "check host and port of this connection, and that the server is up"
            }
            ErrorKind::Permission => {
                "grant the user what the operation needs, then run `syncline doctor SPEC`"
            }
            ErrorKind::Tls => "check the `tls` and `tls_ca` keys of this connection",
            ErrorKind::UnknownDatabase => "check `database` or `path` of this connection",
            _ => "run `syncline doctor SPEC` for a look at both databases",
        };
        Self::new(error.kind, error.to_string(), next)
    }
}
