//! Keeps a worker within its share of what a run may do in a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ledger::{Ledger, SHARE_LASTS, SHARE_RENEWED_AFTER, Share};
use model::{Limits, RunId, WorkerId};
use tokio::time::Instant;

use crate::progress::Progress;

/// Longest sleep between looks at the share: it may have changed.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What was not used up within this time is lost: no burst is longer.
const BURST: Duration = Duration::from_millis(500);

/// Runs that are kept in mind; old ones are forgotten when there are more.
const RUNS_MAX: usize = 64;

/// The paces of the runs that this worker process works on. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Paces(Arc<Mutex<HashMap<RunId, Arc<tokio::sync::Mutex<Pace>>>>>);

impl Paces {
    /// Waits until the run's limits let so many rows and bytes pass. Chunks of one process queue here in order. Waiting
    /// counts as progress. Where the ledger cannot renew the share nothing passes (the lease ends the wait).
    pub(crate) async fn pass(
        &self,
        (ledger, worker): (&Ledger, &WorkerId),
        run: RunId,
        (rows, bytes): (u64, u64),
        progress: &Progress,
    ) {
        let pace = self.of(run);
        let mut pace = pace.lock().await;
        loop {
            progress.note();
            pace.renew(ledger, worker, run).await;
            let Some(wait) = pace.take(rows, bytes, Instant::now()) else { return };
            tokio::time::sleep(wait.min(LOOK_EVERY)).await;
        }
    }

    fn of(&self, run: RunId) -> Arc<tokio::sync::Mutex<Pace>> {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if paces.len() >= RUNS_MAX {
            paces.clear();
        }
        Arc::clone(paces.entry(run).or_default())
    }
}

/// Two buckets that fill at the rate of the share. What passes may leave them in debt, so that a batch larger than a
/// bucket passes whole and is paid for after.
#[derive(Debug, Default)]
struct Pace {
    share: Option<(Share, Instant)>,
    rows: f64,
    bytes: f64,
    filled: Option<Instant>,
}

impl Pace {
    async fn renew(&mut self, ledger: &Ledger, worker: &WorkerId, run: RunId) {
        let asked = Instant::now();
        if self.share.is_some_and(|(_, since)| asked - since < SHARE_RENEWED_AFTER) {
            return;
        }
        match ledger.share(run, worker).await {
            Ok(share) => self.share = Some((share, asked)),
            Err(error) => tracing::warn!(error = %error, "the share of the run's limits was not renewed"),
        }
    }

    /// Takes what is asked for, or says how long to wait first.
    #[allow(clippy::cast_precision_loss, reason = "a rate need not be exact to the row")]
    fn take(&mut self, rows: u64, bytes: u64, now: Instant) -> Option<Duration> {
        let Some((share, since)) = self.share else { return Some(LOOK_EVERY) };
        if share.limits.is_none() {
            return None;
        }
        // A share that was not renewed is somebody else's by now.
        if now - since > SHARE_LASTS - SHARE_RENEWED_AFTER {
            return Some(LOOK_EVERY);
        }
        if now < since + share.after {
            return Some(since + share.after - now);
        }
        let Limits { rows: row_rate, bytes: byte_rate } = share.limits;
        let elapsed = self.filled.map_or(BURST, |at| now - at).as_secs_f64();
        self.filled = Some(now);
        let debts = [fill(&mut self.rows, row_rate, elapsed), fill(&mut self.bytes, byte_rate, elapsed)];
        let wait = debts.into_iter().flatten().max();
        if wait.is_none() {
            self.rows -= rows as f64;
            self.bytes -= bytes as f64;
        }
        wait
    }
}

/// Fills a bucket; how long until it is out of debt, if it is in debt.
#[allow(clippy::cast_precision_loss, reason = "a rate need not be exact to the row")]
fn fill(level: &mut f64, rate: Option<u64>, elapsed: f64) -> Option<Duration> {
    let Some(rate) = rate.map(|rate| rate as f64) else {
        *level = 0.0;
        return None;
    };
    *level = (*level + rate * elapsed).min(rate * BURST.as_secs_f64());
    (*level < 0.0).then(|| Duration::from_secs_f64((-*level / rate).min(60.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(limits: Limits, after: Duration) -> (Pace, Instant) {
        let now = Instant::now();
        (Pace { share: Some((Share { limits, after }, now)), ..Pace::default() }, now)
    }

    /// Passes batches for a while; how many rows went.
    fn drive(pace: &mut Pace, from: Instant, time: Duration, batch: u64) -> u64 {
        let (mut now, mut passed) = (from, 0);
        while now < from + time {
            let share = pace.share.expect("a share").0;
            pace.share = Some((share, now));
            match pace.take(batch, batch * 100, now) {
                None => passed += batch,
                Some(wait) => now += wait.min(LOOK_EVERY).max(Duration::from_millis(1)),
            }
        }
        passed
    }

    #[test]
    fn what_passes_in_a_while_is_what_the_limit_says() {
        for (limits, wanted) in [
            (Limits { rows: Some(1_000), bytes: None }, 20_000),
            (Limits { rows: None, bytes: Some(50_000) }, 10_000),
            (Limits { rows: Some(1_000), bytes: Some(50_000) }, 10_000),
        ] {
            let (mut pace, now) = shared(limits, Duration::ZERO);
            let passed = drive(&mut pace, now, Duration::from_secs(20), 100);
            assert!(passed.abs_diff(wanted) <= wanted / 20, "{limits:?}: {passed}");
        }
    }

    #[test]
    fn a_batch_larger_than_a_second_is_paid_for_after() {
        let (mut pace, now) = shared(Limits { rows: Some(100), bytes: None }, Duration::ZERO);
        let passed = drive(&mut pace, now, Duration::from_secs(60), 1_000);
        assert!((6_000..=7_000).contains(&passed), "{passed}");
    }

    #[test]
    fn who_joins_waits_and_a_share_that_is_not_renewed_lapses() {
        let (mut pace, now) = shared(Limits { rows: Some(1_000), bytes: None }, Duration::from_secs(1));
        assert!(pace.take(1, 1, now).is_some(), "it has just joined");
        assert!(pace.take(1, 1, now + Duration::from_millis(1_100)).is_none());
        assert!(pace.take(1, 1, now + SHARE_LASTS).is_some(), "it was not renewed");
        let (mut free, now) = shared(Limits::default(), Duration::ZERO);
        assert!(free.take(u64::MAX, 1, now).is_none());
    }
}
