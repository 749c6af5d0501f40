//! Takes expired leases back, and notices when the ledger was away or went back in time.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use model::RunId;
use tracing::{info, warn};

use super::{Coordinator, TickError};

/// The ledger was away if it did not answer for so long; a tick takes a fraction of it.
const STALL: Duration = Duration::from_secs(3);
/// After the ledger was away nobody could renew a lease: workers get this long to say what they have, before what
/// they hold is taken for abandoned and costs an attempt.
const GRACE: Duration = Duration::from_secs(5);

/// What a coordinator has seen of the ledger.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    answered: Option<Instant>,
    hold_until: Option<Instant>,
    /// Something could not be written or read since the ledger answered last.
    was_away: bool,
    event: u64,
    /// Active runs whose target was compared with the ledger.
    pub(super) compared: HashSet<RunId>,
}

impl Watch {
    /// An operation failed because the ledger is away.
    pub(super) fn missed(&mut self) {
        self.was_away = true;
    }

    /// The ledger has just answered, with the number of its last event; whether leases may be taken back now.
    fn answered(&mut self, now: Instant, event: u64) -> bool {
        if event < self.event {
            warn!(
                "the ledger was restored to an older state; what targets have seen is compared with it again"
            );
            self.compared.clear();
        }
        self.event = event;
        let before = self.answered.replace(now);
        let was_away = std::mem::take(&mut self.was_away)
            || before.is_some_and(|before| now.duration_since(before) > STALL);
        match self.hold_until {
            Some(until) if now < until => false,
            // Even where every tick is slow, leases are taken back between two holds.
            Some(_) => {
                self.hold_until = None;
                true
            }
            None if was_away => {
                info!("the ledger is back; expired leases are left alone for a moment");
                self.hold_until = Some(now + GRACE);
                false
            }
            None => true,
        }
    }
}

pub(super) async fn tick(coordinator: &Coordinator) -> Result<(), TickError> {
    let event = coordinator.ledger.last_event().await?;
    if !coordinator.watch().answered(Instant::now(), event) {
        return Ok(());
    }
    let reaped = coordinator.ledger.reap().await?;
    if reaped.ready + reaped.quarantined > 0 {
        info!(ready = reaped.ready, quarantined = reaped.quarantined, "expired leases taken back");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_left_alone_after_the_ledger_was_away() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let mut at = |ms: u64| watch.answered(start + Duration::from_millis(ms), 1);
        assert!(at(0) && at(100) && at(2_000));
        assert!(!at(9_000), "it was away");
        assert!(!at(9_100) && !at(13_900));
        assert!(at(14_000) && at(14_100));
        watch.missed();
        let mut at = |ms: u64| watch.answered(start + Duration::from_millis(ms), 1);
        assert!(!at(14_200) && !at(19_000) && at(19_300), "something could not be written");
        // Ticks that are always slow still take leases back now and then.
        let slow: Vec<bool> = (0..8).map(|n| at(20_000 + n * 4_000)).collect();
        assert!(slow.iter().any(|may| *may), "{slow:?}");
    }

    #[test]
    fn a_ledger_that_went_back_is_compared_again() {
        let mut watch = Watch::default();
        watch.answered(Instant::now(), 7);
        watch.compared.insert(RunId::generate());
        watch.answered(Instant::now(), 7);
        assert_eq!(watch.compared.len(), 1);
        watch.answered(Instant::now(), 6);
        assert!(watch.compared.is_empty());
    }
}
