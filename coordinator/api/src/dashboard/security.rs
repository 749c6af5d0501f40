//! What a person responsible for security should know: incidents, who has a token, and who asked for what.

use axum::Extension;
use axum::extract::State;
use axum::response::Redirect;
use ledger::{AuditEntry, Token};
use maud::{Markup, html};

use super::guard::Visitor;
use super::page::{Place, Refused, Shown, page};
use super::parts::{self, Button};
use crate::extract::Path;
use crate::{Api, tokens};

const LISTED: u32 = 100;

pub(super) async fn show(State(api): State<Api>, Extension(visitor): Extension<Visitor>) -> Shown {
    let events = api.ledger.security_events(LISTED).await?;
    let now = api.ledger.now_ms().await?;
    let is_admin = visitor.may_see_rows();
    let audit = if is_admin { Some(api.ledger.latest_audit_entries(LISTED).await?) } else { None };
    let tokens = if is_admin { api.ledger.tokens().await? } else { Vec::new() };
    let body = html! {
        h1 { "Security" }
        @if events.is_empty() { (parts::nothing("Nothing happened that security should know.")) } @else {
            table {
                thead { tr { th { "When" } th { "What" } th { "Who met it" } th.wide { "Detail" } } }
                tbody {
                    @for event in &events {
                        tr {
                            td { (parts::when(now, Some(event.at_ms))) }
                            td { (event.kind.replace('-', " ")) }
                            td { (event.worker) }
                            td.wide.detail { (event.detail) }
                        }
                    }
                }
            }
        }
        (parts::terminal("syncline security"))
        @if is_admin {
            h2 { "Tokens" }
            (listed(&visitor, &tokens, now))
            (parts::terminal("syncline token create --role viewer --expires 2160h"))
        }
        h2 { "Audit log" }
        @match &audit {
            None => (parts::nothing("Only an admin sees who asked for what.")),
            Some(entries) if entries.is_empty() => (parts::nothing("Nobody asked for anything yet.")),
            Some(entries) => (audited(now, entries)),
        }
        (parts::terminal("syncline audit verify"))
    };
    Ok(page(&visitor, Place::Security, "Security", Some("/live"), &body))
}

fn listed(visitor: &Visitor, tokens: &[Token], now_ms: i64) -> Markup {
    html! {
        table {
            thead { tr {
                th { "Token" } th.wide { "Name" } th { "Role" } th { "State" } th.wide { "Made" } th { "Used" } th.wide { "Expires" }
                th { span.hidden { "Commands" } }
            } }
            tbody {
                @for token in tokens {
                    tr {
                        td { (token.id) }
                        td.wide { (token.name) }
                        td { (token.role) }
                        td { (parts::state(token.state())) }
                        td.wide { (parts::when(now_ms, Some(token.created_ms))) }
                        td { (parts::when(now_ms, token.used_ms)) }
                        td.wide { (parts::when(now_ms, token.expires_ms)) }
                        td.end {
                            @if token.is_good {
                                (Button::new(format!("/tokens/{}/revoke", token.id), "Revoke")
                                    .confirm("End this token, and the log-ins made with it, at once?").show(visitor))
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) async fn revoke(State(api): State<Api>, Path(id): Path<String>) -> Result<Redirect, Refused> {
    tokens::end(&api, &id).await?;
    Ok(Redirect::to("/security"))
}

fn audited(now_ms: i64, entries: &[AuditEntry]) -> Markup {
    html! {
        table {
            thead { tr { th.wide.end { "Entry" } th { "When" } th { "Who" } th.wide { "By" } th { "What" } } }
            tbody {
                @for AuditEntry { seq, at_ms, act, .. } in entries {
                    tr {
                        td.wide.end { (parts::figure(*seq)) }
                        td { (parts::when(now_ms, Some(*at_ms))) }
                        td { (act.actor) }
                        td.wide { (act.via) }
                        td.detail { (act.words()) }
                    }
                }
            }
        }
    }
}
