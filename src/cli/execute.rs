//! Runs a run in this process: starts the parts, shows progress, stops them in order, and judges the end.

use std::path::Path;
use std::time::Duration;

use model::{ErrorKind, RunId, RunKind, RunRecord, RunState};
use service::problem::code;
use service::{Problem, Shutdown, Signal};

use super::context::Context;
use super::follow::{follow, record_of};
use super::progress::Progress;
use super::screen::Ink;
use super::{DONE, INCOMPLETE, Outcome, record};
use crate::compose::Embedded;
use model::human::{count, counted};

/// Chunks in hand after the first signal: longer than the longest chunk should take.
const GRACE: Duration = Duration::from_secs(30);
/// Parts that have nothing left to do end at once.
const GRACE_DONE: Duration = Duration::from_secs(3);

/// Works on the run until it ends, or a signal comes. `spec` is the file, for the commands proposed.
pub(super) async fn execute(
    context: &Context,
    embedded: Embedded,
    run: RunId,
    spec: Option<&Path>,
) -> Outcome {
    let screen = &context.screen;
    let ledger = embedded.coordinator.ledger.clone();
    let shutdown = Shutdown::new();
    shutdown.listen().map_err(|error| {
        Problem::new(code::INTERNAL, format!("signals: {error}"), "check the limits of this user")
    })?;
    let started = embedded.start(run, &shutdown);
    let mut progress = Progress::new(screen);
    let watched = follow(&ledger, run, &mut progress, shutdown.stop().cancelled_owned()).await;
    let is_over = watched.as_ref().is_ok_and(|record| record.state.is_terminal());
    if let (Some(_), Ok(record), false) = (shutdown.signal(), &watched, is_over) {
        // The terminal has written ^C into the bars: they cannot be redrawn in place.
        progress.clear();
        screen.say(stopping(record));
    }
    started.stop(&shutdown, if is_over { GRACE_DONE } else { GRACE }).await;
    let record = match watched {
        Ok(record) if is_over => record,
        Ok(_) | Err(_) => match record_of(&ledger, run).await {
            Ok(record) => record,
            Err(problem) => {
                progress.clear();
                return Err(problem);
            }
        },
    };
    progress.finish(&record);
    if !screen.json && record.state.is_terminal() {
        record::print(screen, &record, spec);
    }
    // Connections end before the process does, so that the file is left without a log beside it.
    ledger.close().await;
    judge(&record, shutdown.signal(), spec)
}

fn stopping(record: &RunRecord) -> String {
    format!(
        "stopping: {} in hand {} finished first; again to give up at once",
        counted(record.chunks.running, "chunk"),
        if record.chunks.running == 1 { "is" } else { "are" }
    )
}

/// The exit code of a run as it stands, or what is wrong with it.
fn judge(record: &RunRecord, signal: Option<Signal>, spec: Option<&Path>) -> Outcome {
    let again = again(record, spec);
    match record.state {
        RunState::Done => Ok(DONE),
        RunState::DoneWithQuarantine => Ok(INCOMPLETE),
        RunState::Failed => Err(failed(record, &again)),
        RunState::Cancelled => Err(Problem::new(code::RUN_FAILED, "it was cancelled", again)),
        RunState::Running => {
            let done = format!(
                "{} of {} chunks are done, {} read; work in hand was given back",
                count(record.chunks.done),
                count(record.chunks.total()),
                counted(record.counts.read, "row")
            );
            match signal {
                Some(signal) => {
                    Err(Problem { exit: signal.exit_code(), ..Problem::new(code::INTERRUPTED, done, again) })
                }
                None => Err(Problem::new(code::INTERNAL, format!("the workers stopped; {done}"), again)),
            }
        }
    }
}

/// The failure of a run, with what to do about it and then.
pub(super) fn failed(record: &RunRecord, again: &str) -> Problem {
    match &record.cause {
        None => Problem::new(code::RUN_FAILED, "", again),
        Some(cause) => {
            let problem = Problem::from(cause);
            let next = format!("{}; then: {again}", problem.next);
            Problem { next, ..problem }
        }
    }
}

/// The command that goes on where the run stands.
pub(super) fn again(record: &RunRecord, spec: Option<&Path>) -> String {
    let file = spec.map_or_else(|| "SPEC".to_owned(), |path| path.display().to_string());
    // A resumed run keeps the spec it was started with, and so the limit that it met.
    // One that a restored ledger has lost a part of cannot go on at all.
    let is_refused = record
        .cause
        .as_ref()
        .is_some_and(|cause| matches!(cause.kind, ErrorKind::Refused | ErrorKind::LedgerBehind));
    match (record.kind, spec) {
        (RunKind::Copy, _) if is_refused => format!("syncline run {file}"),
        (RunKind::Copy, Some(_)) => format!("syncline run {file} --resume"),
        (RunKind::Copy, None) => format!("syncline run {file} --resume {}", record.id),
        (RunKind::Verify, _) => format!("syncline verify {file}"),
    }
}

/// A line of talk in front of what follows.
pub(super) fn announce(context: &Context, text: &str) {
    context.screen.say(context.screen.ink_err(Ink::Faint, text));
}
