//! `syncline runs`: the runs a ledger has, newest first.

use serde_json::json;

use super::context::{Context, ledger_problem};
use super::grid::{Column, Grid};
use super::progress::run_word;
use super::{DONE, Outcome};
use crate::compose;
use model::human::{ago, millis};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Runs listed at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let screen = &context.screen;
    let ledger = context.existing_ledger().await?;
    let runs = ledger.runs(args.limit).await.map_err(|e| ledger_problem(&e))?;
    let workers = ledger.workers().await.map_err(|e| ledger_problem(&e))?;
    let now = ledger.now_ms().await.map_err(|e| ledger_problem(&e))?;
    let is_shared = context.ledger_url()?.is_shared();
    let mut grid = Grid::new(&[
        Column::text("run"),
        Column::text("spec"),
        Column::text("kind"),
        Column::text("state"),
        Column::number("started"),
        Column::number("took"),
    ]);
    for run in &runs {
        let attended = compose::is_attended(run.id, is_shared, &workers, now);
        if screen.json {
            screen.event("run", &json!({
                "run": run.id, "spec": run.spec.name, "kind": run.kind, "state": run.state, "attended": attended,
                "cause": run.cause, "created_ms": run.created_ms, "ended_ms": run.ended_ms,
            }));
            continue;
        }
        let (word, ink) = run_word(run.state, attended);
        grid.inked_row([
            (run.id.to_string(), None),
            (run.spec.name.clone(), None),
            (run.kind.to_string(), None),
            (word.to_owned(), Some(ink)),
            (ago(now - run.created_ms), None),
            (run.ended_ms.map_or_else(|| "–".to_owned(), |ended| millis(ended - run.created_ms)), None),
        ]);
    }
    match (screen.json, runs.is_empty()) {
        (true, _) => {}
        (false, true) => screen.say("no runs yet"),
        (false, false) => grid.print(screen),
    }
    Ok(DONE)
}
