//! Rows set aside, by what is wrong with them. Their keys are values of rows: this page has none.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::State;
use ledger::QuarantineView;
use maud::{Markup, html};
use model::human::{count, counted};

use super::guard::Visitor;
use super::page::{Place, Shown, page};
use super::parts;
use super::parts::Button;
use crate::Api;
use crate::extract::Path;
use crate::runs::found;

/// Rows that are looked at; the page says so if there are more.
const ROWS_MAX: u32 = 10_000;

/// Rows with the same wrong.
struct Group<'a> {
    first: &'a QuarantineView,
    rows: u64,
    last_ms: i64,
}

pub(super) async fn show(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Shown {
    let run = found(&api, &id).await?;
    let rows = api.ledger.quarantined(run.id, None, 0, ROWS_MAX).await?;
    let all = api.ledger.quarantined_count(run.id, None).await?;
    let now = api.ledger.now_ms().await?;
    let body = html! {
        nav.crumbs { a href={ "/runs/" (run.id) } { (run.spec.name) } " / quarantine" }
        h1 { "Quarantine " span.faint { (counted(all, "row")) } }
        p { "These rows were read and not written. Mend them in the source, then retry their chunks: those are read again." }
        @if all > rows.len() as u64 { p.note { "Grouped here: the first " (count(rows.len() as u64)) "." } }
        div.commands {
            @if all > 0 { (Button::new(format!("/runs/{}/retry", run.id), "Retry all").primary().show(&visitor)) }
        }
        (groups(&rows, now))
        (parts::terminal(&format!("syncline quarantine list {}", run.id)))
    };
    Ok(page(&visitor, Place::Runs, "Quarantine", None, &body))
}

fn groups(rows: &[QuarantineView], now_ms: i64) -> Markup {
    let mut groups: BTreeMap<_, Group<'_>> = BTreeMap::new();
    for view in rows {
        let name = (view.table, &view.row.column, view.row.kind.name(), &view.row.reason);
        let group = groups.entry(name).or_insert(Group { first: view, rows: 0, last_ms: view.at_ms });
        group.rows += 1;
        group.last_ms = group.last_ms.max(view.at_ms);
    }
    if groups.is_empty() {
        return parts::nothing("No row of this run is in quarantine.");
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.rows));
    html! {
        table {
            thead { tr { th { "Table" } th { "Column" } th { "What is wrong" } th.number { "Rows" } th.wide { "Last" } th { "A chunk" } } }
            tbody {
                @for group in &groups {
                    @let view = group.first;
                    tr {
                        td { (view.source) }
                        td { (view.row.column.as_deref().unwrap_or("–")) }
                        td.cause { strong { (view.row.kind.name()) } " " (view.row.reason) }
                        td.number { (count(group.rows)) }
                        td.wide { (parts::when(now_ms, Some(group.last_ms))) }
                        td { a.id href={ "/chunks/" (view.chunk) } { (parts::short(&view.chunk.to_string())) } }
                    }
                }
            }
        }
    }
}
