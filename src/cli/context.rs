//! What every command needs: the screen, the ledger, specs from files; and errors turned into problems.

use std::path::Path;

use coordinator::PlanError;
use ledger::{Ledger, LedgerUrl, Run};
use model::ErrorKind;
use secrecy::{ExposeSecret as _, SecretString};
use service::problem::code;
use service::{LoadedSpec, Problem, chain};

use super::screen::Screen;
use crate::{deadline, fleet};

/// The ledger of `run` and its like: a file next to where one works, so that nothing is hidden in a home directory
/// and two projects do not meet.
pub(super) const LEDGER_DEFAULT: &str = "syncline.db";

/// Variable with the secret that signs the audit log, best as a reference.
const AUDIT_KEY_VARIABLE: &str = "SYNCLINE_AUDIT_KEY";
/// Bytes.
const AUDIT_KEY_MIN: usize = 32;
/// As clap ends, where an argument is missing.
const WRONG_USAGE: u8 = 2;
/// In place of a spec file: the pipeline that MYSQL_*, MONGODB_* and SYNC_* describe.
pub(super) const ENVIRONMENT: &str = "env:";

/// What a command works with.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) screen: Screen,
    ledger: String,
}

impl Context {
    pub(super) const fn new(screen: Screen, ledger: String) -> Self {
        Self { screen, ledger }
    }

    pub(super) fn ledger_url(&self) -> Result<LedgerUrl, Problem> {
        self.ledger.parse().map_err(|error: ledger::Error| {
            Problem::new(code::BAD_SETTING, chain(&error).to_string(), "correct --ledger or SYNCLINE_LEDGER")
        })
    }

    /// The ledger, made if it is not there.
    pub(super) async fn ledger(&self) -> Result<Ledger, Problem> {
        let url = self.ledger_url()?;
        let deadline = deadline::of_ledger()?;
        let key = audit_key()?;
        let ledger = Ledger::open_within(&url, deadline).await.map_err(|error| cannot_open(&error, &url))?;
        Ok(ledger.with_audit_key(key))
    }

    /// The ledger, for commands that only look: a file that does not exist is not made.
    pub(super) async fn existing_ledger(&self) -> Result<Ledger, Problem> {
        let url = self.ledger_url()?;
        match &url {
            LedgerUrl::Sqlite(path) if !path.exists() => Err(Problem::new(
                code::LEDGER,
                format!("there is none at {}", path.display()),
                "go to the folder where you ran, or name the ledger with --ledger",
            )),
            LedgerUrl::Sqlite(_) | LedgerUrl::Mysql(_) | LedgerUrl::Postgres(_) => self.ledger().await,
        }
    }

    /// The run meant by an id, the beginning of one, or `latest`.
    pub(super) async fn find_run(&self, ledger: &Ledger, text: &str) -> Result<Run, Problem> {
        let unknown = |detail| Problem::new(code::RUN_UNKNOWN, detail, "syncline runs");
        let found = ledger.find_run(text).await.map_err(|error| {
            let is_ambiguous = error.kind == ErrorKind::Unsupported;
            let ambiguous = || unknown(format!("more than one run begins with `{text}`"));
            if is_ambiguous { ambiguous() } else { ledger_problem(&error) }
        })?;
        found.ok_or_else(|| unknown(format!("`{text}` in {}", ledger.address())))
    }

    /// Reads and checks a spec; says what is unwise about it.
    pub(super) fn load_spec(&self, path: &Path) -> Result<LoadedSpec, Problem> {
        let loaded = self.load_spec_quietly(path)?;
        for warning in &loaded.warnings {
            self.screen.warn(warning);
        }
        Ok(loaded)
    }

    /// As [`Self::load_spec`], for commands that connect: what the passwords refer to must be there.
    pub(super) fn ready_spec(&self, path: &Path) -> Result<LoadedSpec, Problem> {
        let loaded = self.load_spec(path)?;
        for connection in [&loaded.spec.source, &loaded.spec.target] {
            service::resolve_password(connection).map_err(|error| Problem::from(&error))?;
        }
        Ok(loaded)
    }

    pub(super) fn load_spec_quietly(&self, path: &Path) -> Result<LoadedSpec, Problem> {
        if path == Path::new(ENVIRONMENT) {
            if !service::environment::is_meant() {
                let detail = "no spec file is named, and MYSQL_HOST and its like are not set";
                let problem = Problem::new(
                    code::BAD_SETTING,
                    detail,
                    "name the file, or: syncline config show --origin",
                );
                return Err(Problem { exit: WRONG_USAGE, ..problem });
            }
            return service::environment::spec(self.screen.colors_err());
        }
        service::load_spec(path).map_err(|error| Problem::of_spec(&error, self.screen.colors_err()))
    }
}

/// What entries of the audit log are signed with; none where the variable is not set.
fn audit_key() -> Result<Option<SecretString>, Problem> {
    let Some(text) = fleet::variable(AUDIT_KEY_VARIABLE) else { return Ok(None) };
    let key = service::secret::resolve(&text).map_err(|error| Problem::from(&error))?;
    let key = key.expose_secret().trim();
    if key.len() < AUDIT_KEY_MIN {
        let next =
            format!("give {AUDIT_KEY_VARIABLE} at least {AUDIT_KEY_MIN} random bytes: openssl rand -hex 32");
        return Err(Problem::new(code::BAD_SETTING, "the key of the audit log is too short", next));
    }
    Ok(Some(key.to_owned().into()))
}

/// An operation of the ledger that failed.
pub(super) fn ledger_problem(error: &ledger::Error) -> Problem {
    Problem::new(code::LEDGER, chain(error).to_string(), "syncline doctor")
}

fn cannot_open(error: &ledger::Error, url: &LedgerUrl) -> Problem {
    let problem =
        Problem::new(code::LEDGER, format!("{url}: {}", chain(error)), "check --ledger or SYNCLINE_LEDGER");
    let is_refused =
        matches!(error.kind, ErrorKind::Permission | ErrorKind::Authentication | ErrorKind::ReadOnly);
    if is_refused { Problem { exit: 6, ..problem } } else { problem }
}

/// What the planner refused.
pub(super) fn plan_problem(error: &PlanError) -> Problem {
    Problem { next: error.next.clone(), ..Problem::of_kind(error.kind, error.what.clone()) }
}

/// What a database refused.
pub(super) fn connector_problem(error: &connectors::Error) -> Problem {
    Problem::of_kind(error.kind, error.to_string())
}

/// A file or stream that could not be written.
pub(super) fn output_problem(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(code::OUTPUT, format!("{}: {error}", path.display()), format!("ls -ld {}", path.display()))
}
