//! `syncline ledger reconcile`: makes a ledger usable again that was restored to an older state.

use std::path::PathBuf;

use connectors::Connections;
use connectors::config::Role;
use coordinator::{Past, PlanError, past};
use ledger::{Ledger, Run};
use model::{ConnectionSpec, RunId, RunKind, RunState, Turn};
use serde_json::json;
use service::Problem;

use super::context::{Context, ledger_problem, plan_problem};
use super::screen::Ink;
use super::{DONE, INCOMPLETE, Outcome};
use crate::compose;
use model::human::counted;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a ledger usable again that was restored from a copy
    #[command(after_help = "\
Stop every `serve`, `worker` and `run` first. Each target is asked what it has seen. Where that is more
than the ledger knows, every earlier run is kept from the target's tables for good and what is still
running of them is ended; rows stay as they are. Then start new runs: they find what is there.")]
    Reconcile(ReconcileArgs),
}

#[derive(Debug, clap::Args)]
struct ReconcileArgs {
    /// Specs whose targets are asked, beside those of all runs that the ledger still knows
    specs: Vec<PathBuf>,
}

/// A target that has seen more than the ledger.
struct Lost {
    spec: ConnectionSpec,
    past: Past,
    /// Runs that are to be ended there.
    running: Vec<RunId>,
}

pub(super) async fn run(context: &Context, args: Args) -> Outcome {
    let Command::Reconcile(args) = args.command;
    let loaded = args.specs.iter().map(|path| context.ready_spec(path)).collect::<Result<Vec<_>, _>>()?;
    let specs: Vec<&model::RunSpec> = loaded.iter().map(|loaded| &loaded.spec).collect();
    let connections = compose::connections(&specs, 1);
    let ledger = context.existing_ledger().await?;
    let mut runs = ledger.runs(u32::MAX).await.map_err(|e| ledger_problem(&e))?;
    runs.retain(|run| run.kind == RunKind::Copy);
    let mut targets: Vec<ConnectionSpec> = Vec::new();
    let given = specs.iter().map(|spec| spec.without_secrets().target);
    for target in given.chain(runs.iter().map(|run| run.spec.target.clone())) {
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    let (mut lost, mut unasked) = (Vec::new(), 0_u64);
    for spec in targets {
        match look(&ledger, &connections, &spec, &runs).await {
            Ok(found) if found.past.is_lost() => lost.push(found),
            Ok(found) => tell_known(context, &found),
            Err(problem) => {
                unasked += 1;
                tell_unasked(context, &spec, &problem);
            }
        }
    }
    let turn = repair(context, &ledger, &connections, &lost).await?;
    conclude(context, turn, lost.len() as u64, unasked);
    Ok(if unasked == 0 { DONE } else { INCOMPLETE })
}

async fn look(
    ledger: &Ledger,
    connections: &Connections,
    spec: &ConnectionSpec,
    runs: &[Run],
) -> Result<Lost, Problem> {
    let here = || runs.iter().filter(|run| run.spec.target == *spec);
    // A run that is done gives out no more attempts; all others could be set going again.
    let open: Vec<RunId> = here().filter(|run| !run.state.ended_well()).map(|run| run.id).collect();
    let asked = match connections.get(spec, Role::Target) {
        Ok(target) => past::compare(ledger, &*target, &open).await,
        Err(error) => Err(error),
    };
    let past = asked.map_err(|error| plan_problem(&PlanError::from(error)))?;
    let running = here().filter(|run| run.state == RunState::Running).map(|run| run.id).collect();
    Ok(Lost { spec: spec.clone(), past, running })
}

/// Puts one new turn above all that was lost: first in the ledger, then in each target, so that nothing of the past can
/// write any more; only then the past is forgotten. Cut off in the middle, it can be repeated.
async fn repair(
    context: &Context,
    ledger: &Ledger,
    connections: &Connections,
    lost: &[Lost],
) -> Result<Option<Turn>, Problem> {
    let Some(highest) = lost.iter().map(|lost| lost.past.turn).max() else { return Ok(None) };
    let names: Vec<String> = lost.iter().map(|lost| lost.spec.address()).collect();
    context.audit(ledger, "ledger reconcile", names.join(", ")).await?;
    let turn = ledger.raise_turn(highest).await.map_err(|e| ledger_problem(&e))?;
    for Lost { spec, past, running } in lost {
        for run in running {
            let cause = Some(past.failure());
            ledger.finish_run(*run, RunState::Failed, cause).await.map_err(|e| ledger_problem(&e))?;
        }
        let raised = async {
            let target = connections.get(spec, Role::Target)?;
            let tables = target.raise_turns(ledger.install(), turn).await?;
            for run in past.unknown.iter().chain(&past.ahead) {
                target.forget_run(ledger.install(), *run).await?;
            }
            Ok(tables)
        };
        let tables =
            raised.await.map_err(|error: connectors::Error| plan_problem(&PlanError::from(error)))?;
        tell_repaired(context, spec, past, running, tables, turn);
    }
    Ok(Some(turn))
}

fn tell_known(context: &Context, found: &Lost) {
    let screen = &context.screen;
    let address = found.spec.address();
    if screen.json {
        screen.event("target", &json!({ "target": address, "behind": false, "turn": found.past.turn.0 }));
    } else {
        screen.print(format!("{address}: the ledger knows all that it has seen"));
    }
}

fn tell_unasked(context: &Context, spec: &ConnectionSpec, problem: &Problem) {
    let (screen, address) = (&context.screen, spec.address());
    if screen.json {
        screen.event("target", &json!({ "target": address, "behind": null, "problem": problem }));
    } else {
        screen.warn(format!("{address} could not be asked: {problem}"));
    }
}

fn tell_repaired(
    context: &Context,
    spec: &ConnectionSpec,
    past: &Past,
    ended: &[RunId],
    tables: u64,
    turn: Turn,
) {
    let screen = &context.screen;
    let address = spec.address();
    if screen.json {
        screen.event("target", &json!({
            "target": address, "behind": true, "turn": past.turn.0, "raised_to": turn.0, "tables_raised": tables,
            "unknown_runs": past.unknown, "runs_ahead": past.ahead, "runs_ended": ended,
        }));
        return;
    }
    screen.print(format!("{address}: it has seen more than the ledger knows"));
    let line = |text: String| screen.print(format!("  {text}"));
    line(format!(
        "turn {} is the highest of its tables; {} raised to {}",
        past.turn.0,
        counted(tables, "table"),
        turn.0
    ));
    for run in &past.unknown {
        line(format!("{run} wrote it and is not in the ledger: its fences are gone"));
    }
    for run in &past.ahead {
        line(format!("{run} wrote more than the ledger knows: its fences are gone, it cannot be resumed"));
    }
    for run in ended {
        line(format!("{run} was running and is ended"));
    }
}

fn conclude(context: &Context, turn: Option<Turn>, targets: u64, unasked: u64) {
    let screen = &context.screen;
    if screen.json {
        let turn = turn.map(|turn| turn.0);
        screen.event("reconciled", &json!({ "turn": turn, "targets": targets, "unasked": unasked }));
        return;
    }
    let next = match (turn, unasked) {
        (Some(_), 0) => "start serve and worker again, then syncline run SPEC for each spec concerned",
        (_, 1..) => "make the others reachable, or name their specs, and repeat this",
        (None, 0) => return,
    };
    screen.say(format!("{} {next}", screen.ink_err(Ink::Name, "next:")));
}
