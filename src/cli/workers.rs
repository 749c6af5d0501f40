//! `syncline workers`: who works, on what, since when; and how to send one home.

use ledger::{Ledger, WorkerView};
use serde_json::json;
use service::Problem;
use service::problem::code;

use super::context::{Context, ledger_problem};
use super::grid::{Column, Grid};
use super::screen::Ink;
use super::{DONE, Outcome};
use crate::compose;
use model::human::ago;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    /// Also those that have left
    #[arg(long)]
    all: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Ask a worker to finish what it holds and leave
    Drain {
        /// A worker's id, as `syncline workers` shows it
        worker: String,
    },
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let ledger = context.existing_ledger().await?;
    let workers = ledger.workers().await.map_err(|e| ledger_problem(&e))?;
    match &args.command {
        Some(Command::Drain { worker }) => drain(context, &ledger, &workers, worker).await,
        None => list(context, &ledger, &workers, args.all).await,
    }
}

async fn list(context: &Context, ledger: &Ledger, workers: &[WorkerView], all: bool) -> Outcome {
    let screen = &context.screen;
    let now = ledger.now_ms().await.map_err(|e| ledger_problem(&e))?;
    let mut grid = Grid::new(&[
        Column::text("worker"),
        Column::text("host"),
        Column::number("pid"),
        Column::text("version"),
        Column::number("at work"),
        Column::number("started"),
        Column::number("seen"),
        Column::text("state"),
    ]);
    let mut shown = 0;
    for worker in workers {
        let (word, ink) = standing(worker, now);
        if worker.retired_ms.is_some() && !all {
            continue;
        }
        shown += 1;
        if screen.json {
            screen.event("worker", &json!({
                "worker": worker.id, "host": worker.host, "pid": worker.pid, "version": worker.version,
                "slots": worker.slots, "running": worker.running, "state": word, "started_ms": worker.started_ms,
                "seen_ms": worker.seen_ms, "drain_ms": worker.drain_ms, "retired_ms": worker.retired_ms,
            }));
            continue;
        }
        grid.inked_row([
            (worker.id.to_string(), None),
            (worker.host.clone(), None),
            (worker.pid.to_string(), None),
            (worker.version.clone(), None),
            (format!("{}/{}", worker.running, worker.slots), None),
            (ago(now - worker.started_ms), None),
            (ago(now - worker.seen_ms), None),
            (word.to_owned(), Some(ink)),
        ]);
    }
    match (screen.json, shown) {
        (true, _) => {}
        (false, 0) => screen.say("no worker is there"),
        (false, _) => grid.print(screen),
    }
    Ok(DONE)
}

fn standing(worker: &WorkerView, now_ms: i64) -> (&'static str, Ink) {
    if worker.retired_ms.is_some() {
        ("left", Ink::Faint)
    } else if !compose::is_alive(worker, now_ms) {
        ("silent", Ink::Bad)
    } else if worker.drain_ms.is_some() {
        ("draining", Ink::Warn)
    } else {
        ("alive", Ink::Good)
    }
}

async fn drain(context: &Context, ledger: &Ledger, workers: &[WorkerView], id: &str) -> Outcome {
    let refuse = |detail: String| Err(Problem::new(code::RUN_STATE, detail, "syncline workers --all"));
    let Some(worker) = workers.iter().find(|worker| worker.id.0 == id) else {
        return refuse(format!("no worker is called `{id}`"));
    };
    if worker.retired_ms.is_some() {
        return refuse(format!("{id} has left already"));
    }
    context.audit(ledger, "workers drain", &worker.id).await?;
    let asked = ledger.drain_worker(&worker.id).await.map_err(|e| ledger_problem(&e))?;
    let screen = &context.screen;
    if screen.json {
        screen.event("draining", &json!({ "worker": worker.id, "changed": asked }));
    } else if asked {
        screen.print(format!("{id} finishes what it holds and leaves"));
    } else {
        screen.print(format!("{id} is draining already"));
    }
    Ok(DONE)
}
