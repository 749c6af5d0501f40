//! `syncline pipelines`: what `serve` runs again and again: when it runs next, how it went, and a person's word on it.

use api::commands;
use ledger::{Ledger, Pipeline, Start, Started};
use model::RunKind;
use model::schedule::When;
use serde_json::json;
use service::Problem;
use service::config::parse_millis;
use service::problem::code;

use super::context::{Context, ledger_problem};
use super::grid::{Column, Grid};
use super::progress::run_word;
use super::screen::Ink;
use super::{DONE, Outcome};
use model::human::{ago, millis};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Start nothing of it until `resume`, and hold the run that is under way
    Pause { name: String },
    /// Let it go on
    Resume { name: String },
    /// Run it now; its interval counts from here
    Trigger { name: String },
    /// Change its interval, while `serve` runs; `file` takes back what was set
    Interval {
        name: String,
        /// From start to start: 15m, 1h
        #[arg(value_name = "TIME", value_parser = interval)]
        every: u64,
    },
}

/// Seconds; 0 for what the file says.
fn interval(text: &str) -> Result<u64, String> {
    if text == "file" {
        return Ok(0);
    }
    let seconds = parse_millis(text).map(|ms| ms / 1_000).filter(|seconds| *seconds > 0);
    seconds.ok_or_else(|| "an interval is a whole number with s, m or h, or `file`".to_owned())
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let ledger = context.existing_ledger().await?;
    let Some(command) = &args.command else { return list(context, &ledger, None).await };
    let (Command::Pause { name }
    | Command::Resume { name }
    | Command::Trigger { name }
    | Command::Interval { name, .. }) = command;
    let pipelines = ledger.pipelines().await.map_err(|e| ledger_problem(&e))?;
    let Some(pipeline) = pipelines.iter().find(|pipeline| pipeline.name == *name) else {
        let known: Vec<&str> = pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
        let detail = format!("no pipeline is called `{name}`");
        let next = if known.is_empty() { "syncline serve SPEC".to_owned() } else { known.join(", ") };
        return Err(Problem::new(code::BAD_SETTING, detail, next));
    };
    let action = match command {
        Command::Pause { .. } => "pipelines pause",
        Command::Resume { .. } => "pipelines resume",
        Command::Trigger { .. } => "pipelines trigger",
        Command::Interval { .. } => "pipelines interval",
    };
    context.audit(&ledger, action, name).await?;
    match command {
        Command::Pause { .. } => commands::pause(&ledger, pipeline).await.map_err(|e| ledger_problem(&e))?,
        Command::Resume { .. } => {
            commands::resume(&ledger, pipeline).await.map_err(|e| ledger_problem(&e))?
        }
        Command::Trigger { .. } => return trigger(context, &ledger, pipeline).await,
        Command::Interval { every, .. } => {
            let every = Some(*every).filter(|seconds| *seconds > 0);
            ledger.set_pipeline_interval(name, every).await.map_err(|e| ledger_problem(&e))?;
        }
    }
    list(context, &ledger, Some(name)).await
}

async fn trigger(context: &Context, ledger: &Ledger, pipeline: &Pipeline) -> Outcome {
    let name = &pipeline.name;
    match ledger.start_pipeline(name, Start::Asked).await.map_err(|e| ledger_problem(&e))? {
        Started::Run(run) => {
            if context.screen.json {
                context.screen.event("run-submitted", &json!({ "run": run, "spec": name }));
            } else {
                context.screen.print(run.to_string());
            }
            Ok(DONE)
        }
        Started::StillRuns(run) => {
            let detail = format!("{run} of `{name}` is still under way");
            Err(Problem::new(code::RUN_STATE, detail, format!("syncline status {run} --watch")))
        }
        Started::No => {
            let detail = format!("pipeline `{name}` is paused");
            Err(Problem::new(code::RUN_STATE, detail, format!("syncline pipelines resume {name}")))
        }
    }
}

async fn list(context: &Context, ledger: &Ledger, only: Option<&str>) -> Outcome {
    let screen = &context.screen;
    let pipelines = ledger.pipelines().await.map_err(|e| ledger_problem(&e))?;
    let now = ledger.now_ms().await.map_err(|e| ledger_problem(&e))?;
    let mut grid = Grid::new(&[
        Column::text("pipeline"),
        Column::text("schedule"),
        Column::text("state"),
        Column::number("next"),
        Column::number("last start"),
        Column::text("last run"),
    ]);
    for pipeline in pipelines.iter().filter(|pipeline| only.is_none_or(|name| pipeline.name == name)) {
        let last = match pipeline.last_run {
            Some(run) => ledger.run(run).await.map_err(|e| ledger_problem(&e))?,
            None => None,
        };
        if screen.json {
            screen.event("pipeline", &json!({
                "pipeline": pipeline.name, "default": pipeline.is_default, "schedule": pipeline.schedule,
                "interval_set_s": pipeline.every_s, "paused_ms": pipeline.paused_ms, "cause": pipeline.cause,
                "next_ms": pipeline.next_ms, "last_run": pipeline.last_run, "last_start_ms": pipeline.last_start_ms,
                "last_state": last.as_ref().map(|run| run.state),
            }));
            continue;
        }
        let (state, ink) = match (pipeline.paused_ms, &pipeline.cause) {
            (None, _) => ("ready", Ink::Good),
            (Some(_), None) => ("paused", Ink::Warn),
            (Some(_), Some(_)) => ("paused by a failure", Ink::Bad),
        };
        let next = match pipeline.next_ms {
            None => "–".to_owned(),
            Some(next) if next <= now => "now".to_owned(),
            Some(next) => format!("in {}", millis(next - now)),
        };
        let started = pipeline.last_start_ms.map_or_else(|| "–".to_owned(), |start| ago(now - start));
        let (word, last_ink) = last.map_or(("–", None), |run| {
            let (word, ink) = run_word(run.state, true);
            (word, Some(ink))
        });
        grid.inked_row([
            (pipeline.name.clone(), None),
            (schedule(pipeline), None),
            (state.to_owned(), Some(ink)),
            (next, None),
            (started, None),
            (word.to_owned(), last_ink),
        ]);
        if let Some(cause) = &pipeline.cause {
            screen.say(format!("{}: {cause}", pipeline.name));
        }
    }
    match (screen.json, pipelines.is_empty()) {
        (true, _) => {}
        (false, true) => screen.say("no pipelines yet: syncline serve SPEC"),
        (false, false) => grid.print(screen),
    }
    Ok(DONE)
}

fn schedule(pipeline: &Pipeline) -> String {
    let words = match pipeline.schedule.as_ref().map(|schedule| &schedule.when) {
        None => "when asked for".to_owned(),
        Some(When::Every(seconds)) if seconds % 3_600 == 0 => format!("every {}h", seconds / 3_600),
        Some(When::Every(seconds)) if seconds % 60 == 0 => format!("every {}m", seconds / 60),
        Some(When::Every(seconds)) => format!("every {seconds}s"),
        Some(When::Cron { expression, zone }) => format!("{expression} {zone}"),
        Some(When::After(before)) => format!("after {before}"),
    };
    let set = if pipeline.every_s.is_some() { " (set)" } else { "" };
    let verifies = if pipeline.kind() == RunKind::Verify { ": verify" } else { "" };
    format!("{words}{set}{verifies}")
}
