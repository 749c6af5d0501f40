//! `syncline resync`: reads tables, or a range of keys of one, once more, whatever their watermarks say.

use std::path::PathBuf;

use model::RunSpec;
use model::spec::KeyTexts;
use service::Problem;
use service::problem::code;

use super::context::Context;
use super::run::{detach, run_new};
use super::{Outcome, tables};
use crate::compose;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The spec file
    spec: PathBuf,
    /// Only these tables; may hold *
    #[arg(default_value = "*")]
    table: String,
    /// Chunks at work at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Only rows with this key or a later one; for one table with a key of one column
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    from: Option<String>,
    /// Only rows with a key before this one
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    below: Option<String>,
    /// Hand the run to a `serve` that shares the ledger, print its id and return
    #[arg(long)]
    detach: bool,
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let loaded = context.ready_spec(&args.spec)?;
    let workers = usize::from(args.workers);
    let connections = compose::connections(&[&loaded.spec], workers);
    let narrowed = tables::narrowed(&loaded.spec, &args.table, &connections).await?;
    let mut spec = RunSpec { reads_all: true, ..narrowed };
    if args.from.is_some() || args.below.is_some() {
        let [table] = &mut spec.tables[..] else {
            let detail = format!("a range of keys is of one table, and `{}` means several", args.table);
            return Err(Problem::new(
                code::BAD_SETTING,
                detail,
                "name the table: syncline resync SPEC TABLE --from KEY",
            ));
        };
        table.range = Some(KeyTexts { from: args.from.clone(), below: args.below.clone() });
    }
    if args.detach {
        return detach(context, &spec).await;
    }
    run_new(context, &spec, connections, (workers, worker::LEASE), &args.spec).await
}
