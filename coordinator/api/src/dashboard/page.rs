//! What all pages have in common.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, html};

use super::guard::Visitor;
use crate::auth::Caller;
use crate::problem::Problem;

/// Nothing but our own files, and nothing inside a page that a value could smuggle in.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A place in the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Pipelines,
    Runs,
    Workers,
    Queue,
    Connections,
    Security,
}

impl Place {
    const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::Overview, "/", "Overview"),
        (Self::Pipelines, "/pipelines", "Pipelines"),
        (Self::Runs, "/runs", "Runs"),
        (Self::Workers, "/workers", "Workers"),
        (Self::Queue, "/queue", "Queue"),
        (Self::Connections, "/connections", "Connections"),
        (Self::Security, "/security", "Security"),
    ];
}

/// A page in the dashboard. `live` is the stream of what concerns it; without one it stands still.
pub(super) fn page(
    visitor: &Visitor,
    place: Place,
    title: &str,
    live: Option<&str>,
    body: &Markup,
) -> Markup {
    let menu = html! {
        header.menu {
            a.brand href="/" { "Syncline" }
            nav aria-label="Screens" {
                @for (this, path, name) in Place::ALL {
                    a href=(path) aria-current=[(this == place).then_some("page")] { (name) }
                }
            }
            div.who {
                span #link.link role="status" { "" }
                @if let Caller::Token { name, .. } = &visitor.caller {
                    span title={ "role " (visitor.role) } { (name) }
                    form method="post" action="/logout" { button.plain type="submit" { "Log out" } }
                } @else {
                    span title="no token was made yet: syncline token create" { "this machine" }
                }
                span.faint { "v" (visitor.version) }
            }
        }
    };
    shell(
        visitor.version,
        title,
        &menu,
        &html! {
            main #page data-live=[live] { (body) }
        },
    )
}

/// A page by itself: the log-in, and what went wrong.
pub(super) fn alone(version: &str, title: &str, body: &Markup) -> Markup {
    shell(version, title, &html! {}, &html! { main.alone { (body) } })
}

fn shell(version: &str, title: &str, menu: &Markup, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=r#"{"includeIndicatorCSS":false,"history":false}"#;
                title { (title) " · Syncline" }
                link rel="icon" type="image/svg+xml" href={ "/assets/icon.svg?v=" (version) };
                link rel="stylesheet" href={ "/assets/style.css?v=" (version) };
                script src={ "/assets/htmx.js?v=" (version) } defer {}
                script src={ "/assets/app.js?v=" (version) } defer {}
            }
            body {
                a.skip href="#page" { "Skip to the page" }
                (menu)
                (main)
            }
        }
    }
}

/// A request that was not done, for a person.
pub(super) fn refused(problem: &Problem) -> Response {
    let body = html! {
        h1 { (problem.status.canonical_reason().unwrap_or("Refused")) }
        p role="alert" { (problem.detail) }
        @if let Some(next) = &problem.next { p { code { (next) } } }
        p { a href="/" { "To the overview" } }
    };
    (problem.status, alone(env!("CARGO_PKG_VERSION"), "Refused", &body)).into_response()
}

/// What a page answers: itself, or why not.
pub(super) struct Refused(pub(super) Problem);

impl<E: Into<Problem>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> Response {
        refused(&self.0)
    }
}

pub(super) type Shown = std::result::Result<Markup, Refused>;

pub(super) async fn hardened(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
