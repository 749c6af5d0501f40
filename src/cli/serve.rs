//! `syncline serve`: coordinates the runs of a shared ledger for workers on many machines, until it is stopped.

use std::sync::Arc;
use std::time::Duration;

use coordinator::Coordinator;
use ledger::Ledger;
use queue::Queue;
use service::problem::code;
use service::{Drained, Problem, Shutdown};

use super::context::Context;
use super::{DONE, Outcome};
use crate::{compose, fleet};

/// Chunks that all workers together may hold at once; decides how many jobs wait in the queue. Too many cost memory
/// of Redis, too few starve a large fleet: this feeds 250 workers' worth of jobs.
const FLEET: usize = 64;
/// Connections that the coordinator itself needs.
const CONNECTIONS: usize = 4;
/// A coordinator holds nothing: it ends between two looks at the ledger.
const GRACE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
#[command(after_help = super::worker::VARIABLES)]
pub(super) struct Args {}

pub(super) async fn run(context: &Context, _args: &Args) -> Outcome {
    // It pushes jobs and takes none: the lease is that of the workers.
    let (ledger, queue) = shared_parts(context, worker::LEASE).await?;
    let shutdown = Shutdown::new();
    listen(&shutdown)?;
    let connections = compose::connections(&[], CONNECTIONS);
    let nudge = Arc::new(tokio::sync::Notify::new());
    let coordinator = Coordinator::new(ledger.clone(), queue, connections, FLEET, nudge);
    tracing::info!(ledger = ledger.address(), install = %ledger.install(), "coordinator started");
    let stop = shutdown.stop();
    shutdown.spawn("coordinator", async move { coordinator.run(stop).await });
    shutdown.stop().cancelled().await;
    leave(shutdown.wait(GRACE).await, &ledger).await
}

/// Ledger and queue as a fleet shares them.
pub(super) async fn shared_parts(context: &Context, lease: Duration) -> Result<(Ledger, Queue), Problem> {
    let settings = fleet::settings()?;
    if !context.ledger_url()?.is_shared() {
        tracing::warn!(
            "a SQLite ledger serves workers of this machine only; name one on MySQL or PostgreSQL for more"
        );
    }
    let ledger = context.ledger().await?;
    let queue = fleet::open_queue(&ledger, settings, lease).await?;
    fleet::preflight(&ledger, &queue).await?;
    Ok((ledger, queue))
}

pub(super) fn listen(shutdown: &Shutdown) -> Result<(), Problem> {
    shutdown.listen().map_err(|error| {
        Problem::new(code::INTERNAL, format!("signals: {error}"), "check the limits of this user")
    })
}

/// Ends in order. A service that was asked to stop and did has succeeded.
pub(super) async fn leave(drained: Drained, ledger: &Ledger) -> Outcome {
    match drained {
        Drained::Clean => tracing::info!("stopped"),
        Drained::Overdue(tasks) => tracing::warn!(?tasks, "stopped with work under way; it was given back"),
    }
    ledger.close().await;
    Ok(DONE)
}
