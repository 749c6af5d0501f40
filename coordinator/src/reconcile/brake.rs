//! Brakes: what source and target say about themselves decides whether more is handed out.
//!
//! A gauge over its limit, and one that has not been read for a while, hold the run: nothing more of it is handed out
//! or claimed, chunks under way end. Refuses to slow down what is under way, since a transaction that waits holds its locks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use connectors::config::Role;
use ledger::Run;
use model::limits::{Brake, BrakeAt};
use model::{RunId, Waiting};
use tracing::warn;

use super::Coordinator;

/// Between readings of one run's gauges.
const READ_EVERY: Duration = Duration::from_secs(1);
/// A reading older than this says nothing any more: the run is held.
const STALE_AFTER: Duration = Duration::from_secs(15);
/// Runs that readings are kept of; older ones are read anew when there are more.
const RUNS_MAX: usize = 256;

/// The last readings, by run.
pub(crate) type Readings = Arc<Mutex<HashMap<RunId, Reading>>>;

/// What a run's gauges said, all of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// When the last reading of all gauges was begun, and whether one is under way.
    read: Option<Instant>,
    asked: Instant,
    is_held: bool,
}

/// Whether nothing more of the run may be handed out; starts a new reading where it is time.
pub(super) fn holds(coordinator: &Coordinator, run: &Run) -> bool {
    if run.spec.brakes.is_empty() {
        return false;
    }
    let now = Instant::now();
    let mut readings = coordinator.readings.lock().unwrap_or_else(PoisonError::into_inner);
    if readings.len() > RUNS_MAX {
        readings.clear();
    }
    let reading =
        readings.entry(run.id).or_insert(Reading { read: None, asked: now - READ_EVERY, is_held: true });
    if now - reading.asked >= READ_EVERY {
        reading.asked = now;
        let (this, run) = (coordinator.clone(), run.clone());
        coordinator.tasks.spawn(seam::belonging(async move { read(&this, &run, now).await }));
    }
    reading.is_held || reading.read.is_none_or(|at| now - at > STALE_AFTER)
}

/// Reads all gauges of a run and says in the ledger what holds it.
async fn read(coordinator: &Coordinator, run: &Run, begun: Instant) {
    let mut held = None;
    for brake in &run.spec.brakes {
        held = match reading(coordinator, run, brake).await {
            Ok(Some(value)) if value <= brake.max => continue,
            Ok(Some(value)) => Some(format!("{brake} is {value}, over {}", brake.max)),
            Ok(None) => Some(format!("{brake} has no value")),
            Err(error) => Some(format!("{brake} cannot be read: {error}")),
        };
        break;
    }
    if let Err(error) = coordinator.ledger.set_waiting(Some(run.id), Waiting::BRAKE, held.as_deref()).await {
        warn!(run = %run.id, error = %error, "what the run waits for could not be recorded");
    }
    let mut readings = coordinator.readings.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(reading) = readings.get_mut(&run.id)
        && reading.read.is_none_or(|at| at < begun)
    {
        (reading.read, reading.is_held) = (Some(begun), held.is_some());
    }
}

async fn reading(
    coordinator: &Coordinator,
    run: &Run,
    brake: &Brake,
) -> Result<Option<u64>, connectors::Error> {
    let (connection, role) = match brake.at {
        BrakeAt::Source => (&run.spec.source, Role::Source),
        BrakeAt::Target => (&run.spec.target, Role::Target),
    };
    coordinator.connections.get(connection, role)?.gauge(&brake.gauge).await
}
