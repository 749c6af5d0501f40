//! `syncline quarantine`: rows set aside for a person.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use ledger::{Ledger, QuarantineView, Run};
use serde_json::json;

use super::context::{Context, ledger_problem, output_problem};
use super::grid::{Column, Grid};
use super::screen::{Ink, JSON_VERSION};
use super::{DONE, Outcome, init, show, values};
use model::human::{count, counted};

/// Rows read from the ledger at a time.
const PAGE: u32 = 1_000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List quarantined rows: key, column and reason
    List {
        /// A run's id, the beginning of one, or `latest`
        run: String,
        /// Only of this source table; may hold *
        #[arg(long, value_name = "TABLE")]
        table: Option<String>,
        /// Rows listed at most
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Write all of them to a file, one JSON object a line
    Export {
        /// A run's id, the beginning of one, or `latest`
        run: String,
        /// The file; must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

pub(super) async fn run(context: &Context, args: Args) -> Outcome {
    let ledger = context.existing_ledger().await?;
    match args.what {
        What::List { run, table, limit } => {
            let run = context.find_run(&ledger, &run).await?;
            list(context, &ledger, &run, table.as_deref(), limit).await
        }
        What::Export { run, out } => {
            let run = context.find_run(&ledger, &run).await?;
            export(context, &ledger, &run, &out).await
        }
    }
}

async fn list(context: &Context, ledger: &Ledger, run: &Run, table: Option<&str>, limit: usize) -> Outcome {
    let screen = &context.screen;
    let tables: Vec<Option<u32>> = match table {
        Some(glob) => {
            show::tables_of(ledger, run, glob).await?.iter().map(|table| Some(table.ordinal)).collect()
        }
        None => vec![None],
    };
    let (mut rows, mut total) = (Vec::new(), 0);
    for table in tables {
        total += ledger.quarantined_count(run.id, table).await.map_err(|e| ledger_problem(&e))?;
        let room = u32::try_from(limit.saturating_sub(rows.len())).unwrap_or(u32::MAX);
        rows.extend(ledger.quarantined(run.id, table, 0, room).await.map_err(|e| ledger_problem(&e))?);
    }
    if screen.json {
        rows.iter().for_each(|row| screen.event("quarantined-row", &as_json(row)));
        return Ok(DONE);
    }
    if rows.is_empty() {
        screen.print(format!("{} no rows are quarantined", screen.ink(Ink::Good, "ok")));
        return Ok(DONE);
    }
    let mut grid = Grid::new(&[
        Column::text("table"),
        Column::text("key"),
        Column::text("column"),
        Column::text("kind"),
        Column::text("reason"),
    ]);
    for view in &rows {
        let plain = |text: String| (text, None);
        grid.inked_row([
            plain(view.source.to_string()),
            plain(values::key(&view.row.key)),
            plain(view.row.column.clone().unwrap_or_default()),
            (view.row.kind.to_string(), Some(Ink::Warn)),
            plain(view.row.reason.clone()),
        ]);
    }
    grid.print(screen);
    screen.print("");
    let of = if total > rows.len() as u64 { format!(" of {}", count(total)) } else { String::new() };
    screen.print(format!("{}{of}", counted(rows.len() as u64, "row")));
    let next = "correct them at the source, or widen the target; then run the spec again";
    screen.say(format!("{} {next}", screen.ink_err(Ink::Name, "next:")));
    Ok(DONE)
}

async fn export(context: &Context, ledger: &Ledger, run: &Run, out: &Path) -> Outcome {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(out);
    let mut file = std::io::BufWriter::new(file.map_err(|error| {
        let is_there = error.kind() == std::io::ErrorKind::AlreadyExists;
        if is_there { init::exists(out) } else { output_problem(out, &error) }
    })?);
    let (mut after, mut rows) = (0, 0);
    loop {
        let page = ledger.quarantined(run.id, None, after, PAGE).await.map_err(|e| ledger_problem(&e))?;
        for view in &page {
            let mut line = as_json(view);
            line["v"] = JSON_VERSION.into();
            writeln!(file, "{line}").map_err(|error| output_problem(out, &error))?;
            (after, rows) = (view.seq, rows + 1);
        }
        if page.len() < PAGE as usize {
            break;
        }
    }
    file.flush().map_err(|error| output_problem(out, &error))?;
    if context.screen.json {
        context.screen.event("exported", &json!({ "run": run.id, "rows": rows, "file": out }));
    } else {
        context.screen.say(format!("{} written to {}", counted(rows, "row"), out.display()));
    }
    Ok(DONE)
}

fn as_json(view: &QuarantineView) -> serde_json::Value {
    json!({
        "seq": view.seq, "table": view.source.to_string(), "target": view.target.to_string(), "chunk": view.chunk,
        "pass": view.pass, "key": view.row.key, "column": view.row.column, "kind": view.row.kind,
        "reason": view.row.reason, "at_ms": view.at_ms,
    })
}
