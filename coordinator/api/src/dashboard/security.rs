//! What a person responsible for security should know.

use axum::Extension;
use axum::extract::State;
use maud::html;

use super::guard::Visitor;
use super::page::{Place, Shown, page};
use super::parts;
use crate::Api;

const LISTED: u32 = 100;

pub(super) async fn show(State(api): State<Api>, Extension(visitor): Extension<Visitor>) -> Shown {
    let events = api.ledger.security_events(LISTED).await?;
    let now = api.ledger.now_ms().await?;
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
    };
    Ok(page(&visitor, Place::Security, "Security", Some("/live"), &body))
}
