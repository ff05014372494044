//! For axum: [`Claims`] and [`Scoped`] as extractors, and a router for the RFC 9728 document.
//!
//! A handler that takes [`Claims`] on a route without a [`GuardLayer`](crate::GuardLayer) in front of it answers
//! 500 and logs why: it never runs without the claims it was written for. `Option<Claims>` is `None` there, as it
//! is behind [`optional`](crate::GuardLayer::optional) when the request has no token.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use ::axum::Router;
use ::axum::body::Body;
use ::axum::extract::{FromRequestParts, OptionalFromRequestParts};
use ::axum::response::{IntoResponse, Response};
use ::axum::routing::get;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{StatusCode, Uri};
use serde::de::DeserializeOwned;

use crate::claims::{Claims, Untyped};
use crate::guard::Guard;
use crate::policy::would_refuse;
use crate::refuse::http::{self as refuse_http, Challenge};
use crate::refuse::{Refusal, grpc, log};

impl<T, S> FromRequestParts<S> for Claims<T>
where
    T: Send + Sync + 'static,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get().cloned().ok_or_else(|| not_guarded::<Self>(parts))
    }
}

fn not_guarded<C>(parts: &Parts) -> Refusal {
    tracing::error!(
        target: "oauth_guard",
        code = Refusal::NotGuarded.code(),
        path = parts.uri.path(),
        claims = std::any::type_name::<C>(),
        "a handler asks for claims that no guard in front of it has put there: the layer is missing, optional, or of another claims type"
    );
    Refusal::NotGuarded
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
        refuse_http::response(&self, &Challenge::default()).map(Body::new)
    }
}

/// The scopes that a handler takes, all of them. Written once, for [`Scoped`].
pub trait Scopes {
    /// Each as it stands in the token.
    const SCOPES: &'static [&'static str];
}

/// The claims of a token that grants what `S` names, in handlers that say for themselves what they take.
///
/// With less, the answer is the guard's own: 403 `insufficient_scope` with the scopes in the challenge, beside its realm
/// and metadata, or that answer in gRPC; in a [dry run](crate::GuardBuilder::dry_run) it is logged and the handler
/// called. Without claims, because no guard is in front or because it lets requests pass without a token, it is 500 and
/// logged.
///
/// ```
/// use axum::{Router, routing::post};
/// use oauth_guard::{Scoped, Scopes};
///
/// struct WriteOrders;
///
/// impl Scopes for WriteOrders {
///     const SCOPES: &[&str] = &["orders:write"];
/// }
///
/// async fn create(claims: Scoped<WriteOrders>) -> String {
///     format!("created for {}", claims.subject().unwrap_or("nobody"))
/// }
///
/// let router: Router = Router::new().route("/orders", post(create)); // and `.layer(guard.layer())`
/// ```
pub struct Scoped<S, T = Untyped> {
    claims: Claims<T>,
    scopes: PhantomData<fn() -> S>,
}

impl<S, T> Scoped<S, T> {
    /// The claims alone.
    #[must_use]
    pub fn into_claims(self) -> Claims<T> {
        self.claims
    }
}

impl<S, T> Deref for Scoped<S, T> {
    type Target = Claims<T>;

    fn deref(&self) -> &Claims<T> {
        &self.claims
    }
}

impl<S, T> fmt::Debug for Scoped<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scoped").field(&self.claims).finish()
    }
}

impl<S, T, State> FromRequestParts<State> for Scoped<S, T>
where
    S: Scopes,
    T: Send + Sync + 'static,
    State: Send + Sync,
{
    type Rejection = ScopedRejection;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, ScopedRejection> {
        let grpc = grpc::is_spoken(&parts.headers);
        let Some(claims) = parts.extensions.get::<Claims<T>>().cloned() else {
            let refusal = not_guarded::<Self>(parts);
            return Err(ScopedRejection { refusal, challenge: Arc::default(), grpc });
        };
        if !S::SCOPES.iter().all(|scope| claims.has_scope(scope)) {
            let refusal = Refusal::InsufficientScope { needed: S::SCOPES.join(" ").into() };
            let challenge = Arc::clone(claims.challenge());
            if !challenge.dry_run {
                log::note(&refusal, &claims.origin());
                return Err(ScopedRejection { refusal, challenge, grpc });
            }
            would_refuse(&refusal, None, Some(claims.issuer()));
        }
        Ok(Self { claims, scopes: PhantomData })
    }
}

/// Why [`Scoped`] claims could not be had. It answers as the guard in front of the handler would.
#[derive(Clone, Debug)]
pub struct ScopedRejection {
    refusal: Refusal,
    challenge: Arc<Challenge>,
    grpc: bool,
}

impl ScopedRejection {
    /// The refusal, for logs and metrics.
    #[must_use]
    pub fn refusal(&self) -> &Refusal {
        &self.refusal
    }
}

impl fmt::Display for ScopedRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refusal.fmt(f)
    }
}

impl std::error::Error for ScopedRejection {}

impl IntoResponse for ScopedRejection {
    fn into_response(self) -> Response {
        self.challenge.respond(&self.refusal, self.grpc).map(Body::new)
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Guard<T> {
    /// A router that serves this API's RFC 9728 document at its place, with the resource's path behind the well-known
    /// part, and what a reload makes of it. Merge it beside the guarded routes, not behind the guard: who looks for
    /// where to get a token has none. Empty without [`resource`](crate::GuardBuilder::resource).
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use oauth_guard::{Guard, Issuer};
    ///
    /// let guard = Guard::builder()
    ///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
    ///     .resource("https://api.example.com/orders")
    ///     .build()?;
    /// let router: Router = Router::new()
    ///     .route("/orders", get(|| async { "[]" }))
    ///     .layer(guard.layer())
    ///     .merge(guard.metadata_router()); // /.well-known/oauth-protected-resource/orders
    /// # Ok::<(), oauth_guard::BuildError>(())
    /// ```
    pub fn metadata_router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let Some(metadata) = self.resource_metadata() else { return Router::new() };
        let guard = self.clone();
        let serve = move |uri: Uri| {
            let document = guard.resource_metadata().filter(|document| {
                // Two resources may differ in their query alone.
                uri.path_and_query().is_some_and(|asked| document.is_at(asked))
            });
            async move {
                match document.and_then(|document| serde_json::to_string(&document).ok()) {
                    Some(json) => ([(CONTENT_TYPE, "application/json")], json).into_response(),
                    None => StatusCode::NOT_FOUND.into_response(),
                }
            }
        };
        Router::new().route(metadata.path(), get(serve))
    }
}
