//! `syncline worker`: takes chunks from the queue until it is stopped. Stateless; start as many as you like.

use std::sync::Arc;
use std::time::Duration;

use model::WorkerId;
use worker::{Paces, Worker};

use super::Outcome;
use super::context::Context;
use super::serve::{heed_signals, leave, shared_parts};
use crate::compose::{self, Started};
use crate::fleet;
use crate::incidents::Incidents;

/// What a service takes from the environment.
pub(super) const VARIABLES: &str = "\
Environment:
  SYNCLINE_LEDGER      mysql:// or postgres://user:password@host/database, shared by all
  SYNCLINE_REDIS       redis://host/, rediss://… or redis+sentinel://host,host/master; may hold
                       ${env:NAME} or ${file:/path}
  SYNCLINE_REDIS_CA    PEM file of the authority to trust for rediss://, instead of the system's
  SYNCLINE_QUEUE_KEY   at least 32 bytes that sign jobs, the same for all; best ${file:/path}
  SYNCLINE_LOG         log filter, such as debug or info,worker=trace";

#[derive(Debug, clap::Args)]
#[command(after_help = VARIABLES)]
pub(super) struct Args {
    /// Chunks at work at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// How long a chunk stays with a process that does not say that it lives
    #[arg(long, value_name = "TIME", default_value = "30s", hide = true, value_parser = super::run::time)]
    lease: Duration,
    /// After a signal: how long chunks in hand may take to finish before they are given back
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = super::run::time)]
    grace: Duration,
    /// An attempt that moves no row for so long is given up
    #[arg(long, value_name = "TIME", default_value = "3m", hide = true, value_parser = super::run::time)]
    stuck_after: Duration,
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let (ledger, queue) = shared_parts(context, args.lease).await?;
    let shutdown = service::Shutdown::new();
    heed_signals(&shutdown)?;
    let incidents = Incidents::new(ledger.clone());
    let queue = queue.on_rejected(incidents.listener());
    let concurrency = usize::from(args.concurrency);
    let worker = Worker {
        id: WorkerId::generate(&compose::host()),
        ledger: ledger.clone(),
        connections: compose::connections(&[], concurrency),
        lease: args.lease,
        stuck_after: args.stuck_after,
        paces: Paces::default(),
        settled: Arc::new(tokio::sync::Notify::new()),
        sight: worker::Sight::default(),
    };
    let reporting = shutdown.spawn("security", incidents.report(worker.id.clone(), shutdown.stop()));
    tracing::info!(worker = %worker.id, concurrency, ledger = ledger.address(), "worker started");
    let started = Started { worker: compose::start_worker(worker, queue, concurrency, &shutdown) };
    let jumped = tokio::select! {
        () = shutdown.stop().cancelled_owned() => None,
        skew = fleet::clock_jumped(&ledger) => Some(fleet::skewed("the ledger's", skew)),
    };
    if let Some(problem) = &jumped {
        tracing::error!(reason = problem.detail, "this machine's clock jumped; the worker drains itself");
        shutdown.request_stop();
    }
    let drained = started.stop(&shutdown, args.grace).await;
    let exit = leave(drained, &ledger).await;
    drop(reporting);
    jumped.map_or(exit, Err)
}
