//! Whether the queue can be used: tried beside the loop, told when it changes, waited for.
//!
//! A queue that is away, full or read-only costs time and nothing else: no chunk is claimed, so no attempt is spent.
//! The loop goes on with what needs no queue. Refuses to decide what is due: that is `dispatch`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use ledger::Run;
use queue::ErrorKind;
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::{Coordinator, TickError, dispatch};

/// What the ledger calls it that a run waits for.
const ON: &str = "queue";
/// Between tries at a queue that cannot be used: soon at first, and never so late that anybody would notice.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// Between looks whether the server still takes writes: a full disk shows in nothing that is read.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Between looks whether the ledger says that runs wait, although they do not: another coordinator may have died in the
/// middle of an outage, or be cut off from a queue that this one uses.
const CLEAR_EVERY: Duration = Duration::from_secs(15);

/// How the queue was found, for one coordinator.
#[derive(Debug, Default)]
pub(crate) struct Health {
    state: Mutex<State>,
    /// Somebody asked while a look was under way.
    is_asked: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    trouble: Option<Trouble>,
    probed: Option<Instant>,
    /// When the ledger was last told that nothing waits for the queue.
    cleared: Option<Instant>,
}

#[derive(Debug)]
struct Trouble {
    kind: ErrorKind,
    since: Instant,
    retry_at: Instant,
    delay: Duration,
}

/// Queues what is due, beside the loop; at most once at a time.
pub(super) fn tick(coordinator: &Coordinator, runs: &[Run]) {
    if runs.is_empty() {
        return;
    }
    let (this, runs) = (coordinator.clone(), runs.to_vec());
    coordinator.health.is_asked.store(true, Ordering::Release);
    coordinator.tasks.spawn(seam::belonging(async move {
        let health = std::sync::Arc::clone(&this.health);
        let Ok(mut state) = health.state.try_lock() else { return };
        health.is_asked.store(false, Ordering::Release);
        if let Err(error) = look(&this, &runs, &mut state).await {
            warn!(error = %error, "nothing dispatched");
        }
        drop(state);
        if health.is_asked.load(Ordering::Acquire) {
            this.nudge.notify_one();
        }
    }));
}

async fn look(coordinator: &Coordinator, runs: &[Run], state: &mut State) -> Result<(), ledger::Error> {
    if state.trouble.as_ref().is_some_and(|trouble| Instant::now() < trouble.retry_at) {
        return Ok(());
    }
    match use_queue(coordinator, runs, state).await {
        Ok(()) => healed(coordinator, state).await,
        Err(TickError::Queue(error)) => failed(coordinator, state, &error).await,
        Err(TickError::Ledger(error)) => Err(error),
    }
}

async fn use_queue(coordinator: &Coordinator, runs: &[Run], state: &mut State) -> Result<(), TickError> {
    if state.trouble.is_some() || state.probed.is_none_or(|at| at.elapsed() > PROBE_EVERY) {
        coordinator.queue.probe().await?;
        state.probed = Some(Instant::now());
    }
    dispatch::tick(coordinator, runs).await
}

async fn failed(
    coordinator: &Coordinator,
    state: &mut State,
    error: &queue::Error,
) -> Result<(), ledger::Error> {
    let (kind, now) = (error.kind(), Instant::now());
    let before = state.trouble.take();
    if before.as_ref().is_none_or(|trouble| trouble.kind != kind) {
        warn!(error = %error, "queue {kind}; runs wait, no attempt is spent");
    }
    let delay = before.as_ref().map_or(RETRY_MIN, |trouble| (trouble.delay * 2).min(RETRY_MAX));
    let since = before.map_or(now, |trouble| trouble.since);
    state.trouble = Some(Trouble { kind, since, retry_at: now + delay, delay });
    state.cleared = None;
    // Every time: runs may have been made since. It is written only where it is new.
    coordinator.ledger.set_waiting(coordinator.only, ON, Some(&format!("queue {kind}"))).await?;
    Ok(())
}

async fn healed(coordinator: &Coordinator, state: &mut State) -> Result<(), ledger::Error> {
    if let Some(trouble) = &state.trouble {
        info!(after_ms = trouble.since.elapsed().as_millis(), "queue works again");
    }
    if state.cleared.is_none_or(|at| at.elapsed() > CLEAR_EVERY) {
        coordinator.ledger.set_waiting(coordinator.only, ON, None).await?;
        state.cleared = Some(Instant::now());
    }
    state.trouble = None;
    Ok(())
}
