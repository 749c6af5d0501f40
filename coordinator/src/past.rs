//! Holds a ledger against what a target remembers: a ledger that was restored to an older state has forgotten runs,
//! chunks or attempts, and would give their numbers out a second time.

use connectors::{AttemptPages, Target};
use ledger::Ledger;
use model::{ErrorKind, Failure, RunId, Turn};

use crate::reconcile::ledger_error;

/// What a target has seen that the ledger does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// The highest turn that a table of the target was prepared for.
    pub turn: Turn,
    /// Whether the ledger never gave that turn out.
    pub is_turn_ahead: bool,
    /// Runs that wrote the target and that the ledger does not have.
    pub unknown: Vec<RunId>,
    /// Runs of the ledger of which the target has seen more than the ledger.
    pub ahead: Vec<RunId>,
}

impl Past {
    /// Whether the ledger has lost a part of the past.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.is_turn_ahead || !self.unknown.is_empty() || !self.ahead.is_empty()
    }

    /// Why a run on this target must not go on.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let seen = if !self.unknown.is_empty() {
            "it was written by a run that the ledger does not know"
        } else if self.ahead.is_empty() {
            "it was prepared for a run that the ledger does not know"
        } else {
            "this run has written more of it than the ledger knows"
        };
        Failure::new(
            ErrorKind::LedgerBehind,
            format!("the ledger has lost a part of what the target has seen: {seen}"),
        )
    }
}

/// Compares the ledger with what `target` remembers of this installation; of the runs named, every chunk. Changes
/// nothing. Runs under way do not disturb it: what they write at the target stands in the ledger before.
///
/// # Errors
/// The target or the ledger could not be read.
pub async fn compare(
    ledger: &Ledger,
    target: &dyn Target,
    runs: &[RunId],
) -> Result<Past, connectors::Error> {
    let failed = |e: ledger::Error| ledger_error(&e);
    // The target first: what it has seen by now, the ledger must know.
    let history = target.history(ledger.install()).await?;
    let mut past = Past {
        turn: history.turn,
        is_turn_ahead: history.turn > ledger.turn().await.map_err(failed)?,
        unknown: ledger.unknown_runs(&history.runs).await.map_err(failed)?,
        ahead: Vec::new(),
    };
    for run in runs.iter().filter(|run| history.runs.contains(*run)) {
        let mut pages = AttemptPages::new(target, ledger.install(), *run);
        while let Some(page) = pages.next().await? {
            if ledger.is_behind(&page).await.map_err(failed)? {
                past.ahead.push(*run);
                break;
            }
        }
    }
    Ok(past)
}
