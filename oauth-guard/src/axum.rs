//! For axum: [`Claims`] and [`Scoped`] as extractors, and a router for the RFC 9728 document.
//!
//! A handler that takes [`Claims`] on a route without a [`GuardLayer`](crate::GuardLayer) is not called: the response is
//! 500 and the log says why. `Option<Claims>` is `None` there, as it is behind
//! [`optional`](crate::GuardLayer::optional) when the request has no token. Where the guard has claims of another type,
//! both are 500: the handler names the wrong type.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::{Arc, Once};

use ::axum::Router;
use ::axum::body::Body;
use ::axum::extract::{FromRequestParts, OptionalFromRequestParts};
use ::axum::response::{IntoResponse, Response};
use ::axum::routing::get;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{StatusCode, Uri};
use serde::de::DeserializeOwned;

use crate::authorize::log_dry_run;
use crate::claims::extensions::{self, Found, Missing};
use crate::claims::{Claims, SubjectToken, Untyped};
use crate::guard::Guard;
use crate::reject::{Challenge, Rejection, grpc, http as over_http, respond};
use crate::request::RequestHead;

impl<T, S> FromRequestParts<S> for Claims<T>
where
    T: Send + Sync + 'static,
    S: Send + Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        extensions::claims(&parts.extensions).map_err(|missing| not_guarded::<Self>(parts, missing))
    }
}

/// Logs why a handler is not called. An error of the program is logged as one each time. A request without a token is
/// none, and any caller can send it: the hint is a warning once, then a debug line.
fn not_guarded<C>(parts: &Parts, missing: Missing) -> Rejection {
    static WARNED: Once = Once::new();
    let (code, path, claims) = (Rejection::NotGuarded.code(), parts.uri.path(), std::any::type_name::<C>());
    match missing {
        Missing::NotGuarded => tracing::error!(
            target: "oauth_guard", code, path, claims,
            "a handler asks for claims on a route without a GuardLayer"
        ),
        Missing::OtherType => tracing::error!(
            target: "oauth_guard", code, path, claims,
            "a handler asks for claims of another type than the GuardLayer inserts"
        ),
        Missing::WithoutClaims => {
            WARNED.call_once(|| tracing::warn!(
                target: "oauth_guard", code, path, claims,
                "a handler asks for claims on a route that needs no token: take Option<Claims>, or require a token"
            ));
            tracing::debug!(target: "oauth_guard", code, path, claims, "the request has no token, and the handler needs claims");
        }
    }
    Rejection::NotGuarded
}

impl<T, S> OptionalFromRequestParts<S> for Claims<T>
where
    T: Send + Sync + 'static,
    S: Send + Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Rejection> {
        match extensions::claims(&parts.extensions) {
            Ok(claims) => Ok(Some(claims)),
            Err(Missing::OtherType) => Err(not_guarded::<Self>(parts, Missing::OtherType)),
            Err(Missing::NotGuarded | Missing::WithoutClaims) => Ok(None),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SubjectToken {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| no_subject_token(parts))
    }
}

/// As [`not_guarded`], for the caller's token.
fn no_subject_token(parts: &Parts) -> Rejection {
    static WARNED: Once = Once::new();
    let (code, path) = (Rejection::NotGuarded.code(), parts.uri.path());
    match extensions::found(&parts.extensions) {
        Some(Found::Claims) => tracing::error!(
            target: "oauth_guard", code, path,
            "a handler asks for the caller's token: add GuardLayer::with_subject_token"
        ),
        None => tracing::error!(
            target: "oauth_guard", code, path,
            "a handler asks for the caller's token on a route without a GuardLayer"
        ),
        Some(Found::Nothing) => {
            WARNED.call_once(|| tracing::warn!(
                target: "oauth_guard", code, path,
                "a handler asks for the caller's token on a route that needs none: take Option<SubjectToken>, or require a token"
            ));
            tracing::debug!(target: "oauth_guard", code, path, "the request has no token, and the handler needs it");
        }
    }
    Rejection::NotGuarded
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for SubjectToken {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Rejection> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

impl IntoResponse for Rejection {
    /// The layer's HTTP response, without realm and resource metadata.
    fn into_response(self) -> Response {
        over_http::response(&self, &Challenge::default(), false).map(Body::from)
    }
}

impl<T: Send + Sync + 'static> Guard<T> {
    /// A router for the configured endpoints that authorization servers call: logout tokens and security events, each at its
    /// path in [`RevocationSettings`](crate::revocation::RevocationSettings). Without any it is empty. Merge it with the routes
    /// that this guard's layer does not cover. Paths are those that are configured now: a reload that changes one has no effect
    /// on this router until a restart, and logs a warning.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use oauth_guard::revocation::RevocationSettings;
    /// use oauth_guard::{Guard, Issuer};
    ///
    /// let guard = Guard::builder()
    ///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
    ///     .revocation(RevocationSettings::new().backchannel_logout("/backchannel-logout").client_id("shop"))
    ///     .build()?;
    /// let orders = Router::new().route("/orders", get(|| async { "orders" })).layer(guard.layer());
    /// let app: Router = orders.merge(guard.revocation_routes());
    /// # Ok::<(), oauth_guard::BuildError>(())
    /// ```
    pub fn revocation_routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let mut router = Router::new();
        if let Some(path) = self.backchannel_logout_path() {
            router = router.route_service(&path, self.backchannel_logout());
        }
        if let Some(path) = self.security_events_path() {
            router = router.route_service(&path, self.security_events());
        }
        router
    }
}

/// The scopes that a handler requires, all of them. Implement it once per set of scopes, for [`Scoped`].
pub trait Scopes {
    /// The scopes, as they are in the token.
    const SCOPES: &'static [&'static str];
}

/// The claims of a token that grants the scopes of `S`, for handlers that declare what they require.
///
/// A token that grants less gets the guard's response: 403 `insufficient_scope` with the scopes, the realm and the
/// resource metadata in the challenge, or its gRPC form. In a [dry run](crate::GuardBuilder::dry_run) it is logged and
/// the handler is called. Without claims, because there is no guard or the token is optional, the response is 500 and the
/// log says why.
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
///     format!("created for {}", claims.subject().unwrap_or("a client"))
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
        let grpc = grpc::is_grpc(RequestHead::from(&*parts));
        let rejected = |rejection, challenge, dpop| ScopedRejection { rejection, challenge, grpc, dpop };
        let claims: Claims<T> = match extensions::claims(&parts.extensions) {
            Ok(claims) => claims,
            Err(missing) => {
                let rejection = not_guarded::<Self>(parts, missing);
                return Err(rejected(rejection, Arc::default(), false));
            }
        };
        let implied = &claims.challenge().implied;
        let has = |scope: &str| claims.has_scope(scope);
        if !S::SCOPES.iter().all(|scope| has(scope) || implied.grants(scope, has)) {
            let rejection = Rejection::InsufficientScope { needed: S::SCOPES.join(" ").into() };
            let challenge = Arc::clone(claims.challenge());
            if !challenge.dry_run {
                challenge.log.rejected(&rejection, || claims.origin());
                return Err(rejected(rejection, challenge, claims.is_dpop_bound()));
            }
            log_dry_run(&rejection, None, Some(claims.issuer()));
        }
        Ok(Self { claims, scopes: PhantomData })
    }
}

/// Why [`Scoped`] claims are not available. Its response is that of the guard in front of the handler.
#[derive(Clone, Debug)]
pub struct ScopedRejection {
    rejection: Rejection,
    challenge: Arc<Challenge>,
    grpc: bool,
    dpop: bool,
}

impl ScopedRejection {
    /// The rejection, for logs and metrics.
    #[must_use]
    pub fn rejection(&self) -> &Rejection {
        &self.rejection
    }
}

impl fmt::Display for ScopedRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rejection.fmt(f)
    }
}

impl std::error::Error for ScopedRejection {}

impl IntoResponse for ScopedRejection {
    fn into_response(self) -> Response {
        respond(&self.rejection, &self.challenge, self.grpc, self.dpop).map(Body::from)
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Guard<T> {
    /// A router that serves this API's RFC 9728 document at its well-known path. The document is updated by each reload; its
    /// path is fixed when the router is made: after a reload that changes the path of [`resource`](crate::GuardBuilder::resource),
    /// or sets one where none was, nothing is served until a restart, and a warning is logged. Merge it beside
    /// the guarded routes, not behind the guard: a client that looks for the authorization server has no token yet.
    /// Empty without [`resource`](crate::GuardBuilder::resource).
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
                // Two resources may differ only in their query.
                uri.path_and_query().is_some_and(|path| document.is_at(path))
            });
            async move {
                match document.and_then(|document| serde_json::to_string(&document).ok()) {
                    Some(json) => ([(CONTENT_TYPE, "application/json")], json).into_response(),
                    None => StatusCode::NOT_FOUND.into_response(),
                }
            }
        };
        let router = Router::new().route(metadata.path(), get(serve.clone()));
        match metadata.path_with_slash() {
            Some(path) => router.route(path, get(serve)),
            None => router,
        }
    }
}
