//! Who works, and sending somebody home.

use axum::Extension;
use axum::extract::State;
use axum::response::Redirect;
use ledger::{Standing, WorkerView};
use maud::{Markup, html};

use super::guard::Visitor;
use super::page::{Place, Refused, Shown, page};
use super::parts;
use super::parts::Button;
use crate::Api;
use crate::extract::Path;

/// Workers that left longer ago are not listed.
const LEFT_MS: i64 = 3_600_000;

pub(super) async fn list(State(api): State<Api>, Extension(visitor): Extension<Visitor>) -> Shown {
    let now = api.ledger.now_ms().await?;
    let workers = api.ledger.workers().await?;
    let is_recent = |worker: &&WorkerView| {
        let is_there = matches!(worker.standing(now), Standing::Alive | Standing::Draining);
        is_there || now - worker.seen_ms < LEFT_MS
    };
    let workers: Vec<_> = workers.iter().filter(is_recent).collect();
    let body = html! {
        h1 { "Workers" }
        @if workers.is_empty() {
            (parts::nothing("No worker was there within the last hour. Start one with: syncline worker"))
        } @else { (table(&visitor, &workers, now)) }
        (parts::terminal("syncline workers"))
    };
    Ok(page(&visitor, Place::Workers, "Workers", Some("/live"), &body))
}

fn table(visitor: &Visitor, workers: &[&WorkerView], now_ms: i64) -> Markup {
    html! {
        table {
            thead { tr {
                th { "Worker" } th { "State" } th.progress { "Load" } th { "Seen" } th.wide { "Began" }
                th.wide { "Host" } th.wide { "Version" } @if visitor.may_command() { th { span.hidden { "Commands" } } }
            } }
            tbody {
                @for worker in workers {
                    @let standing = worker.standing(now_ms);
                    tr {
                        td { (worker.id) }
                        td { (parts::state(standing.name())) }
                        td.progress { (load(worker)) }
                        td { (parts::when(now_ms, Some(worker.seen_ms))) }
                        td.wide { (parts::when(now_ms, Some(worker.started_ms))) }
                        td.wide.faint { (worker.host) ", pid " (worker.pid) }
                        td.wide.faint { (worker.version) }
                        @if visitor.may_command() {
                            td.end {
                                @if standing == Standing::Alive {
                                    (Button::new(format!("/workers/{}/drain", worker.id), "Drain")
                                        .confirm("Let this worker finish what it holds, and leave?").show(visitor))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn load(worker: &WorkerView) -> Markup {
    let slots = u64::from(worker.slots);
    let label = format!("{} of {slots} slots at work", worker.running);
    html! {
        (parts::bar(&[("running", worker.running.min(slots)), ("rest", slots.saturating_sub(worker.running))], &label))
        span.note { (worker.running) " of " (slots) }
    }
}

pub(super) async fn drain(state: State<Api>, path: Path<String>) -> Result<Redirect, Refused> {
    let _ = crate::workers::drain(state, path).await?;
    Ok(Redirect::to("/workers"))
}
