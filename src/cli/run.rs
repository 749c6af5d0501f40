//! `syncline run`: copies and verifies the tables of a spec, coordinator and workers in one process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use connectors::Connections;
use ledger::{Ledger, Run};
use model::{Limits, RunKind, RunSpec, RunState};
use service::Problem;
use service::config::{parse_byte_rate, parse_millis, parse_row_rate};
use service::problem::code;

use super::context::{Context, ledger_problem, plan_problem};
use super::execute::{announce, execute};
use super::{DONE, Outcome};
use crate::compose::{self, Embedded};
use crate::fleet::queue_problem;

/// Runs looked through for one of the same spec.
pub(super) const RUNS_LOOKED_AT: u32 = 200;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The spec file; without one the pipeline that MYSQL_*, MONGODB_* and SYNC_* describe
    #[arg(default_value = super::context::ENVIRONMENT, hide_default_value = true)]
    spec: PathBuf,
    /// Go on with an interrupted, failed or cancelled run: the last one of this spec, or the one named
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "")]
    resume: Option<String>,
    /// Chunks at work at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Hand the run to a `serve` that shares the ledger, print its id and return
    #[arg(long, conflicts_with = "resume")]
    detach: bool,
    /// Read at most so many rows in a second, over all workers: 5000/s
    #[arg(long, value_name = "RATE", value_parser = row_rate)]
    limit_rows: Option<u64>,
    /// Read at most so many bytes in a second, over all workers: 20MB/s
    #[arg(long, value_name = "RATE", value_parser = byte_rate)]
    limit_rate: Option<u64>,
    /// How long a chunk stays with a process that does not say that it lives
    #[arg(long, value_name = "TIME", default_value = "30s", hide = true, value_parser = time)]
    lease: Duration,
}

/// `500ms`, `30s`, `2m`; from half a second to an hour.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let time = parse_millis(text).map(Duration::from_millis);
    let time = time.ok_or("a time is a whole number with ms, s or m: 30s")?;
    let fits = (Duration::from_millis(500)..=Duration::from_secs(3600)).contains(&time);
    if fits { Ok(time) } else { Err("between 500ms and 60m, please".to_owned()) }
}

pub(super) fn row_rate(text: &str) -> Result<u64, String> {
    parse_row_rate(text).ok_or_else(|| "rows in a second are written so: 5000/s".to_owned())
}

pub(super) fn byte_rate(text: &str) -> Result<u64, String> {
    parse_byte_rate(text).ok_or_else(|| "bytes in a second are written so: 20MB/s".to_owned())
}

pub(super) async fn run(context: &Context, args: Args) -> Outcome {
    let mut loaded = context.ready_spec(&args.spec)?;
    let limits = &mut loaded.spec.limits;
    *limits = Limits { rows: args.limit_rows.or(limits.rows), bytes: args.limit_rate.or(limits.bytes) };
    if args.detach {
        return detach(context, &loaded.spec).await;
    }
    let workers = usize::from(args.workers);
    let connections = compose::connections(&[&loaded.spec], workers);
    let Some(which) = &args.resume else {
        return run_new(context, &loaded.spec, connections, (workers, args.lease), &args.spec).await;
    };
    let ledger = context.ledger().await?;
    let embedded =
        Embedded::new(ledger, connections, workers, args.lease).await.map_err(|e| queue_problem(&e))?;
    let run = resume(context, &embedded, &loaded.spec, which).await?;
    context.audit(&embedded.coordinator.ledger, "run --resume", run.id).await?;
    execute(context, embedded, run.id, Some(&args.spec)).await
}

/// Runs a spec anew in this process. What cannot work fails before even a ledger is made.
pub(super) async fn run_new(
    context: &Context,
    spec: &RunSpec,
    connections: Connections,
    (workers, lease): (usize, Duration),
    file: &Path,
) -> Outcome {
    coordinator::plan_run(spec, RunKind::Copy, &connections).await.map_err(|e| plan_problem(&e))?;
    let ledger = context.ledger().await?;
    let embedded =
        Embedded::new(ledger.clone(), connections, workers, lease).await.map_err(|e| queue_problem(&e))?;
    end_interrupted(context, &ledger, spec).await?;
    context.audit(&ledger, "run", &spec.name).await?;
    let run = ledger.create_run(RunKind::Copy, spec).await.map_err(|e| ledger_problem(&e))?;
    execute(context, embedded, run.id, Some(file)).await
}

/// Refuses a spec, which messages call `name`, whose password only the file knows.
pub(super) fn refuse_inline_secret(spec: &RunSpec, name: &str) -> Result<(), Problem> {
    if !spec.source.has_inline_secret() && !spec.target.has_inline_secret() {
        return Ok(());
    }
    let detail =
        format!("a password stands in {name}; the ledger does not keep it, so no worker would know it");
    let next = "write password: ${env:NAME}, and set NAME for `serve` and `worker`";
    Err(Problem::new(code::BAD_SETTING, detail, next))
}

/// Stores a run for a `serve` to find.
pub(super) async fn detach(context: &Context, spec: &RunSpec) -> Outcome {
    refuse_inline_secret(spec, "the spec")?;
    let connections = compose::connections(&[spec], 1);
    coordinator::plan_run(spec, RunKind::Copy, &connections).await.map_err(|e| plan_problem(&e))?;
    let ledger = context.ledger().await?;
    let workers = ledger.workers().await.map_err(|e| ledger_problem(&e))?;
    let now = ledger.now_ms().await.map_err(|e| ledger_problem(&e))?;
    let active = ledger.active_runs().await.map_err(|e| ledger_problem(&e))?;
    if let Some(earlier) = active.iter().find(|r| r.spec.name == spec.name && r.kind == RunKind::Copy) {
        let detail = format!("{} of `{}` is still running", earlier.id, spec.name);
        let next = format!("syncline status {0} --watch, or syncline cancel {0}", earlier.id);
        return Err(Problem::new(code::RUN_STATE, detail, next));
    }
    context.audit(&ledger, "run", &spec.name).await?;
    let run = ledger.create_run(RunKind::Copy, spec).await.map_err(|e| ledger_problem(&e))?;
    if !compose::is_attended(run.id, true, &workers, now) {
        context.screen.warn("no worker is alive: the run waits for `syncline serve` and `syncline worker`");
    }
    if context.screen.json {
        context.screen.event("run-submitted", &serde_json::json!({ "run": run.id, "spec": spec.name }));
    } else {
        context.screen.print(run.id.to_string());
    }
    Ok(DONE)
}

/// The run to go on with, set going again.
async fn resume(context: &Context, embedded: &Embedded, spec: &RunSpec, which: &str) -> Result<Run, Problem> {
    let ledger = &embedded.coordinator.ledger;
    let run = if which.is_empty() {
        latest_copy(ledger, spec).await?.ok_or_else(|| {
            Problem::new(
                code::RUN_UNKNOWN,
                format!("`{}` was never run", spec.name),
                "run it without --resume",
            )
        })?
    } else {
        context.find_run(ledger, which).await?
    };
    let refuse = |detail: String, next: String| Err(Problem::new(code::RUN_STATE, detail, next));
    if run.spec.name != spec.name || run.kind != RunKind::Copy {
        return refuse(
            format!("{} is a {} run of `{}`", run.id, run.kind, run.spec.name),
            "syncline runs".to_owned(),
        );
    }
    let over = match run.state {
        RunState::Done => Some("run it without --resume, for a new run".to_owned()),
        RunState::DoneWithQuarantine => {
            Some(format!("run it without --resume; or syncline retry {}, for chunks in quarantine", run.id))
        }
        RunState::Running | RunState::Failed | RunState::Cancelled => None,
    };
    if let Some(next) = over {
        return refuse(format!("{} is {}", run.id, run.state), next);
    }
    if *run.spec != spec.without_secrets() {
        context.screen.warn("the spec has changed since; the run goes on with the one it was started with");
    }
    refuse_attended(context, ledger, &run).await?;
    if !ledger.resume_run(run.id).await.map_err(|e| ledger_problem(&e))? {
        return refuse(format!("{} cannot be resumed", run.id), format!("syncline status {}", run.id));
    }
    announce(context, &format!("going on with {}", run.id));
    Ok(run)
}

async fn latest_copy(ledger: &Ledger, spec: &RunSpec) -> Result<Option<Run>, Problem> {
    let runs = ledger.runs(RUNS_LOOKED_AT).await.map_err(|e| ledger_problem(&e))?;
    Ok(runs.into_iter().find(|run| run.spec.name == spec.name && run.kind == RunKind::Copy))
}

/// Refuses a run that another process works on. What a dead one left behind is taken from it, so that nobody waits
/// for its leases.
async fn refuse_attended(context: &Context, ledger: &Ledger, run: &Run) -> Result<(), Problem> {
    let is_shared = context.ledger_url()?.is_shared();
    let workers = ledger.workers().await.map_err(|e| ledger_problem(&e))?;
    let now = ledger.now_ms().await.map_err(|e| ledger_problem(&e))?;
    if run.state == RunState::Running && compose::is_attended(run.id, is_shared, &workers, now) {
        let detail = format!("another process works on {}", run.id);
        return Err(Problem::new(code::RUN_STATE, detail, format!("syncline status {} --watch", run.id)));
    }
    for dead in compose::dead_attendants(run.id, &workers, now) {
        ledger.bury_worker(&dead).await.map_err(|e| ledger_problem(&e))?;
    }
    Ok(())
}

/// A new run takes the place of one that was interrupted: two would write the same tables.
async fn end_interrupted(context: &Context, ledger: &Ledger, spec: &RunSpec) -> Result<(), Problem> {
    let runs = ledger.active_runs().await.map_err(|e| ledger_problem(&e))?;
    for earlier in runs.iter().filter(|run| run.spec.name == spec.name && run.kind == RunKind::Copy) {
        refuse_attended(context, ledger, earlier).await?;
        ledger.finish_run(earlier.id, RunState::Cancelled, None).await.map_err(|e| ledger_problem(&e))?;
        announce(
            context,
            &format!("{} was interrupted; this is a new run (--resume would go on with it)", earlier.id),
        );
    }
    Ok(())
}
