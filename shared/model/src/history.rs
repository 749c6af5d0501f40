//! What a target remembers of who wrote it: the witness when a ledger was restored to an older state.

use crate::id::{RunId, Turn};

/// What Syncline's own tables in a target say of one installation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetHistory {
    /// The highest turn that any table was prepared for; 0 if none was.
    pub turn: Turn,
    /// The runs that have fences there: those of the last run of each spec, and of runs that did not end whole.
    pub runs: Vec<RunId>,
}
