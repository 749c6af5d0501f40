//! Rows set aside: which, why, what they are to be instead, and reading them again. Their keys are values of rows: only an
//! admin sees them, and only an admin says what a row is to be.

use axum::extract::State;
use axum::{Extension, Json};
use ledger::{Corrected, QuarantineView, Role, Run, Which};
use model::Correction;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::answers::{Page, QuarantinedAnswer, RetriedAnswer};
use crate::extract::{Body, Path, Query};
use crate::problem::{Problem, Result};
use crate::runs::{found, page_len};
use crate::{Api, auth};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AskedQuarantine")]
pub(crate) struct Asked {
    /// Rows of a page, 1 to 500; 50 if absent.
    limit: Option<u32>,
    /// The last row of the page before.
    after: Option<u64>,
    /// Rows of this table only, by its number in the record.
    table: Option<u32>,
}

/// In the order in which they were set aside.
pub(crate) async fn list(
    State(api): State<Api>,
    Extension(role): Extension<Role>,
    Path(run): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Json<Page<QuarantinedAnswer>>> {
    let run = found(&api, &run).await?;
    let limit = page_len(asked.limit)?;
    let rows = api.ledger.quarantined(run.id, asked.table, asked.after.unwrap_or(0), limit).await?;
    let next = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.seq.to_string());
    let items = rows.iter().map(|row| QuarantinedAnswer::new(row, role == Role::Admin)).collect();
    Ok(Json(Page { items, next }))
}

/// What a column of the row is to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Correction")]
pub(crate) struct New {
    /// As text, whatever the column's type; `null` is no value.
    value: Option<String>,
    /// The source column; absent: the one that the row is in quarantine for.
    column: Option<String>,
}

/// Kept until the row is replayed, in place of an earlier one.
pub(crate) async fn correct(
    State(api): State<Api>,
    Path((run, row)): Path<(String, u64)>,
    Body(new): Body<New>,
) -> Result<Json<QuarantinedAnswer>> {
    let run = found(&api, &run).await?;
    let view = keep(&api, &run, row, new.value, new.column).await?;
    Ok(Json(QuarantinedAnswer::new(&view, true)))
}

/// The row that was corrected.
pub(crate) async fn keep(
    api: &Api,
    run: &Run,
    row: u64,
    value: Option<String>,
    column: Option<String>,
) -> Result<QuarantineView> {
    let unknown = || Problem::not_found("no row in quarantine has this number");
    let page = api.ledger.quarantined(run.id, None, row.saturating_sub(1), 1).await?;
    let view = page.into_iter().find(|view| view.seq == row).ok_or_else(unknown)?;
    let column = column.or_else(|| view.row.column.clone());
    let column = column
        .ok_or_else(|| Problem::invalid("the row is in quarantine for no column of its own: name one"))?;
    let correction = Correction { key: view.row.key.clone(), column, value };
    match api.ledger.correct(run.id, row, &correction).await? {
        Corrected::Yes => {}
        Corrected::Unknown => return Err(unknown()),
        Corrected::StillRuns => return Err(still_runs(run)),
        Corrected::No(why) => return Err(Problem::invalid(why)),
    }
    let detail = json!({ "run": run.id, "row": row, "column": correction.column });
    auth::note(&api.ledger, "row-corrected", &detail).await;
    Ok(view)
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replay {
    /// Rows of this table only, by its number in the record.
    table: Option<u32>,
}

/// Reads again the chunks that have rows in quarantine.
pub(crate) async fn replay(
    State(api): State<Api>,
    Path(run): Path<String>,
    Query(asked): Query<Replay>,
) -> Result<Json<RetriedAnswer>> {
    let run = found(&api, &run).await?;
    if !run.state.is_terminal() {
        return Err(still_runs(&run));
    }
    let chunks = api.ledger.replay(run.id, asked.table.map_or(Which::All, Which::Table)).await?;
    Ok(Json(RetriedAnswer { run: run.id.to_string(), chunks }))
}

fn still_runs(run: &Run) -> Problem {
    Problem::conflict(format!("{} still runs: rows are corrected and replayed when it has ended", run.id))
        .next(format!("GET /v1/runs/{}", run.id))
}
