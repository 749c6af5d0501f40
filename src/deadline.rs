//! How long databases are waited for: one setting of the process, for tests.

use std::time::Duration;

use service::Problem;
use service::problem::code;

/// Variable with another deadline; for tests of what happens when it passes.
const VARIABLE: &str = "SYNCLINE_DEADLINE_MS";
/// Longest wait for a database's answer: longer than a busy server takes, shorter than a person's patience.
const DEFAULT: Duration = Duration::from_secs(30);
/// A call of the ledger is some statements on a busy server.
const LEDGER_LEAST: Duration = Duration::from_secs(5);
const LEDGER_MOST: Duration = Duration::from_secs(15);
/// The server's own limits are whole seconds and have to come first.
const LEAST: Duration = Duration::from_secs(2);

/// Longest wait for an answer of source or target.
pub(crate) fn of_process() -> Duration {
    set().ok().flatten().unwrap_or(DEFAULT)
}

/// Longest call of the ledger, retries included: half a lease, so that a worker still learns that a beat failed.
///
/// # Errors
/// The variable does not hold a number of milliseconds, 2,000 or more.
pub(crate) fn of_ledger() -> Result<Duration, Problem> {
    Ok(set()?.unwrap_or(DEFAULT).clamp(LEDGER_LEAST, LEDGER_MOST))
}

fn set() -> Result<Option<Duration>, Problem> {
    let Ok(text) = std::env::var(VARIABLE) else { return Ok(None) };
    let given = text.parse().ok().map(Duration::from_millis).filter(|given| *given >= LEAST);
    given.map(Some).ok_or_else(|| {
        let detail = format!("{VARIABLE} is not a number of milliseconds from {} on", LEAST.as_millis());
        Problem::new(code::BAD_SETTING, detail, "leave it unset")
    })
}
