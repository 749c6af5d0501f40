//! `Idempotency-Key`: a command that was sent twice is done once, and answered the same.
//! After <https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>.

use axum::Extension;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use ledger::{Answer, Asked, Ledger};
use sha2::{Digest as _, Sha256};

use crate::BODY_MAX;
use crate::auth::Caller;
use crate::problem::{Problem, Result};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Tells an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const KEY_MAX: usize = 255;
/// Answers to commands are a few lines.
const ANSWER_MAX: usize = 1024 * 1024;

/// Does a command, or gives the answer that it was given within a day under the same key. Who asked is part of the key.
pub(crate) async fn once(
    State(ledger): State<Ledger>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let Some(key) = request.headers().get(KEY).filter(|_| request.method() == Method::POST).cloned() else {
        return next.run(request).await;
    };
    match once_by(&ledger, caller.id(), &key, request, next).await {
        Ok(answer) => answer,
        Err(problem) => problem.into_response(),
    }
}

async fn once_by(
    ledger: &Ledger,
    caller: &str,
    key: &HeaderValue,
    request: Request,
    next: Next,
) -> Result<Response> {
    if key.is_empty() || key.len() > KEY_MAX {
        return Err(Problem::invalid(format!("an Idempotency-Key has 1 to {KEY_MAX} characters")));
    }
    let (head, body) = request.into_parts();
    let body = to_bytes(body, BODY_MAX).await.map_err(|_| Problem::invalid("the body is too large"))?;
    let id = digest(&[caller.as_bytes(), key.as_bytes()]);
    let uri = head.uri.to_string();
    let content = digest(&[key.as_bytes(), head.method.as_str().as_bytes(), uri.as_bytes(), &body]);
    let mut doer = [0; 16];
    getrandom::fill(&mut doer).map_err(|_| Problem::unavailable("the system has no random numbers"))?;
    let doer = hex::encode(doer);
    match ledger.begin_request(&id, &content, &doer).await? {
        Asked::New => {
            let answer = next.run(Request::from_parts(head, Body::from(body))).await;
            kept(ledger, &id, &doer, answer).await
        }
        Asked::UnderWay => Err(Problem::conflict("a request of this Idempotency-Key is being done")),
        Asked::Another => {
            Err(Problem::invalid("another request was sent with this Idempotency-Key: take a new one"))
        }
        Asked::Answered(answer) => Ok(again(answer)),
    }
}

fn again(known: Answer) -> Response {
    let status = StatusCode::from_u16(known.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = (status, known.body).into_response();
    let headers = answer.headers_mut();
    let kind = if status.is_success() { "application/json" } else { "application/problem+json" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    let location = known.location.and_then(|location| HeaderValue::try_from(location).ok());
    headers.extend(location.map(|location| (header::LOCATION, location)));
    answer
}

/// Keeps an answer; of a request that the server could not do, nothing, so that it may be tried again.
async fn kept(ledger: &Ledger, id: &str, doer: &str, answer: Response) -> Result<Response> {
    if answer.status().is_server_error() {
        ledger.forget_request(id, doer).await?;
        return Ok(answer);
    }
    let (head, body) = answer.into_parts();
    let body: Bytes = to_bytes(body, ANSWER_MAX)
        .await
        .map_err(|_| Problem::unavailable("the answer is too large to keep"))?;
    let location = head.headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    let location = location.map(str::to_owned);
    let known = Answer { status: head.status.as_u16(), location, body: body.to_vec() };
    ledger.answer_request(id, doer, &known).await?;
    Ok(Response::from_parts(head, Body::from(body)))
}

/// Of several texts, each with its length, so that none can stand for another.
fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}
