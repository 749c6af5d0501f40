//! The HTTP API: what the ledger knows, and a person's word on it, for people and programs.
//!
//! It decides nothing: every answer is a query of the ledger and every command one that the ledger takes from the command
//! line too, so any number of servers may listen. Keys and values of rows are never in an answer.

mod answers;
mod audit;
mod auth;
mod chunks;
pub mod commands;
mod conflicts;
mod dashboard;
mod events;
mod extract;
mod health;
mod idempotency;
mod limits;
mod metrics;
mod openapi;
mod pipelines;
mod problem;
mod quarantine;
mod routes;
mod runs;
mod scene;
mod sync;
mod time;
mod tokens;
mod workers;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use connectors::Connections;
use ledger::Ledger;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use auth::make_token;

use crate::audit::Watch;
use crate::limits::Limits;
use crate::problem::Problem;
use crate::routes::{Route, routes};

/// Bytes of a request's body: a command is a line of JSON.
const BODY_MAX: usize = 64 * 1024;
/// Longest time a request has, but for streams of events.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// What the handlers work with.
#[derive(Debug, Clone)]
pub struct Api {
    pub ledger: Ledger,
    /// To ask source and target of a pipeline whether they are there.
    pub connections: Connections,
    pub version: &'static str,
    /// TLS ends at a proxy in front of this process.
    pub is_behind_proxy: bool,
}

/// Answers until `stop`; requests under way are finished, streams of events end.
///
/// # Errors
/// If the listener fails.
pub async fn serve(api: Api, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
    let router = router(api, stop.clone());
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await
}

fn router(api: Api, stop: CancellationToken) -> Router {
    let mut router = Router::new();
    for Route { path, role, shows, handler, .. } in routes() {
        let watch = Watch { ledger: api.ledger.clone(), via: auth::VIA, path, shows };
        // A method that the path lacks is refused to strangers like one that it has.
        let handler = handler.fallback(async || Problem::method_not_allowed());
        let handler = match role {
            None => handler,
            Some(role) => handler
                .layer(middleware::from_fn_with_state(api.ledger.clone(), idempotency::once))
                .layer(middleware::from_fn_with_state(watch, audit::kept))
                .layer(middleware::from_fn_with_state((api.ledger.clone(), role), auth::guard)),
        };
        router = router.route(path, handler);
    }
    router
        .merge(dashboard::router(&api))
        .fallback(async || Problem::not_found("there is nothing at this path"))
        .layer(axum::Extension(events::Stop(stop)))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(Limits::new(), limits::peer))
        .layer(middleware::from_fn(bounded))
        .layer(middleware::from_fn(hardened))
        .with_state(api)
}

async fn bounded(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(REQUEST_MAX, next.run(request)).await;
    answer.unwrap_or_else(|_elapsed| Problem::timeout().into_response())
}

/// Headers that keep browsers from doing anything with an answer but show it.
async fn hardened(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use axum::http::{Method, StatusCode};
    use ledger::{LedgerUrl, Role};
    use tower::ServiceExt as _;

    use super::*;

    async fn api(folder: &tempfile::TempDir) -> Api {
        let url = LedgerUrl::Sqlite(folder.path().join("ledger.db"));
        let ledger = Ledger::open(&url).await.expect("a ledger");
        let connections = Connections::new(Arc::new(|_| Ok(None)), 1, Duration::from_secs(1));
        Api { ledger, connections, version: "test", is_behind_proxy: false }
    }

    fn filled(path: &str) -> String {
        let path = path
            .replace("{name}", "x")
            .replace("{run}", "x")
            .replace("{chunk}", "x")
            .replace("{pass}", "copy");
        path.replace("{worker}", "x")
            .replace("{token}", "x")
            .replace("{table}", "0")
            .replace("{ordinal}", "0")
            .replace("{row}", "1")
    }

    async fn answer(api: &Api, request: Request) -> Response {
        router(api.clone(), CancellationToken::new()).oneshot(request).await.expect("infallible")
    }

    async fn status(api: &Api, method: &Method, path: &str, token: Option<&str>) -> StatusCode {
        let mut request =
            Request::builder().method(method).uri(filled(path)).header(header::HOST, "localhost");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Body::from("{}")).expect("a request");
        let answer = answer(api, request).await;
        assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        answer.status()
    }

    /// 1-44: every route with every role, by every method.
    #[tokio::test]
    async fn s1_44_every_route_asks_for_its_role() {
        let folder = tempfile::tempdir().expect("a folder");
        let api = api(&folder).await;
        let mut tokens = Vec::new();
        for role in Role::ALL {
            let (text, new) = make_token("test", role, None).expect("random numbers");
            api.ledger.create_token(&new).await.expect("entered");
            tokens.push((role, text));
        }
        let (expired, new) = make_token("test", Role::Admin, Some(-1)).expect("random numbers");
        api.ledger.create_token(&new).await.expect("entered");
        for route in routes() {
            for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                let Some(needed) = route.role else {
                    assert_ne!(status(&api, &method, route.path, None).await, StatusCode::UNAUTHORIZED);
                    continue;
                };
                for stranger in [None, Some(expired.as_str()), Some("syn_x")] {
                    let answer = status(&api, &method, route.path, stranger).await;
                    assert_eq!(answer, StatusCode::UNAUTHORIZED, "{method} {}", route.path);
                }
                for (role, token) in &tokens {
                    let answer = status(&api, &method, route.path, Some(token)).await;
                    let is_refused = matches!(answer, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
                    assert_eq!(is_refused, *role < needed, "{method} {} as {role}: {answer}", route.path);
                }
            }
        }
    }

    /// What a browser sends: its cookie, and the form with what our pages put into it, or without.
    async fn sent(api: &Api, method: &Method, path: &str, cookie: Option<&str>, form: bool) -> StatusCode {
        let mut request =
            Request::builder().method(method).uri(filled(path)).header(header::HOST, "localhost");
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, format!("other=1; syncline={cookie}"));
        }
        let token = cookie.filter(|_| form).map(|cookie| format!("form_token={}", auth::form_token(cookie)));
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = request.body(Body::from(token.unwrap_or_default())).expect("a request");
        let answer = answer(api, request).await;
        assert!(
            answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().is_ok_and(|it| it.contains("'none'"))
        );
        answer.status()
    }

    /// 1-44: every page with every role, with and without what its forms carry.
    #[tokio::test]
    async fn s1_44_every_page_asks_for_its_role() {
        let folder = tempfile::tempdir().expect("a folder");
        let api = api(&folder).await;
        let mut cookies = Vec::new();
        for role in Role::ALL {
            let (_, token) = make_token("test", role, None).expect("random numbers");
            api.ledger.create_token(&token).await.expect("entered");
            let (cookie, login) = auth::make_login(&token.id).expect("random numbers");
            api.ledger.create_login(&login).await.expect("entered");
            cookies.push((role, token.id, cookie));
        }
        for screen in dashboard::screens() {
            let is_command = screen.role > Role::Viewer;
            let method = if is_command { Method::POST } else { Method::GET };
            let stranger = sent(&api, &method, screen.path, None, false).await;
            let refused = if is_command { StatusCode::UNAUTHORIZED } else { StatusCode::SEE_OTHER };
            assert_eq!(stranger, refused, "{}", screen.path);
            for (role, _, cookie) in &cookies {
                let answer = sent(&api, &method, screen.path, Some(cookie), true).await;
                assert_eq!(
                    answer == StatusCode::FORBIDDEN,
                    *role < screen.role,
                    "{} {role}: {answer}",
                    screen.path
                );
                assert_ne!(answer, StatusCode::UNAUTHORIZED, "{} {role}", screen.path);
                if is_command {
                    let forged = sent(&api, &method, screen.path, Some(cookie), false).await;
                    assert_eq!(forged, StatusCode::FORBIDDEN, "{} {role}", screen.path);
                }
            }
        }
        // A log-in ends with its token, and by itself.
        let [(_, viewer, of_viewer), (.., of_operator), _] = &cookies[..] else { panic!("three roles") };
        assert!(api.ledger.revoke_token(viewer).await.expect("answered"));
        assert_eq!(sent(&api, &Method::GET, "/", Some(of_viewer), false).await, StatusCode::SEE_OTHER);
        assert_eq!(sent(&api, &Method::GET, "/", Some(of_operator), false).await, StatusCode::OK);
        assert_eq!(
            sent(&api, &Method::POST, "/logout", Some(of_operator), true).await,
            StatusCode::SEE_OTHER
        );
        assert_eq!(sent(&api, &Method::GET, "/", Some(of_operator), false).await, StatusCode::SEE_OTHER);
        let (id, _secret) = cookies[2].2.split_once('_').expect("two parts");
        let guessed = format!("{id}_{}", "0".repeat(64));
        assert_eq!(sent(&api, &Method::GET, "/", Some(&guessed), false).await, StatusCode::SEE_OTHER);
    }
}
