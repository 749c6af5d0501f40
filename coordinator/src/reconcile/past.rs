//! Keeps a run from going on under a ledger that has forgotten a part of it.

use connectors::config::Role;
use ledger::Run;
use model::{Pass, RunKind};
use tracing::warn;

use super::{Coordinator, ledger_error};
use crate::past;

/// Whether the ledger was found to know all that the target of this run has seen, by this process and since the run
/// became active. Until then nothing is planned, cut or handed out; the comparison goes on beside the loop, and halts
/// the run if the ledger is behind.
pub(super) fn is_compared(coordinator: &Coordinator, run: &Run) -> bool {
    if run.kind == RunKind::Verify || run.cancel_requested || coordinator.watch().compared.contains(&run.id) {
        return true;
    }
    let (this, owner) = (coordinator.clone(), run.clone());
    coordinator.beside(run, u32::MAX, Pass::Verify, async move {
        let target = this.connections.get(&owner.spec.target, Role::Target)?;
        let past = past::compare(&this.ledger, &*target, &[owner.id]).await?;
        if past.is_lost() {
            let failure = past.failure();
            warn!(run = %owner.id, cause = %failure, "run halted");
            this.ledger.halt_run(owner.id, &failure).await.map_err(|e| ledger_error(&e))?;
        } else {
            this.watch().compared.insert(owner.id);
        }
        Ok(())
    });
    false
}
