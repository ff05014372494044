//! The layer that puts a test's claims on each request.

use std::fmt;
use std::task::{Context, Poll};

use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use crate::claims::{Claims, Untyped, extensions};

/// For tests only, with the feature `testing`: takes the place that the [`GuardLayer`](crate::GuardLayer) has in
/// production, and hands each request the same claims, or none. It looks at no token and applies no rule.
///
/// ```
/// use http::{Request, Response};
/// use oauth_guard::Claims;
/// use oauth_guard::testing::TestClaimsLayer;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let handler = service_fn(|request: Request<()>| async move {
///     let subject = request.extensions().get::<Claims>().and_then(|claims| claims.subject().map(str::to_owned));
///     Ok::<_, std::convert::Infallible>(Response::new(subject))
/// });
/// let ada = TestClaimsLayer::new(Claims::for_tests(serde_json::json!({ "sub": "ada" }))?);
/// assert_eq!(ada.layer(handler).oneshot(Request::new(())).await?.into_body().as_deref(), Some("ada"));
/// assert_eq!(TestClaimsLayer::without_token().layer(handler).oneshot(Request::new(())).await?.into_body(), None);
/// # Ok(()) }
/// ```
pub struct TestClaimsLayer<T = Untyped>(Option<Claims<T>>);

impl<T> TestClaimsLayer<T> {
    /// Every request counts as one with a valid token that has these claims.
    pub fn new(claims: Claims<T>) -> Self {
        Self(Some(claims))
    }
}

impl TestClaimsLayer {
    /// Every request counts as one without a token, behind an [optional](crate::GuardLayer::optional) guard.
    #[must_use]
    pub fn without_token() -> Self {
        Self(None)
    }
}

impl<T, S> Layer<S> for TestClaimsLayer<T> {
    type Service = TestClaims<S, T>;

    fn layer(&self, inner: S) -> TestClaims<S, T> {
        TestClaims { inner, claims: self.0.clone() }
    }
}

/// For tests only: the service that [`TestClaimsLayer`] makes.
pub struct TestClaims<S, T = Untyped> {
    inner: S,
    claims: Option<Claims<T>>,
}

impl<S: Service<Request<B>>, B, T: Send + Sync + 'static> Service<Request<B>> for TestClaims<S, T> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        extensions::clear(request.extensions_mut());
        if let Some(claims) = &self.claims {
            extensions::insert(request.extensions_mut(), claims.clone());
        }
        self.inner.call(request)
    }
}

impl<T> Clone for TestClaimsLayer<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Clone, T> Clone for TestClaims<S, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), claims: self.claims.clone() }
    }
}

impl<T> fmt::Debug for TestClaimsLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestClaimsLayer").field(&self.0).finish()
    }
}

impl<S: fmt::Debug, T> fmt::Debug for TestClaims<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClaims").field("inner", &self.inner).field("claims", &self.claims).finish()
    }
}
