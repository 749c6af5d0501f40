//! `syncline verify`: compares both sides and writes nothing to them.

use std::path::{Path, PathBuf};

use model::{RunKind, RunSpec};
use service::Problem;

use super::context::{Context, ledger_problem, plan_problem};
use super::execute::execute;
use super::{Outcome, tables};
use crate::compose::{self, Embedded};
use crate::fleet::queue_problem;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The spec file, or a run whose spec is meant
    #[arg(value_name = "SPEC|RUN")]
    what: String,
    /// Only these tables; may hold *
    #[arg(long, value_name = "GLOB")]
    table: Option<String>,
    /// Chunks at work at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let (spec, file) = spec_of(context, &args.what).await?;
    let workers = usize::from(args.workers);
    let connections = compose::connections(&[&spec], workers);
    let spec = match &args.table {
        Some(glob) => tables::narrowed(&spec, glob, &connections).await?,
        None => spec,
    };
    coordinator::plan_run(&spec, RunKind::Verify, &connections).await.map_err(|e| plan_problem(&e))?;
    let ledger = context.ledger().await?;
    let embedded = Embedded::new(ledger.clone(), connections, workers, worker::LEASE)
        .await
        .map_err(|e| queue_problem(&e))?;
    context.audit(&ledger, "verify", &spec.name).await?;
    let run = ledger.create_run(RunKind::Verify, &spec).await.map_err(|e| ledger_problem(&e))?;
    execute(context, embedded, run.id, file.as_deref()).await
}

/// A file of this name, or a run.
pub(super) async fn spec_of(context: &Context, what: &str) -> Result<(RunSpec, Option<PathBuf>), Problem> {
    let path = Path::new(what);
    let looks_like_run = what == "latest" || what.starts_with("run_");
    if path.exists() || !looks_like_run {
        return Ok((context.ready_spec(path)?.spec, Some(path.to_path_buf())));
    }
    let ledger = context.existing_ledger().await?;
    let run = context.find_run(&ledger, what).await?;
    Ok(((*run.spec).clone(), None))
}
