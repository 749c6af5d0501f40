//! Tokens: who has one, and taking one away. They are made at the command line, where they are shown once.

use axum::Json;
use axum::extract::State;
use ledger::{Role, Token};
use schemars::JsonSchema;
use serde::Serialize;

use crate::Api;
use crate::answers::{Page, at};
use crate::extract::Path;
use crate::problem::{Problem, Result};

/// What may be told of a token.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Token")]
pub(crate) struct TokenAnswer {
    /// Which begins it, after `syn_`.
    id: String,
    name: String,
    /// `viewer`, `operator` or `admin`.
    role: &'static str,
    /// `good`, `revoked` or `expired`.
    state: &'static str,
    created: Option<String>,
    /// When it was used last, to the minute.
    used: Option<String>,
    expires: Option<String>,
    revoked: Option<String>,
}

impl From<Token> for TokenAnswer {
    fn from(token: Token) -> Self {
        Self {
            state: token.state(),
            role: Role::name(token.role),
            created: at(Some(token.created_ms)),
            used: at(token.used_ms),
            expires: at(token.expires_ms),
            revoked: at(token.revoked_ms),
            id: token.id,
            name: token.name,
        }
    }
}

/// The newest first.
pub(crate) async fn list(State(api): State<Api>) -> Result<Json<Page<TokenAnswer>>> {
    let tokens = api.ledger.tokens().await?;
    Ok(Json(Page::whole(tokens.into_iter().map(TokenAnswer::from).collect())))
}

pub(crate) async fn revoke(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<TokenAnswer>> {
    end(&api, &id).await.map(|token| Json(TokenAnswer::from(token)))
}

/// Ends a token at once, and its log-ins with it.
pub(crate) async fn end(api: &Api, id: &str) -> Result<Token> {
    let was_good = api.ledger.revoke_token(id).await?;
    let token = api.ledger.token(id).await?.ok_or_else(|| Problem::not_found("no token has this id"))?;
    if was_good { Ok(token) } else { Err(Problem::conflict("the token was revoked before")) }
}
