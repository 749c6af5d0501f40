//! `syncline security`: what a person responsible for security should know, newest first.

use serde_json::json;

use super::context::{Context, ledger_problem};
use super::grid::{Column, Grid};
use super::{DONE, Outcome};
use model::human::{ago, count, counted};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Events listed at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let screen = &context.screen;
    let ledger = context.existing_ledger().await?;
    let events = ledger.security_events(args.limit).await.map_err(|e| ledger_problem(&e))?;
    let total = ledger.security_count().await.map_err(|e| ledger_problem(&e))?;
    let now = ledger.now_ms().await.map_err(|e| ledger_problem(&e))?;
    let mut grid = Grid::new(&[
        Column::number("when"),
        Column::text("what"),
        Column::text("reason"),
        Column::number("count"),
        Column::text("met by"),
        Column::text("job"),
    ]);
    for event in &events {
        if screen.json {
            screen.event(
                "security",
                &json!({
                    "seq": event.seq, "at_ms": event.at_ms, "worker": event.worker, "kind": event.kind,
                    "detail": event.detail,
                }),
            );
            continue;
        }
        let word = |name: &str| event.detail[name].as_str().unwrap_or("–").to_owned();
        grid.inked_row(
            [
                ago(now - event.at_ms),
                event.kind.clone(),
                word("reason"),
                count(event.detail["count"].as_u64().unwrap_or(1)),
                event.worker.clone(),
                word("job"),
            ]
            .map(|cell| (cell, None)),
        );
    }
    match (screen.json, events.is_empty()) {
        (true, _) => {}
        (false, true) => screen.say("no security events"),
        (false, false) => {
            grid.print(screen);
            screen.say(format!("{} in all", counted(total, "incident")));
        }
    }
    Ok(DONE)
}
