//! The endpoints that authorization servers call: logout tokens, and pushed security events.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use tower_service::Service;

use super::receive::validate;
use super::statement::{Flaw, StatementError, StatementKind};
use crate::claims::Untyped;
use crate::defaults::{STATEMENT_BODY_BYTES, STATEMENT_BODY_TIMEOUT};
use crate::guard::Guard;
use crate::sync::within;
use crate::telemetry;

/// A tower service for one endpoint that authorization servers call, from [`Guard::backchannel_logout`] or
/// [`Guard::security_events`]. It needs no token: what it receives is signed.
///
/// | | logout token | security event |
/// |---|---|---|
/// | took effect, or did so before | 200 | 202 |
/// | invalid: nothing changes | 400 with `error` and `error_description` | 400 with `err` and `description` |
/// | another method than POST | 405 | 405 |
/// | keys unavailable, or a new key that may not be fetched yet; list full; a shared store away | 503 with `Retry-After` | 503 with `Retry-After` |
///
/// Every response has `Cache-Control: no-store`.
pub struct RevocationEndpoint<T = Untyped> {
    guard: Guard<T>,
    kind: StatementKind,
}

impl<T> Guard<T> {
    /// The endpoint for logout tokens (OpenID Connect Back-Channel Logout 1.0 sections 2.5 to 2.8). Serve it at the path that
    /// is registered at the authorization server, outside of this guard's layer; with axum,
    /// `revocation_routes` (feature `axum`) does.
    ///
    /// A token with `sid` ends the access tokens of that session; one with `sub` those of that user that were issued until
    /// then. One with both ends the session, and of the user's other tokens those without `sid` that were issued until then:
    /// such a token may be of that session. It leaves the user's other sessions alone.
    ///
    /// ```
    /// use http::{Request, StatusCode};
    /// use http_body_util::Full;
    /// use oauth_guard::revocation::RevocationSettings;
    /// use oauth_guard::{Guard, Issuer};
    /// use tower::ServiceExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let guard = Guard::builder()
    ///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
    ///     .revocation(RevocationSettings::new().backchannel_logout("/backchannel-logout").client_id("shop"))
    ///     .build()?;
    /// let request = Request::post("/backchannel-logout")
    ///     .header("content-type", "application/x-www-form-urlencoded")
    ///     .body(Full::<bytes::Bytes>::from("logout_token=no-jwt"))?;
    /// let response = guard.backchannel_logout().oneshot(request).await?;
    /// assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn backchannel_logout(&self) -> RevocationEndpoint<T> {
        RevocationEndpoint { guard: self.clone(), kind: StatementKind::LogoutToken }
    }

    /// The endpoint to which security event tokens are pushed (RFC 8935). See
    /// [`backchannel_logout`](Self::backchannel_logout) for how to serve it.
    ///
    /// CAEP `session-revoked` and `token-claims-change`, `credential-change`, and RISC `account-disabled` and `account-purged`
    /// have an effect, on tokens that were issued until the event token was. Others are taken and have none.
    #[must_use]
    pub fn security_events(&self) -> RevocationEndpoint<T> {
        RevocationEndpoint { guard: self.clone(), kind: StatementKind::SecurityEvent }
    }

    /// The configured path of the endpoint for logout tokens. A reload may change it, and does not move routes in use.
    #[must_use]
    pub fn backchannel_logout_path(&self) -> Option<String> {
        self.snapshot().revocation.backchannel_logout.clone()
    }

    /// The configured path of the endpoint for security events. A reload may change it, and does not move routes in use.
    #[must_use]
    pub fn security_events_path(&self) -> Option<String> {
        self.snapshot().revocation.security_events.clone()
    }
}

impl<T, B> Service<Request<B>> for RevocationEndpoint<T>
where
    T: Send + Sync + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = EndpointFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> EndpointFuture {
        let endpoint = self.clone();
        EndpointFuture(Box::pin(async move { endpoint.respond(request).await }))
    }
}

impl<T: Send + Sync + 'static> RevocationEndpoint<T> {
    async fn respond<B>(self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if request.method() != Method::POST {
            let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        let outcome = match self.token(request).await {
            Ok(text) => self.receive(&text).await,
            Err(flaw) => Err(StatementError::Invalid(flaw)),
        };
        telemetry::count(
            "oauth_guard_revocations_total",
            if outcome.is_ok() { "received" } else { "refused" },
        );
        match outcome {
            Ok(()) if self.kind == StatementKind::LogoutToken => empty(StatusCode::OK),
            Ok(()) => empty(StatusCode::ACCEPTED),
            Err(StatementError::Invalid(flaw)) => self.refused(flaw),
            Err(StatementError::Unavailable(retry_after)) => {
                let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
                let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
                response
            }
        }
    }

    /// The token in the body.
    async fn token<B>(&self, request: Request<B>) -> Result<String, Flaw>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let flaw = |description| Err(Flaw { err: "invalid_request", description });
        let (expected, wrong) = match self.kind {
            StatementKind::LogoutToken => (
                "application/x-www-form-urlencoded",
                "Content-Type: expected application/x-www-form-urlencoded",
            ),
            StatementKind::SecurityEvent => {
                ("application/secevent+jwt", "Content-Type: expected application/secevent+jwt")
            }
        };
        if !is_of_type(request.headers(), expected) {
            return flaw(wrong);
        }
        let body = Limited::new(request.into_body(), STATEMENT_BODY_BYTES).collect();
        let body = match within(STATEMENT_BODY_TIMEOUT, body).await {
            Some(Ok(body)) => body.to_bytes(),
            Some(Err(_)) => return flaw("the body is longer than the limit, or ends early"),
            None => return flaw("the body does not end"),
        };
        let Ok(text) = std::str::from_utf8(&body) else { return flaw("the body is not UTF-8") };
        if self.kind == StatementKind::SecurityEvent {
            return Ok(text.trim_ascii().to_owned());
        }
        let mut tokens = url::form_urlencoded::parse(text.as_bytes())
            .filter(|(name, _)| name == "logout_token")
            .map(|(_, value)| value.into_owned());
        match (tokens.next(), tokens.next()) {
            (Some(token), None) => Ok(token),
            (None, _) => flaw("logout_token: is missing"),
            (Some(_), Some(_)) => flaw("logout_token: is there more than once"),
        }
    }

    async fn receive(&self, text: &str) -> Result<(), StatementError> {
        let statement = match validate(&self.guard, text, self.kind).await {
            Ok(statement) => statement,
            Err(error) => {
                let what = match error {
                    StatementError::Invalid(flaw) => flaw.description,
                    StatementError::Unavailable(_) => {
                        "the issuer's keys are unavailable, or may not be fetched yet"
                    }
                };
                // At debug level: any caller can cause it.
                tracing::debug!(target: "oauth_guard", kind = ?self.kind, what, "a logout token or a security event has no effect");
                return Err(error);
            }
        };
        let feeds = Arc::clone(&self.guard.snapshot().feeds);
        feeds.receive(&statement).await.map_err(|error| {
            tracing::error!(
                target: "oauth_guard", issuer = statement.issuer, error = %error,
                "a logout token or a security event could not take effect everywhere"
            );
            StatementError::Unavailable(Duration::from_secs(1))
        })
    }

    fn refused(&self, flaw: Flaw) -> Response<Full<Bytes>> {
        let body = match self.kind {
            // OpenID Connect Back-Channel Logout section 2.8.
            StatementKind::LogoutToken => {
                serde_json::json!({ "error": "invalid_request", "error_description": flaw.description })
            }
            // RFC 8935 section 2.3.
            StatementKind::SecurityEvent => {
                serde_json::json!({ "err": flaw.err, "description": flaw.description })
            }
        };
        let mut response = empty(StatusCode::BAD_REQUEST);
        *response.body_mut() = Full::from(body.to_string());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
        response
    }
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// One value, with parameters or without.
fn is_of_type(headers: &HeaderMap, expected: &str) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(Ok(value)), None) = (values.next().map(HeaderValue::to_str), values.next()) else {
        return false;
    };
    value.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(expected))
}

impl<T> Clone for RevocationEndpoint<T> {
    fn clone(&self) -> Self {
        Self { guard: self.guard.clone(), kind: self.kind }
    }
}

impl<T> fmt::Debug for RevocationEndpoint<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationEndpoint").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The response of a [`RevocationEndpoint`].
pub struct EndpointFuture(Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>);

impl Future for EndpointFuture {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context).map(Ok)
    }
}

impl fmt::Debug for EndpointFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointFuture")
    }
}
