//! Takes back expired leases.

use tracing::info;

use super::{Coordinator, TickError};

pub(super) async fn tick(coordinator: &Coordinator) -> Result<(), TickError> {
    let reaped = coordinator.ledger.reap().await?;
    if reaped.ready + reaped.quarantined > 0 {
        info!(ready = reaped.ready, quarantined = reaped.quarantined, "expired leases taken back");
    }
    Ok(())
}
