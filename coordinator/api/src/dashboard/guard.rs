//! Who looks at a page, and whether a command comes from one.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use ledger::{Ledger, Role};
use subtle::ConstantTimeEq as _;

use super::page;
use crate::audit;
use crate::auth::{self, Caller};
use crate::problem::Problem;
use crate::{Api, BODY_MAX};

/// What acts in the audit log came by.
pub(super) const VIA: &str = "dashboard";

/// Somebody who may look.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub(super) role: Role,
    /// What forms carry; absent where the API is open to this machine and nobody logs in.
    pub(super) form_token: Option<String>,
    pub(super) caller: Caller,
    pub(super) version: &'static str,
}

impl Visitor {
    pub(super) fn may_command(&self) -> bool {
        self.role >= Role::Operator
    }

    /// See keys of rows, and say what a row is to be.
    pub(super) fn may_see_rows(&self) -> bool {
        self.role >= Role::Admin
    }
}

/// Lets a request through to a page for this role; others are led to the log-in, or told why not.
pub(super) async fn guard(
    State((api, needed)): State<(Api, Role)>,
    request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method().clone(), request.uri().to_string());
    let found = visitor(&api, &method, request.headers()).await;
    let visitor = match found {
        Ok(Some(visitor)) => visitor,
        Ok(None) if method == Method::GET => return to_login(&path),
        Ok(None) => return page::refused(&Problem::unauthenticated("the log-in is over: log in again")),
        Err(problem) => return page::refused(&problem),
    };
    if visitor.role < needed {
        let (caller, role) = (&visitor.caller, visitor.role);
        audit::forbidden(&api.ledger, (caller, VIA), (&method, &path), (role, needed)).await;
        let detail = format!("this takes the role {needed}; the token has {}", visitor.role);
        return page::refused(&Problem::forbidden(detail));
    }
    let mut request = match checked(request, &visitor).await {
        Ok(request) => request,
        Err(problem) => return page::refused(&problem),
    };
    request.extensions_mut().insert(visitor.role);
    request.extensions_mut().insert(visitor.caller.clone());
    request.extensions_mut().insert(visitor);
    next.run(request).await
}

/// Who asks; nobody, if a log-in is needed and there is none.
async fn visitor(api: &Api, method: &Method, headers: &HeaderMap) -> Result<Option<Visitor>, Problem> {
    let visitor = |role, form_token, caller| Visitor { role, form_token, caller, version: api.version };
    if !api.ledger.has_tokens().await? {
        auth::is_of_this_machine(method, headers)?;
        return Ok(Some(visitor(Role::Operator, None, Caller::Machine)));
    }
    let Some(cookie) = auth::cookie(headers) else { return Ok(None) };
    let Some(login) = auth::login(&api.ledger, cookie).await? else { return Ok(None) };
    let caller = Caller::Token { id: login.token, name: login.name };
    Ok(Some(visitor(login.role, Some(auth::form_token(cookie)), caller)))
}

/// A command must come from one of our own pages: same origin, and with what only our forms know.
async fn checked(request: Request, visitor: &Visitor) -> Result<Request, Problem> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(request);
    }
    let foreign = || Problem::forbidden("a command must come from a page of this dashboard");
    if !auth::is_same_origin(request.headers()) {
        return Err(foreign());
    }
    let Some(expected) = &visitor.form_token else { return Ok(request) };
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, BODY_MAX).await;
    let bytes = bytes.map_err(|_hidden| Problem::invalid("the form is too long, or was cut off"))?;
    let given = form_urlencoded::parse(&bytes).find(|(name, _)| name == "form_token");
    let is_ours = given.is_some_and(|(_, given)| bool::from(given.as_bytes().ct_eq(expected.as_bytes())));
    if is_ours { Ok(Request::from_parts(parts, Body::from(bytes))) } else { Err(foreign()) }
}

fn to_login(path: &str) -> Response {
    let to: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
    Redirect::to(&format!("/login?to={to}")).into_response()
}

/// Ends the log-in that a request carries.
pub(super) async fn end(ledger: &Ledger, headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(cookie) = auth::cookie(headers)
        && let Some(login) = auth::login(ledger, cookie).await?
    {
        ledger.end_login(&login.id).await?;
    }
    Ok(())
}

/// The header that sets the cookie of a log-in, or takes it away.
pub(super) fn cookie_header(api: &Api, value: Option<&str>) -> (header::HeaderName, String) {
    let (value, age) = value.map_or(("", 0), |value| (value, 12 * 3_600));
    // Where TLS ends in front of us, the cookie never goes anywhere else.
    let secure = if api.is_behind_proxy { "; Secure" } else { "" };
    let text = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}", auth::COOKIE);
    (header::SET_COOKIE, text)
}
