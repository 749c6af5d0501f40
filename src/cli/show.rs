//! `syncline show`: the record of a run, the chunks of a table, the attempts at a chunk.

use ledger::{ChunkPage, ChunkView, Ledger, Run, TableRow};
use model::spec::wildcard;
use model::{ChunkId, ChunkState};
use serde_json::json;
use service::Problem;
use service::problem::code;

use super::context::{Context, ledger_problem};
use super::follow::record_of;
use super::grid::{Column, Grid};
use super::screen::Ink;
use super::{DONE, Outcome, status};
use model::human::{count, counted, millis};

/// Chunks of one page.
const PAGE: u32 = 500;
/// Chunks printed; beyond, `--json` has them all.
const CHUNKS_MAX: usize = 2_000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A run's id, the beginning of one, or `latest`
    run: String,
    /// List the chunks of this source table; may hold *
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
    /// List the attempts at this chunk
    #[arg(long, value_name = "ID")]
    chunk: Option<String>,
    /// List only chunks in this state: ready, running, done, quarantined, cancelled
    #[arg(long, value_name = "STATE", conflicts_with = "chunk")]
    state: Option<ChunkState>,
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let ledger = context.existing_ledger().await?;
    let run = context.find_run(&ledger, &args.run).await?;
    match (&args.chunk, &args.table) {
        (Some(chunk), _) => attempts(context, &ledger, &run, chunk).await?,
        (None, Some(glob)) => chunks(context, &ledger, &run, glob, args.state).await?,
        (None, None) if args.state.is_some() => chunks(context, &ledger, &run, "*", args.state).await?,
        (None, None) => status::show(context, &ledger, &record_of(&ledger, run.id).await?).await?,
    }
    Ok(DONE)
}

/// The tables of a run whose source name matches.
pub(super) async fn tables_of(ledger: &Ledger, run: &Run, glob: &str) -> Result<Vec<TableRow>, Problem> {
    let mut tables = ledger.tables(run.id).await.map_err(|e| ledger_problem(&e))?;
    tables.retain(|table| wildcard(glob, &table.source.to_string()));
    if tables.is_empty() {
        let detail = format!("no table of {} matches `{glob}`", run.id);
        return Err(Problem::new(code::UNKNOWN_TABLE, detail, format!("syncline show {}", run.id)));
    }
    Ok(tables)
}

/// The numbers of those tables, to ask for the rows of each; of all at once without a pattern.
pub(super) async fn ordinals_of(
    ledger: &Ledger,
    run: &Run,
    glob: Option<&str>,
) -> Result<Vec<Option<u32>>, Problem> {
    let Some(glob) = glob else { return Ok(vec![None]) };
    Ok(tables_of(ledger, run, glob).await?.iter().map(|table| Some(table.ordinal)).collect())
}

async fn chunks(
    context: &Context,
    ledger: &Ledger,
    run: &Run,
    glob: &str,
    state: Option<ChunkState>,
) -> Result<(), Problem> {
    let screen = &context.screen;
    for table in tables_of(ledger, run, glob).await? {
        let mut page = ChunkPage { table: Some(table.ordinal), state, after: None, limit: PAGE };
        let mut shown = Vec::new();
        loop {
            let some = ledger.chunks(run.id, page).await.map_err(|e| ledger_problem(&e))?;
            page.after = some.last().map(|view| view.chunk.id);
            let is_last = some.len() < PAGE as usize;
            if screen.json {
                some.iter().for_each(|view| screen.event("chunk", &as_json(&table, view)));
            } else {
                shown.extend(some);
            }
            if is_last || shown.len() > CHUNKS_MAX {
                break;
            }
        }
        if !screen.json {
            screen.print(format!("{} {}", screen.ink(Ink::Strong, table.source.to_string()), table.state));
            chunk_grid(&shown).print(screen);
            if shown.len() > CHUNKS_MAX {
                screen.print(format!("only the first {} chunks; --json has all", count(CHUNKS_MAX as u64)));
            }
            screen.print("");
        }
    }
    Ok(())
}

fn chunk_grid(chunks: &[ChunkView]) -> Grid {
    let mut grid = Grid::new(&[
        Column::text("chunk"),
        Column::text("pass"),
        Column::number("no"),
        Column::text("state"),
        Column::number("attempts"),
        Column::number("rows"),
        Column::number("time"),
        Column::text("worker"),
        Column::text("last error").or_drop(),
    ]);
    for view in chunks.iter().take(CHUNKS_MAX) {
        let plain = |text: String| (text, None);
        let is_bad = view.chunk.state == ChunkState::Quarantined;
        grid.inked_row([
            plain(view.chunk.id.to_string()),
            plain(view.chunk.pass.to_string()),
            plain(model::chunk::place_name(view.chunk.ordinal)),
            (view.chunk.state.to_string(), is_bad.then_some(Ink::Bad)),
            plain(view.chunk.attempt.to_string()),
            plain(count(view.counts.read)),
            plain(time(view.started_ms, view.ended_ms)),
            plain(view.worker.as_ref().map_or_else(String::new, ToString::to_string)),
            (view.failure.as_ref().map_or_else(String::new, ToString::to_string), Some(Ink::Warn)),
        ]);
    }
    grid
}

fn time(started: Option<i64>, ended: Option<i64>) -> String {
    match (started, ended) {
        (Some(started), Some(ended)) => millis(ended - started),
        _ => "–".to_owned(),
    }
}

fn as_json(table: &TableRow, view: &ChunkView) -> serde_json::Value {
    json!({
        "table": table.source.to_string(), "chunk": view.chunk.id, "pass": view.chunk.pass,
        "ordinal": view.chunk.ordinal, "place": model::chunk::place_name(view.chunk.ordinal), "state": view.chunk.state, "attempt": view.chunk.attempt,
        "worker_deaths": view.worker_deaths, "worker": view.worker, "counts": view.counts,
        "source_digest": view.source_digest, "target_digest": view.target_digest, "failure": view.failure,
        "started_ms": view.started_ms, "ended_ms": view.ended_ms,
    })
}

/// The chunk of a run that has this id.
pub(super) async fn chunk_of(ledger: &Ledger, run: &Run, text: &str) -> Result<ChunkId, Problem> {
    Ok(view_of(ledger, run, text).await?.chunk.id)
}

async fn view_of(ledger: &Ledger, run: &Run, text: &str) -> Result<ChunkView, Problem> {
    let unknown = || {
        let next = format!("syncline show {} --table '*', which lists them", run.id);
        Problem::new(code::RUN_UNKNOWN, format!("{} has no chunk `{text}`", run.id), next)
    };
    let id = text.parse().map_err(|_| unknown())?;
    let view = ledger.chunk(id).await.map_err(|e| ledger_problem(&e))?;
    view.filter(|view| view.chunk.run == run.id).ok_or_else(unknown)
}

async fn attempts(context: &Context, ledger: &Ledger, run: &Run, chunk: &str) -> Result<(), Problem> {
    let view = view_of(ledger, run, chunk).await?;
    let id = view.chunk.id;
    let attempts = ledger.attempts(id).await.map_err(|e| ledger_problem(&e))?;
    let screen = &context.screen;
    if !screen.json {
        let deaths = counted(u64::from(view.worker_deaths), "worker death");
        screen.print(format!("{id} is {}, {deaths}", view.chunk.state));
    }
    let mut grid = Grid::new(&[
        Column::number("attempt"),
        Column::text("outcome"),
        Column::number("time"),
        Column::text("worker"),
        Column::text("error").or_drop(),
    ]);
    for attempt in &attempts {
        let outcome = attempt.outcome.map_or("running", ledger::AttemptOutcome::name);
        if screen.json {
            screen.event("attempt", &json!({
                "chunk": id, "attempt": attempt.attempt, "worker": attempt.worker, "outcome": outcome,
                "failure": attempt.failure, "claimed_ms": attempt.claimed_ms, "ended_ms": attempt.ended_ms,
            }));
            continue;
        }
        grid.inked_row([
            (attempt.attempt.to_string(), None),
            (outcome.to_owned(), None),
            (time(Some(attempt.claimed_ms), attempt.ended_ms), None),
            (attempt.worker.to_string(), None),
            (attempt.failure.as_ref().map_or_else(String::new, ToString::to_string), Some(Ink::Warn)),
        ]);
    }
    if !screen.json {
        grid.print(screen);
    }
    Ok(())
}
