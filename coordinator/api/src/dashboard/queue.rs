//! What waits for workers. The ledger decides what is to be done; the queue only carries it.

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};
use model::RunRecord;
use model::human::millis;

use super::guard::Visitor;
use super::page::{Place, Shown, page};
use super::parts;
use crate::Api;
use crate::scene;

pub(super) async fn show(State(api): State<Api>, Extension(visitor): Extension<Visitor>) -> Shown {
    let queue = api.ledger.queue_tally().await?;
    let active = scene::active(&api.ledger).await?;
    let waits = queue.oldest_ms.and_then(|ms| i64::try_from(ms).ok()).map(millis);
    let waits = waits.map(|waits| format!("the oldest waits {waits}"));
    let body = html! {
        h1 { "Queue" }
        div.tiles {
            (parts::tile("Depth", &parts::figure(queue.ready), waits.as_deref().unwrap_or("ready chunks")))
            (parts::tile("In flight", &parts::figure(queue.running), "chunks at work"))
            (parts::tile("Retries", &parts::figure(queue.retrying), "wait for their next try"))
            (parts::tile("Dead", &parts::worry(queue.quarantined), "set aside"))
        }
        section {
            h2 { "By run" }
            @if active.is_empty() { (parts::nothing("No run is under way: nothing waits.")) }
            @else { (table(&active)) }
        }
        (parts::terminal("syncline doctor"))
    };
    Ok(page(&visitor, Place::Queue, "Queue", Some("/live"), &body))
}

fn table(active: &[RunRecord]) -> Markup {
    html! {
        table {
            thead { tr {
                th { "Run" } th.progress { "Chunks" } th.number { "Ready" } th.number { "In flight" } th.number { "Dead" }
                th.number { "Retries" } th { "Waits for" }
            } }
            tbody {
                @for record in active {
                    tr {
                        td { a href={ "/runs/" (record.id) } { (record.spec_name) } }
                        td.progress { (parts::chunk_bar(&record.chunks)) }
                        td.number { (parts::figure(record.chunks.ready)) }
                        td.number { (parts::figure(record.chunks.running)) }
                        td.number { (parts::worry(record.chunks.quarantined)) }
                        td.number { (parts::figure(record.retries)) }
                        td.cause { @if let Some(waiting) = &record.waiting { (waiting.reason) } }
                    }
                }
            }
        }
    }
}
