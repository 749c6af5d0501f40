//! `syncline serve`: coordinates the runs of a ledger until it is stopped, and starts those of its pipelines when they
//! are due. Its workers are on many machines, or in this process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::Api;
use coordinator::{Coordinator, PlanError};
use ledger::{Ledger, NewPipeline};
use model::schedule::When;
use model::{ErrorKind, RunKind, Schedule};
use queue::Queue;
use service::problem::code;
use service::{Drained, Problem, Shutdown};

use super::context::{Context, ENVIRONMENT, ledger_problem, plan_problem};
use super::run::refuse_inline_secret;
use super::{DONE, Outcome, audit, listen};
use crate::compose::{self, Embedded, Started};
use crate::fleet;

/// Chunks that all workers together may hold at once; decides how many jobs wait in the queue. Too many cost memory
/// of Redis, too few starve a large fleet: this feeds 250 workers' worth of jobs.
const FLEET: usize = 64;
/// Connections that the coordinator itself needs.
const CONNECTIONS: usize = 4;
/// A coordinator holds nothing: it ends between two looks at the ledger. Workers finish what they have in hand.
const GRACE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
#[command(after_help = super::worker::VARIABLES)]
pub(super) struct Args {
    /// Specs to run again and again, by their `schedule`; those registered before stay. Without any, the pipeline that
    /// MYSQL_*, MONGODB_* and SYNC_* describe, if they are set
    #[arg(value_name = "SPEC")]
    specs: Vec<PathBuf>,
    /// Chunks at work at once in this process; then no Redis is needed, and no other worker
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: Option<u16>,
    /// Where the HTTP API listens, or `off`. Elsewhere than on this machine it needs a token (`syncline token create`)
    /// and --behind-proxy
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "SYNCLINE_LISTEN",
        default_value = "127.0.0.1:7733",
        hide_env_values = true
    )]
    listen: String,
    /// TLS ends at a proxy in front of this process, so that it may listen elsewhere than on this machine
    #[arg(long)]
    behind_proxy: bool,
    /// How long a chunk stays with a process that does not say that it lives
    #[arg(long, value_name = "TIME", default_value = "30s", hide = true, value_parser = super::run::time)]
    lease: Duration,
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let address = listen::address(&args.listen)?;
    let pipelines = pipelines(context, args).await?;
    let (coordinator, workers) = match args.workers {
        None => {
            // It pushes jobs and takes none: the lease is that of the workers.
            let (ledger, queue) = shared_parts(context, worker::LEASE).await?;
            let connections = compose::connections(&[], CONNECTIONS);
            let nudge = Arc::new(tokio::sync::Notify::new());
            (Coordinator::new(ledger, queue, connections, FLEET, nudge), None)
        }
        Some(workers) => {
            let workers = usize::from(workers);
            let connections = compose::connections(&[], workers);
            let ledger = context.ledger().await?;
            let embedded = Embedded::new(ledger, connections, workers, args.lease).await;
            let embedded = embedded.map_err(|e| fleet::queue_problem(&e))?;
            (embedded.coordinator.clone(), Some(embedded))
        }
    };
    let ledger = coordinator.ledger.clone();
    let listener = match address {
        Some(address) => Some(listen::bind(address, args.behind_proxy, &ledger).await?),
        None => None,
    };
    refuse_circles(&pipelines, &ledger).await?;
    let names: Vec<&str> = pipelines.iter().map(|pipeline| pipeline.spec.name.as_str()).collect();
    context.audit(&ledger, "serve", names.join(", ")).await?;
    for pipeline in &pipelines {
        ledger.register_pipeline(pipeline).await.map_err(|e| ledger_problem(&e))?;
        tracing::info!(pipeline = pipeline.spec.name, "pipeline registered");
    }
    let shutdown = Shutdown::new();
    heed_signals(&shutdown)?;
    if let Some(listener) = listener {
        let connections = coordinator.connections.clone();
        let version = env!("CARGO_PKG_VERSION");
        let is_behind_proxy = args.behind_proxy;
        let api = Api { ledger: ledger.clone(), connections, version, is_behind_proxy };
        let stop = shutdown.stop();
        shutdown.spawn("api", async move {
            if let Err(error) = api::serve(api, listener, stop).await {
                tracing::error!(error = %error, "the API ended");
            }
        });
    }
    {
        let (ledger, sender, stop) = (ledger.clone(), compose::alert_sender(), shutdown.stop());
        shutdown.spawn("alerts", async move { alerts::run(&ledger, &sender, &stop).await });
    }
    {
        let (ledger, stop) = (ledger.clone(), shutdown.stop());
        shutdown.spawn("audit", async move { audit::anchor(&ledger, &stop).await });
    }
    tracing::info!(ledger = ledger.address(), install = %ledger.install(), "coordinator started");
    let drained = match workers {
        Some(embedded) => {
            let started = embedded.start_all(&shutdown);
            shutdown.stop().cancelled().await;
            Started::stop(started, &shutdown, GRACE).await
        }
        None => {
            let stop = shutdown.stop();
            shutdown.spawn("coordinator", async move { coordinator.run(stop).await });
            shutdown.stop().cancelled().await;
            shutdown.wait(GRACE).await
        }
    };
    leave(drained, &ledger).await
}

/// The specs as pipelines. What cannot work is refused before anything is registered.
async fn pipelines(context: &Context, args: &Args) -> Result<Vec<NewPipeline>, Problem> {
    let mut pipelines: Vec<NewPipeline> = Vec::new();
    let of_environment =
        (args.specs.is_empty() && service::environment::is_meant()).then(|| ENVIRONMENT.into());
    for path in args.specs.iter().chain(&of_environment) {
        let loaded = context.ready_spec(path)?;
        let spec = loaded.spec;
        refuse_inline_secret(&spec, &path.display().to_string())?;
        if pipelines.iter().any(|other| other.spec.name == spec.name) {
            let detail = format!("two specs are called `{}`", spec.name);
            return Err(Problem::new(code::BAD_SETTING, detail, "give one another `name`"));
        }
        let connections = compose::connections(&[&spec], 1);
        let kind = loaded.schedule.as_ref().map_or(RunKind::Copy, |schedule| schedule.run);
        let planned = coordinator::plan_run(&spec, kind, &connections).await;
        match planned {
            Ok(_) => {}
            Err(error) if is_yet_to_come(&error, loaded.schedule.as_ref()) => {
                tracing::warn!(pipeline = spec.name, "{error}: the pipeline before it has yet to make it");
            }
            Err(error) => return Err(plan_problem(&error)),
        }
        pipelines.push(NewPipeline { spec, schedule: loaded.schedule, is_default: loaded.is_default });
    }
    Ok(pipelines)
}

/// Pipelines that run after each other in a circle would never begin, or never end.
async fn refuse_circles(new: &[NewPipeline], ledger: &Ledger) -> Result<(), Problem> {
    let known = ledger.pipelines().await.map_err(|e| ledger_problem(&e))?;
    let before = |name: &str| {
        let schedule = match new.iter().find(|pipeline| pipeline.spec.name == name) {
            Some(pipeline) => pipeline.schedule.as_ref(),
            None => known.iter().find(|pipeline| pipeline.name == name)?.schedule.as_ref(),
        };
        if let When::After(before) = &schedule?.when { Some(before.clone()) } else { None }
    };
    for pipeline in new {
        let name = &pipeline.spec.name;
        let mut chain = vec![name.clone()];
        while let Some(next) = before(&chain[chain.len() - 1]) {
            if next == *name {
                let detail = format!("these run after each other in a circle: {}", chain.join(", "));
                return Err(Problem::new(code::BAD_SETTING, detail, "give one of them a schedule of times"));
            }
            if chain.contains(&next) {
                break; // A circle that this one only leads to.
            }
            chain.push(next);
        }
    }
    Ok(())
}

/// Whether what is missing may be what the pipeline before this one makes.
fn is_yet_to_come(error: &PlanError, schedule: Option<&Schedule>) -> bool {
    let is_after = schedule.is_some_and(|schedule| matches!(schedule.when, When::After(_)));
    is_after && matches!(error.kind, ErrorKind::UnknownTable | ErrorKind::UnknownDatabase)
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

pub(super) fn heed_signals(shutdown: &Shutdown) -> Result<(), Problem> {
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
