//! `syncline retry` and `syncline cancel`: a person's word on a run, given to the ledger.

use ledger::{Ledger, Run};
use model::RunState;
use serde_json::json;
use service::Problem;
use service::problem::code;

use super::context::{Context, ledger_problem};
use super::human::counted;
use super::screen::Ink;
use super::{DONE, Outcome, show};
use crate::compose;

#[derive(Debug, clap::Args)]
pub(super) struct RetryArgs {
    /// A run's id, the beginning of one, or `latest`
    run: String,
    /// Only chunks of this source table; may hold *
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct CancelArgs {
    /// A run's id, the beginning of one, or `latest`
    run: String,
}

pub(super) async fn retry(context: &Context, args: &RetryArgs) -> Outcome {
    let ledger = context.existing_ledger().await?;
    let run = context.find_run(&ledger, &args.run).await?;
    let chunks = match &args.table {
        None => ledger.retry_chunks(run.id, None).await.map_err(|e| ledger_problem(&e))?,
        Some(glob) => {
            let mut chunks = 0;
            for table in show::tables_of(&ledger, &run, glob).await? {
                chunks +=
                    ledger.retry_chunks(run.id, Some(table.ordinal)).await.map_err(|e| ledger_problem(&e))?;
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
    if !is_attended(context, &ledger, &run).await? {
        let label = screen.ink_err(Ink::Name, "next:");
        screen.say(format!("{label} syncline run SPEC --resume {}", run.id));
    }
    Ok(DONE)
}

pub(super) async fn cancel(context: &Context, args: &CancelArgs) -> Outcome {
    let ledger = context.existing_ledger().await?;
    let run = context.find_run(&ledger, &args.run).await?;
    if !ledger.request_cancel(run.id).await.map_err(|e| ledger_problem(&e))? {
        let detail = format!("{} is {}", run.id, run.state);
        return Err(Problem::new(code::RUN_STATE, detail, format!("syncline show {}", run.id)));
    }
    // Nobody else would notice that it is to end.
    let attended = is_attended(context, &ledger, &run).await?;
    if !attended {
        ledger.finish_run(run.id, RunState::Cancelled, None).await.map_err(|e| ledger_problem(&e))?;
    }
    let screen = &context.screen;
    if screen.json {
        screen.event("cancelled", &json!({ "run": run.id, "ended": !attended }));
    } else if attended {
        screen.print(format!("{} stops: chunks in hand are given back within seconds", run.id));
    } else {
        screen.print(format!("{} is cancelled", run.id));
    }
    Ok(DONE)
}

async fn is_attended(context: &Context, ledger: &Ledger, run: &Run) -> Result<bool, Problem> {
    let workers = ledger.workers().await.map_err(|e| ledger_problem(&e))?;
    let now = ledger.now_ms().await.map_err(|e| ledger_problem(&e))?;
    Ok(compose::is_attended(run.id, context.ledger_url()?.is_shared(), &workers, now))
}
