//! Whether source and target of every pipeline answer.

use axum::Extension;
use axum::extract::State;
use connectors::Role;
use futures::future::join_all;
use maud::html;

use super::guard::Visitor;
use super::page::{Place, Shown, page};
use super::parts;
use crate::Api;
use crate::health::{is_there, word};

pub(super) async fn show(State(api): State<Api>, Extension(visitor): Extension<Visitor>) -> Shown {
    let pipelines = api.ledger.pipelines().await?;
    let looks = pipelines.iter().flat_map(|pipeline| {
        [(pipeline, &pipeline.spec.source, Role::Source), (pipeline, &pipeline.spec.target, Role::Target)]
    });
    let api = &api;
    let looks = looks.map(|(pipeline, spec, role)| async move {
        (&pipeline.name, role, spec.address(), is_there(api, spec, role).await)
    });
    let found = join_all(looks).await;
    let body = html! {
        h1 { "Connections" }
        p.note { "Asked when this page was opened, with the logins that runs use." }
        @if found.is_empty() { (parts::nothing("There is no pipeline yet.")) } @else {
            table {
                thead { tr { th { "Pipeline" } th { "Side" } th { "Where" } th { "Answers" } } }
                tbody {
                    @for (name, role, address, is_well) in &found {
                        tr {
                            td { a href={ "/pipelines/" (name) } { (name) } }
                            td { (match role { Role::Source => "source", Role::Target => "target" }) }
                            td { (address) }
                            td { (parts::state(word(*is_well))) }
                        }
                    }
                }
            }
        }
        (parts::terminal("syncline doctor"))
    };
    Ok(page(&visitor, Place::Connections, "Connections", None, &body))
}
