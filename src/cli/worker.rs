//! `syncline worker`: takes chunks from the queue until it is stopped. Stateless; start as many as you like.

use std::sync::Arc;

use model::WorkerId;
use worker::Worker;

use super::Outcome;
use super::context::Context;
use super::serve::{leave, listen, shared_parts};
use crate::compose;

/// What a service takes from the environment.
pub(super) const VARIABLES: &str = "\
Environment:
  SYNCLINE_LEDGER      mysql:// or postgres://user:password@host/database, shared by all
  SYNCLINE_REDIS       redis://host/ or rediss://…; may hold ${env:NAME} or ${file:/path}
  SYNCLINE_QUEUE_KEY   at least 32 bytes that sign jobs, the same for all; best ${file:/path}
  SYNCLINE_LOG         log filter, such as debug or info,worker=trace";

#[derive(Debug, clap::Args)]
#[command(after_help = VARIABLES)]
pub(super) struct Args {
    /// Chunks at work at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// How long a chunk stays with a process that does not say that it lives
    #[arg(long, value_name = "TIME", default_value = "30s", hide = true, value_parser = super::run::lease)]
    lease: std::time::Duration,
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let (ledger, queue) = shared_parts(context).await?;
    let shutdown = service::Shutdown::new();
    listen(&shutdown)?;
    let concurrency = usize::from(args.concurrency);
    let worker = Worker {
        id: WorkerId::generate(&compose::host()),
        ledger: ledger.clone(),
        connections: compose::connections(&[], concurrency),
        lease: args.lease,
        settled: Arc::new(tokio::sync::Notify::new()),
    };
    tracing::info!(worker = %worker.id, concurrency, ledger = ledger.address(), "worker started");
    let work = compose::start_worker(worker, queue, concurrency, &shutdown);
    shutdown.stop().cancelled().await;
    let exit = leave(&shutdown, &ledger).await;
    drop(work);
    exit
}
