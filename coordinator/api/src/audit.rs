//! The audit log: who asked for what is kept before it is done, and what cannot be kept is not done.

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use ledger::{Act, AuditEntry, Ledger, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Api;
use crate::answers::{Page, at};
use crate::auth::{self, Caller};
use crate::extract::Query;
use crate::limits::Peer;
use crate::problem::{Problem, Result};
use crate::runs::page_len;

/// Whether a route shows rows to those who may see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    Rows,
    None,
}

/// How acts of a route are kept.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    pub(crate) ledger: Ledger,
    pub(crate) via: &'static str,
    /// The route's, with its variables.
    pub(crate) path: &'static str,
    pub(crate) shows: Shows,
}

/// Keeps a command, and a look at rows, in the audit log; then lets it through.
pub(crate) async fn kept(
    State(watch): State<Watch>,
    Extension(caller): Extension<Caller>,
    Extension(role): Extension<Role>,
    request: Request,
    next: Next,
) -> Response {
    let is_look = request.method().is_safe();
    if is_look && (watch.shows == Shows::None || role < Role::Admin) {
        return next.run(request).await;
    }
    let address = request.extensions().get::<Peer>().and_then(Peer::address);
    let action = format!("{} {}", request.method(), watch.path);
    let act = caller.act(watch.via, &action, request.uri().path(), json!({ "address": address }));
    match watch.ledger.audit(&act).await {
        Ok(()) => next.run(request).await,
        Err(error) => Problem::from(error).into_response(),
    }
}

/// Tells security and the audit log that somebody asked for what the role does not allow. That the ledger could not take it
/// allows nothing.
pub(crate) async fn forbidden(
    ledger: &Ledger,
    (caller, via): (&Caller, &str),
    (method, path): (&Method, &str),
    (role, needed): (Role, Role),
) {
    auth::note(ledger, "api-forbidden", &json!({ "role": role, "needed": needed, "path": path })).await;
    let detail = json!({ "refused": "forbidden", "role": role, "needed": needed });
    if let Err(error) = ledger.audit(&caller.act(via, method.as_str(), path, detail)).await {
        tracing::warn!(error = %error, "a refusal could not be kept in the audit log");
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AskedAudit")]
pub(crate) struct Asked {
    /// Entries of a page, 1 to 500; 50 if absent.
    limit: Option<u32>,
    /// The last entry of the page before.
    after: Option<u64>,
}

/// Who asked for what.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub(crate) struct EntryAnswer {
    /// Its number in the chain, from 1.
    entry: u64,
    at: Option<String>,
    actor: String,
    /// `api`, `dashboard` or `cli`.
    via: String,
    action: String,
    object: String,
    detail: Value,
    /// Its hash, and with it that of all entries before it.
    hash: String,
    /// The hash was made with a key.
    keyed: bool,
}

impl From<AuditEntry> for EntryAnswer {
    fn from(AuditEntry { seq, at_ms, act, is_keyed, hash }: AuditEntry) -> Self {
        let Act { actor, via, action, object, detail } = act;
        Self { entry: seq, at: at(Some(at_ms)), actor, via, action, object, detail, hash, keyed: is_keyed }
    }
}

/// Oldest first.
pub(crate) async fn list(
    State(api): State<Api>,
    Query(asked): Query<Asked>,
) -> Result<Json<Page<EntryAnswer>>> {
    let limit = page_len(asked.limit)?;
    let entries = api.ledger.audit_entries(asked.after.unwrap_or(0), limit).await?;
    let next = entries.last().filter(|_| entries.len() == limit as usize).map(|entry| entry.seq.to_string());
    Ok(Json(Page { items: entries.into_iter().map(EntryAnswer::from).collect(), next }))
}

/// The last entry: whoever keeps its number and hash elsewhere can tell later that nothing before it was altered.
pub(crate) async fn head(State(api): State<Api>) -> Result<Json<EntryAnswer>> {
    let latest = api.ledger.latest_audit_entries(1).await?.pop();
    let latest = latest.ok_or_else(|| Problem::not_found("the audit log is empty"))?;
    Ok(Json(EntryAnswer::from(latest)))
}
