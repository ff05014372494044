//! How every reqwest client of the bundled transport is built, and how it sends.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Method;
use tower_layer::Layer;
use tower_service::Service;

/// How long connecting may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client, and how many connections it has begun. Cheap to clone.
#[derive(Clone)]
pub(super) struct PooledClient {
    client: reqwest::Client,
    connections: Arc<AtomicUsize>,
}

/// Builds a client that follows no redirects. The error is the cause's text, without reqwest's own prefix.
pub(super) fn build(builder: reqwest::ClientBuilder) -> Result<PooledClient, String> {
    let connections = Arc::new(AtomicUsize::new(0));
    let client = builder
        .redirect(reqwest::redirect::Policy::none())
        .connector_layer(Counting(Arc::clone(&connections)))
        .build()
        .map_err(|error| error.source().map(ToString::to_string).unwrap_or_default())?;
    Ok(PooledClient { client, connections })
}

impl PooledClient {
    /// Sends a request. A server may close a connection just when a request is written to it: a GET or HEAD that fails on
    /// a connection from the pool is sent once more, at once (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1).
    pub(super) async fn execute(&self, request: reqwest::Request) -> reqwest::Result<reqwest::Response> {
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
        let again = if is_safe { request.try_clone() } else { None };
        let before = self.connections.load(Ordering::Acquire);
        let error = match self.client.execute(request).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        // Other requests may have begun a connection meanwhile. Then it is not known which one this request was on.
        let was_pooled = self.connections.load(Ordering::Acquire) == before;
        let broke_off = error.is_request() && !error.is_connect() && !error.is_timeout();
        match again.filter(|_| was_pooled && broke_off) {
            Some(again) => self.client.execute(again).await,
            None => Err(error),
        }
    }
}

/// Counts the connections that are begun.
#[derive(Clone)]
struct Counting(Arc<AtomicUsize>);

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, connections: Arc::clone(&self.0) }
    }
}

#[derive(Clone)]
struct Counted<S> {
    inner: S,
    connections: Arc<AtomicUsize>,
}

impl<S: Service<R>, R> Service<R> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.connections.fetch_add(1, Ordering::AcqRel);
        self.inner.call(request)
    }
}
