//! Is everything as it should be, and what needs a person?

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};
use model::RunRecord;
use model::human::count;

use super::guard::Visitor;
use super::needs;
use super::page::{Place, Shown, page};
use super::{parts, pipelines, runs};
use crate::Api;
use crate::scene::Scene;

/// Runs in the bars of a pipeline.
const HISTORY: u32 = 16;
/// Runs in the list.
const RECENT: u32 = 8;

pub(super) async fn show(State(api): State<Api>, Extension(visitor): Extension<Visitor>) -> Shown {
    let scene = Scene::read(&api.ledger, HISTORY).await?;
    let recent = api.ledger.runs(RECENT).await?;
    let body = html! {
        h1 { "Overview" }
        (needs::show(&needs::needs(&scene)))
        (tiles(&scene))
        section {
            h2 { "At work" }
            @if scene.active.is_empty() { (parts::nothing("No run is under way.")) }
            @for record in &scene.active { (at_work(record, scene.now_ms)) }
        }
        section {
            h2 { a href="/pipelines" { "Pipelines" } }
            (pipelines::table(&visitor, &scene.pipelines, scene.now_ms))
        }
        section {
            h2 { a href="/runs" { "Runs" } }
            (runs::table(&recent, scene.now_ms))
        }
    };
    Ok(page(&visitor, Place::Overview, "Overview", Some("/live"), &body))
}

fn tiles(scene: &Scene) -> Markup {
    let workers = scene.alive().count() as u64;
    let slots: u64 = scene.alive().map(|worker| u64::from(worker.slots)).sum();
    let queue = &scene.queue;
    html! {
        div.tiles {
            (parts::tile("At work", &parts::figure(queue.running), "chunks"))
            (parts::tile("Ready", &parts::figure(queue.ready), "chunks"))
            (parts::tile("To be retried", &parts::figure(queue.retrying), "chunks"))
            (parts::tile("Set aside", &parts::worry(queue.quarantined), "chunks"))
            (parts::tile("Workers", &parts::figure(workers), &format!("{} slots", count(slots))))
        }
    }
}

fn at_work(record: &RunRecord, now_ms: i64) -> Markup {
    let word = if record.paused_ms.is_some() { "paused" } else { "running" };
    html! {
        a.at-work href={ "/runs/" (record.id) } {
            span.name { strong { (record.spec_name) } " " (parts::state(word)) }
            (parts::chunk_bar(&record.chunks))
            span.note {
                (count(record.counts.read)) " rows · " (count(record.chunks.done)) " of "
                (count(record.chunks.total())) " chunks · "
                (parts::took(now_ms, Some(record.created_ms), record.ended_ms))
            }
        }
    }
}
