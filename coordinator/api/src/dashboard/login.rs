//! The way in: a token, given once, for a log-in of a few hours.

use axum::Extension;
use axum::extract::{Form, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::guard::{VIA, cookie_header, end};
use super::page;
use crate::auth::{self, Caller};
use crate::extract::Query;
use crate::limits::Peer;
use crate::problem::Problem;
use crate::{Api, problem};

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    to: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Given {
    token: String,
    to: Option<String>,
}

pub(super) async fn show(State(api): State<Api>, Query(asked): Query<Asked>) -> Response {
    page::alone(api.version, "Log in", &form(asked.to.as_deref(), None)).into_response()
}

pub(super) async fn enter(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Form(given): Form<Given>,
) -> Response {
    match log_in(&api, &peer, &headers, given.token.trim()).await {
        Ok(cookie) => ([cookie_header(&api, Some(&cookie))], Redirect::to(own_path(given.to.as_deref())))
            .into_response(),
        Err(problem) => {
            let form = form(given.to.as_deref(), Some(&problem.detail));
            (problem.status, problem.waits(), page::alone(api.version, "Log in", &form)).into_response()
        }
    }
}

pub(super) async fn leave(State(api): State<Api>, headers: HeaderMap) -> Response {
    // Another site could do no worse than to log somebody out, and may not do that.
    if !auth::is_same_origin(&headers) {
        return page::refused(&Problem::forbidden("a command must come from a page of this dashboard"));
    }
    match end(&api.ledger, &headers).await {
        Ok(()) => ([cookie_header(&api, None)], Redirect::to("/login")).into_response(),
        Err(problem) => page::refused(&problem),
    }
}

async fn log_in(api: &Api, peer: &Peer, headers: &HeaderMap, token: &str) -> problem::Result<String> {
    if !auth::is_same_origin(headers) {
        return Err(Problem::forbidden("log in at a page of this dashboard"));
    }
    let token = auth::known(&api.ledger, peer, token).await?;
    let (cookie, login) = auth::make_login(&token.id)
        .map_err(|_hidden| Problem::unavailable("this system has no random numbers just now"))?;
    let caller = Caller::Token { id: token.id, name: token.name };
    let detail = json!({ "address": peer.address(), "role": token.role });
    api.ledger.audit(&caller.act(VIA, "log in", "dashboard", detail)).await?;
    api.ledger.create_login(&login).await?;
    Ok(cookie)
}

/// A place in this dashboard, whatever a link says.
fn own_path(to: Option<&str>) -> &str {
    let is_own = |to: &&str| {
        to.starts_with('/') && !to[1..].starts_with(['/', '\\']) && to.bytes().all(|b| b.is_ascii_graphic())
    };
    to.filter(is_own).unwrap_or("/")
}

fn form(to: Option<&str>, refused: Option<&str>) -> Markup {
    html! {
        form.login method="post" action="/login" {
            h1 { "Log in to Syncline" }
            p { "With a token: " code { "syncline token create --role operator" } }
            @if let Some(refused) = refused { p.refused role="alert" { (refused) } }
            @if let Some(to) = to { input type="hidden" name="to" value=(to); }
            label for="token" { "Token" }
            input #token type="password" name="token" required autofocus autocomplete="current-password" spellcheck="false";
            button.primary type="submit" { "Log in" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn a_link_leads_nowhere_else() {
        assert_eq!(own_path(Some("/runs/run_1?state=done")), "/runs/run_1?state=done");
        for other in ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\nb", "runs"] {
            assert_eq!(own_path(Some(other)), "/", "{other}");
        }
    }
}
