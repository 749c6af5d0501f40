//! `syncline retry`: sets quarantined chunks going again.

use ledger::Which;
use serde_json::json;

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
    let chunks = match (&args.table, &args.chunk) {
        (None, None) => ledger.retry_chunks(run.id, Which::All).await.map_err(|e| ledger_problem(&e))?,
        (_, Some(chunk)) => {
            let chunk = show::chunk_of(&ledger, &run, chunk).await?;
            ledger.retry_chunks(run.id, Which::One(chunk)).await.map_err(|e| ledger_problem(&e))?
        }
        (Some(glob), None) => {
            let mut chunks = 0;
            for table in show::tables_of(&ledger, &run, glob).await? {
                let which = Which::Table(table.ordinal);
                chunks += ledger.retry_chunks(run.id, which).await.map_err(|e| ledger_problem(&e))?;
            }
            chunks
        }
    };
    let screen = &context.screen;
    if screen.json {
        screen.event("retried", &json!({ "run": run.id, "chunks": chunks }));
        return Ok(DONE);
    }
    if chunks == 0 {
        screen.print(format!("{} has no quarantined chunk", run.id));
        return Ok(DONE);
    }
    screen.print(format!("{} of {} will be tried again", counted(chunks, "chunk"), run.id));
    if !control::is_attended(context, &ledger, &run).await? {
        let label = screen.ink_err(Ink::Name, "next:");
        screen.say(format!("{label} syncline run SPEC --resume {}", run.id));
    }
    Ok(DONE)
}
