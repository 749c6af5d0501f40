//! `syncline conflicts`: rows that were changed on both sides, and which side won.

use ledger::ConflictView;
use model::cells;
use model::conflict::Difference;
use model::human::{count, counted};
use serde_json::{Value, json};

use super::context::{Context, ledger_problem};
use super::grid::{Column, Grid};
use super::screen::Ink;
use super::{DONE, Outcome, show};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A run's id, the beginning of one, or `latest`
    run: String,
    /// Only of this source table; may hold *
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
    /// Show what both sides held
    #[arg(long)]
    values: bool,
    /// Rows listed at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

pub(super) async fn run(context: &Context, args: Args) -> Outcome {
    let (screen, ledger) = (&context.screen, context.existing_ledger().await?);
    let run = context.find_run(&ledger, &args.run).await?;
    let tables = show::ordinals_of(&ledger, &run, args.table.as_deref()).await?;
    context.audit(&ledger, "conflicts", run.id).await?;
    let mut rows = Vec::new();
    for table in tables {
        let room = u32::try_from(args.limit.saturating_sub(rows.len())).unwrap_or(u32::MAX);
        rows.extend(ledger.conflicts(run.id, table, 0, room).await.map_err(|e| ledger_problem(&e))?);
    }
    if screen.json {
        rows.iter().for_each(|row| screen.event("conflict", &as_json(row, args.values)));
        return Ok(DONE);
    }
    if rows.is_empty() {
        screen.print(format!("{} no row was changed on both sides", screen.ink(Ink::Good, "ok")));
        return Ok(DONE);
    }
    print(context, &rows, args.values);
    let record = ledger.record(run.id).await.map_err(|e| ledger_problem(&e))?;
    let total = record.map_or(0, |record| record.counts.conflicts);
    let of = if args.table.is_none() && total > rows.len() as u64 {
        format!(" of {}", count(total))
    } else {
        String::new()
    };
    screen.print("");
    screen.print(format!("{}{of}", counted(rows.len() as u64, "conflict")));
    Ok(DONE)
}

fn print(context: &Context, rows: &[ConflictView], values: bool) {
    let mut grid = Grid::new(&[
        Column::text("table"),
        Column::text("key"),
        Column::text("winner"),
        Column::text("rule"),
        Column::text("at the source"),
        Column::text("at the target"),
        Column::text(if values { "column: source | target" } else { "columns" }),
    ]);
    for ConflictView { source, conflict, .. } in rows {
        let difference = |d: &Difference| {
            if !values {
                return d.column.clone();
            }
            format!("{}: {} | {}", d.column, cells::value(&d.source), cells::value(&d.target))
        };
        let columns: Vec<String> = conflict.columns.iter().map(difference).collect();
        grid.row([
            &source.to_string(),
            &cells::key(&conflict.key),
            conflict.winner.name(),
            &conflict.rule,
            &cells::value(&conflict.source_mark),
            &cells::value(&conflict.target_mark),
            &columns.join(", "),
        ]);
    }
    grid.print(&context.screen);
}

fn as_json(view: &ConflictView, values: bool) -> Value {
    let conflict = &view.conflict;
    let columns: Vec<Value> = conflict
        .columns
        .iter()
        .map(|d| {
            if values {
                json!({ "column": d.column, "source": cells::value(&d.source), "target": cells::value(&d.target) })
            } else {
                json!({ "column": d.column })
            }
        })
        .collect();
    json!({
        "seq": view.seq,
        "table": view.source.to_string(),
        "target": view.target.to_string(),
        "chunk": view.chunk,
        "key": cells::key(&conflict.key),
        "winner": conflict.winner,
        "rule": conflict.rule,
        "source_mark": cells::value(&conflict.source_mark),
        "target_mark": cells::value(&conflict.target_mark),
        "columns": columns,
        "at_ms": view.at_ms,
    })
}
