//! `syncline quarantine`: rows set aside for a person.

use model::cells;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use ledger::{Corrected, Ledger, QuarantineView, Run};
use model::Correction;
use serde_json::json;
use service::Problem;
use service::problem::code;

use super::context::{Context, ledger_problem, output_problem};
use super::grid::{Column, Grid};
use super::screen::{Ink, JSON_VERSION};
use super::{DONE, Outcome, init, retry, show};
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
    /// Read again the chunks that have rows in quarantine: what was mended in the source, or corrected here, arrives
    Replay {
        /// A run's id, the beginning of one, or `latest`; it must have ended
        run: String,
        /// Only of this source table; may hold *
        #[arg(long, value_name = "TABLE")]
        table: Option<String>,
    },
    /// Say what a column of a row is to be when it is replayed, whatever the source holds
    Correct {
        /// A run's id, the beginning of one, or `latest`; it must have ended
        run: String,
        /// The row's number in `quarantine list`
        row: u64,
        /// The value, as text
        #[arg(long, value_name = "VALUE", required_unless_present = "null", conflicts_with = "null")]
        value: Option<String>,
        /// No value
        #[arg(long)]
        null: bool,
        /// The source column; without it the one that the row is in quarantine for
        #[arg(long, value_name = "COLUMN")]
        column: Option<String>,
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
            context.audit(&ledger, "quarantine list", run.id).await?;
            list(context, &ledger, &run, table.as_deref(), limit).await
        }
        What::Export { run, out } => {
            let run = context.find_run(&ledger, &run).await?;
            context.audit(&ledger, "quarantine export", run.id).await?;
            export(context, &ledger, &run, &out).await
        }
        What::Replay { run, table } => {
            let run = context.find_run(&ledger, &run).await?;
            context.audit(&ledger, "quarantine replay", run.id).await?;
            replay(context, &ledger, &run, table.as_deref()).await
        }
        What::Correct { run, row, value, column, .. } => {
            let run = context.find_run(&ledger, &run).await?;
            context.audit(&ledger, "quarantine correct", run.id).await?;
            correct(context, &ledger, &run, row, NewValue { value, column }).await
        }
    }
}

async fn list(context: &Context, ledger: &Ledger, run: &Run, table: Option<&str>, limit: usize) -> Outcome {
    let screen = &context.screen;
    let tables = show::ordinals_of(ledger, run, table).await?;
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
        Column::number("row"),
        Column::text("table"),
        Column::text("key"),
        Column::text("column"),
        Column::text("kind"),
        Column::text("reason"),
    ]);
    for view in &rows {
        let plain = |text: String| (text, None);
        grid.inked_row([
            plain(view.seq.to_string()),
            plain(view.source.to_string()),
            plain(cells::key(&view.row.key)),
            plain(view.row.column.clone().unwrap_or_default()),
            (view.row.kind.to_string(), Some(Ink::Warn)),
            plain(view.row.reason.clone()),
        ]);
    }
    grid.print(screen);
    screen.print("");
    let of = if total > rows.len() as u64 { format!(" of {}", count(total)) } else { String::new() };
    screen.print(format!("{}{of}", counted(rows.len() as u64, "row")));
    let next =
        format!("mend them in the source, or: syncline quarantine correct {} ROW --value VALUE", run.id);
    screen.say(format!("{} {next}", screen.ink_err(Ink::Name, "next:")));
    screen.say(format!("then: syncline quarantine replay {}", run.id));
    Ok(DONE)
}

async fn replay(context: &Context, ledger: &Ledger, run: &Run, table: Option<&str>) -> Outcome {
    if !run.state.is_terminal() {
        return Err(still_runs(run));
    }
    let mut chunks = 0;
    for which in retry::chosen(ledger, run, table, None).await? {
        chunks += ledger.replay(run.id, which).await.map_err(|e| ledger_problem(&e))?;
    }
    retry::told(context, ledger, run, chunks, "row in quarantine").await
}

struct NewValue {
    value: Option<String>,
    column: Option<String>,
}

async fn correct(context: &Context, ledger: &Ledger, run: &Run, row: u64, new: NewValue) -> Outcome {
    let unknown = || {
        let detail = format!("{} has no row {row} in quarantine", run.id);
        Problem::new(code::BAD_SETTING, detail, format!("syncline quarantine list {}", run.id))
    };
    let found =
        ledger.quarantined(run.id, None, row.saturating_sub(1), 1).await.map_err(|e| ledger_problem(&e))?;
    let view = found.into_iter().find(|view| view.seq == row).ok_or_else(unknown)?;
    let Some(column) = new.column.or(view.row.column) else {
        let detail = format!("row {row} is in quarantine for no column of its own");
        return Err(Problem::new(code::BAD_SETTING, detail, "--column COLUMN"));
    };
    let correction = Correction { key: view.row.key, column, value: new.value };
    match ledger.correct(run.id, row, &correction).await.map_err(|e| ledger_problem(&e))? {
        Corrected::Unknown => return Err(unknown()),
        Corrected::StillRuns => return Err(still_runs(run)),
        Corrected::No(why) => return Err(Problem::new(code::BAD_SETTING, why, "another --value, or --null")),
        Corrected::Yes => {}
    }
    if context.screen.json {
        context.screen.event("corrected", &json!({ "run": run.id, "row": row, "column": correction.column }));
    } else {
        context.screen.print(format!("kept for row {row}, column {}", correction.column));
        let label = context.screen.ink_err(Ink::Name, "next:");
        context.screen.say(format!("{label} syncline quarantine replay {}", run.id));
    }
    Ok(DONE)
}

fn still_runs(run: &Run) -> Problem {
    let detail = format!("{} is {}", run.id, run.state);
    Problem::new(code::RUN_STATE, detail, format!("syncline status {} --watch", run.id))
}

async fn export(context: &Context, ledger: &Ledger, run: &Run, out: &Path) -> Outcome {
    let mut file = std::io::BufWriter::new(init::new_file(out)?);
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
