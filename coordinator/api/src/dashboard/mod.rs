//! The dashboard: pages for people, made of the same queries and commands as the API. Every page works without a script;
//! with one it follows what happens.

mod assets;
mod chart;
mod chunks;
mod conflicts;
mod connections;
mod guard;
mod live;
mod login;
mod needs;
mod overview;
mod page;
mod parts;
mod pipelines;
mod quarantine;
mod queue;
mod run;
mod runs;
mod security;
mod table;
mod workers;

use axum::Router;
use axum::middleware;
use axum::routing::{MethodRouter, get, post};
use ledger::Role;

use crate::audit::{Shows, Watch};
use crate::{Api, audit};

/// A page or a command, and who may use it.
pub(crate) struct Screen {
    pub(crate) path: &'static str,
    pub(crate) role: Role,
    shows: Shows,
    handler: MethodRouter<Api>,
}

const fn view(path: &'static str, handler: MethodRouter<Api>) -> Screen {
    Screen { path, role: Role::Viewer, shows: Shows::None, handler }
}

/// A page that shows rows to those who may see them.
const fn rows(path: &'static str, handler: MethodRouter<Api>) -> Screen {
    Screen { path, role: Role::Viewer, shows: Shows::Rows, handler }
}

const fn command(path: &'static str, handler: MethodRouter<Api>) -> Screen {
    Screen { path, role: Role::Operator, shows: Shows::None, handler }
}

const fn secret(path: &'static str, handler: MethodRouter<Api>) -> Screen {
    Screen { path, role: Role::Admin, shows: Shows::None, handler }
}

/// All that needs somebody to be logged in.
pub(crate) fn screens() -> Vec<Screen> {
    vec![
        view("/", get(overview::show)),
        view("/live", get(live::all)),
        view("/pipelines", get(pipelines::list)),
        view("/pipelines/{name}", get(pipelines::show)),
        command("/pipelines/{name}/trigger", post(pipelines::trigger)),
        command("/pipelines/{name}/pause", post(pipelines::pause)),
        command("/pipelines/{name}/resume", post(pipelines::resume)),
        command("/pipelines/{name}/interval", post(pipelines::interval)),
        view("/runs", get(runs::list)),
        view("/runs/{run}", get(run::show)),
        view("/runs/{run}/live", get(live::of_run)),
        command("/runs/{run}/pause", post(run::pause)),
        command("/runs/{run}/resume", post(run::resume)),
        command("/runs/{run}/cancel", post(run::cancel)),
        command("/runs/{run}/retry", post(run::retry)),
        command("/runs/{run}/limits", post(run::limits)),
        rows("/runs/{run}/conflicts", get(conflicts::show)),
        rows("/runs/{run}/quarantine", get(quarantine::show)),
        command("/runs/{run}/quarantine/replay", post(quarantine::replay)),
        secret("/runs/{run}/quarantine/{row}/correct", post(quarantine::correct)),
        secret("/tokens/{token}/revoke", post(security::revoke)),
        view("/runs/{run}/tables/{table}", get(table::show)),
        view("/runs/{run}/tables/{table}/cells", get(table::cells)),
        view("/runs/{run}/tables/{table}/chunks/{pass}/{ordinal}", get(table::chunk)),
        view("/chunks/{chunk}", get(chunks::show)),
        command("/chunks/{chunk}/retry", post(chunks::retry)),
        view("/workers", get(workers::list)),
        command("/workers/{worker}/drain", post(workers::drain)),
        view("/queue", get(queue::show)),
        view("/connections", get(connections::show)),
        view("/security", get(security::show)),
    ]
}

/// The pages, with what they are made of and the way in.
pub(crate) fn router(api: &Api) -> Router<Api> {
    let mut router = Router::new();
    for Screen { path, role, shows, handler } in screens() {
        let watch = Watch { ledger: api.ledger.clone(), via: guard::VIA, path, shows };
        let guarded = handler
            .layer(middleware::from_fn_with_state(watch, audit::kept))
            .layer(middleware::from_fn_with_state((api.clone(), role), guard::guard));
        router = router.route(path, guarded);
    }
    router
        .route("/login", get(login::show).post(login::enter))
        .route("/logout", post(login::leave))
        .route("/assets/{name}", get(assets::one))
        .layer(middleware::from_fn(page::hardened))
}
