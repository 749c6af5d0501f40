//! What a request brings. What does not fit is told as a problem, without its text.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::{Problem, Result};

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|_hidden| Problem::invalid("the body is too long, or was cut off"))?;
        // A list would be taken for the fields in their order.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(Problem::invalid("the body is not a JSON object"));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Problem::invalid(format!("the body is not the JSON that is expected ({place})"))
        })
    }
}

/// What stands behind the `?`.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let given = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        given
            .map(|given| Self(given.0))
            .map_err(|_hidden| Problem::invalid("a parameter behind ? is not known, or no value for it"))
    }
}

/// The part of a path that stands in braces in its route.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let given = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        given
            .map(|given| Self(given.0))
            .map_err(|_hidden| Problem::not_found("there is nothing at this path"))
    }
}
