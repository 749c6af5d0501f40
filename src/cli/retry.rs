//! `syncline retry`: sets quarantined chunks going again.

use ledger::{Ledger, Run, Which};
use serde_json::json;
use service::Problem;

use super::context::{Context, ledger_problem};
use super::screen::Ink;
use super::{DONE, Outcome, control, show};
use model::human::counted;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A run's id, the beginning of one, or `latest`
    run: String,
    /// Only chunks of this source table; may hold *
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
    /// Only this chunk
    #[arg(long, value_name = "ID", conflicts_with = "table")]
    chunk: Option<String>,
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let ledger = context.existing_ledger().await?;
    let run = context.find_run(&ledger, &args.run).await?;
    context.audit(&ledger, "retry", run.id).await?;
    let mut chunks = 0;
    for which in chosen(&ledger, &run, args.table.as_deref(), args.chunk.as_deref()).await? {
        chunks += ledger.retry_chunks(run.id, which).await.map_err(|e| ledger_problem(&e))?;
    }
    told(context, &ledger, &run, chunks, "quarantined chunk").await
}

/// Which chunks a person means.
pub(super) async fn chosen(
    ledger: &Ledger,
    run: &Run,
    table: Option<&str>,
    chunk: Option<&str>,
) -> Result<Vec<Which>, Problem> {
    Ok(match (table, chunk) {
        (None, None) => vec![Which::All],
        (_, Some(chunk)) => vec![Which::One(show::chunk_of(ledger, run, chunk).await?)],
        (Some(glob), None) => {
            let tables = show::tables_of(ledger, run, glob).await?;
            tables.iter().map(|table| Which::Table(table.ordinal)).collect()
        }
    })
}

/// Says how many chunks are tried again, and how, if nobody is there to do it. `held` is what none of would have been found.
pub(super) async fn told(context: &Context, ledger: &Ledger, run: &Run, chunks: u64, held: &str) -> Outcome {
    let screen = &context.screen;
    if screen.json {
        screen.event("retried", &json!({ "run": run.id, "chunks": chunks }));
        return Ok(DONE);
    }
    if chunks == 0 {
        screen.print(format!("{} has no {held}", run.id));
        return Ok(DONE);
    }
    screen.print(format!("{} of {} will be tried again", counted(chunks, "chunk"), run.id));
    if !control::is_attended(context, ledger, run).await? {
        let label = screen.ink_err(Ink::Name, "next:");
        screen.say(format!("{label} syncline run SPEC --resume {}", run.id));
    }
    Ok(DONE)
}
