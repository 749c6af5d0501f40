//! `syncline pause`, `resume`, `cancel` and `set`: a person's word on a run, given to the ledger. Whoever works on the run heeds
//! it within a heartbeat.

use ledger::{Heeded, Ledger, Run};
use model::{Limits, RunState};
use serde_json::json;
use service::Problem;
use service::problem::code;

use super::context::{Context, ledger_problem};
use super::run::{byte_rate, row_rate};
use super::screen::Ink;
use super::{DONE, Outcome};
use crate::compose;
use model::human::{bytes, count};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A run's id, the beginning of one, or `latest`
    run: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct SetArgs {
    /// A run's id, the beginning of one, or `latest`
    run: String,
    /// `rows=5000/s`, `bytes=20MB/s`; `rows=off` takes a limit away. What is not named stays
    #[arg(required = true, value_name = "LIMIT", value_parser = setting)]
    limits: Vec<Setting>,
}

/// One limit, set or taken away.
#[derive(Debug, Clone, Copy)]
enum Setting {
    Rows(Option<u64>),
    Bytes(Option<u64>),
}

fn setting(text: &str) -> Result<Setting, String> {
    match text.split_once('=') {
        Some(("rows", "off")) => Ok(Setting::Rows(None)),
        Some(("bytes", "off")) => Ok(Setting::Bytes(None)),
        Some(("rows", rate)) => row_rate(rate).map(|rate| Setting::Rows(Some(rate))),
        Some(("bytes", rate)) => byte_rate(rate).map(|rate| Setting::Bytes(Some(rate))),
        Some(_) | None => Err("a limit is written rows=5000/s or bytes=20MB/s".to_owned()),
    }
}

/// Changes what a run may do in a second, while it goes on.
pub(super) async fn set(context: &Context, args: &SetArgs) -> Outcome {
    let ledger = context.existing_ledger().await?;
    let run = context.find_run(&ledger, &args.run).await?;
    if run.state.is_terminal() {
        return Err(cannot(&run));
    }
    context.audit(&ledger, "set", run.id).await?;
    let mut limits = run.limits;
    for setting in &args.limits {
        match setting {
            Setting::Rows(rate) => limits.rows = *rate,
            Setting::Bytes(rate) => limits.bytes = *rate,
        }
    }
    ledger.set_limits(run.id, limits).await.map_err(|e| ledger_problem(&e))?;
    if context.screen.json {
        context.screen.event("limits-set", &json!({ "run": run.id, "limits": limits }));
    } else {
        context.screen.print(format!("{} {}", run.id, pace_words(limits)));
    }
    Ok(DONE)
}

/// What a run's limits are, in words.
pub(super) fn pace_words(limits: Limits) -> String {
    let rows = limits.rows.map(|rows| format!("{} rows/s", count(rows)));
    let rate = limits.bytes.map(|rate| format!("{}/s", bytes(rate)));
    match rows.into_iter().chain(rate).collect::<Vec<_>>().as_slice() {
        [] => "has no limit".to_owned(),
        parts => format!("is limited to {}", parts.join(" and ")),
    }
}

pub(super) async fn pause(context: &Context, args: &Args) -> Outcome {
    let ledger = context.existing_ledger().await?;
    let run = context.find_run(&ledger, &args.run).await?;
    context.audit(&ledger, "pause", run.id).await?;
    let heeded = ledger.pause_run(run.id).await.map_err(|e| ledger_problem(&e))?;
    let done = match heeded {
        Heeded::Yes => "pauses: chunks in hand are given back within seconds",
        Heeded::Already => "is paused already",
        Heeded::No(_) => return Err(cannot(&run)),
    };
    let screen = &context.screen;
    if screen.json {
        screen.event("paused", &json!({ "run": run.id, "changed": heeded == Heeded::Yes }));
        return Ok(DONE);
    }
    screen.print(format!("{} {done}", run.id));
    propose(context, &format!("syncline resume {}", run.id));
    Ok(DONE)
}

/// A paused run goes on; a failed or cancelled one is set going again, for whoever works on it.
pub(super) async fn resume(context: &Context, args: &Args) -> Outcome {
    let ledger = context.existing_ledger().await?;
    let run = context.find_run(&ledger, &args.run).await?;
    context.audit(&ledger, "resume", run.id).await?;
    let is_over = matches!(run.state, RunState::Failed | RunState::Cancelled);
    if is_over && !context.ledger_url()?.is_shared() {
        // Its tables are the business of the process that embeds it, and there is none.
        let detail = format!("{} is {}", run.id, run.state);
        return Err(Problem::new(code::RUN_STATE, detail, format!("syncline run SPEC --resume {}", run.id)));
    }
    let done = if is_over || run.cancel_requested {
        if !ledger.resume_run(run.id).await.map_err(|e| ledger_problem(&e))? {
            return Err(cannot(&run));
        }
        "goes on where it stood"
    } else {
        match ledger.go_on(run.id).await.map_err(|e| ledger_problem(&e))? {
            Heeded::Yes => "goes on",
            Heeded::Already => "is running already",
            Heeded::No(_) => return Err(cannot(&run)),
        }
    };
    if context.screen.json {
        context.screen.event("resumed", &json!({ "run": run.id }));
        return Ok(DONE);
    }
    context.screen.print(format!("{} {done}", run.id));
    if !is_attended(context, &ledger, &run).await? {
        propose(context, &format!("syncline run SPEC --resume {}", run.id));
    }
    Ok(DONE)
}

pub(super) async fn cancel(context: &Context, args: &Args) -> Outcome {
    let ledger = context.existing_ledger().await?;
    let run = context.find_run(&ledger, &args.run).await?;
    context.audit(&ledger, "cancel", run.id).await?;
    if !ledger.request_cancel(run.id).await.map_err(|e| ledger_problem(&e))? {
        return Err(cannot(&run));
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

/// A run that is in no state for it.
fn cannot(run: &Run) -> Problem {
    let state = if run.cancel_requested && run.state == RunState::Running {
        "to be cancelled".to_owned()
    } else {
        run.state.to_string()
    };
    Problem::new(code::RUN_STATE, format!("{} is {state}", run.id), format!("syncline show {}", run.id))
}

fn propose(context: &Context, command: &str) {
    let label = context.screen.ink_err(Ink::Name, "next:");
    context.screen.say(format!("{label} {command}"));
}

/// Whether any process works on the run.
pub(super) async fn is_attended(context: &Context, ledger: &Ledger, run: &Run) -> Result<bool, Problem> {
    let workers = ledger.workers().await.map_err(|e| ledger_problem(&e))?;
    let now = ledger.now_ms().await.map_err(|e| ledger_problem(&e))?;
    Ok(compose::is_attended(run.id, context.ledger_url()?.is_shared(), &workers, now))
}
