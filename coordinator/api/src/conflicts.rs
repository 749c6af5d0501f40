//! Rows that were changed on both sides. What they held is for admins.

use axum::extract::State;
use axum::{Extension, Json};
use ledger::{ConflictView, Role};
use model::cells;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Api;
use crate::answers::{Page, at};
use crate::extract::{Path, Query};
use crate::problem::Result;
use crate::runs::{found, page_len};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AskedConflicts")]
pub(crate) struct Asked {
    /// Rows of a page, 1 to 500; 50 if absent.
    limit: Option<u32>,
    /// The last conflict of the page before.
    after: Option<u64>,
    /// Rows of this table only, by its number in the record.
    table: Option<u32>,
}

/// A row that was changed on both sides.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Conflict")]
pub(crate) struct ConflictAnswer {
    /// Its number.
    conflict: u64,
    /// The table's number within the run.
    table: u32,
    source: String,
    target: String,
    chunk: String,
    /// `source` or `target`.
    winner: &'static str,
    /// Which rule decided, such as `newest: updated_at`.
    rule: String,
    /// The target's columns that differ, beside the rule's.
    columns: Vec<String>,
    /// Key and values, as people read them; for admins only.
    row: Option<RowAnswer>,
    at: Option<String>,
}

/// What both sides held.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConflictRow")]
pub(crate) struct RowAnswer {
    key: String,
    /// What the rule's column held.
    source_mark: String,
    target_mark: String,
    /// In the order of `columns`; of long values the beginning.
    source_values: Vec<String>,
    target_values: Vec<String>,
}

/// In the order in which chunks were settled.
pub(crate) async fn list(
    State(api): State<Api>,
    Extension(role): Extension<Role>,
    Path(run): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Json<Page<ConflictAnswer>>> {
    let run = found(&api, &run).await?;
    let limit = page_len(asked.limit)?;
    let rows = api.ledger.conflicts(run.id, asked.table, asked.after.unwrap_or(0), limit).await?;
    let next = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.seq.to_string());
    let items = rows.iter().map(|view| answer(view, role == Role::Admin)).collect();
    Ok(Json(Page { items, next }))
}

fn answer(view: &ConflictView, with_values: bool) -> ConflictAnswer {
    let conflict = &view.conflict;
    ConflictAnswer {
        conflict: view.seq,
        table: view.table,
        source: view.source.to_string(),
        target: view.target.to_string(),
        chunk: view.chunk.to_string(),
        winner: conflict.winner.name(),
        rule: conflict.rule.clone(),
        columns: conflict.columns.iter().map(|d| d.column.clone()).collect(),
        row: with_values.then(|| RowAnswer {
            key: cells::key(&conflict.key),
            source_mark: cells::value(&conflict.source_mark),
            target_mark: cells::value(&conflict.target_mark),
            source_values: conflict.columns.iter().map(|d| cells::value(&d.source)).collect(),
            target_values: conflict.columns.iter().map(|d| cells::value(&d.target)).collect(),
        }),
        at: at(Some(view.at_ms)),
    }
}
