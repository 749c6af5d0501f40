//! Rows set aside, by what is wrong with them; for an admin one by one, to say what they are to be.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{Form, State};
use axum::response::Redirect;
use ledger::{QuarantineView, Run};
use maud::{Markup, html};
use model::human::{count, counted};
use model::{ChunkId, Correction, cells};
use serde::Deserialize;

use super::guard::Visitor;
use super::page::{Place, Refused, Shown, page};
use super::parts;
use super::parts::Button;
use crate::Api;
use crate::extract::{Path, Query};
use crate::quarantine::{self as api_quarantine, keep};
use crate::runs::found;

/// Rows that are looked at; the page says so if there are more.
const ROWS_MAX: u32 = 10_000;
/// Rows that an admin sees one by one.
const LISTED: usize = 100;

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
    let kept = if visitor.may_see_rows() { api.ledger.kept_corrections(run.id).await? } else { Vec::new() };
    let body = html! {
        nav.crumbs { a href={ "/runs/" (run.id) } { (run.spec.name) } " / quarantine" }
        h1 { "Quarantine " span.faint { (counted(all, "row")) } }
        p {
            "These rows were read and not written. Mend them in the source" @if visitor.may_see_rows() { ", or say below what they are to be" }
            "; then replay them: their chunks are read again."
        }
        @if all > rows.len() as u64 { p.note { "Grouped here: the first " (count(rows.len() as u64)) "." } }
        div.commands {
            @if all > 0 && run.state.is_terminal() {
                (Button::new(format!("/runs/{}/quarantine/replay", run.id), "Replay").primary().show(&visitor))
            }
        }
        (groups(&rows, now))
        @if visitor.may_see_rows() && !rows.is_empty() { section { h2 { "Row by row" } (one_by_one(&visitor, &run, &rows, &kept)) } }
        (parts::terminal(&format!("syncline quarantine list {}", run.id)))
    };
    Ok(page(&visitor, Place::Runs, "Quarantine", None, &body))
}

/// Rows that an admin sees.
fn one_by_one(
    visitor: &Visitor,
    run: &Run,
    rows: &[QuarantineView],
    kept: &[(ChunkId, Correction)],
) -> Markup {
    let is_kept = |view: &QuarantineView| {
        kept.iter().any(|(chunk, correction)| (*chunk, &correction.key) == (view.chunk, &view.row.key))
    };
    html! {
        table {
            thead { tr { th { "Table" } th { "Key" } th.wide { "Column" } th.wide { "What is wrong" } th { "Is to be" } th.wide { span.hidden { "Kept" } } } }
            tbody {
                @for view in rows.iter().take(LISTED) {
                    tr {
                        td { (view.source) }
                        td { code { (cells::key(&view.row.key)) } }
                        td.wide { (view.row.column.as_deref().unwrap_or("–")) }
                        td.wide.cause { (view.row.reason) }
                        td { @if view.row.column.is_some() && run.state.is_terminal() { (correction_form(visitor, run, view)) } }
                        td.wide { @if is_kept(view) { (parts::state("kept")) } }
                    }
                }
            }
        }
        @if rows.len() > LISTED { p.note { "The first " (LISTED) "." } }
    }
}

fn correction_form(visitor: &Visitor, run: &Run, view: &QuarantineView) -> Markup {
    let column = view.row.column.as_deref().unwrap_or_default();
    let fields = html! {
        input type="text" name="value" aria-label={ "What " (column) " of row " (cells::key(&view.row.key)) " is to be" } autocomplete="off";
        label { input type="checkbox" name="null" value="yes"; " NULL" }
        button type="submit" { "Keep" }
    };
    parts::form(visitor, &format!("/runs/{}/quarantine/{}/correct", run.id, view.seq), None, &fields)
}

#[derive(Deserialize)]
pub(super) struct Given {
    value: String,
    /// Ticked: no value.
    null: Option<String>,
}

pub(super) async fn correct(
    State(api): State<Api>,
    Path((id, row)): Path<(String, u64)>,
    Form(given): Form<Given>,
) -> Result<Redirect, Refused> {
    let run = found(&api, &id).await?;
    let value = if given.null.is_some() { None } else { Some(given.value) };
    keep(&api, &run, row, value, None).await?;
    Ok(Redirect::to(&format!("/runs/{}/quarantine", run.id)))
}

pub(super) async fn replay(state: State<Api>, Path(id): Path<String>) -> Result<Redirect, Refused> {
    let _ = api_quarantine::replay(state, Path(id.clone()), Query(api_quarantine::Replay::default())).await?;
    Ok(Redirect::to(&format!("/runs/{id}")))
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
