//! What went wrong, as `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

/// What went wrong (RFC 9457).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct ProblemBody {
    r#type: String,
    title: &'static str,
    status: u16,
    /// A fixed word, such as `conflict`.
    code: &'static str,
    detail: String,
    /// What to do now.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A request that was not done, and why. Never holds a secret or a value.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// A fixed word.
    code: &'static str,
    pub(crate) detail: String,
    /// What to do now.
    pub(crate) next: Option<String>,
    /// When it may be tried again.
    retry_after: Option<Duration>,
}

pub(crate) type Result<T> = std::result::Result<T, Problem>;

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), next: None, retry_after: None }
    }

    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The header that says when it may be tried again, if it may be.
    pub(crate) fn waits(&self) -> HeaderMap {
        let seconds = self.retry_after.map(|wait| HeaderValue::from(wait.as_secs() + 1));
        seconds.map(|seconds| (header::RETRY_AFTER, seconds)).into_iter().collect()
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
    }

    pub(crate) fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "the resource has no such method")
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    pub(crate) fn too_many(detail: impl Into<String>, wait: Duration) -> Self {
        let refused = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", detail);
        Self { retry_after: Some(wait), ..refused }
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    pub(crate) fn timeout() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "no answer within the time a request has")
    }
}

impl From<ledger::Error> for Problem {
    fn from(error: ledger::Error) -> Self {
        let status =
            if error.is_away() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
        tracing::warn!(error = %error, "a request failed at the ledger");
        Self::new(status, "ledger", error.to_string()).next("syncline doctor")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let waits = self.waits();
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = ProblemBody {
            r#type: format!("urn:syncline:problem:{}", self.code),
            title,
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail,
            next: self.next,
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(waits);
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
