//! What needs a person: the first thing that the dashboard says.

use ledger::{Pipeline, Run, Standing, WorkerView};
use maud::{Markup, html};
use model::human::{ago, counted};
use model::{RunRecord, RunState};

use super::parts;
use crate::scene::Scene;

/// Security events of so long are told.
const SECURITY_MS: i64 = 24 * 3_600_000;
/// A worker that fell silent is told of for so long.
const SILENT_MS: i64 = 3_600_000;

/// One thing to look at.
#[derive(Debug)]
pub(super) struct Need {
    is_bad: bool,
    what: String,
    why: String,
    link: String,
}

impl Need {
    fn bad(what: impl Into<String>, why: impl Into<String>, link: impl Into<String>) -> Self {
        Self { is_bad: true, what: what.into(), why: why.into(), link: link.into() }
    }

    fn warn(what: impl Into<String>, why: impl Into<String>, link: impl Into<String>) -> Self {
        Self { is_bad: false, ..Self::bad(what, why, link) }
    }
}

/// What needs a person, the worst first.
pub(super) fn needs(scene: &Scene) -> Vec<Need> {
    let mut needs = Vec::new();
    for (pipeline, runs) in &scene.pipelines {
        needs.extend(of_pipeline(pipeline, runs));
    }
    needs.extend(scene.active.iter().filter_map(of_record));
    needs.extend(of_workers(scene));
    if let Some(at) = scene.security_ms.filter(|at| scene.now_ms - at < SECURITY_MS) {
        needs.push(Need::warn(
            "Security events",
            format!("the last one {}", ago(scene.now_ms - at)),
            "/security",
        ));
    }
    needs.sort_by_key(|need| !need.is_bad);
    needs
}

fn of_workers(scene: &Scene) -> Vec<Need> {
    let mut needs = Vec::new();
    if scene.queue.ready > 0 && scene.alive().next().is_none() {
        let why = format!("{} wait, and no worker is there", counted(scene.queue.ready, "chunk"));
        needs.push(Need::bad("Nobody works", why, "/workers"));
    }
    let silent = |worker: &&WorkerView| {
        worker.standing(scene.now_ms) == Standing::Silent && scene.now_ms - worker.seen_ms < SILENT_MS
    };
    for worker in scene.workers.iter().filter(silent) {
        let why = format!("seen {}; what it held goes to others", ago(scene.now_ms - worker.seen_ms));
        needs.push(Need::warn(format!("Worker {} is silent", worker.id), why, "/workers"));
    }
    needs
}

fn of_pipeline(pipeline: &Pipeline, runs: &[Run]) -> Option<Need> {
    let name = &pipeline.name;
    if let Some(cause) = &pipeline.cause {
        let why = format!("{}: {}", cause.kind.name(), cause.message);
        return Some(Need::bad(format!("{name} was paused"), why, format!("/pipelines/{name}")));
    }
    let last = runs.iter().find(|run| run.state.is_terminal())?;
    let link = format!("/runs/{}", last.id);
    match last.state {
        RunState::Failed => {
            let why = last.cause.as_ref().map(|cause| format!("{}: {}", cause.kind.name(), cause.message));
            Some(Need::bad(format!("The last run of {name} failed"), why.unwrap_or_default(), link))
        }
        RunState::DoneWithQuarantine => {
            let why = "rows or chunks of the last run were set aside";
            Some(Need::warn(format!("{name} has a quarantine"), why, format!("{link}/quarantine")))
        }
        RunState::Running | RunState::Done | RunState::Cancelled => None,
    }
}

fn of_record(record: &RunRecord) -> Option<Need> {
    let link = format!("/runs/{}", record.id);
    if let Some(waiting) = &record.waiting {
        return Some(Need::warn(format!("{} waits", record.spec_name), waiting.reason.clone(), link));
    }
    let aside = record.chunks.quarantined;
    (aside > 0).then(|| {
        let why = format!("{} set aside so far", counted(aside, "chunk"));
        Need::warn(format!("{} goes on, but not everywhere", record.spec_name), why, link)
    })
}

pub(super) fn show(needs: &[Need]) -> Markup {
    html! {
        section.needs aria-label="What needs you" {
            @if needs.is_empty() {
                p.well { (parts::state("done")) " Nothing needs you." }
            } @else {
                ul {
                    @for need in needs {
                        li class=(if need.is_bad { "bad" } else { "warn" }) {
                            a href=(need.link) {
                                span aria-hidden="true" { (if need.is_bad { "✕" } else { "!" }) }
                                strong { (need.what) } " " span { (need.why) }
                            }
                        }
                    }
                }
            }
        }
    }
}
