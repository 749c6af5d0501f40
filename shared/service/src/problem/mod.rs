//! What people read when something fails: a code that stays, what happened, and what to do next.

mod codes;

use std::fmt;

use model::{ErrorKind, Failure};
use serde::Serialize;

pub use codes::{ALL, Page, code};

use crate::config::SpecError;
use crate::secret::SecretError;
use crate::telemetry::{TelemetryError, chain};

/// A failure as it is shown. The binary prints it and exits with its code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Stable: `SYN-1042`.
    pub code: &'static str,
    /// What happened, in general.
    pub title: String,
    /// What happened here; empty if the title says it all. May have several lines. No row values, no secrets.
    pub detail: String,
    /// A command or an action.
    pub next: String,
    /// Exit code of the process.
    pub exit: u8,
}

impl Problem {
    /// A problem of the kind that `page` describes.
    #[must_use]
    pub fn new(page: &'static Page, detail: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            code: page.code,
            title: page.title.to_owned(),
            detail: detail.into(),
            next: next.into(),
            exit: page.exit,
        }
    }

    /// A problem from the one table of kinds, with its usual next step.
    #[must_use]
    pub fn of_kind(kind: ErrorKind, detail: impl Into<String>) -> Self {
        let (page, next) = of_kind(kind);
        Self::new(page, detail, next)
    }

    /// A spec that is not valid, with its places underlined.
    #[must_use]
    pub fn of_spec(error: &SpecError, color: bool) -> Self {
        if error.is_unreadable() {
            return Self::new(code::SPEC_UNREADABLE, error.to_string(), error.next());
        }
        Self { code: error.code(), ..Self::new(code::SPEC_INVALID, error.render(color), error.next()) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.title)?;
        match self.detail.trim_end() {
            "" => {}
            detail if detail.contains('\n') => write!(f, "\n{detail}")?,
            detail => write!(f, ": {detail}")?,
        }
        write!(f, "\n  next: {}", self.next)
    }
}

impl std::error::Error for Problem {}

impl From<&Failure> for Problem {
    fn from(failure: &Failure) -> Self {
        Self::of_kind(failure.kind, failure.message.clone())
    }
}

impl From<&SpecError> for Problem {
    fn from(error: &SpecError) -> Self {
        Self::of_spec(error, false)
    }
}

impl From<&SecretError> for Problem {
    fn from(error: &SecretError) -> Self {
        let next = match error {
            SecretError::Form => "write the reference in one of these forms".to_owned(),
            SecretError::NoPassword { name } => format!("{name}=scheme://user:password@host/"),
            SecretError::VariableMissing { name } => format!("export {name}=…"),
            SecretError::FileUnreadable { path, .. } => format!("ls -l {}", path.display()),
            SecretError::FileExposed { path } => format!("chmod o-rwx {}", path.display()),
            SecretError::FileContent { path } => format!("check that {} is the file meant", path.display()),
        };
        Self::new(error.page(), chain(error).to_string(), next)
    }
}

impl From<&TelemetryError> for Problem {
    fn from(error: &TelemetryError) -> Self {
        Self::new(code::BAD_SETTING, chain(error).to_string(), "SYNCLINE_LOG=info, or leave it unset")
    }
}

impl SecretError {
    pub(crate) const fn page(&self) -> &'static Page {
        match self {
            Self::Form => code::BAD_REFERENCE,
            Self::VariableMissing { .. } | Self::NoPassword { .. } => code::VARIABLE_MISSING,
            Self::FileUnreadable { .. } | Self::FileContent { .. } => code::SECRET_FILE,
            Self::FileExposed { .. } => code::SECRET_EXPOSED,
        }
    }
}

/// The page of a code, for `syncline explain`.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    ALL.iter().find(|page| page.code.eq_ignore_ascii_case(code)).map(|page| page.text)
}

/// Page and next step of each kind. No wildcard: a new kind does not compile until it is placed.
#[must_use]
pub const fn of_kind(kind: ErrorKind) -> (&'static Page, &'static str) {
    match kind {
        ErrorKind::ConnectionLost => (code::CONNECTION_LOST, "syncline doctor"),
        ErrorKind::Unreachable => (code::UNREACHABLE, "syncline doctor"),
        ErrorKind::Timeout => (code::TIMEOUT, "syncline doctor, then syncline run SPEC --resume"),
        ErrorKind::Deadlock => (code::DEADLOCK, "syncline run SPEC --resume"),
        ErrorKind::LockWait => (code::LOCK_WAIT, "end the other transaction, then run again"),
        ErrorKind::TooManyConnections => (code::TOO_MANY_CONNECTIONS, "use fewer workers"),
        ErrorKind::TooLarge => (code::TOO_LARGE, "raise max_allowed_packet at the server"),
        ErrorKind::StatementTimeout => (code::TIMEOUT, "raise max_statement_time at the server"),
        ErrorKind::DuplicateKey => (code::DUPLICATE_KEY, "syncline quarantine list"),
        ErrorKind::ForeignKey => (code::FOREIGN_KEY, "add the parent table to the spec, then run again"),
        ErrorKind::Check => (code::CHECK, "syncline quarantine list"),
        ErrorKind::NotNull => (code::NOT_NULL, "syncline quarantine list"),
        ErrorKind::TooLong => (code::TOO_LONG, "widen the target column, or exclude it"),
        ErrorKind::OutOfRange => (code::OUT_OF_RANGE, "widen the target column, or exclude it"),
        ErrorKind::Conversion => (code::CONVERSION, "syncline quarantine list"),
        ErrorKind::Encoding => (code::ENCODING, "syncline quarantine list"),
        ErrorKind::KeyExists => (code::KEY_EXISTS, "use mode merge, or remove the rows"),
        ErrorKind::DiskFull => (code::DISK_FULL, "free space, then syncline run SPEC --resume"),
        ErrorKind::ReadOnly => (code::READ_ONLY, "point the spec at a writable server"),
        ErrorKind::Authentication => (code::AUTHENTICATION, "check user and password, then syncline doctor"),
        ErrorKind::Permission => (code::PERMISSION, "syncline doctor, which lists missing grants"),
        ErrorKind::Tls => (code::TLS_FAILED, "set tls_ca, then syncline doctor"),
        ErrorKind::UnknownDatabase => (code::UNKNOWN_DATABASE, "check database in the spec"),
        ErrorKind::UnknownTable => (code::UNKNOWN_TABLE, "check tables in the spec, then syncline plan"),
        ErrorKind::UnknownColumn => (code::UNKNOWN_COLUMN, "check key and exclude, then syncline plan"),
        ErrorKind::Drift => (code::DRIFT, "syncline plan, then run again, which plans anew"),
        ErrorKind::Fenced => (code::FENCED, "syncline runs, to see who works on the table"),
        ErrorKind::Overtaken => (
            code::OVERTAKEN,
            "syncline runs; the newer run has the table: start a new run if it is to be copied again",
        ),
        ErrorKind::LedgerBehind => {
            (code::LEDGER_BEHIND, "stop every serve and worker, then syncline ledger reconcile")
        }
        ErrorKind::Diverged => (code::DIVERGED, "syncline verify, then run again to repair"),
        ErrorKind::WorkerDied => (code::WORKER_DIED, "read the workers' logs, then syncline retry"),
        ErrorKind::Unsupported => (code::UNSUPPORTED, "syncline plan, which names it"),
        ErrorKind::Refused => (code::REFUSED, "syncline show, which names the table and the reason"),
        ErrorKind::Internal => (code::INTERNAL, "report it, with the log at SYNCLINE_LOG=debug"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_explained() {
        let codes: BTreeSet<&str> = ALL.iter().map(|page| page.code).collect();
        assert_eq!(codes.len(), ALL.len());
        for page in ALL {
            let digits = page.code.strip_prefix("SYN-").expect("the prefix");
            assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()), "{}", page.code);
            assert!(page.text.len() > 40, "{} needs a text", page.code);
            assert!(matches!(page.exit, 1 | 3..=8), "{}", page.code);
        }
        assert_eq!(explain("syn-1003"), explain("SYN-1003"));
        assert_eq!(explain("SYN-0000"), None);
    }

    #[test]
    fn a_problem_reads_in_two_lines() {
        let problem = Problem::of_kind(ErrorKind::Unreachable, "mysql db1:3306/shop");
        insta::assert_snapshot!(problem, @r"
        error[SYN-2002]: the database could not be reached: mysql db1:3306/shop
          next: syncline doctor
        ");
        insta::assert_snapshot!(
            serde_json::to_string(&problem).expect("serialises"),
            @r#"{"code":"SYN-2002","title":"the database could not be reached","detail":"mysql db1:3306/shop","next":"syncline doctor","exit":5}"#
        );
    }

    #[test]
    fn a_run_that_was_overtaken_is_told_what_to_do() {
        let problem = Problem::of_kind(ErrorKind::Overtaken, "mysql: write table t");
        assert_eq!(problem.exit, 7);
        insta::assert_snapshot!(problem, @r"
        error[SYN-2032]: a newer run has the table: mysql: write table t
          next: syncline runs; the newer run has the table: start a new run if it is to be copied again
        ");
    }

    #[test]
    fn a_secret_problem_names_the_variable_only() {
        let problem = Problem::from(&SecretError::VariableMissing { name: "SRC_PW".to_owned() });
        insta::assert_snapshot!(problem, @r"
        error[SYN-1041]: a variable is not set: variable SRC_PW is not set
          next: export SRC_PW=…
        ");
    }
}
