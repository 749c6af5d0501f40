//! `syncline status`: where a run stands; with `--watch`, until it ends.

use std::time::Duration;

use ledger::{Ledger, Run};
use model::{RunRecord, RunState};
use service::problem::code;
use service::{Problem, Shutdown};

use super::context::{Context, ledger_problem};
use super::execute::{again, failed};
use super::follow::{follow, record_of};
use super::progress::Progress;
use super::screen::Ink;
use super::{DONE, INCOMPLETE, Outcome, record};
use crate::compose;

/// Between looks whether anybody works on the run.
const ATTENDED_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A run's id, or the beginning of one
    #[arg(default_value = "latest")]
    run: String,
    /// Show progress until the run ends
    #[arg(short, long)]
    watch: bool,
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let ledger = context.existing_ledger().await?;
    let run = context.find_run(&ledger, &args.run).await?;
    if args.watch && run.state == RunState::Running {
        return watch(context, &ledger, &run).await;
    }
    let record = record_of(&ledger, run.id).await?;
    show(context, &ledger, &record).await?;
    Ok(DONE)
}

/// Prints a record, and says so if nobody works on the run.
pub(super) async fn show(context: &Context, ledger: &Ledger, run: &RunRecord) -> Result<(), Problem> {
    let screen = &context.screen;
    if screen.json {
        screen.event("record", &serde_json::json!({ "record": run }));
        return Ok(());
    }
    record::print(screen, run, None);
    let next = match run.state {
        RunState::Running if !is_attended(context, ledger, run).await? => {
            screen.print(format!("\n{} no process works on this run", screen.ink(Ink::Warn, "interrupted:")));
            again(run, None)
        }
        RunState::Failed => {
            let problem = failed(run, &again(run, None));
            screen.print(format!(
                "\n{} {}: {}",
                screen.ink(Ink::Bad, problem.code),
                problem.title,
                problem.detail
            ));
            problem.next
        }
        RunState::Running | RunState::Done | RunState::DoneWithQuarantine | RunState::Cancelled => {
            return Ok(());
        }
    };
    screen.print(format!("{} {next}", screen.ink(Ink::Name, "next:")));
    Ok(())
}

async fn is_attended(context: &Context, ledger: &Ledger, run: &RunRecord) -> Result<bool, Problem> {
    let workers = ledger.workers().await.map_err(|e| ledger_problem(&e))?;
    let now = ledger.now_ms().await.map_err(|e| ledger_problem(&e))?;
    Ok(compose::is_attended(run.id, context.ledger_url()?.is_shared(), &workers, now))
}

/// Shows progress until the run ends, nobody works on it any more, or the watcher leaves.
async fn watch(context: &Context, ledger: &Ledger, run: &Run) -> Outcome {
    let shutdown = Shutdown::new();
    shutdown.listen().map_err(|error| {
        Problem::new(code::INTERNAL, format!("signals: {error}"), "check the limits of this user")
    })?;
    let mut progress = Progress::new(&context.screen);
    let left = async {
        tokio::select! {
            () = shutdown.stop().cancelled_owned() => {}
            () = abandoned(context, ledger, run) => {}
        }
    };
    let record = follow(ledger, run.id, &mut progress, left).await;
    progress.clear();
    let record = record?;
    show(context, ledger, &record).await?;
    match record.state {
        RunState::DoneWithQuarantine => Ok(INCOMPLETE),
        RunState::Failed => Ok(failed(&record, "").exit),
        RunState::Running | RunState::Done | RunState::Cancelled => Ok(DONE),
    }
}

/// Ends when nobody works on the run.
async fn abandoned(context: &Context, ledger: &Ledger, run: &Run) {
    loop {
        tokio::time::sleep(ATTENDED_EVERY).await;
        let Ok(record) = record_of(ledger, run.id).await else { continue };
        if matches!(is_attended(context, ledger, &record).await, Ok(false)) {
            return;
        }
    }
}
