//! Beginning anew inside an attempt: what the network or another writer broke is done again, before the chunk is given back.
//!
//! Owns how often and after how long. Refuses to know what a pass does: it only has to be one that may be begun again,
//! which every pass is, because its transaction is lost as a whole or its receipt is found.

use connectors::{Error, Result};
use model::failure::RETRIES_INSIDE;
use model::{ErrorKind, RetryPolicy};
use tracing::info;

/// Begins `once` anew after a failure that is transient, three times at most, with full jitter between. A server that
/// has become read-only is tried once more, on a new connection: the name may lead to the new primary by now. While an
/// endpoint's circuit is open nothing is tried.
///
/// # Errors
/// The last failure, or the first one that will not go away.
pub(crate) async fn inside<T, F, Fut>(mut once: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let mut retries = 0;
    let mut sought_primary = false;
    loop {
        let failed = match once().await {
            Ok(done) => return Ok(done),
            Err(failed) => failed,
        };
        let seeks_primary = failed.kind == ErrorKind::ReadOnly && !sought_primary;
        let is_worth_it = failed.kind.is_transient() && retries < RETRIES_INSIDE || seeks_primary;
        if !is_worth_it || failed.retry_after.is_some() {
            return Err(failed);
        }
        sought_primary |= seeks_primary;
        retries += 1;
        pause(retries, &failed).await;
    }
}

async fn pause(retries: u32, failed: &Error) {
    let delay = RetryPolicy::default().delay(retries, seam::fraction());
    let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    info!(error = %failed, retries, millis, "begun anew inside the attempt");
    failpoint::reached("retried_inside");
    tokio::time::sleep(delay).await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::Engine;

    use super::*;

    /// What comes of a row of answers, and how many of them were asked for.
    async fn after(kinds: &[ErrorKind]) -> (Result<()>, usize) {
        let mut asked = 0;
        let done = inside(|| {
            asked += 1;
            let kind = kinds.get(asked - 1);
            std::future::ready(kind.map_or(Ok(()), |kind| Err(Error::new(*kind, Engine::Memory, "x"))))
        })
        .await;
        (done, asked)
    }

    #[tokio::test]
    async fn transient_failures_are_begun_anew_three_times() {
        use ErrorKind::{ConnectionLost, Deadlock, Diverged, DuplicateKey, ReadOnly, Timeout};
        let failed = |kind| Err(Error::new(kind, Engine::Memory, "x"));
        assert_eq!(after(&[]).await, (Ok(()), 1));
        assert_eq!(after(&[ConnectionLost, Deadlock, Timeout]).await, (Ok(()), 4));
        assert_eq!(after(&[Deadlock; 9]).await, (failed(Deadlock), 4));
        for kind in [Diverged, DuplicateKey] {
            assert_eq!(after(&[kind]).await, (failed(kind), 1), "{kind}");
        }
        assert_eq!(after(&[ReadOnly]).await, (Ok(()), 2), "the new primary was found");
        assert_eq!(after(&[ReadOnly; 9]).await, (failed(ReadOnly), 2));
    }

    #[tokio::test]
    async fn an_open_circuit_is_not_waited_for() {
        let mut asked = 0;
        let wait = Some(Duration::from_secs(3));
        let open = Error { retry_after: wait, ..Error::new(ErrorKind::Unreachable, Engine::Memory, "x") };
        let done: Result<()> = inside(|| {
            asked += 1;
            std::future::ready(Err(open.clone()))
        })
        .await;
        assert_eq!((done, asked), (Err(open), 1));
    }
}
