//! Rows that were changed on both sides, and which side won; what they held is for admins.

use axum::Extension;
use axum::extract::State;
use ledger::ConflictView;
use maud::{Markup, html};
use model::cells;
use model::human::counted;

use super::guard::Visitor;
use super::page::{Place, Shown, page};
use super::parts;
use crate::Api;
use crate::extract::Path;
use crate::runs::found;

/// Rows of the page.
const LISTED: u32 = 200;

pub(super) async fn show(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Shown {
    let run = found(&api, &id).await?;
    let rows = api.ledger.conflicts(run.id, None, 0, LISTED).await?;
    let all = api.ledger.record(run.id).await?.map_or(0, |record| record.counts.conflicts);
    let body = html! {
        nav.crumbs { a href={ "/runs/" (run.id) } { (run.spec.name) } " / conflicts" }
        h1 { "Conflicts " span.faint { (counted(all, "row")) } }
        p { "These rows were changed on both sides since they were last the same. The winner's values are at the target now." }
        @if rows.is_empty() { (parts::nothing("No row of this run was changed on both sides.")) }
        @else { (listed(&visitor, &rows)) }
        @if all > rows.len() as u64 { p.note { "The first " (rows.len()) "." } }
        (parts::terminal(&format!("syncline conflicts {}", run.id)))
    };
    Ok(page(&visitor, Place::Runs, "Conflicts", None, &body))
}

fn listed(visitor: &Visitor, rows: &[ConflictView]) -> Markup {
    let with_values = visitor.may_see_rows();
    html! {
        table {
            thead { tr {
                th { "Table" }
                @if with_values { th { "Key" } }
                th { "Winner" }
                th.wide { "Rule" }
                @if with_values { th.wide { "At the source" } th.wide { "At the target" } }
                th { @if with_values { "Column: source | target" } @else { "Columns" } }
            } }
            tbody {
                @for ConflictView { source, conflict, .. } in rows {
                    tr {
                        td { (source) }
                        @if with_values { td { code { (cells::key(&conflict.key)) } } }
                        td { (conflict.winner.name()) }
                        td.wide { (conflict.rule) }
                        @if with_values {
                            td.wide { (cells::value(&conflict.source_mark)) }
                            td.wide { (cells::value(&conflict.target_mark)) }
                        }
                        td.cause {
                            @for difference in &conflict.columns {
                                div {
                                    (difference.column)
                                    @if with_values { ": " (cells::value(&difference.source)) " | " (cells::value(&difference.target)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
