//! `Claims` as an axum extractor.
//!
//! A handler that takes [`Claims`] on a route without a [`GuardLayer`](crate::GuardLayer) in front of it answers
//! 500 and logs why: it never runs without the claims it was written for. `Option<Claims>` is `None` there, as it
//! is behind [`optional`](crate::GuardLayer::optional) when the request has no token.

use std::convert::Infallible;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use crate::claims::Claims;
use crate::refuse::Refusal;
use crate::refuse::http::{self as refuse_http, Challenge};

impl<T, S> FromRequestParts<S> for Claims<T>
where
    T: Send + Sync + 'static,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get().cloned().ok_or_else(|| {
            tracing::error!(
                target: "oauth_guard",
                code = Refusal::NotGuarded.code(),
                path = parts.uri.path(),
                claims = std::any::type_name::<Self>(),
                "a handler asks for claims that no guard in front of it has put there: the layer is missing, optional, or of another claims type"
            );
            Refusal::NotGuarded
        })
    }
}

impl<T, S> OptionalFromRequestParts<S> for Claims<T>
where
    T: Send + Sync + 'static,
    S: Send + Sync,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}

impl IntoResponse for Refusal {
    /// As the layer says it over HTTP, with neither realm nor resource metadata.
    fn into_response(self) -> Response {
        refuse_http::response(&self, &Challenge::default()).map(axum_core::body::Body::new)
    }
}
